"""Which distribution this is, from os-release(5): it decides how architectures, packages and triples are named."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Family = Literal["debian", "alpine", "rpm", "other"]

PATHS = ("/etc/os-release", "/usr/lib/os-release")
"""In the order of os-release(5)."""

_MAX_BYTES = 1 << 16

_FAMILIES: dict[str, Family] = {
    "debian": "debian",
    "ubuntu": "debian",
    "alpine": "alpine",
    "fedora": "rpm",
    "rhel": "rpm",
    "centos": "rpm",
    "ol": "rpm",
    "rocky": "rpm",
    "almalinux": "rpm",
    "amzn": "rpm",
}


class OsRelease:
    """The fields of an os-release file that matter here, each empty if the file or the field is missing.

    ``id`` is as ``debian``; ``id_like`` the distributions it derives from, the nearest first; ``version_id`` as ``12``;
    ``codename`` as ``bookworm``.
    """

    __slots__ = ("codename", "id", "id_like", "version_id")

    def __init__(self, id: str = "", version_id: str = "", id_like: tuple[str, ...] = (), codename: str = "") -> None:
        self.id = id
        self.version_id = version_id
        self.id_like = id_like
        self.codename = codename

    @classmethod
    def parse(cls, text: str) -> OsRelease:
        """Read the text of an os-release file. Lines that are no assignment are passed over."""
        fields: dict[str, str] = {}
        for line in text.splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                fields[name] = _unquote(value.strip())
        return cls(
            fields.get("ID", ""),
            fields.get("VERSION_ID", ""),
            tuple(fields.get("ID_LIKE", "").split()),
            fields.get("VERSION_CODENAME", "") or fields.get("UBUNTU_CODENAME", ""),
        )

    @classmethod
    def read(cls, root: str = "") -> OsRelease:
        """The distribution of this root filesystem, or of the one at ``root``; an empty one if it has no such file."""
        for path in PATHS:
            try:
                with open(root + path, encoding="utf-8", errors="replace") as file:
                    return cls.parse(file.read(_MAX_BYTES))
            except OSError:
                continue
        return cls()

    @property
    def family(self) -> Family:
        """Whose package manager and names it uses: its own if known, else the first known one it derives from."""
        return next((_FAMILIES[name] for name in (self.id, *self.id_like) if name in _FAMILIES), "other")


def family_of(vendor: str) -> Family:
    """The family of a vendor that is named without an os-release file, as XX_VENDOR does."""
    return _FAMILIES.get(vendor, "other")


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    plain = ""
    escaped = False
    for char in value:
        if char == "\\" and not escaped:
            escaped = True
        else:
            plain += char
            escaped = False
    return plain
