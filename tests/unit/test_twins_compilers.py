"""Twins of compilers: which tool of this machine stands in for which, and what it is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from binaries import rust_metadata
from test_twins import AARCH64, AMD64, ARM64, BUILT, PPC64LE, S390X, X86, Root, before, roots, twin

from xxpy.build.twins.cross import CrossPackage, download_script, find_cross, wanted
from xxpy.build.twins.find import Roots
from xxpy.build.twins.golang import find_go
from xxpy.build.twins.llvm import find_llvm
from xxpy.build.twins.packages import read_packages
from xxpy.build.twins.rust import HELPER, find_rust
from xxpy.build.twins.table import NAME, Entry, Guard, Kind

__all__ = ["before", "twin"]

# -- GCC and binutils ------------------------------------------------------------------------------------------------


def test_the_cross_packages_that_are_wanted(twin: Root) -> None:
    assert wanted(read_packages(twin.path), AMD64, ARM64) == ()
    twin.package("gcc-14", "14.2.0-19", {})
    twin.package("cpp-14-x86-64-linux-gnu", "14.2.0-19", {})
    twin.package("gcc-14-riscv64-linux-gnu", "14.2.0-19cross1", {})
    twin.package("binutils-x86-64-linux-gnu", "2.44-3", {})
    twin.package("gcc", "4:14.2.0-1", {})
    assert wanted(read_packages(twin.path), AMD64, PPC64LE) == (
        CrossPackage("binutils-powerpc64le-linux-gnu", "2.44-3"),
        CrossPackage("cpp-14-powerpc64le-linux-gnu", "14.2.0-19"),
        CrossPackage("gcc-14-powerpc64le-linux-gnu", "14.2.0-19"),
    )


def test_compilers_of_an_arm64_machine_for_amd64(tmp_path: Path) -> None:
    here = Root(tmp_path / "here", ARM64, "aarch64-linux-gnu", AARCH64)
    there = Root(tmp_path / "there", AMD64, "x86_64-linux-gnu", X86)
    tools = Root(tmp_path / "cross", ARM64, "aarch64-linux-gnu", AARCH64)
    own, cross = "/usr/libexec/gcc/aarch64-linux-gnu/14", "/usr/libexec/gcc-cross/x86_64-linux-gnu/14"
    here.package("cpp-14-aarch64-linux-gnu", "14.2.0-19", {f"{own}/cc1": 0o755})
    here.package("golang-1.24-go", "1.24", {"/usr/lib/go-1.24/pkg/tool/linux_arm64/compile": 0o755})
    tools.package("cpp-14-x86-64-linux-gnu", "14.2.0-19cross1", {f"{cross}/cc1": 0o755})
    both = Roots(here.path, there.path, ARM64, AMD64)
    assert wanted(both.packages, ARM64, AMD64) == (CrossPackage("cpp-14-x86-64-linux-gnu", "14.2.0-19"),)
    (cc1,) = find_cross(both, tools.path)
    assert cc1.path == "/usr/libexec/gcc/x86_64-linux-gnu/14/cc1" and cc1.prefix[-1] == f"/dev/.xx/c{cross}/cc1"
    (compile,) = find_go(both)
    assert compile.path == "/usr/lib/go-1.24/pkg/tool/linux_amd64/compile"
    assert Guard(Kind.HAS_VARIABLE, "GOARCH=amd64") in compile.guards


def test_only_the_very_version_is_fetched() -> None:
    script = download_script([CrossPackage("gcc-14-x", "14.2.0-19")], "/f")
    assert r"'^14\.2\.0-19(cross[0-9]+)?$'" in script and "apt-get download -q gcc-14-x=" in script


def test_parts_of_a_compiler_are_those_of_the_cross_compiler(twin: Root, before: Root, tmp_path: Path) -> None:
    own, cross = "/usr/libexec/gcc/x86_64-linux-gnu/14", "/usr/libexec/gcc-cross/aarch64-linux-gnu/14"
    twin.package("cpp-14-x86-64-linux-gnu", "14.2.0-19", {f"{own}/cc1": 0o755})
    twin.package("binutils-x86-64-linux-gnu", "2.44-3", {"/usr/bin/x86_64-linux-gnu-ld.bfd": 0o755})
    tools = Root(tmp_path / "cross", AMD64, "x86_64-linux-gnu", X86)
    names = (f"{cross}/cc1", "/usr/bin/aarch64-linux-gnu-ld.bfd", f"{cross}/liblto_plugin.so")
    tools.package("cpp-14-aarch64-linux-gnu", "14.2.0-19cross1", dict.fromkeys(names, 0o755))
    entries = {entry.path: entry for entry in find_cross(roots(twin, before), tools.path)}
    cc1 = entries["/usr/libexec/gcc/aarch64-linux-gnu/14/cc1"]
    assert cc1.prefix[-1] == f"/dev/.xx/c{cross}/cc1" and cc1.mtime == BUILT
    assert cc1.suffix[:2] == ("-isystem", "/usr/lib/gcc/aarch64-linux-gnu/14/include") and "-nostdinc" not in cc1.suffix
    assert Guard(Kind.NO_ARGUMENT_PREFIX, "-fplugin") in cc1.guards
    plugin = "/usr/libexec/gcc/aarch64-linux-gnu/14/liblto_plugin.so"
    guards = entries["/usr/bin/aarch64-linux-gnu-ld.bfd"].guards
    assert Guard(Kind.REPLACE, plugin, f"/dev/.xx/c{cross}/liblto_plugin.so") in guards
    assert Guard(Kind.NEXT_AMONG, "-plugin", (plugin,)) in guards
    before.package("cpp-14-aarch64-linux-gnu", "14.2.0-18", {})
    assert "/usr/libexec/gcc/aarch64-linux-gnu/14/cc1" not in {
        entry.path for entry in find_cross(roots(twin, before), tools.path)
    }


# -- Go --------------------------------------------------------------------------------------------------------------

GO = "/usr/lib/go-1.24/pkg/tool/linux_amd64"


def go(twin: Root, before: Root) -> dict[str, Entry]:
    return {entry.path: entry for entry in find_go(roots(twin, before))}


def test_gos_tools_are_told_the_architecture(twin: Root, before: Root) -> None:
    twin.package("golang-1.24-go", "1.24.4-1", {f"{GO}/compile": 0o755, f"{GO}/link": 0o755, f"{GO}/pprof": 0o755})
    (twin.path / f"{GO}/compile".lstrip("/")).write_bytes(twin.elf(loader=""))
    entries = go(twin, before)
    assert sorted(entries) == [f"/usr/lib/go-1.24/pkg/tool/linux_arm64/{name}" for name in ("compile", "link")]
    compile = entries["/usr/lib/go-1.24/pkg/tool/linux_arm64/compile"]
    # Static programs need no loader.
    assert compile.program == f"/dev/.xx/r{GO}/compile" and compile.prefix == (NAME,)
    assert compile.guards == (Guard(Kind.HAS_VARIABLE, "GOOS=linux"), Guard(Kind.HAS_VARIABLE, "GOARCH=arm64"))
    before.package("golang-1.24-go", "1.24.3-1", {})
    assert not go(twin, before)


def test_go_of_a_base_image_is_the_same_if_its_version_is(twin: Root, before: Root) -> None:
    twin.package("tar", "1", {})
    for root, arch in ((twin, "amd64"), (before, "arm64")):
        tools = root.path / f"usr/local/go/pkg/tool/linux_{arch}"
        tools.mkdir(parents=True)
        (tools / "compile").write_bytes(root.elf(loader=""))
        (tools / "compile").chmod(0o755)
        (root.path / "usr/local/go/VERSION").write_text("go1.25.1\ntime 2025-08-27T15:49:40Z\n")
    assert list(go(twin, before)) == ["/usr/local/go/pkg/tool/linux_arm64/compile"]
    (before.path / "usr/local/go/VERSION").write_text("go1.25.2\n")
    assert not go(twin, before)


# -- clang and lld -----------------------------------------------------------------------------------------------------

CLANG = "/usr/lib/llvm-19/bin/clang"


def test_clang_is_told_the_target_and_goes_by_its_own_name(twin: Root, before: Root) -> None:
    twin.package("clang-19", "1:19.1.7-3+b1", {CLANG: 0o755})
    twin.package("clang-format-19", "1:19.1.7-3+b1", {"/usr/lib/llvm-19/bin/clang-format": 0o755})
    front, driver, plus = find_llvm(roots(twin, before))
    assert {entry.path for entry in (front, driver, plus)} == {CLANG}
    assert front.prefix[-1] == f"/dev/.xx/r{CLANG}" and front.prefix[front.prefix.index("--argv0") + 1] == NAME
    assert Guard(Kind.FIRST_ARGUMENT, ("-cc1", "-cc1as")) in front.guards
    for entry, own, names in (
        (driver, CLANG, ("clang", "cc", "clang-19")),
        (plus, f"{CLANG}++", ("clang++", "c++", "clang++-19")),
    ):
        assert entry.prefix[entry.prefix.index("--argv0") + 1] == own
        assert entry.prefix[-2:] == ("-no-canonical-prefixes", "--target=aarch64-unknown-linux-gnu")
        assert Guard(Kind.NAMED, names) in entry.guards and Guard(Kind.NO_ARGUMENT, "-cc1") in entry.guards
        assert Guard(Kind.NO_ARGUMENT, "-march=native") in entry.guards
    # What it compiles has its whole version.
    before.package("clang-19", "1:19.1.7-3+b2", {})
    assert not list(find_llvm(roots(twin, before)))
    assert not list(find_llvm(roots(twin, Root(before.path.with_name("other"), S390X, "s390x-linux-gnu", 22), S390X)))


# -- Rust ------------------------------------------------------------------------------------------------------------


def with_rust(twin: Root) -> None:
    twin.package("perl-base", "5.40", {"/usr/bin/perl": 0o755})
    twin.package("rustc", "1.85.1", {"/usr/bin/rustc": 0o755})
    twin.package("binutils-x86-64-linux-gnu", "2.44", {"/usr/bin/x86_64-linux-gnu-ld.bfd": 0o755})
    twin.package("libgcc-14-dev", "14", {"/usr/lib/gcc/x86_64-linux-gnu/14/libgcc_s.so": 0o644})


def test_rustc_is_told_the_target_and_macros_get_a_linker(twin: Root, before: Root) -> None:
    with_rust(twin)
    rust = find_rust(roots(twin, before))
    assert rust is not None
    (entry,) = rust.entries
    assert (entry.path, entry.mtime) == ("/usr/bin/rustc", BUILT)
    assert entry.prefix[-7:] == (
        "/dev/.xx/r/usr/bin/rustc", "/dev/.xx/r/usr", "x86_64-unknown-linux-gnu",
        "/usr/bin/rustc", "/usr", "aarch64-unknown-linux-gnu", "--",
    )  # fmt: skip
    assert {Guard(Kind.NO_ARGUMENT_PREFIX, "--print"), Guard(Kind.NO_VARIABLE, "PERL")} <= set(entry.guards)
    assert rust.linker.startswith("#!/bin/sh\nexec ") and "--sysroot=/dev/.xx/r " in rust.linker
    before.package("rustc", "1.84", {"/usr/bin/rustc": 0o755})
    assert find_rust(roots(twin, before)) is None


def test_rustups_toolchains_are_the_same_if_their_manifest_is(twin: Root, before: Root) -> None:
    with_rust(twin)
    home = "/usr/local/rustup/toolchains/1.90.0"
    for root, triple in ((twin, "x86_64-unknown-linux-gnu"), (before, "aarch64-unknown-linux-gnu")):
        folder = root.path / f"{home}-{triple}".lstrip("/")
        for name in ("bin/rustc", "lib/rustlib/multirust-channel-manifest.toml"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(root.elf())
            (folder / name).chmod(0o755)
        (folder / "lib/rustlib/multirust-channel-manifest.toml").write_text('date = "2025-09-18"\n')
    rust = find_rust(roots(twin, before))
    assert rust is not None
    assert {each.path for each in rust.entries} == {"/usr/bin/rustc", f"{home}-aarch64-unknown-linux-gnu/bin/rustc"}


@pytest.fixture
def rustc(tmp_path: Path) -> Rustc:
    if not shutil.which("perl"):
        pytest.skip("perl, which Debian's roots have, is not on this machine")
    return Rustc(tmp_path)


class Rustc:
    """rustc.pl with programs that note what they are started with in the place of rustc and of QEMU.

    What "compiles" writes a library whose metadata has a hash of its triple.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("commands", "libraries", "macros", "uses"):
            (folder / "place/macros" / name).mkdir(parents=True)
        (folder / "deps").mkdir()
        self._program("place/qemu", "emulated")
        self._program("loader", "twin")

    def _program(self, name: str, how: str) -> None:
        path = self.folder / name
        path.write_text(
            f"""#!{sys.executable}
import json, os, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2])!r}]
from binaries import rust_metadata as metadata
words = sys.argv[1:]
with open({str(self.folder / "log")!r}, "a") as log:
    log.write(json.dumps([{how!r}, words]) + "\\n")
out = words[words.index("--out-dir") + 1] if "--out-dir" in words else ""
name = words[words.index("--crate-name") + 1] if out else ""
macro = "proc-macro" in words
triple = words[words.index("--target") + 1] if "--target" in words else "here"
if out and not (name == "broken" and triple == "here"):
    path = os.path.join(out, f"lib{{name}}-1." + ("so" if macro else "rlib"))
    open(path, "wb").write(metadata(triple, name.encode()))
"""
        )
        path.chmod(0o755)

    def run(self, *words: str) -> list[tuple[str, list[str]]]:
        """What was started, and how, for one start of rustc with ``words``."""
        (self.folder / "log").unlink(missing_ok=True)
        place = str(self.folder / "place")
        given = (place, str(self.folder / "loader"), "/l", "/r/rustc", "/r", "here", "/usr/bin/rustc", "/usr", "there")
        subprocess.run(["perl", str(HELPER), *given, "--", *words], cwd=self.folder, check=True)
        lines = (self.folder / "log").read_text().splitlines()
        return [(how, words) for how, words in map(json.loads, lines)]

    def crate(self, name: str, kind: str, *externs: str) -> list[tuple[str, list[str]]]:
        uses = [word for each in externs for word in ("--extern", f"{each.partition('-')[0]}=deps/lib{each}")]
        return self.run(
            "--crate-name", name, "--crate-type", kind, "--emit=dep-info,link", "-C", "extra-filename=-1", "-C",
            "metadata=1", "--out-dir", str(self.folder / "deps"), "-L", "dependency=deps", *uses, f"{name}.rs",
        )  # fmt: skip


