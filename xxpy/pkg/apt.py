"""apt and apt-get for a target: which words are packages, what they are called for its architecture, what must be
done before. The commands are computed as values; `xxpy.cli.xx_apt` runs them.

Sources: apt-get(8), apt-cache(8) and Debian's wiki on multiarch.
"""

from __future__ import annotations

import os
import re

from xxpy.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Ask = Callable[[Sequence[str]], str]

PACKAGE_COMMANDS = frozenset(
    {
        "install", "reinstall", "remove", "purge", "autoremove", "build-dep", "satisfy", "download", "changelog",
        "show", "policy", "depends", "rdepends",
    }
)  # fmt: skip
"""Commands of apt and apt-get whose words are packages that a target has of its own."""
LIST_COMMANDS = frozenset({"install", "reinstall", "build-dep", "download", "show", "policy", "depends", "rdepends"})
"""Those that need the target's package lists."""

META = {"xx-c-essentials": ("gcc",), "xx-cxx-essentials": ("gcc", "g++")}
"""What stands for "all that a cross-compiler needs", and the compilers whose libraries that is."""

# Options whose value is a word of its own (apt-get(8), OPTIONS).
_WITH_VALUE = frozenset(
    {
        "-t",
        "--target-release",
        "--default-release",
        "-o",
        "--option",
        "-c",
        "--config-file",
        "-a",
        "--host-architecture",
    }
)
_LIBRARIES = re.compile(r"libc[0-9.]+-dev|libgcc-[0-9.]+-dev|libstdc\+\+-[0-9.]+-dev")
_COMPILER = re.compile(r"(gcc|g\+\+)(-[0-9.]+)?(-[a-z0-9_-]+)?")
_MOST_ASKED = 20
_ARCH_INDEPENDENT = "all"


def split_command(args: Sequence[str]) -> tuple[int, str]:
    """The index and the name of apt's command among ``args``; (-1, "") if there is none, as with ``--version``."""
    skip = False
    for index, word in enumerate(args):
        if skip:
            skip = False
        elif word in _WITH_VALUE:
            skip = True
        elif not word.startswith("-"):
            return index, word
    return -1, ""


def package_words(args: Sequence[str], start: int) -> list[int]:
    """The indexes of the words after ``start`` that are packages: neither options, their values, nor files."""
    found: list[int] = []
    skip = options_ended = False
    for index in range(start + 1, len(args)):
        word = args[index]
        if skip:
            skip = False
        elif word == "--" and not options_ended:
            options_ended = True
        elif word in _WITH_VALUE and not options_ended:
            skip = True
        elif (options_ended or not word.startswith("-")) and not _is_file(word):
            found.append(index)
    return found


def _is_file(word: str) -> bool:
    return word.startswith(("/", "./", "../")) or (word.endswith(".deb") and os.path.exists(word))


def for_architecture(word: str, arch: str) -> str:
    """``libssl-dev=3.0`` as ``libssl-dev:arm64=3.0``; a word that names an architecture or a pattern stays as it is.

    A ``-`` at the end (remove it) stays at the end.
    """
    if ":" in word or word.startswith(("?", "~", "^")):
        return word
    name = re.split("[=/]", word, maxsplit=1)[0]
    rest = word[len(name) :]
    if name.endswith("-"):
        return f"{name[:-1]}:{arch}-{rest}"
    return f"{name}:{arch}{rest}"


def libraries_of(compilers: Sequence[str], arch: str, native: bool, ask: Ask) -> list[str]:
    """The C (and C++) library packages that the distribution's own compiler of ``arch`` builds with.

    Asks apt what the compilers depend on and recommend, from one to the next, so that no version of GCC is known here.
    Raises HostError (``essentials-unknown``).
    """
    suffix = "" if native else f":{arch}"
    found: list[str] = []
    for compiler in compilers:
        todo, asked = [f"{compiler}{suffix}"], set[str]()
        while todo and len(asked) < _MOST_ASKED:
            package = todo.pop(0)
            if package in asked:
                continue
            asked.add(package)
            for name in _wanted(ask(["apt-cache", "depends", "--no-suggests", package])):
                plain = name.partition(":")[0]
                if _LIBRARIES.fullmatch(plain):
                    found += [plain] if plain not in found else []
                elif _COMPILER.fullmatch(plain):
                    todo.append(f"{plain}{suffix}")
    wanted = ["libgcc", *(["libstdc++"] if "g++" in compilers else [])]
    for prefix in wanted:
        if not any(name.startswith(prefix) for name in found):
            raise HostError(
                f"apt knows no {prefix}-*-dev for {arch}",
                remedy="do this stage's sources serve that architecture? See: apt-get indextargets | grep ^MetaKey",
                reason="essentials-unknown",
            )
    return [f"{name}{suffix}" for name in found]


