"""Twins in Alpine's roots: apk's database, musl's loader, what the rules mean there, and compilers."""

from __future__ import annotations

import bz2
import os
from pathlib import Path

import pytest
from binaries import Elf
from test_twins import AARCH64, AMD64, ARM64, BUILT, S390X, X86
from test_twins import Root as DebianRoot

from xxpy.build.twins.alpine import ALPINE
from xxpy.build.twins.busybox import read_settings
from xxpy.build.twins.cross import wanted
from xxpy.build.twins.find import Roots, find_twins
from xxpy.build.twins.golang import find_go
from xxpy.build.twins.llvm import find_llvm
from xxpy.build.twins.manager import Manager
from xxpy.build.twins.packages import read_packages
from xxpy.build.twins.retold import find_retold
from xxpy.build.twins.rules import SAME
from xxpy.build.twins.table import NAME, VARIABLE, Entry, Guard, Kind
from xxpy.platforms import Platform

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RELEASE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\n'
LOADER = "/dev/.xx/r/lib/ld-musl-x86_64.so.1"
SETTINGS = (
    '# CONFIG_FEATURE_PREFER_APPLETS is not set\nCONFIG_BUSYBOX_EXEC_PATH="/bin/busybox"\nCONFIG_ASH=y\n'
    "# CONFIG_FEATURE_SH_STANDALONE is not set\n# CONFIG_FEATURE_SH_NOFORK is not set\n"
)


class Root:
    """A folder as Alpine has it: not merged into /usr, with apk's database."""

    def __init__(self, path: Path, name: str, machine: int, database: str = "lib/apk/db/installed") -> None:
        self.path, self.name, self.machine = path, name, machine
        self.database = path / database
        for folder in ("bin", "lib", "usr/bin", "usr/lib", "usr/local/lib", "etc/apk", os.path.dirname(database)):
            (path / folder).mkdir(parents=True, exist_ok=True)
        (path / "etc/os-release").write_text(RELEASE)
        (path / "etc/apk/arch").write_text(f"{name}\n")
        self.write(f"/lib/ld-musl-{name}.so.1", self.elf() + b"library-path\0argv0\0")
        (path / f"lib/libc.musl-{name}.so.1").symlink_to(f"ld-musl-{name}.so.1")
        self.text = ""

    def elf(self, *libraries: str, runpath: str = "", interpreter: bool = True) -> bytes:
        made = Elf(self.machine)
        made.libraries, made.runpath = list(libraries), runpath
        made.interpreter = f"/lib/ld-musl-{self.name}.so.1" if interpreter else ""
        return made.data()

    def write(self, path: str, data: bytes, built: int = BUILT) -> None:
        file = self.path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755)
        os.utime(file, (built, built))

    def package(self, name: str, version: str, *files: str, commit: str = COMMIT, more: str = "") -> None:
        """A package whose files, where they are not there yet, are programs without libraries of its own."""
        self.text += f"C:Q1\nP:{name}\nV:{version}\nA:{self.name}\nt:1\n" + (f"c:{commit}\n" if commit else "") + more
        for file in files:
            folder, _, last = file.lstrip("/").rpartition("/")
            self.text += f"F:{folder}\nM:0:0:1777\nR:{last}\na:0:0:755\nZ:Q1\n"
            if not os.path.lexists(self.path / file.lstrip("/")):
                self.write(file, self.elf(f"libc.musl-{self.name}.so.1"))
        self.text += "\n"
        self.database.write_text(self.text)

    def busybox(self, settings: str = SETTINGS, version: str = "1.37.0-r18") -> None:
        self.write(
            "/bin/busybox", self.elf(f"libc.musl-{self.name}.so.1") + packed("usage: not those") + packed(settings)
        )
        self.package("busybox", version, "/bin/busybox")


def packed(text: str) -> bytes:
    return b"\0" + bz2.compress(text.encode(), 1)[2:]


@pytest.fixture
def twin(tmp_path: Path) -> Root:
    return Root(tmp_path / "twin", "x86_64", X86)


