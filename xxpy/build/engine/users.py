"""USER and --chown: names and numbers to ids, by the root's own passwd and group files (passwd(5), group(5))."""

from __future__ import annotations

from pathlib import Path

from xxpy.build.engine.rooted import read_inside
from xxpy.build.engine.spec import User
from xxpy.errors import SourceError

_MOST = 2**32 - 2


def resolve_user(root: Path, text: str) -> tuple[User, str]:
    """The ids of ``user[:group]`` and the user's home folder; empty text is root.

    Without a group the user's own and all that /etc/group lists it in are taken. Raises SourceError (``user-unknown``).
    """
    name, colon, group = text.partition(":")
    row = _row(root, "etc/passwd", name or "0", 2)
    uid = _number(name or "0") if row is None else _number(row[2])
    if uid is None:
        raise _unknown(f"user {name!r}", "/etc/passwd")
    home = row[5] if row is not None and len(row) > 5 and row[5] else "/"
    if colon and group:
        return User(uid, _gid(root, group)), home
    gid = (_number(row[3]) if row is not None and len(row) > 3 else None) or 0
    member = row[0] if row is not None else ""
    extra = []
    for line in _rows(root, "etc/group"):
        if member and len(line) > 3 and member in line[3].split(","):
            number = _number(line[2])
            if number is not None:
                extra.append(number)
    return User(uid, gid, tuple(dict.fromkeys(extra))), home


def resolve_owner(root: Path, text: str) -> tuple[int, int]:
    """The ids of ``--chown=user[:group]``; a user without a group gives its number to both, as BuildKit does.

    Raises SourceError (``user-unknown``).
    """
    name, colon, group = text.partition(":")
    row = _row(root, "etc/passwd", name, 2)
    uid = _number(name) if row is None else _number(row[2])
    if uid is None:
        raise _unknown(f"user {name!r}", "/etc/passwd")
    if colon and group:
        return uid, _gid(root, group)
    gid = _number(row[3]) if row is not None and len(row) > 3 else None
    return uid, uid if gid is None else gid


def _gid(root: Path, group: str) -> int:
    row = _row(root, "etc/group", group, 2)
    gid = _number(group) if row is None else _number(row[2])
    if gid is None:
        raise _unknown(f"group {group!r}", "/etc/group")
    return gid


def _rows(root: Path, path: str) -> list[list[str]]:
    return [line.split(":") for line in read_inside(root, path).splitlines()]


def _row(root: Path, path: str, name: str, number_at: int) -> list[str] | None:
    rows = [row for row in _rows(root, path) if len(row) > number_at]
    by_name = next((row for row in rows if row[0] == name), None)
    return by_name or next((row for row in rows if row[number_at] == name), None)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _MOST else None


def _unknown(who: str, where: str) -> SourceError:
    return SourceError(
        f"there is no {who} in {where} of this stage",
        remedy="make it in a RUN above, or give a number",
        reason="user-unknown",
    )
