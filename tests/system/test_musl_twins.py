"""The dispatcher in a root that looks like Alpine's: this machine's programs are started by musl's own loader."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import lacking

from xxpy.build.engine.process import output_of
from xxpy.build.tools import find_emulator
from xxpy.build.twins import dispatcher
from xxpy.build.twins.find import Roots, find_twins
from xxpy.build.twins.table import encode
from xxpy.platforms import Platform

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
BUILT = 1_700_000_000
LOADER = "/lib/ld-musl-x86_64.so.1"
COMPILER = "musl-gcc"
ARM64_COMPILER = "aarch64-linux-gnu-gcc"
LIBRARY = 'const char *who(void) { return "twin"; }\n'
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
const char *who(void);
int main(int count, char **words) {
    printf("%s %s", who(), words[0]);
    for (int at = 1; at < count; at++) printf(" [%s]", words[at]);
    printf(" %s\\n", getenv("LD_LIBRARY_PATH") ? getenv("LD_LIBRARY_PATH") : "");
}
"""
# Without any library: there is no musl for arm64 here.
EMULATED = r"""
static long call(long n, long a, long b, long c) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}
void _start(void) { call(64, 1, (long)"emulated\n", 9); call(93, 0, 0, 0); }
"""
PROGRAMS = ("/bin/sed", "/usr/bin/make")
"""Both print what they are; the second one's library is in a folder that it names."""


class Step:
    """A step's root, an arm64 one, in which programs of the twin root are shown where the engine shows them."""

    def __init__(self, folder: Path, qemu: str) -> None:
        self.twin, self.before, self.place = folder / "twin", folder / "before", folder / "place"
        for path in (
            *(root / name for root in (self.twin, self.before) for name in ("bin", "lib/private", "usr/bin", "etc")),
            *(self.before / name for name in ("dev", "proc")),
            self.place / "log", self.place / "r",
        ):  # fmt: skip
            path.mkdir(parents=True)
        self.sources = folder
        for root in (self.twin, self.before):
            (root / "etc/os-release").write_text("ID=alpine\n")
        shutil.copy(qemu, self.place / "qemu")
        dispatcher.compile_to(self.place / "dispatcher")
        (self.place / "log/starts").touch()
        shutil.copy(os.path.realpath(LOADER), f"{self.twin}{LOADER}")

    def make(self, name: str, source: str, *command: str) -> None:
        """Compile ``source`` to ``name``, whose time is that of the build."""
        path = self.sources / "source.c"
        path.write_text(source)
        Path(name).unlink(missing_ok=True)
        output_of([*command, "-o", name, str(path)])
        os.utime(name, (BUILT, BUILT))

    def plan(self) -> list[str]:
        """The table of both roots; the paths that are in it."""
        for root in (self.twin, self.before):
            lines = "".join(
                f"P:{name.rpartition('/')[2]}\nV:1-r0\nc:{'0' * 40}\nF:{os.path.dirname(name)[1:]}\n"
                f"R:{os.path.basename(name)}\n\n"
                for name in PROGRAMS
            )
            (root / "lib/apk/db").mkdir(parents=True, exist_ok=True)
            (root / "lib/apk/db/installed").write_text(lines)
        entries, reason = find_twins(Roots(self.twin, self.before, AMD64, ARM64))
        assert not reason
        (self.place / "table").write_bytes(encode(entries))
        return [entry.path for entry in entries]

    def started(self, path: str, *arguments: str, name: str = "its-name", env: Mapping[str, str] | None = None) -> str:
        """What ``path`` prints when it is started as ``name``."""
        inside = f"{self.before}/dev/.xx"
        words = shlex.join(["/dev/.xx/dispatcher", path, name, *arguments])
        script = (
            f"mount -t tmpfs none {self.before}/dev && mkdir {inside} && mount --bind {self.place} {inside} && "
            f"mount --bind {self.twin} {inside}/r && mount --rbind /proc {self.before}/proc && "
            f"exec chroot {self.before} {words}"
        )
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", **(env or {})},
        )
        assert done.returncode == 0, done
        return done.stdout.strip()


@pytest.fixture
def step(tmp_path: Path) -> Step:
    if os.uname().machine != "x86_64":
        pytest.skip("the programs are made for amd64 and arm64, on amd64")
    if subprocess.run(["unshare", "--mount", "--map-root-user", "true"], capture_output=True, check=False).returncode:
        lacking("a user namespace with mounts")
    emulator = find_emulator("aarch64")
    if emulator is None or not all(map(shutil.which, (COMPILER, ARM64_COMPILER, "cc"))) or not Path(LOADER).exists():
        lacking(f"{COMPILER}, {ARM64_COMPILER}, a C compiler and a QEMU for arm64")
    step = Step(tmp_path, emulator.path)
    libraries = (f"{step.twin}/lib/libwho.so", f"{step.twin}/lib/private/libwho.so")
    for library, named, program in zip(
        libraries, ((), ("-Wl,-rpath,$ORIGIN/../../lib/private",)), PROGRAMS, strict=True
    ):
        step.make(library, LIBRARY.replace("twin", f"twin of {program}"), COMPILER, "-shared", "-fPIC")
        step.make(f"{step.twin}{program}", PROGRAM, COMPILER, f"-L{os.path.dirname(library)}", "-lwho", *named)
        step.make(f"{step.before}{program}", EMULATED, ARM64_COMPILER, "-nostdlib", "-static", "-O1")
    return step


def test_musls_loader_starts_the_twin_of_an_emulated_program(step: Step) -> None:
    assert step.plan() == list(PROGRAMS)
    assert step.started("/bin/sed", "a", "b c") == "twin of /bin/sed its-name [a] [b c]"
    # By the folder that the program names, where another library of that name is in /lib.
    assert step.started("/usr/bin/make", name="/usr/bin/make") == "twin of /usr/bin/make /usr/bin/make"
    assert (step.place / "log/starts").read_text() == "T /bin/sed\nT /usr/bin/make\n"


def test_the_name_may_look_like_a_flag_and_arguments_are_the_programs(step: Step) -> None:
    step.plan()
    assert step.started("/bin/sed", "--library-path", "--list", name="-sh") == (
        "twin of /bin/sed -sh [--library-path] [--list]"
    )


def test_another_library_of_that_name_in_the_step_has_it_emulated(step: Step, tmp_path: Path) -> None:
    step.plan()
    folder = step.before / "opt;lib"
    folder.mkdir()
    assert step.started("/bin/sed", env={"LD_LIBRARY_PATH": "/opt;lib:/none"}) == (
        "twin of /bin/sed its-name /opt;lib:/none"
    )
    (folder / "libwho.so").touch()
    # A semicolon is part of a folder's name for musl.
    for value in ("/opt;lib", "/none:/opt;lib", "/none\n/opt;lib"):
        assert step.started("/bin/sed", env={"LD_LIBRARY_PATH": value}) == "emulated", value
    assert step.started("/bin/sed", env={"LD_PRELOAD": "/x.so"}) == "emulated"
    assert step.started("/bin/sed", env={"MUSL_LOCPATH": "/x"}) == "emulated"


def test_what_is_not_of_the_build_is_emulated(step: Step) -> None:
    step.plan()
    os.utime(f"{step.before}/bin/sed", (BUILT + 1, BUILT + 1))
    assert step.started("/bin/sed") == "emulated"


def test_a_library_that_only_the_emulated_root_has_is_never_loaded(step: Step) -> None:
    (step.twin / "lib/libwho.so").rename(step.before / "lib/libwho.so")
    assert step.plan() == ["/usr/bin/make"] and step.started("/bin/sed") == "emulated"