@pytest.fixture
def before(tmp_path: Path) -> Root:
    root = Root(tmp_path / "before", "aarch64", AARCH64)
    root.package("alpine-baselayout", "3.7.0-r0")
    return root


def roots(twin: Root, before: Root, target: Platform = ARM64) -> Roots:
    return Roots(twin.path, before.path, AMD64, target)


def found(twin: Root, before: Root, target: Platform = ARM64) -> dict[str, Entry]:
    """By path; of more entries for one path the last."""
    return {entry.path: entry for entry in find_twins(roots(twin, before, target))[0]}


# -- apk's database --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_the_database_says_versions_builds_and_files(tmp_path: Path, database: str) -> None:
    root = Root(tmp_path / "root", "x86_64", X86, database)
    root.package("sed", "4.9-r2", "/bin/sed", "/usr/share/doc/a b", "/top")
    root.package("musl", "1.2.5-r9", commit="")
    root.package("own", "1-r0", commit=f"{COMMIT}-dirty")
    packages = read_packages(root.path)
    assert packages.manager is Manager.APK and dict(packages.versions) == {
        "sed": "4.9-r2", "musl": "1.2.5-r9", "own": "1-r0",
    }  # fmt: skip
    assert list(packages.files("sed")) == ["/bin/sed", "/usr/share/doc/a b", "/top"]
    assert packages.build("sed") == packages.build("sed", rebuilt=True) == f"4.9-r2 {COMMIT}"
    # Whose recipe is not told, or was changed, may be anything.
    assert packages.build("musl") == packages.build("own") == "" and not list(packages.files("musl"))
    old = packages.digest
    root.package("more", "1-r0")
    new = read_packages(root.path).digest
    (root.path / "etc/apk/arch").unlink()
    # A step that changes no package may change what has a twin.
    assert len({old, new, read_packages(root.path).digest}) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "P:a\n",
        "V:1\n\nP:\nV:1\n",
        "P:../a\nV:1\n",
        "P:a\0b\nV:1\n",
        "P:a\nV:1\nf:f\n",
        "nonsense\n:\n\nR:x\n",
        "P:a\n\nV:1\n\n" * 1000,
        "\x85\u2028P:a\nV:1\n",
    ],
)
def test_a_damaged_database_has_no_packages(twin: Root, text: str) -> None:
    twin.database.write_text(text)
    assert read_packages(twin.path).manager is Manager.NONE


def test_a_hostile_database_names_nothing_outside(twin: Root, before: Root) -> None:
    twin.database.write_text(
        f"P:sed\nV:1\nc:{COMMIT}\nR:none\nF:../../../../bin\nR:sed\nF:bin\nR:../sed\nR:a\0b\nF:usr/bin\nR:sed\n\n"
        "P:sed\nV:2\n\n"
    )
    twin.write("/bin/sed", twin.elf())
    packages = read_packages(twin.path)
    assert packages.versions["sed"] == "1" and "/bin/../sed" not in set(packages.files("sed"))
    assert set(found(twin, before)) <= {"/bin/sed"}
    twin.database.unlink()
    os.mkfifo(twin.database)
    assert not read_packages(twin.path).versions


def test_another_distribution_with_apk_is_not_known(twin: Root, before: Root) -> None:
    twin.package("sed", "4.9-r2", "/bin/sed")
    assert list(found(twin, before)) == ["/bin/sed"]
    (twin.path / "etc/os-release").write_text("ID=wolfi\nID_LIKE=alpine\n")
    assert find_twins(roots(twin, before)) == ([], "the twin root has neither dpkg's packages nor Alpine's")


def test_roots_of_two_package_managers_have_none(twin: Root, tmp_path: Path) -> None:
    debian = DebianRoot(tmp_path / "debian", ARM64, "aarch64-linux-gnu", AARCH64)
    debian.package("sed", "4.9-r2", {})
    twin.package("sed", "4.9-r2", "/bin/sed")
    assert not find_twins(Roots(twin.path, debian.path, AMD64, ARM64))[0]