def _wanted(text: str) -> list[str]:
    """The packages of ``apt-cache depends`` that are depended on or recommended; virtual ones (``<c>``) left out."""
    names = []
    for line in text.splitlines():
        kind, colon, name = line.strip().lstrip("|").partition(":")
        if colon and kind in ("Depends", "PreDepends", "Recommends") and not name.strip().startswith("<"):
            names.append(name.strip())
    return names


def expand(args: Sequence[str], arch: str, native: bool, ask: Ask) -> list[str]:
    """``args`` with the packages of ``arch`` in place of the names given. Raises HostError, UsageError."""
    at, command = split_command(args)
    if command not in PACKAGE_COMMANDS:
        return list(args)
    words = package_words(args, at)
    known = _arch_independent([args[index] for index in words], arch, ask) if not native else set[str]()
    made = []
    for index, word in enumerate(args):
        if index not in words:
            made.append(word)
        elif word in META:
            if command not in LIST_COMMANDS:
                raise UsageError(
                    f"{word} stands for packages to install, not to {command}",
                    remedy=f"name the packages, as libc6-dev:{arch}",
                    reason="meta-not-installed",
                )
            made += libraries_of(META[word], arch, native, ask)
        elif native or word in known:
            made.append(word)
        else:
            made.append(for_architecture(word, arch))
    return made


def _arch_independent(words: Sequence[str], arch: str, ask: Ask) -> set[str]:
    """Those of ``words`` that apt has for every architecture alike and so under no name of ``arch``."""
    names = {re.split("[=/]", word, maxsplit=1)[0]: word for word in words if word not in META and ":" not in word}
    if not names:
        return set()
    try:
        text = ask(["apt-cache", "show", "--no-all-versions", *names])
    except HostError:
        # Of what apt does not know it will say so itself.
        return set()
    found: set[str] = set()
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[A-Z][A-Za-z-]*: ", line))
        if fields.get("Architecture") == _ARCH_INDEPENDENT and fields.get("Package") in names:
            found.add(names[fields["Package"]])
    return found


class Lists:
    """The package lists that apt would read, as ``apt-get indextargets`` has them: of deb822 and one-line sources."""

    def __init__(self, text: str) -> None:
        rows = [line.split("\t") for line in text.splitlines() if line.count("\t") == 1]
        self._files = [(arch, path) for arch, path in rows]

    FORMAT = "$(ARCHITECTURE)\t$(FILENAME)"

    @classmethod
    def ask(cls, ask: Ask) -> Lists:
        """Read them from apt. Raises HostError."""
        return cls(ask(["apt-get", "indextargets", "--format", cls.FORMAT, "Created-By: Packages"]))

    def serve(self, arch: str) -> bool:
        """Whether some source is there for ``arch``."""
        return any(has == arch for has, _ in self._files)

    def missing(self, arch: str) -> list[str]:
        """The lists of ``arch`` that were not yet fetched."""
        return [path for has, path in self._files if has == arch and not _fetched(path)]

    def there(self, arch: str) -> bool:
        """Whether at least one list of ``arch`` was fetched."""
        return any(has == arch and _fetched(path) for has, path in self._files)


def _fetched(path: str) -> bool:
    # apt may keep lists compressed (apt.conf(5), Acquire::GzipIndexes).
    return any(os.path.exists(path + suffix) for suffix in ("", ".lz4", ".gz", ".xz", ".zst"))
