"""Which programs of Alpine's packages may be started as twins, and why: as `rules` has Debian's.

What is left out there for its arithmetic or for telling the machine is left out here for the same reasons. More is left
out because musl's loader loads libraries of any machine: perl, whose modules have one path for all architectures, would
load those of the emulated root.
"""

from __future__ import annotations

from pathlib import Path

from xxpy.build.engine.rooted import read_inside
from xxpy.build.twins.apk import ARCH, CONFIGS
from xxpy.build.twins.busybox import starts_programs
from xxpy.build.twins.rules import EVERYWHERE, GIT_GUARDS, LLD_GUARDS, NO_VERSION, Rule, without
from xxpy.build.twins.table import VARIABLE, Guard, Kind
from xxpy.platforms import Platform, alpine_arch

_MOST_NAME = 64


def _is_told(twin: Path, before: Path, path: str, target: Platform) -> bool:
    """Whether apk is told its architecture by the root: else it is the one that it was compiled for."""
    if any(read_inside(root, name, 1) for root in (twin, before) for name in CONFIGS):
        # They may say all that arguments may.
        return False
    return read_inside(before, ARCH, _MOST_NAME).strip() == alpine_arch(target)


_BUSYBOX = (
    # The shell. What is in it besides its language (echo, test, printf) computes with integers of 64 bits, and rounds
    # nothing: printf prints the number that it is given.
    "sh", "ash",
    # Left out: what tells the machine (uname, arch, nproc, linux32, lspci, free, df and the like) or its processes (ps,
    # pidof, killall), shows its byte order (od, hexdump, xxd), computes with fractions (awk, seq, sort, dc, bc), or is
    # no part of a build.
    "[", "[[", "add-shell", "addgroup", "adduser", "base64", "basename", "bunzip2", "bzcat", "bzip2", "cat", "chgrp",
    "chmod", "chown", "chroot", "cksum", "cmp", "comm", "cp", "cpio", "crontab", "cut", "date", "dd", "delgroup",
    "deluser", "diff", "dirname", "dos2unix", "du", "echo", "egrep", "env", "expand", "expr", "fallocate", "false",
    "fgrep", "find", "flock", "fold", "fsync", "getopt", "grep", "groups", "gunzip", "gzip", "head", "id", "install",
    "ionice", "kill", "link", "ln", "logger", "ls", "lzcat", "lzma", "lzopcat", "md5sum", "mkdir", "mkfifo", "mknod",
    "mktemp", "mv", "nice", "nl", "nohup", "paste", "patch", "printenv", "pwd", "readlink", "realpath",
    "remove-shell", "rev", "rm", "rmdir", "run-parts", "sed", "setsid", "sha1sum", "sha256sum", "sha3sum",
    "sha512sum", "shred", "shuf", "sleep", "split", "stat", "strings", "sum", "sync", "tac", "tail", "tar", "tee",
    "test", "timeout", "touch", "tr", "true", "truncate", "tty", "unexpand", "uniq", "unix2dos", "unlink", "unlzma",
    "unlzop", "unxz", "unzip", "usleep", "uudecode", "uuencode", "wc", "wget", "which", "whoami", "xargs", "xzcat",
    "yes", "zcat",
)  # fmt: skip
_COREUTILS = (
    # All but those that Debian's rule leaves out.
    "[", "b2sum", "base32", "base64", "basename", "basenc", "cat", "chcon", "chgrp", "chmod", "chown", "chroot",
    "cksum", "comm", "cp", "csplit", "cut", "date", "dd", "dir", "dircolors", "dirname", "du", "echo", "env",
    "expand", "expr", "false", "fmt", "fold", "groups", "head", "id", "install", "join", "link", "ln", "ls", "md5sum",
    "mkdir", "mkfifo", "mknod", "mktemp", "mv", "nice", "nl", "nohup", "paste", "pathchk", "pr", "printenv", "ptx",
    "pwd", "readlink", "realpath", "rm", "rmdir", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum",
    "shred", "shuf", "sleep", "split", "stat", "stty", "sum", "sync", "tac", "tail", "tee", "test", "timeout",
    "touch", "tr", "true", "truncate", "tsort", "tty", "unexpand", "uniq", "unlink", "vdir", "wc", "whoami", "yes",
)  # fmt: skip
_APK = (
    "add",
    "audit",
    "cache",
    "del",
    "fetch",
    "fix",
    "info",
    "list",
    "policy",
    "search",
    "update",
    "upgrade",
    "verify",
)
_PYTHON = ("-mpy_compile", "-mcompileall", "-cimport sys; print(sys.implementation.cache_tag)")
# --help tells when a program was built.
_NO_HELP = without("--help")