def test_the_same_version_and_commit_is_the_same_build(twin: Root, before: Root) -> None:
    for name in ("sed", "grep", "tar", "xz", "make"):
        twin.package(name, "1-r0", f"/usr/bin/{name}", commit="" if name == "xz" else COMMIT)
    before.package("sed", "1-r0", "/usr/bin/sed")
    before.package("grep", "1-r1", "/usr/bin/grep")
    before.package("tar", "1-r0", "/usr/bin/tar", commit=COMMIT[::-1])
    before.package("xz", "1-r0", "/usr/bin/xz", commit="")
    before.write("/usr/bin/sed", before.elf(), built=BUILT + 9)
    # Two changed recipes may have the commit's time, both: what the step itself installs has to tell its build, too.
    twin.package("patch", "1-r0", "/usr/bin/patch", commit=f"{COMMIT}-dirty")
    twin.package("m4", "1-r0", "/usr/bin/m4", commit="")
    entries = found(twin, before)
    # The one that the step itself installs is told by its time alone.
    assert sorted(entries) == ["/usr/bin/make", "/usr/bin/sed"]
    assert entries["/usr/bin/sed"].mtime == BUILT + 9 and entries["/usr/bin/make"].mtime == BUILT


# -- musl's loader ---------------------------------------------------------------------------------------------------


def test_musls_loader_keeps_the_name_and_is_told_the_folders(twin: Root, before: Root) -> None:
    twin.package("sed", "4.9-r2", "/bin/sed")
    entry = found(twin, before)["/bin/sed"]
    assert entry.program == LOADER and entry.prefix == (
        LOADER, "--argv0", NAME, "--library-path", "/dev/.xx/r/lib:/dev/.xx/r/usr/local/lib:/dev/.xx/r/usr/lib", "--",
        "/dev/.xx/r/bin/sed",
    )  # fmt: skip
    # The loader is libc itself.
    assert Guard(Kind.LIBRARIES, ()) in entry.guards and Guard(Kind.NO_VARIABLE, "MUSL_LOCPATH") in entry.guards


def test_a_loader_that_cannot_keep_the_name_is_none(twin: Root, before: Root) -> None:
    twin.package("sed", "4.9-r2", "/bin/sed")
    twin.write("/lib/ld-musl-x86_64.so.1", twin.elf() + b"library-path\0")
    assert not found(twin, before) and "musl 1.1.17" in find_twins(roots(twin, before))[1]
    (twin.path / "lib/ld-musl-x86_64.so.1").unlink()
    assert not found(twin, before)
    # Nobody waits for what is no file.
    os.mkfifo(twin.path / "lib/ld-musl-x86_64.so.1")
    assert not found(twin, before)


def test_other_folders_of_libraries_count_if_both_roots_have_them(twin: Root, before: Root) -> None:
    twin.package("sed", "4.9-r2", "/bin/sed")
    (twin.path / "etc/ld-musl-x86_64.path").write_text("/lib\n/opt/lib\n")
    assert not found(twin, before)
    (before.path / "etc/ld-musl-aarch64.path").write_text("/lib\n/opt/lib\n")
    prefix = found(twin, before)["/bin/sed"].prefix
    assert prefix[prefix.index("--library-path") + 1] == "/dev/.xx/r/lib:/dev/.xx/r/opt/lib"


def test_the_libraries_of_a_musl_program_are_known_to_the_last(twin: Root, before: Root) -> None:
    twin.write("/usr/bin/git", twin.elf("libz.so.1", "libpcre2-8.so.0", "libc.musl-x86_64.so.1"))
    twin.write("/usr/lib/libpcre2-8.so.0", twin.elf("libm.so.6", "libcrypto.so.3"))
    twin.write("/lib/libz.so.1.3", twin.elf("libc.musl-x86_64.so.1"))
    (twin.path / "lib/libz.so.1").symlink_to("libz.so.1.3")
    twin.write("/usr/local/lib/libcrypto.so.3", twin.elf("libz.so.1"))
    twin.package("git", "2.49-r0", "/usr/bin/git")
    entry = found(twin, before)["/usr/bin/git"]
    assert Guard(Kind.LIBRARIES, ("libcrypto.so.3", "libpcre2-8.so.0", "libz.so.1")) in entry.guards
    # musl would look for it in the emulated root next, and load what it finds.
    (twin.path / "usr/local/lib/libcrypto.so.3").unlink()
    assert not found(twin, before)


