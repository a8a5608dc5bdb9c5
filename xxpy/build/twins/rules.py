"""Which programs of Debian and Ubuntu may be started as twins, and why: the list to read and to add to.

A program is named by the package that brings it and by its path, never by its name alone. What no rule names is
emulated; docs/twins.md has the programs that one might miss here, and why. Tools of a compiler, in whose place cross
tools stand, are in `cross.py`; Alpine's programs in `alpine.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.twins.table import VARIABLE, Guard, Kind
from xxpy.platforms import Platform

Proof = Callable[[Path, Path, str, Platform], bool]
"""Whether the twin root, the emulated root before the step, a program's path in both, and the target allow a twin."""


def without(*arguments: str) -> tuple[Guard, ...]:
    """None of ``arguments`` is there."""
    return tuple(Guard(Kind.NO_ARGUMENT, each) for each in arguments)


NO_VERSION = without("--version", "-V")
"""What prints the architecture that a program was built for."""
NO_VERSION_IN_FLAGS = (*NO_VERSION, Guard(Kind.NO_LETTER, "V"))
"""The same where flags of a letter may be written as one (``-sV``)."""
GIT_GUARDS = without("version", "--build-options", "diagnose")
"""The same of git: ``git --version --build-options`` names the processor, and a diagnosis has that in it."""
LLD_GUARDS = (
    *without("--version", "-v", "-V"),
    *(Guard(Kind.NO_ARGUMENT_PREFIX, f"{dash}load") for dash in ("-", "--")),
)
"""What has lld tell of this machine, or load a plugin of the root."""


@dataclass(frozen=True)
class Rule:
    """Programs of ``packages`` (fnmatch patterns of binary packages) at ``paths`` (fnmatch patterns, real paths).

    ``but`` are paths that are left out. ``arguments`` are put before the program's own, with ``{triplet}`` for this
    machine's multiarch triplet and ``{perl}`` for the version in the folder of perl's compiled modules; one that begins
    with `VARIABLE` is a variable. ``{name}`` is the last part of the program's path. ``endian`` programs
    write or read what has the byte order of the machine: only for targets of the same; ``wide`` ones count in words of
    64 bits: only for targets that have those. ``proofs`` all have to hold.
    """

    packages: tuple[str, ...]
    paths: tuple[str, ...]
    why: str
    but: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    arguments: tuple[str, ...] = ()
    endian: bool = False
    wide: bool = False
    proofs: tuple[Proof, ...] = ()


_PYTHON_SCRIPTS = (
    "/usr/bin/py3compile", "/usr/bin/py3clean", "-mpy_compile", "-mcompileall", "/usr/lib/python3.9/py_compile.py",
    # What debpython asks of it for each package.
    "-cimport importlib.util; print(importlib.util.MAGIC_NUMBER)", "-cimport sys; print(sys.implementation.cache_tag)",
    *(f"/usr/lib/python3.{minor}/{name}.py" for minor in range(10, 20) for name in ("py_compile", "compileall")),
)  # fmt: skip
_PERL_SCRIPTS = (
    "/usr/share/debconf/frontend", "/usr/sbin/dpkg-preconfigure", "/usr/bin/debconf-set-selections",
    "/usr/sbin/dpkg-reconfigure", "/usr/bin/debconf", "/usr/bin/debconf-communicate", "/usr/bin/debconf-show",
    # What maintainer scripts call: init-system-helpers, adduser, libpam-runtime.
    "/usr/bin/deb-systemd-helper", "/usr/bin/deb-systemd-invoke", "/usr/sbin/update-rc.d", "/usr/sbin/pam-auth-update",
    *(f"/usr/sbin/{verb}{what}" for verb in ("add", "del") for what in ("user", "group")),
    *(f"/usr/bin/{name}" for name in ("autoconf", "autoheader", "autom4te", "autoreconf", "aclocal", "automake")),
    *(f"/usr/bin/{name}-1.{minor}" for minor in range(16, 20) for name in ("aclocal", "automake")),
)  # fmt: skip

