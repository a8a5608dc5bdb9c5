"""Twins: which programs have one, what the dispatcher is told of them, and how two results are compared."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from binaries import Elf, archive
from test_front import graph

from xxpy.build.context import open_context
from xxpy.build.engine.accelerate import read_starts
from xxpy.build.graph import ExecOp
from xxpy.build.keys import compute_keys
from xxpy.build.plan import How, make_plan
from xxpy.build.probes import State, probe_twins
from xxpy.build.twins import dispatcher
from xxpy.build.twins.alpine import ALPINE
from xxpy.build.twins.compare import compare, in_words
from xxpy.build.twins.find import APT_CONF, Roots, apt_conf, find_twins
from xxpy.build.twins.retold import find_retold
from xxpy.build.twins.rules import SAME, Rule
from xxpy.build.twins.table import MAGIC, NAME, VARIABLE, Entry, Guard, Kind, encode
from xxpy.errors import HostError
from xxpy.platforms import Platform

AMD64, ARM64, S390X, PPC64LE = (Platform.parse(f"linux/{name}") for name in ("amd64", "arm64", "s390x", "ppc64le"))
BUILT = 1_700_000_000
X86, AARCH64 = 62, 183


# -- roots that look like Debian's -----------------------------------------------------------------------------------


class Root:
    """A folder with a dpkg database and programs."""

    def __init__(self, path: Path, host: Platform, triplet: str, machine: int) -> None:
        self.path, self.host, self.triplet, self.machine = path, host, triplet, machine
        for folder in ("var/lib/dpkg/info", "usr/bin", f"usr/lib/{triplet}", "etc"):
            (path / folder).mkdir(parents=True)
        (path / "bin").symlink_to("usr/bin")
        (path / "lib").symlink_to("usr/lib")
        loader = path / "usr/lib64/ld-linux-x86-64.so.2"
        if machine == X86:
            (path / "lib64").symlink_to("usr/lib64")
        else:
            loader = path / "usr/lib/ld-linux-aarch64.so.1"
        loader.parent.mkdir(exist_ok=True)
        loader.write_bytes(self.elf() + b"--argv0\0")
        self.status = ""

    def elf(self, *libraries: str, loader: str = "/lib64/ld") -> bytes:
        made = Elf(self.machine)
        made.libraries, made.interpreter = list(libraries), loader
        return made.data()

    def package(self, name: str, version: str, files: Mapping[str, int], built: int = BUILT) -> None:
        """A package whose programs (path: mode) were built at ``built``."""
        self.status += f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: x\n\n"
        (self.path / "var/lib/dpkg/status").write_text(self.status)
        (self.path / f"var/lib/dpkg/info/{name}.list").write_text("".join(f"{each}\n" for each in files))
        for each, mode in files.items():
            file = self.path / each.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.elf())
            file.chmod(mode)
            os.utime(file, (built, built))


@pytest.fixture
def twin(tmp_path: Path) -> Root:
    return Root(tmp_path / "twin", AMD64, "x86_64-linux-gnu", X86)


@pytest.fixture
def before(tmp_path: Path) -> Root:
    return Root(tmp_path / "before", ARM64, "aarch64-linux-gnu", AARCH64)


def roots(twin: Root, before: Root, target: Platform = ARM64) -> Roots:
    return Roots(twin.path, before.path, AMD64, target)


def found(twin: Root, before: Root, target: Platform = ARM64) -> dict[str, Entry]:
    return {entry.path: entry for entry in find_twins(roots(twin, before, target))[0]}


def test_a_program_of_a_rules_package_has_a_twin(twin: Root, before: Root) -> None:
    twin.package("tar", "1.35", {"/bin/tar": 0o755, "/usr/sbin/tarcat": 0o755})
    entry = found(twin, before)["/usr/bin/tar"]
    assert entry.mtime == BUILT and entry.program == "/dev/.xx/r/usr/lib64/ld-linux-x86-64.so.2"
    assert entry.prefix[-1] == "/dev/.xx/r/usr/bin/tar" and entry.prefix[entry.prefix.index("--argv0") + 1] == NAME
    libraries = entry.prefix[entry.prefix.index("--library-path") + 1]
    assert "/dev/.xx/r/usr/lib/x86_64-linux-gnu" in libraries.split(":")
    assert any(guard.kind is Kind.LIBRARIES for guard in entry.guards) and list(found(twin, before)) == ["/usr/bin/tar"]


def test_the_libraries_that_a_twin_has_are_known_to_the_last(twin: Root, before: Root, tmp_path: Path) -> None:
    twin.package("tar", "1", {"/usr/bin/tar": 0o755})
    (twin.path / "usr/bin/tar").write_bytes(twin.elf("libacl.so.1", "libc.so.6", "../libodd.so"))
    os.utime(twin.path / "usr/bin/tar", (BUILT, BUILT))
    folder = twin.path / "usr/lib/x86_64-linux-gnu"
    (folder / "libacl.so.1").write_bytes(twin.elf("libattr.so.1", "libacl.so.1"))
    (tmp_path / "outside.so").write_bytes(twin.elf("libsecret.so.1"))
    (folder / "libattr.so.1").symlink_to(tmp_path / "outside.so")
    (guard,) = [each for each in found(twin, before)["/usr/bin/tar"].guards if each.kind is Kind.LIBRARIES]
    assert guard.one == ("libacl.so.1", "libattr.so.1", "libc.so.6", "glibc-hwcaps", "tls")


def test_an_arm64_machine_has_twins_for_amd64(tmp_path: Path) -> None:
    here = Root(tmp_path / "here", ARM64, "aarch64-linux-gnu", AARCH64)
    there = Root(tmp_path / "there", AMD64, "x86_64-linux-gnu", X86)
    here.package("tar", "1.35", {"/usr/bin/tar": 0o755})
    here.package("apt", "3", {"/usr/bin/apt-get": 0o755})
    here.package("dpkg", "1.22", {"/usr/bin/dpkg": 0o755})
    (here.path / "usr/bin/dpkg").write_bytes(here.elf() + b"\0arm64\0 1.22 (arm64)\0")
    both = Roots(here.path, there.path, ARM64, AMD64)
    entries = {entry.path: entry for entry in find_twins(both)[0]}
    assert entries["/usr/bin/tar"].program == "/dev/.xx/r/usr/lib/ld-linux-aarch64.so.1"
    assert "/dev/.xx/r/usr/lib/aarch64-linux-gnu" in entries["/usr/bin/tar"].prefix[5].split(":")
    assert entries["/usr/bin/apt-get"].prefix[-1] == f"{VARIABLE}APT_CONFIG=/dev/.xx/apt.conf"
    (dpkg,) = find_retold(both, tmp_path)
    assert dpkg.path == "/usr/bin/dpkg" and (tmp_path / "dpkg").read_bytes().endswith(b"\0amd64\0 1.22 (amd64)\0")


def test_apt_is_told_the_architecture(twin: Root, before: Root) -> None:
    twin.package("apt", "3", {"/usr/bin/apt-get": 0o755})
    assert found(twin, before)["/usr/bin/apt-get"].prefix[-1] == f"{VARIABLE}APT_CONFIG={APT_CONF}"
    assert apt_conf(Platform.parse("linux/arm/v7")) == 'APT::Architecture "armhf";\n'


def test_setuid_programs_scripts_and_programs_of_others_have_none(twin: Root, before: Root) -> None:
    twin.package("coreutils", "9", {"/usr/bin/cat": 0o4755, "/usr/bin/ls": 0o755, "/usr/bin/uname": 0o755})
    twin.package("mine", "1", {"/usr/bin/tar": 0o755})
    (twin.path / "usr/bin/ls").write_text("#!/bin/sh\n")
    assert not found(twin, before)


def test_a_package_of_another_version_has_none(twin: Root, before: Root) -> None:
    twin.package("tar", "1.35", {"/usr/bin/tar": 0o755})
    twin.package("sed", "4.9", {"/usr/bin/sed": 0o755})
    before.package("tar", "1.34", {"/usr/bin/tar": 0o755})
    # Built anew for this architecture alone: the version says that it is the same, the time is its own.
    before.package("sed", "4.9", {"/usr/bin/sed": 0o755}, built=BUILT + 60)
    entries = found(twin, before)
    assert list(entries) == ["/usr/bin/sed"] and entries["/usr/bin/sed"].mtime == BUILT + 60
    # The same source, built anew for this architecture alone, with another version for it.
    twin.package("grep", "3.11-4", {"/usr/bin/grep": 0o755})
    before.package("grep", "3.11-4+b1", {"/usr/bin/grep": 0o755}, built=BUILT + 60)
    assert found(twin, before)["/usr/bin/grep"].mtime == BUILT + 60


def test_byte_order_counts_where_it_is_written(twin: Root, before: Root) -> None:
    twin.package("libc-bin", "2", {"/usr/bin/localedef": 0o755})
    twin.package("tar", "1", {"/usr/bin/tar": 0o755})
    assert set(found(twin, before)) == {"/usr/bin/localedef", "/usr/bin/tar"}
    big = found(twin, before, S390X)
    assert set(big) == {"/usr/bin/tar"} and Guard(Kind.PLAIN_LOCALE) in big["/usr/bin/tar"].guards


def test_roots_that_cannot_be_told_have_none(twin: Root, before: Root) -> None:
    assert find_twins(roots(twin, before)) == ([], "the twin root has neither dpkg's packages nor Alpine's")
    twin.package("tar", "1", {"/usr/bin/tar": 0o755})
    (twin.path / "usr/lib64/ld-linux-x86-64.so.2").write_bytes(b"an old one")
    assert "glibc 2.33" in find_twins(roots(twin, before))[1]


def test_links_do_not_lead_out_of_a_root(twin: Root, before: Root, tmp_path: Path) -> None:
    twin.package("tar", "1", {"/usr/bin/tar": 0o755})
    (tmp_path / "outside").write_bytes(twin.elf())
    (twin.path / "usr/bin/tar").unlink()
    (twin.path / "usr/bin/tar").symlink_to(tmp_path / "outside")
    assert not found(twin, before)


def test_every_rule_says_why() -> None:
    assert all(rule.why and rule.packages and all(path.startswith("/") for path in rule.paths) for rule in SAME)


# -- the table and the dispatcher ------------------------------------------------------------------------------------


def test_the_table_is_sorted_and_every_offset_is_in_it() -> None:
    guards = (Guard(Kind.FIRST_ARGUMENT, ("a", "b")), Guard(Kind.NO_VARIABLE, "LD_"))
    table = encode(
        [Entry("/z", 1, "/p", ("x", NAME)), Entry("/a", -2, "/q", (), ("s",), guards), Entry("/z", 9, "", ())]
    )
    magic, count, at = struct.unpack_from("=8sII", table)
    assert (magic, count, at) == (MAGIC, 3, 16)
    rows = [struct.unpack_from("=IIIIIIq", table, at + 32 * index) for index in range(count)]
    assert [text_at(table, row[0]) for row in rows] == ["/a", "/z", "/z"] and [row[6] for row in rows] == [-2, 1, 9]
    assert words_at(table, rows[1][2]) == ["x", NAME] and words_at(table, rows[0][3]) == ["s"]
    kind, one, two = struct.unpack_from("=III", table, rows[0][4])
    # An empty list is a list: the dispatcher reads words there, not a text.
    assert kind == Kind.FIRST_ARGUMENT and words_at(table, one) == ["a", "b"] and words_at(table, two) == []
    kind, one, _ = struct.unpack_from("=III", table, rows[0][4] + 12)
    assert kind == Kind.NO_VARIABLE and text_at(table, one) == "LD_"


def text_at(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode()


def words_at(table: bytes, offset: int) -> list[str]:
    assert offset % 4 == 0
    found = []
    while at := struct.unpack_from("=I", table, offset)[0]:
        found.append(text_at(table, at))
        offset += 4
    return found


def test_the_kinds_are_those_of_the_dispatcher() -> None:
    source = dispatcher.SOURCE.read_text()
    names = source.partition("enum { END,")[2].partition("}")[0].replace("\n", " ").split(",")
    assert [name.strip() for name in names] == [kind.name for kind in sorted(Kind)]


def test_without_a_compiler_there_is_a_word_of_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "find_program", lambda name: None)
    with pytest.raises(HostError) as caught:
        dispatcher.compiled(tmp_path)
    assert caught.value.reason == "no-dispatcher" and caught.value.remedy


def test_qemu_is_a_segment_of_the_dispatcher() -> None:
    head = bytearray(Elf(X86).note("GNU", 3, b"1234").data())
    program = bytes(head) + b"XX-EMBEDDED-QEMU" + bytes(16)
    made = dispatcher.embed(program, b"the emulator")
    mark = made.index(b"XX-EMBEDDED-QEMU")
    address, size = struct.unpack_from("<QQ", made, mark + 16)
    start, entry, count = struct.unpack_from("<Q", made, 32)[0], *struct.unpack_from("<HH", made, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", made, start + entry * index) for index in range(count)]
    kind, flags, offset, at, _, length, _, align = next(each for each in segments if each[3] == address)
    assert kind == 1 and flags == 4 and at == address and length == size == len(b"the emulator")
    assert made[offset : offset + size] == b"the emulator" and offset % align == at % align
    with pytest.raises(HostError):
        dispatcher.embed(bytes(head), b"the emulator")


def test_what_a_step_wrote_to_the_log_is_bounded_and_may_be_anything(tmp_path: Path) -> None:
    log = tmp_path / "starts"
    log.write_bytes(b"T /usr/bin/tar\nT /usr/bin/tar\nE /usr/bin/uname\nF /usr/bin/tar\nnonsense\n\n\xff\xfe\nE \n")
    starts = read_starts(log)
    assert (starts.twins, starts.emulated) == (1, 2) and starts.most_twins == (("/usr/bin/tar", 1),)
    assert read_starts(tmp_path / "none").twins == 0


def test_doctor_says_what_twins_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "find_program", lambda name: None)
    assert probe_twins({"binfmt": "Invalid argument"}).state is State.WARN
    lacking = probe_twins({"binfmt": ""})
    assert lacking.state is State.WARN and "gcc" in lacking.remedy
    monkeypatch.setattr(dispatcher, "find_program", lambda name: f"/bin/{name}")
    assert probe_twins({"binfmt": ""}).state is State.OK


# -- graph and keys --------------------------------------------------------------------------------------------------

TEXT = (
    "FROM a AS one\nRUN x\nFROM --platform=linux/amd64 a AS two\nRUN y\nFROM one\nCOPY --from=two /f /f\nRUN z\nRUN w\n"
)


def test_an_exec_of_another_platform_has_the_same_one_here_as_its_twin() -> None:
    made = graph(TEXT, ARM64, twins=True)
    pairs = {made.vertices[one].label.line: made.vertices[other] for one, other in made.twins.items()}
    assert sorted(pairs) == [2, 7, 8]
    for line, vertex in pairs.items():
        assert isinstance(vertex.op, ExecOp) and vertex.platform == AMD64 and vertex.label.line == line
    assert not graph(TEXT, ARM64).twins and not graph(TEXT, AMD64, twins=True).twins


def test_where_this_platform_is_built_too_its_steps_are_the_twins() -> None:
    both = graph(TEXT, AMD64, ARM64, twins=True)
    plan = make_plan(both, AMD64)
    assert set(both.vertices) == set(graph(TEXT, AMD64, ARM64).vertices)
    assert all(plan.steps[twin].how is How.NATIVE for twin in both.twins.values())
    alone = make_plan(graph(TEXT, ARM64, twins=True), AMD64)
    assert any(not step.targets for step in alone.steps.values())


@pytest.mark.parametrize(
    ("run", "small"),
    [
        ("true", True),
        ("mkdir -p /a && /bin/chmod 755 /a; FOO=1 echo x >/a/b || exit 1", True),
        ("set -e; test -e /x || \\\n    ln -s y /x", True),
        ("useradd app && make", False),
        ("echo $(make)", False),
        ("(true)", False),
        ("for f in *; do cat $f; done", False),
        ("--mount=type=cache,target=/c true", False),
        ("; ".join(["true"] * 20), False),
        ('["true"]', False),
        ("echo 'it", False),
        ("<<E\nmake\nE", False),
    ],
)
def test_a_step_that_starts_little_is_not_worth_a_twin(run: str, small: bool) -> None:
    made = graph(f"FROM a\nRUN {run}\nRUN make\n", ARM64, twins=True)
    execs = [vertex for vertex in made if isinstance(vertex.op, ExecOp) and vertex.platform == ARM64]
    assert [vertex.digest in made.twins for vertex in execs] == [not small, True]
    why = make_plan(made, AMD64).steps[execs[0].digest].why
    assert why.endswith("too small for twins" if small else "with twins")


def test_what_twins_had_a_part_in_has_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(TEXT)
    made = graph(TEXT, ARM64, twins=True)
    keys = compute_keys(made, open_context(tmp_path, None, tmp_path), "Dockerfile")
    plain = compute_keys(graph(TEXT, ARM64), open_context(tmp_path, None, tmp_path), "Dockerfile")
    assert all(keys.of[digest] == key for digest, key in plain.of.items())
    apart = {made.vertices[digest].label.line for digest in made.vertices if keys.twinned[digest] != keys.of[digest]}
    # The COPY is made on what is emulated.
    assert apart == {2, 6, 7, 8}
    for digest in made.twins:
        assert keys.among(digest, twinned=True) == (keys.of[digest], keys.twinned[digest])
        assert keys.among(digest, twinned=False) == (keys.of[digest],)


# -- comparing -------------------------------------------------------------------------------------------------------


def test_two_results_are_compared_file_by_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for top in (one, two):
        (top / "var/log").mkdir(parents=True)
        for name in ("same", "bytes", "mode"):
            (top / name).write_text("x")
        (top / "link").symlink_to("a")
        (top / "var/log/dpkg.log").write_text(f"2026-01-0{1 + (top == two)} install tar")
    os.utime(one / "same", (1, 1))
    assert compare(one, two).equal
    (one / "bytes").write_text("y")
    (one / "mode").chmod(0o4755)
    (one / "link").unlink()
    (one / "link").symlink_to("b")
    (one / "more").write_text("")
    (two / "less").mkdir()
    comparison = compare(one, two)
    assert {each.path: each.what for each in comparison.unexpected} == {
        "/bytes": "has other bytes",
        "/mode": "has mode 4755 with twins, 644 without",
        "/link": "leads elsewhere",
        "/more": "is there only with twins",
        "/less": "is there only without twins",
    }
    words = list(in_words(comparison))
    assert words[0].startswith("NOT the same") and any("it has times" in line for line in words)


def test_byte_code_may_differ_in_its_sources_time_alone(tmp_path: Path) -> None:
    for name, head, code in (("one", b"a" * 16, b"code"), ("two", b"b" * 16, b"code")):
        (tmp_path / name / "p/__pycache__").mkdir(parents=True)
        (tmp_path / name / "p/__pycache__/m.pyc").write_bytes(head + code)
    assert compare(tmp_path / "one", tmp_path / "two").equal
    (tmp_path / "two/p/__pycache__/m.pyc").write_bytes(b"b" * 16 + b"cod3")
    assert not compare(tmp_path / "one", tmp_path / "two").equal


def rlib(metadata: bytes, code: bytes) -> bytes:
    return archive(("lib.rmeta", metadata), ("app.o", code))


@pytest.mark.parametrize("rules", [SAME, ALPINE], ids=["debian", "alpine"])
@pytest.mark.parametrize("name", ["curl", "wget"])
def test_who_names_its_machine_is_not_asked_for_it(rules: tuple[Rule, ...], name: str) -> None:
    (rule,) = (each for each in rules if each.packages == (name,))
    assert {Guard(Kind.NO_ARGUMENT, "--version"), Guard(Kind.NO_LETTER, "V")} <= set(rule.guards)


@pytest.mark.parametrize(
    ("path", "one", "two", "equal"),
    [
        ("root/.cache/go-build/0a/0a1b-a", b"v1 a b 1" + b"1" * 20 + b"\n", b"v1 a b 1" + b"2" * 20 + b"\n", True),
        ("root/.cache/go-build/0a/0a1b-a", b"v1 a b 1" + b"1" * 20 + b"\n", b"v1 a c 1" + b"1" * 20 + b"\n", False),
        ("src/target/release/deps/libm-1.rlib", rlib(b"ab", b"code"), rlib(b"ba", b"code"), True),
        ("src/target/release/deps/libm-1.rlib", rlib(b"ab", b"code"), rlib(b"ba", b"cod3"), False),
        ("src/target/release/deps/libm-1.rlib", rlib(b"ab", b"code"), rlib(b"abc", b"code"), False),
        ("src/target/release/deps/libm-1.rlib", b"not", b"one", False),
        ("src/target/release/app.d", b"app: a", b"app: b", False),
        ("src/target/.rustc_info.json", b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', True),
        ("src/target/.rustc_info.json", b'{"a": 1}', b'{"a": 2}', False),
        ("src/target/.rustc_info.json", b'{"a": 1', b'{"a": 2', False),
        ("var/lib/texmf/ls-R", b"a\nb\n", b"b\na\n", True),
        ("var/lib/texmf/ls-R", b"a\nb\n", b"a\nc\n", False),
        ("var/lib/texmf/web2c/metafont/mf.base", b"W2MF\x03\x33\0", b"W2MF\x02\x50\0", True),
        ("var/lib/texmf/web2c/metafont/mf.base", b"W2MF\x03\x33\0\0", b"W2MF\x03\x50\0\1", False),
        ("var/lib/texmf/web2c/metafont/mf.base", b"W2MF\x03\x33\0", b"W2MF\x03\x33\0\0", False),
        ("var/lib/texmf/web2c/tex/tex.fmt", b"W2TX\0\x03", b"W3TX\0\x04", False),
        ("var/log/apt/history.log", b"Start-Date: 2026-01-02\n", b"Start-Date: 2026-03-04\n", True),
        ("var/log/apt/history.log", b"Commandline: apt-get\n", b"Commandline: apt\n", False),
        ("src/target/release/app", b"a", b"b", False),
    ],
)
def test_a_difference_is_expected_only_as_far_as_its_reason_goes(
    tmp_path: Path, path: str, one: bytes, two: bytes, equal: bool
) -> None:
    for name, data in (("one", one), ("two", two)):
        (tmp_path / name / path).parent.mkdir(parents=True)
        (tmp_path / name / path).write_bytes(data)
    comparison = compare(tmp_path / "one", tmp_path / "two")
    assert comparison.equal is equal and len(comparison.differences) == 1


def test_what_cargo_may_write_again_is_expected_to_be_there_or_not(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "src/target/release").mkdir(parents=True)
    (tmp_path / "one/src/target/release/app.d").write_text("app: main.rs")
    assert compare(tmp_path / "one", tmp_path / "two").equal


def test_dpkg_is_told_another_architecture(twin: Root, before: Root, tmp_path: Path) -> None:
    twin.package("dpkg", "1.22", {"/usr/bin/dpkg": 0o755, "/usr/bin/dpkg-divert": 0o755, "/usr/bin/dpkg-query": 0o755})
    words = {
        "dpkg": b"arch-native\0amd64\0%02x\0 1.22 (amd64)\0",
        "dpkg-divert": b"native\0amd64\0 amd64 (amd64)\0",
        "dpkg-query": b"1.22 (amd64)\0",
    }
    for name, text in words.items():
        path = twin.path / "usr/bin" / name
        path.write_bytes(twin.elf() + text)
        os.utime(path, (BUILT, BUILT))
    entries = {entry.path: entry for entry in find_retold(roots(twin, before), tmp_path)}
    # What has the word in another place may mean something else by it.
    assert sorted(entries) == ["/usr/bin/dpkg", "/usr/bin/dpkg-query"]
    assert (tmp_path / "dpkg").read_bytes().endswith(b"arch-native\0arm64\0%02x\0 1.22 (arm64)\0")
    assert entries["/usr/bin/dpkg"].prefix[-1] == "/dev/.xx/retold/dpkg" and entries["/usr/bin/dpkg"].mtime == BUILT
    assert not list(find_retold(roots(twin, before, PPC64LE), tmp_path))