def test_a_library_behind_an_absolute_link_would_be_the_emulated_roots(twin: Root, before: Root) -> None:
    twin.write("/usr/bin/git", twin.elf("libz.so.1"))
    twin.write("/opt/libz.so.1", twin.elf())
    (twin.path / "usr/lib/libz.so.1").symlink_to("/opt/libz.so.1")
    twin.package("git", "2.49-r0", "/usr/bin/git")
    assert not found(twin, before)
    (twin.path / "usr/lib/libz.so.1").unlink()
    (twin.path / "usr/lib/libz.so.1").symlink_to("../../opt/libz.so.1")
    assert list(found(twin, before)) == ["/usr/bin/git"]


def test_a_folder_behind_an_absolute_link_would_be_the_emulated_roots(twin: Root, before: Root) -> None:
    twin.write("/usr/bin/git", twin.elf("libz.so.1"))
    twin.write("/usr/lib/libz.so.1", twin.elf())
    twin.package("git", "2.49-r0", "/usr/bin/git")
    (twin.path / "usr/local/lib").rmdir()
    # Nothing of this machine says what there is in the step.
    (twin.path / "usr/local/lib").symlink_to("/none/such")
    assert not found(twin, before)
    (twin.path / "usr/local/lib").unlink()
    (twin.path / "usr/local/lib").symlink_to("../lib")
    assert list(found(twin, before)) == ["/usr/bin/git"]


def test_a_root_below_a_link_is_as_good(twin: Root, before: Root, tmp_path: Path) -> None:
    twin.write("/usr/bin/git", twin.elf("libz.so.1"))
    twin.write("/usr/lib/libz.so.1", twin.elf())
    twin.package("git", "2.49-r0", "/usr/bin/git")
    (tmp_path / "link").symlink_to(twin.path)
    linked = Roots(tmp_path / "link", before.path, AMD64, ARM64)
    assert [entry.path for entry in find_twins(linked)[0]] == ["/usr/bin/git"]


def test_a_library_of_another_machine_would_end_the_twin(twin: Root, before: Root) -> None:
    twin.write("/usr/bin/git", twin.elf("libz.so.1"))
    twin.write("/usr/lib/libz.so.1", twin.elf())
    twin.package("git", "2.49-r0", "/usr/bin/git")
    assert list(found(twin, before)) == ["/usr/bin/git"]
    # One that was copied into the images of all platforms.
    twin.write("/usr/local/lib/libz.so.1", before.elf())
    assert not found(twin, before)


@pytest.mark.parametrize("runpath", ["/usr/lib/private", "$ORIGIN/../lib/private", "${ORIGIN}/../lib/private:/none"])
def test_folders_that_a_program_names_are_told_too(twin: Root, before: Root, runpath: str) -> None:
    twin.write("/usr/bin/git", twin.elf("libown.so.1", runpath=runpath))
    twin.write("/usr/lib/private/libown.so.1", twin.elf("libmore.so.1"))
    # It has no folders of its own: those of what wants it count.
    twin.write("/usr/lib/private/libmore.so.1", twin.elf())
    twin.package("git", "2.49-r0", "/usr/bin/git")
    prefix = found(twin, before)["/usr/bin/git"].prefix
    assert "/dev/.xx/r/usr/lib/private" in prefix[prefix.index("--library-path") + 1].split(":")
    many = ":".join(f"/opt/{number}" for number in range(99)) + ":/usr/lib/private"
    for other in ("$LIB/private", "$LIB:/usr/lib/private", "../lib/private:/usr/lib/private", many):
        twin.write("/usr/bin/git", twin.elf("libown.so.1", runpath=other))
        assert not found(twin, before)


