"""Paths as instructions write them."""

from __future__ import annotations


def absolute(path: str, workdir: str) -> str:
    """``path`` from ``workdir`` on, without ``.`` and ``..``."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{workdir}/{path}").split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