EVERYWHERE: tuple[Rule, ...] = (
    Rule(("sed",), ("/usr/bin/sed",), "texts"),
    Rule(("grep",), ("/usr/bin/grep",), "texts"),
    Rule(("findutils",), ("/usr/bin/find", "/usr/bin/xargs"), "files; what xargs starts is decided anew"),
    Rule(("diffutils",), ("/usr/bin/cmp", "/usr/bin/diff"), "texts", guards=without("--version")),
    Rule(("patch",), ("/usr/bin/patch",), "texts", guards=without("--version")),
    Rule(("m4",), ("/usr/bin/m4",), "texts", guards=without("--version")),
    Rule(("tar",), ("/usr/bin/tar",), "archives have one byte order", guards=without("--version")),
    Rule(("cpio",), ("/usr/bin/cpio",), "of its formats only bin has the machine's byte order", endian=True),
    Rule(("gzip",), ("/usr/bin/gzip",), "deflate in portable C, the same bits everywhere", guards=NO_VERSION),
    Rule(("bzip2",), ("/usr/bin/bzip2",), "one algorithm, the same bits everywhere", guards=NO_VERSION),
    Rule(
        ("zstd",),
        ("/usr/bin/zstd",),
        "unpacking has one result; packing chooses another match finder where there is no SIMD",
        guards=(Guard(Kind.HAS_ARGUMENT, ("-d", "-dc", "-dcf", "--decompress", "--uncompress", "-cd")), *NO_VERSION),
    ),
    Rule(("unzip",), ("/usr/bin/unzip",), "unpacking has one result", guards=without("-v")),
    Rule(("make",), ("/usr/bin/make",), "what it starts is decided anew", guards=without("-v", "--version", "-p")),
    Rule(
        ("cmake",),
        ("/usr/bin/cmake",),
        "its tools for makefiles: links, dependencies, progress; all else asks for the machine",
        guards=(Guard(Kind.FIRST_ARGUMENT, ("-E",)), *without("capabilities")),
    ),
    Rule(("curl",), ("/usr/bin/curl",), "what a server answers", guards=NO_VERSION_IN_FLAGS),
    Rule(("wget",), ("/usr/bin/wget",), "what a server answers", guards=NO_VERSION_IN_FLAGS),
    Rule(
        ("openssl",),
        ("/usr/bin/openssl",),
        "links named by hashes, and certificates",
        guards=(Guard(Kind.FIRST_ARGUMENT, ("rehash", "x509")),),
    ),
    Rule(("rsync",), ("/usr/bin/rsync",), "files", guards=NO_VERSION),
    Rule(("gettext",), ("/usr/bin/msgfmt", "/usr/bin/msgmerge", "/usr/bin/xgettext"), "texts", endian=True),
    Rule(("flex",), ("/usr/bin/flex",), "texts", guards=NO_VERSION),
    Rule(("gperf",), ("/usr/bin/gperf",), "texts"),
    Rule(("file",), ("/usr/bin/file",), "it reads its magic from the root", endian=True),
)
"""What Debian and Alpine have by the same names."""