def test_libraries_that_want_each_other_come_to_an_end(twin: Root, before: Root) -> None:
    twin.write("/usr/bin/git", twin.elf("lib0.so"))
    for number in range(40):
        twin.write(f"/usr/lib/lib{number}.so", twin.elf(f"lib{(number + 1) % 40}.so", "lib0.so", runpath="/usr/lib"))
    twin.package("git", "2.49-r0", "/usr/bin/git")
    (guard,) = [each for each in found(twin, before)["/usr/bin/git"].guards if each.kind is Kind.LIBRARIES]
    assert len(guard.one) == 40
    for number in range(600):
        twin.write(f"/usr/lib/lib{number}.so", twin.elf(f"lib{number + 1}.so"))
    assert not found(twin, before)


def test_a_library_that_would_be_another_when_told_is_none(twin: Root, before: Root) -> None:
    # libz is wanted of the program's folders by the program, and of /usr/lib by nothing else.
    twin.write("/usr/bin/git", twin.elf("liba.so.1", "libz.so.1"))
    twin.write("/usr/lib/liba.so.1", twin.elf("libb.so.1", runpath="/usr/lib/private"))
    twin.write("/usr/lib/private/libb.so.1", twin.elf())
    twin.write("/usr/lib/libz.so.1", twin.elf())
    twin.package("git", "2.49-r0", "/usr/bin/git")
    assert list(found(twin, before)) == ["/usr/bin/git"]
    twin.write("/usr/lib/private/libz.so.1", twin.elf())
    assert not found(twin, before)


# -- rules -----------------------------------------------------------------------------------------------------------


def named(entries: list[Entry], path: str) -> set[str]:
    return {
        name
        for entry in entries if entry.path == path
        for guard in entry.guards if guard.kind is Kind.NAMED
        for name in guard.one
    }  # fmt: skip


def test_busybox_is_what_its_name_says(twin: Root, before: Root) -> None:
    twin.busybox()
    before.busybox()
    by_name, own = find_twins(roots(twin, before))[0]
    names = named([by_name], "/bin/busybox")
    assert {"sh", "ash", "tar", "gzip", "sed", "cp"} <= names and named([own], "/bin/busybox") == {"busybox"}
    assert not names & {"uname", "arch", "nproc", "linux32", "awk", "seq", "sort", "od", "hexdump", "busybox", "su"}
    (first,) = [guard for guard in own.guards if guard.kind is Kind.FIRST_ARGUMENT]
    assert set(first.one) == names and Guard(Kind.NO_ARGUMENT, "--help") in own.guards
    # It counts in words of the machine.
    assert not find_twins(roots(twin, before, Platform.parse("linux/arm/v7")))[0]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("FEATURE_SH_STANDALONE", "y"), ("FEATURE_SH_NOFORK", "y"), ("FEATURE_PREFER_APPLETS", "y"),
        ("BUILD_LIBBUSYBOX", "y"), ("BUSYBOX_EXEC_PATH", '"/proc/self/exe"'),
    ],
)  # fmt: skip
def test_a_busybox_that_is_programs_itself_has_no_twin(twin: Root, before: Root, setting: str, value: str) -> None:
    twin.busybox(f"{SETTINGS}CONFIG_{setting}={value}\n")
    assert not found(twin, before)


def test_busybox_has_to_tell_its_settings_and_both_the_same(twin: Root, before: Root) -> None:
    twin.busybox()
    assert read_settings(twin.path, "/bin/busybox") == {"BUSYBOX_EXEC_PATH": '"/bin/busybox"', "ASH": "y"}
    assert found(twin, before)
    before.busybox(f"{SETTINGS}CONFIG_FEATURE_FANCY_HEAD=y\n")
    assert not found(twin, before)
    for data in (b"1AY&SY", b"h11AY&SY" * 999, packed(SETTINGS)[:60], b""):
        twin.write("/bin/busybox", twin.elf() + data)
        assert read_settings(twin.path, "/bin/busybox") == {} and not found(twin, before)
    assert read_settings(twin.path, "/bin/none") == read_settings(twin.path, "/bin") == {}


def test_a_link_to_another_packages_program_is_not_meant(twin: Root, before: Root) -> None:
    twin.busybox()
    (twin.path / "usr/bin/make").symlink_to("/bin/busybox")
    twin.package("make", "4.4-r3", "/usr/bin/make")
    assert all(any(guard.kind is Kind.NAMED for guard in each.guards) for each in find_twins(roots(twin, before))[0])