def test_a_crate_without_macros_is_compiled_for_the_target(rustc: Rustc) -> None:
    ((how, words),) = rustc.crate("plain", "lib")
    assert how == "twin" and words[-4:] == ["--target", "there", "--sysroot", "/usr"]
    ((how, words),) = rustc.crate("more", "lib", "plain-1.rlib")
    assert how == "twin" and "plain=deps/libplain-1.rlib" in words
    # One that somebody else has compiled may use macros that are not to be had.
    assert rustc.crate("other", "lib", "unknown-1.rmeta")[0][0] == "emulated"
    assert rustc.run("--target", "elsewhere", "x.rs")[0][0] == "emulated"


def test_a_macro_is_compiled_for_both_and_has_one_hash(rustc: Rustc) -> None:
    rustc.crate("syn", "lib")
    runs = rustc.crate("derive", "proc-macro", "syn-1.rlib")
    assert [("--target" in words, "syn=deps/libsyn-1.rlib" in words) for _, words in runs] == [
        (True, True), (False, False), (False, False),
    ]  # fmt: skip
    own = runs[-1][1]
    here = rustc.folder / "place/macros"
    assert f"syn={here}/libraries/libsyn-1.rlib" in own and "--emit=dep-info,link" not in own
    assert own[own.index("--sysroot") + 1] == "/r" and f"linker={rustc.folder}/place/link" in own
    made = (here / "macros/libderive-1.so").read_bytes()
    assert made == rust_metadata("here", b"").replace(b"here############", b"derivethere#####")
    assert (rustc.folder / "deps/libderive-1.so").read_bytes() == rust_metadata("there", b"derive")


def test_what_uses_a_macro_is_given_the_one_for_this_machine(rustc: Rustc) -> None:
    rustc.crate("derive", "proc-macro")
    macros = rustc.folder / "place/macros/macros"
    ((how, words),) = rustc.crate("serde", "lib", "derive-1.so")
    assert how == "twin" and f"derive={macros}/libderive-1.so" in words and f"dependency={macros}" in words
    # Through another crate.
    ((how, words),) = rustc.crate("app", "bin", "serde-1.rlib")
    assert how == "twin" and f"dependency={macros}" in words


def test_a_macro_that_cannot_be_had_has_its_users_emulated(rustc: Rustc) -> None:
    assert (rustc.crate("broken", "proc-macro"), (rustc.folder / "deps/libbroken-1.so").exists())[1]
    assert rustc.crate("serde", "lib", "broken-1.so")[0][0] == "emulated"
    assert rustc.crate("app", "bin", "serde-1.rlib")[0][0] == "emulated"
