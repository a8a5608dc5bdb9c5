"""apt's sources (sources.list(5)): which file is the main one, and Ubuntu's two archives.

Ubuntu keeps amd64 and i386 in one archive and all other architectures in another, *ports*. A stage knows only the one
of its own architecture. For a target in the other, its sources are named here beside the stage's own, and the stage's
own are held to the architectures that they have.
"""

from __future__ import annotations

import os

from xxpy.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MIRROR_VARIABLE = "XX_APT_PORTS_MIRROR"
"""The URL of the other archive where the stage's sources name a mirror that does not say it."""

_FIRST = ("amd64", "i386")
_DOMAIN = (".ubuntu", ".com")


def main_file(root: str = "") -> str:
    """The main sources file of this stage: the distribution's deb822 file if it is there, else sources.list."""
    for name in ("debian.sources", "ubuntu.sources"):
        path = f"/etc/apt/sources.list.d/{name}"
        if os.path.isfile(root + path):
            return path
    return "/etc/apt/sources.list"


def files(root: str = "") -> list[str]:
    """All sources files."""
    found = ["/etc/apt/sources.list"] if os.path.isfile(f"{root}/etc/apt/sources.list") else []
    folder = "/etc/apt/sources.list.d"
    try:
        names = sorted(os.listdir(root + folder))
    except OSError:
        names = []
    return found + [f"{folder}/{name}" for name in names if name.endswith((".list", ".sources"))]


def in_ports(arch: str) -> bool:
    """Whether Ubuntu keeps the architecture in its ports archive."""
    return arch not in _FIRST


def other_archive(uri: str, arch: str, mirror: str) -> str:
    """The URI of the archive that has ``arch``, for a source of the one that has not.

    Raises HostError (``no-ports``).
    """
    if mirror:
        return mirror
    scheme, _, rest = uri.partition("://")
    host = rest.partition("/")[0]
    domain = "".join(_DOMAIN)
    if not host.endswith(domain):
        raise HostError(
            f"{uri} does not have {arch}, and where it is this stage does not say",
            remedy=f"{MIRROR_VARIABLE}=URL names the archive that has it",
            reason="no-ports",
        )
    return f"{scheme}://ports{domain}/ubuntu-ports/" if in_ports(arch) else f"{scheme}://archive{domain}/ubuntu/"


def split_archives(text: str, deb822: bool, native: str, arch: str, mirror: str) -> tuple[str, str]:
    """A sources file held to what its archive has, and the sources of ``arch`` in the other archive.

    Sources that name architectures themselves stay as they are and are not repeated.
    """
    own = " ".join(_FIRST) if not in_ports(native) else native
    if deb822:
        return _split_deb822(text, own, arch, mirror)
    kept, added = [], []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] not in ("deb", "deb-src") or "arch=" in line or len(words) < 3:
            kept.append(line)
            continue
        options, rest = _options(words[1:])
        kept.append(" ".join([words[0], f"[{' '.join([*options, 'arch=' + own.replace(' ', ',')])}]", *rest]))
        if words[0] == "deb":
            uri = other_archive(rest[0], arch, mirror)
            added.append(" ".join(["deb", f"[{' '.join([*options, f'arch={arch}'])}]", uri, *rest[1:]]))
    return "\n".join(kept) + "\n", "".join(f"{line}\n" for line in dict.fromkeys(added))


def _options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    if not words[0].startswith("["):
        return [], list(words)
    end = next((index for index, word in enumerate(words) if word.endswith("]")), len(words) - 1)
    inner = " ".join(words[: end + 1]).strip("[]").split()
    return inner, list(words[end + 1 :])


def _split_deb822(text: str, own: str, arch: str, mirror: str) -> tuple[str, str]:
    kept, added = [], []
    for stanza in _stanzas(text):
        fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in stanza if ":" in line}
        if "uris" not in fields or "architectures" in fields or "deb" not in fields.get("types", "").split():
            kept.append("\n".join(stanza))
            continue
        kept.append("\n".join([*stanza, f"Architectures: {own}"]))
        uri = other_archive(fields["uris"].split()[0], arch, mirror)
        new = []
        for line in stanza:
            name = line.partition(":")[0].lower()
            new.append("Types: deb" if name == "types" else f"URIs: {uri}" if name == "uris" else line)
        added.append("\n".join([*new, f"Architectures: {arch}"]))
    return "\n\n".join(kept) + "\n", "".join(f"{stanza}\n\n" for stanza in dict.fromkeys(added))


def _stanzas(text: str) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip():
            found.append([])
        elif not line.startswith("#"):
            found[-1].append(line)
    return [stanza for stanza in found if stanza]


def serve_both(native: str, arch: str, mirror: str, root: str = "") -> list[str]:
    """Write the sources of ``arch`` and hold the others to theirs; the files changed, none if that was done before.

    Raises HostError (``no-ports``, ``not-writable``).
    """
    if in_ports(native) == in_ports(arch) or _is_named(arch, root):
        return []
    changed = []
    for path in files(root):
        deb822 = path.endswith(".sources")
        with open(root + path, encoding="utf-8", errors="surrogateescape") as file:
            kept, added = split_archives(file.read(), deb822, native, arch, mirror)
        if not added:
            continue
        stem = os.path.basename(path).rpartition(".")[0]
        new = f"/etc/apt/sources.list.d/xx-{arch}-{stem}.{'sources' if deb822 else 'list'}"
        # First the new file: a kill between the two leaves a source too many, not one too few.
        for name, text in ((new, added), (path, kept)):
            _replace(root + name, text)
            changed.append(name)
    return changed


def _is_named(arch: str, root: str) -> bool:
    return any(os.path.basename(path).startswith(f"xx-{arch}-") for path in files(root))


def _replace(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise HostError(
            f"cannot write {path}: {error.strerror}", remedy="USER root above this RUN", reason="not-writable"
        ) from None