def test_apk_has_a_twin_where_the_root_tells_its_architecture(twin: Root, before: Root) -> None:
    twin.package("apk-tools", "2.14.9-r2", "/sbin/apk")
    entry = found(twin, before)["/sbin/apk"]
    assert {Guard(Kind.NO_LETTER, "phV"), Guard(Kind.NO_ARGUMENT_PREFIX, "--ro")} <= set(entry.guards)
    (commands,) = [guard for guard in entry.guards if guard.kind is Kind.HAS_ARGUMENT]
    assert "add" in commands.one and entry.prefix[-1] == "/dev/.xx/r/sbin/apk"
    (before.path / "etc/apk/config").write_text("root /other\n")
    assert not found(twin, before)
    (before.path / "etc/apk/config").unlink()
    for arch in ("x86_64\n", "aarch64\nx86_64\n", ""):
        (before.path / "etc/apk/arch").write_text(arch)
        assert not found(twin, before)
    (before.path / "etc/apk/arch").unlink()
    assert not found(twin, before)


def test_apks_names_of_architectures_count(twin: Root, tmp_path: Path) -> None:
    twin.package("apk-tools", "2.14.9-r2", "/sbin/apk")
    arm = Root(tmp_path / "arm", "armv7", 40)
    arm.package("alpine-baselayout", "3.7.0-r0")
    assert "/sbin/apk" in found(twin, arm, Platform.parse("linux/arm/v7"))
    assert not found(twin, arm, Platform.parse("linux/arm/v6"))


def test_coreutils_may_be_one_program(twin: Root, before: Root) -> None:
    for name in ("cat", "uname"):
        (twin.path / f"bin/{name}").symlink_to("coreutils")
    twin.package("coreutils", "9.7-r1", "/bin/coreutils", "/bin/cat", "/bin/uname")
    entries = find_twins(roots(twin, before))[0]
    assert [entry.path for entry in entries] == ["/bin/coreutils"]
    names = named(entries, "/bin/coreutils")
    assert {"cat", "cp", "env"} <= names and not names & {
        "uname",
        "arch",
        "nproc",
        "sort",
        "seq",
        "coreutils",
        "stdbuf",
    }


def test_coreutils_may_be_many_programs(twin: Root, before: Root) -> None:
    twin.package("coreutils", "8.29-r2", "/bin/cat", "/bin/uname", "/usr/bin/sort", "/usr/bin/env")
    assert sorted(found(twin, before)) == ["/bin/cat", "/usr/bin/env"]


def test_git_that_names_the_processor_has_no_twin(twin: Root, before: Root) -> None:
    names = ("git-bugreport", "git-remote-http")
    twin.package("git", "2.49-r0", "/usr/bin/git", *(f"/usr/libexec/git-core/{name}" for name in names))
    entries = found(twin, before)
    assert sorted(entries) == ["/usr/bin/git", "/usr/libexec/git-core/git-remote-http"]
    assert Guard(Kind.NO_ARGUMENT, "--build-options") in entries["/usr/bin/git"].guards


def test_python_finds_its_modules_for_this_machine(twin: Root, before: Root) -> None:
    twin.package("python3", "3.12.11-r0", "/usr/bin/python3.12")
    entry = found(twin, before)["/usr/bin/python3.12"]
    assert entry.prefix[-1] == f"{VARIABLE}PYTHONPATH=/dev/.xx/r/usr/lib/python3.12/lib-dynload"
    assert "-mcompileall" in next(guard.one for guard in entry.guards if guard.kind is Kind.FIRST_ARGUMENT)
    assert not found(twin, before, S390X)


def test_debians_rules_and_tools_are_not_alpines(twin: Root, before: Root, tmp_path: Path) -> None:
    names = ("dpkg", "bash", "perl-base", "gcc-14", "binutils-x86-64-linux-gnu")
    for name in names:
        twin.package(name, "1-r0", f"/usr/bin/{name}")
    both = roots(twin, before)
    assert not find_twins(both)[0] and wanted(both.packages, AMD64, ARM64) == ()
    twin.write("/usr/bin/dpkg", twin.elf() + b"\0amd64\0 1.22 (amd64)\0")
    assert not list(find_retold(both, tmp_path))