ALPINE: tuple[Rule, ...] = (
    Rule(
        ("busybox",),
        ("/usr/bin/busybox",),
        "the shell, files, texts and archives, by the name that it is called by; what the shell starts is decided anew",
        guards=(Guard(Kind.NAMED, _BUSYBOX), *_NO_HELP),
        wide=True,
        proofs=(starts_programs,),
    ),
    Rule(
        ("busybox",),
        ("/usr/bin/busybox",),
        "the same, by its own name",
        guards=(Guard(Kind.NAMED, ("busybox",)), Guard(Kind.FIRST_ARGUMENT, _BUSYBOX), *_NO_HELP),
        wide=True,
        proofs=(starts_programs,),
    ),
    Rule(
        ("apk-tools",),
        ("/usr/sbin/apk", "/usr/bin/apk"),
        "it is told the root's architecture by /etc/apk/arch; scripts of packages, which it starts, are decided anew",
        guards=(
            Guard(Kind.HAS_ARGUMENT, _APK),
            # Another root may not tell it, and versions and help name what it was compiled for; getopt_long(3) takes
            # the beginning of an option for the whole.
            Guard(Kind.NO_LETTER, "phV"),
            *(Guard(Kind.NO_ARGUMENT_PREFIX, each) for each in ("--ro", "--ar", "--pri", "--vers", "--h")),
            Guard(Kind.NO_VARIABLE, "APK_CONFIG"),
        ),
        endian=True,
        proofs=(_is_told,),
    ),
    Rule(
        ("coreutils", "coreutils-*"),
        ("/usr/bin/coreutils",),
        "files and texts, by the name that it is called by",
        guards=(Guard(Kind.NAMED, _COREUTILS), Guard(Kind.NO_ARGUMENT_PREFIX, "--coreutils-prog")),
    ),
    Rule(
        ("coreutils", "coreutils-*"),
        (*(f"/usr/bin/{name}" for name in _COREUTILS if name != "["), "/usr/sbin/chroot"),
        "files and texts, where each is a program of its own",
        but=("/bin/coreutils", "/usr/bin/coreutils"),
    ),
    Rule(("dash",), ("/usr/bin/dash",), "as the shell of Debian"),
    *EVERYWHERE,
    Rule(("xz",), ("/usr/bin/xz",), "liblzma's output does not depend on the machine", guards=NO_VERSION),
    Rule(
        ("samurai", "ninja-build"),
        ("/usr/bin/samu", "/usr/lib/ninja-build/bin/ninja", "/usr/bin/ninja"),
        "what it starts is decided anew",
    ),
    Rule(
        ("python3",),
        ("/usr/bin/python3.*",),
        "byte code is the same for all; only when the interpreter's own modules that compile it are run",
        guards=(Guard(Kind.FIRST_ARGUMENT, _PYTHON, ("-S", "-s", "-O", "-OO", "-B", "-bb", "-q")),
                Guard(Kind.NO_VARIABLE, "PYTHON")),
        # Its compiled modules are named by the machine, and those of the root are of another.
        arguments=(f"{VARIABLE}PYTHONPATH=/dev/.xx/r/usr/lib/{{name}}/lib-dynload",),
        endian=True,
    ),
    Rule(
        ("git",),
        ("/usr/bin/git", "/usr/libexec/git-core/*"),
        "objects have one byte order",
        but=("/usr/libexec/git-core/git-bugreport",),
        guards=GIT_GUARDS,
    ),
    Rule(("ssl_client",), ("/usr/bin/ssl_client",), "what a server answers to busybox's wget"),
    Rule(
        ("lld", "lld[0-9]*"),
        ("/usr/lib/llvm*/bin/lld", "/usr/bin/lld"),
        "it links for what its input is of, as its name and arguments say",
        guards=LLD_GUARDS,
    ),
    Rule(
        ("llvm[0-9]*",),
        tuple(f"/usr/lib/llvm*/bin/llvm-{name}" for name in ("ar", "nm", "objcopy", "objdump", "readobj", "strings")),
        "object files of any machine",
        guards=without("--version", "-V", "--help"),
    ),
    Rule(("bison",), ("/usr/bin/bison",), "texts", guards=NO_VERSION),
)  # fmt: skip
"""Programs of Alpine's packages with the same result whatever runs them."""