SAME: tuple[Rule, ...] = (
    Rule(
        ("dash",), ("/usr/bin/dash",), "a POSIX shell: what it does depends on what it starts, and that is decided anew"
    ),
    Rule(
        ("coreutils",),
        ("/usr/bin/*", "/usr/sbin/chroot"),
        "files and texts",
        but=tuple(
            f"/usr/bin/{name}"
            # uname and arch tell the machine; stdbuf preloads a library of the root; the others compute with long
            # double, which has 64 bits of precision on x86 and 113 on arm64; od shows the machine's byte order.
            for name in ("uname", "arch", "stdbuf", "printf", "seq", "numfmt", "sort", "od", "nproc")
        ),
    ),
    *EVERYWHERE,
    Rule(("xz-utils",), ("/usr/bin/xz",), "liblzma's output does not depend on the machine", guards=NO_VERSION),
    Rule(("ninja-build",), ("/usr/bin/ninja",), "what it starts is decided anew"),
    Rule(
        ("apt",),
        ("/usr/bin/apt", "/usr/bin/apt-get", "/usr/bin/apt-cache", "/usr/bin/apt-mark"),
        "it is told the root's architecture; dpkg, which it starts, is decided anew",
        guards=(*without("-v", "--version", "-h", "--help", "help"), Guard(Kind.NO_VARIABLE, "APT_CONFIG=")),
        # By a file (apt.conf(5)): /var/log/apt/history.log has the arguments.
        arguments=(f"{VARIABLE}APT_CONFIG=/dev/.xx/apt.conf",),
    ),
    Rule(("apt",), ("/usr/lib/apt/methods/*", "/usr/lib/apt/apt-helper"), "they fetch and check what apt tells them"),
    Rule(("apt",), ("/usr/lib/apt/solvers/*", "/usr/lib/apt/planners/*"), "they compute on what apt gives them"),
    Rule(
        ("apt", "apt-utils"),
        ("/usr/lib/apt/apt-extracttemplates", "/usr/bin/apt-extracttemplates"),
        "it unpacks a package's templates",
    ),
    Rule(("gpgv", "sqv"), ("/usr/bin/gpgv", "/usr/bin/sqv"), "a signature holds or not", guards=without("--version")),
    Rule(("dpkg",), ("/usr/bin/dpkg-deb", "/usr/bin/dpkg-split"), "they pack and unpack", guards=without("--version")),
    Rule(("dpkg",), ("/usr/bin/update-alternatives",), "links and one text file", guards=without("--version")),
    Rule(
        ("python3.*-minimal",),
        ("/usr/bin/python3.*",),
        "byte code is the same for all; only when one of the interpreter's own scripts that compile it is run",
        guards=(
            Guard(Kind.FIRST_ARGUMENT, _PYTHON_SCRIPTS, ("-E", "-S", "-s", "-O", "-OO", "-B", "-I", "-bb", "-q")),
            Guard(Kind.NO_VARIABLE, "PYTHON"),
        ),
        endian=True,
    ),
    Rule(
        ("perl-base",),
        ("/usr/bin/perl",),
        "what installs packages, and autotools: their modules are perl's own; others may ask $Config or load libraries "
        "of the root",
        guards=(
            Guard(Kind.FIRST_ARGUMENT, _PERL_SCRIPTS, ("-w", "-T", "-W", "-wT", "-Tw")),
            *(Guard(Kind.NO_VARIABLE, each) for each in ("PERL5", "PERLLIB", "PERLIO", "PERL_UNICODE")),
        ),
        arguments=tuple(
            f"-I/dev/.xx/r/usr/lib/{{triplet}}/{folder}" for folder in ("perl-base", "perl/{perl}", "perl5/{perl}")
        ),
    ),
    Rule(
        ("git",),
        ("/usr/bin/git", "/usr/lib/git-core/*"),
        "objects have one byte order",
        but=("/usr/lib/git-core/git-bugreport",),
        guards=GIT_GUARDS,
    ),
    Rule(
        ("libc-bin",),
        ("/usr/bin/localedef",),
        "locales have the machine's byte order",
        endian=True,
        guards=without("--help"),
    ),
    Rule(
        ("lld-*",),
        ("/usr/lib/llvm-*/bin/lld",),
        "it links for what its input is of, as its name and arguments say",
        guards=LLD_GUARDS,
    ),
    Rule(
        ("llvm-*",),
        tuple(f"/usr/lib/llvm-*/bin/llvm-{name}" for name in ("ar", "nm", "objcopy", "objdump", "readobj", "strings")),
        "object files of any machine",
        guards=without("--version", "-V", "--help"),
    ),
    Rule(("bison",), ("/usr/bin/bison.yacc", "/usr/bin/bison"), "texts", guards=NO_VERSION),
    Rule(
        ("texlive-binaries", "texlive-luatex"),
        ("/usr/bin/luatex", "/usr/bin/luahbtex"),
        "making a format, whose byte code is that of all 64-bit machines; other runs may ask for the machine",
        guards=(Guard(Kind.HAS_ARGUMENT, ("-ini", "--ini")),),
        endian=True,
    ),
    Rule(
        ("texlive-binaries",),
        ("/usr/bin/pdftex", "/usr/bin/tex", "/usr/bin/mf-nowin", "/usr/bin/kpsewhich", "/usr/bin/xdvipdfmx"),
        "formats have one byte order, and dimensions are integers",
    ),
)
"""Programs with the same result whatever runs them."""
