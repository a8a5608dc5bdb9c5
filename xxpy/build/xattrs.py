"""Extended attributes that a COPY takes along: the user's own and file capabilities (xattr(7))."""

from __future__ import annotations

import os
import stat


def kept_xattrs(path: str, mode: int) -> list[tuple[str, bytes]]:
    """The names and values of what is copied of a file of that mode, sorted; links have none. Raises OSError."""
    if stat.S_ISLNK(mode):
        return []
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        # A filesystem without attributes, or a file that is not to be read.
        return []
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names) if is_kept(name)]


def is_kept(name: str) -> bool:
    """Whether an attribute is copied: not overlayfs' own marks, not what belongs to the host's security modules."""
    return name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay."))
