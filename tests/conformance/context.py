"""The build context that all cases share, made anew each time: git keeps neither modes nor hard links."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

WHEN = 1_600_000_000
"""Modification time of everything in it, seconds since 1970."""


def make_context(folder: Path) -> Path:
    """Make ``folder`` with all of it, and return it."""
    folder.mkdir()
    files = {
        "a.txt": "a\n",
        "b.txt": "b\n",
        "c.md": "c\n",
        "name with space.txt": "space\n",
        "tool.sh": "#!/bin/sh\necho tool\n",
        "private.key": "key\n",
        "src/main.c": "int main;\n",
        "src/util.c": "int util;\n",
        "src/util.h": "int util;\n",
        "src/deep/er/file.c": "int deep;\n",
        "src/deep/note.md": "note\n",
        "dir/one": "1\n",
        "dir/two": "2\n",
        "dir/sub/three": "3\n",
        "[odd]/x": "odd\n",
        "node_modules/dep/index.js": "left out\n",
        "keep/node_modules/yes": "kept\n",
        "app.log": "log\n",
        "important.log": "important\n",
        ".hidden": "hidden\n",
        ".dockerignore": "node_modules\n*.log\n!important.log\n**/*.tmp\n",
        "src/x.tmp": "left out\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    modes = {"tool.sh": 0o755, "private.key": 0o600, "dir/sub": 0o750, "dir/two": 0o640, "b.txt": 0o604}
    for name, mode in modes.items():
        (folder / name).chmod(mode)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("a.txt")
    (folder / "dirlink").symlink_to("dir")
    (folder / "broken").symlink_to("nowhere")
    (folder / "absolute").symlink_to("/a.txt")
    (folder / "dir/up").symlink_to("../a.txt")
    os.link(folder / "a.txt", folder / "hard.txt")
    (folder / "plain.tar").write_bytes(_archive())
    (folder / "packed.tar.gz").write_bytes(gzip.compress(_archive(), mtime=0))
    (folder / "data.gz").write_bytes(gzip.compress(b"no archive\n", mtime=0))
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (WHEN, WHEN), follow_symlinks=False)
    return folder


def _archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(name: str, data: bytes = b"", **fields: object) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), WHEN, 0o644
            for key, value in fields.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(data))

        add("in", type=tarfile.DIRTYPE, mode=0o755)
        add("in/file", b"packed\n", uid=12, gid=34)
        add("in/run", b"#!/bin/sh\n", mode=0o755)
        add("in/soft", type=tarfile.SYMTYPE, linkname="file", mode=0o777)
        add("in/hard", type=tarfile.LNKTYPE, linkname="in/file")
    return out.getvalue()