def test_every_rule_of_alpine_says_why() -> None:
    assert all(rule.why and rule.packages and all(path.startswith("/") for path in rule.paths) for rule in ALPINE)
    # Names are looked up below /usr, as Debian has them.
    assert not [path for rule in (*ALPINE, *SAME) for path in rule.paths if path.startswith(("/bin/", "/sbin/"))]


# -- compilers -------------------------------------------------------------------------------------------------------


def test_clang_is_told_the_target_of_alpine(twin: Root, before: Root) -> None:
    folder = "/usr/lib/llvm19"
    twin.write(f"{folder}/bin/clang-19", twin.elf("libLLVM.so.19.1", runpath=f"{folder}/lib"))
    twin.write(f"{folder}/lib/libLLVM.so.19.1", twin.elf())
    (twin.path / f"{folder}/bin/clang".lstrip("/")).symlink_to("clang-19")
    twin.package("clang19", "19.1.7-r1", f"{folder}/bin/clang-19", f"{folder}/bin/clang")
    twin.package("clang19-libs", "19.1.7-r1")
    front, driver, plus = find_llvm(roots(twin, before))
    assert {entry.path for entry in (front, driver, plus)} == {f"{folder}/bin/clang-19"}
    assert Guard(Kind.FIRST_ARGUMENT, ("-cc1", "-cc1as")) in front.guards
    for entry, name in ((driver, "clang"), (plus, "clang++")):
        assert entry.prefix[entry.prefix.index("--argv0") + 1] == f"{folder}/bin/{name}"
        assert entry.prefix[-2:] == ("-no-canonical-prefixes", "--target=aarch64-alpine-linux-musl")
        assert f"/dev/.xx/r{folder}/lib" in entry.prefix[entry.prefix.index("--library-path") + 1].split(":")
        (names,) = [guard.one for guard in entry.guards if guard.kind is Kind.NAMED]
        assert f"{name}-19" in names
    before.package("clang19", "19.1.7-r0")
    assert not list(find_llvm(roots(twin, before)))


def test_gos_tools_of_the_package_and_of_the_image(twin: Root, before: Root) -> None:
    for tree in ("usr/lib/go", "usr/local/go"):
        for root, arch in ((twin, "amd64"), (before, "arm64")):
            for tool in ("compile", "link"):
                root.write(f"/{tree}/pkg/tool/linux_{arch}/{tool}", root.elf(interpreter=tool == "compile"))
    twin.package("go", "1.24.4-r0")
    for root in (twin, before):
        (root.path / "usr/local/go/VERSION").write_text("go1.25.1\n")
    entries = {entry.path: entry for entry in find_go(roots(twin, before))}
    own, images = (f"/usr/{tree}/go/pkg/tool/linux_arm64" for tree in ("lib", "local"))
    assert sorted(entries) == [f"{folder}/{tool}" for folder in (own, images) for tool in ("compile", "link")]
    compile, link = entries[f"{own}/compile"], entries[f"{own}/link"]
    # Alpine's are position-independent, and so have a loader.
    assert compile.program == LOADER and link.prefix == (NAME,)
    assert Guard(Kind.HAS_VARIABLE, "GOARCH=arm64") in compile.guards
    # With glibc's loader beside musl's, the linker chooses.
    twin.write("/lib/ld-linux-x86-64.so.2", b"")
    assert not [path for path in (entry.path for entry in find_go(roots(twin, before))) if path.endswith("link")]


def test_an_arm64_machine_has_twins_for_amd64(tmp_path: Path) -> None:
    here, there = Root(tmp_path / "here", "aarch64", AARCH64), Root(tmp_path / "there", "x86_64", X86)
    here.package("sed", "4.9-r2", "/bin/sed")
    there.package("sed", "4.9-r2", "/bin/sed")
    (entry,) = find_twins(Roots(here.path, there.path, ARM64, AMD64))[0]
    assert entry.program == "/dev/.xx/r/lib/ld-musl-aarch64.so.1"
