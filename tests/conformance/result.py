"""What a build made, as plain data: the files that are not as in the base image, and the image's config.

Read out of an OCI layout by tests' own code, so that both builders are read alike. Times are not compared.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

Entry = dict[str, Any]

# Configs say when and by what they were made; these do not count.
_CONFIG_KEYS = (
    "Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels", "ExposedPorts", "Volumes", "StopSignal", "Shell",
    "Healthcheck", "OnBuild",
)  # fmt: skip


def _blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs/sha256" / digest.partition(":")[2]).read_bytes()


def images(layout: Path) -> list[dict[str, Any]]:
    """The manifests of the one image of a layout, those of attestations left out."""
    top = json.loads((layout / "index.json").read_text())["manifests"][0]
    body = json.loads(_blob(layout, top["digest"]))
    if "manifests" not in body:
        return [body]
    return [
        json.loads(_blob(layout, each["digest"]))
        for each in body["manifests"]
        if each.get("platform", {}).get("os") != "unknown"
    ]


def read_result(layout: Path, base: dict[str, dict[str, Entry]]) -> dict[str, Any]:
    """By platform: the image's files that are not as in ``base`` (``base_files``), what is gone of them, the config."""
    found = {}
    for manifest in images(layout):
        config = json.loads(_blob(layout, manifest["config"]["digest"]))
        files = _files(layout, manifest)
        platform = "/".join(config[key] for key in ("os", "architecture", "variant") if config.get(key))
        under = base.get(platform, {})
        # An image that begins FROM scratch has nothing of the base image.
        under = under if any(files.get(name) == entry for name, entry in under.items() if name != "/") else {}
        new = {name: entry for name, entry in sorted(files.items()) if under.get(name) != entry}
        new |= {name: {"type": "removed"} for name in under if name not in files}
        given = config.get("config", {})
        kept = {key: given[key] for key in _CONFIG_KEYS if given.get(key) not in (None, "", [], {})}
        found[platform] = {"files": dict(sorted(new.items())), "config": kept, "author": config.get("author", "")}
    return found


def base_files(layout: Path) -> dict[str, dict[str, Entry]]:
    """All files of the image in ``layout`` by platform."""
    found = {}
    for manifest in images(layout):
        config = json.loads(_blob(layout, manifest["config"]["digest"]))
        platform = "/".join(config[key] for key in ("os", "architecture", "variant") if config.get(key))
        found[platform] = _files(layout, manifest)
    return found


def _files(layout: Path, manifest: dict[str, Any]) -> dict[str, Entry]:
    files: dict[str, Entry] = {}
    for layer in manifest["layers"] or ():
        _apply(layout / "blobs/sha256" / layer["digest"].partition(":")[2], files)
    return files


def _apply(path: Path, files: dict[str, Entry]) -> None:
    with gzip.open(path) as raw, tarfile.open(fileobj=raw) as tar:
        for member in tar:
            name = "/" + member.name.removeprefix("./").strip("/")
            folder, _, last = name.rpartition("/")
            if last == ".wh..wh..opq":
                _forget(files, folder, itself=False)
            elif last.startswith(".wh."):
                _forget(files, f"{folder}/{last.removeprefix('.wh.')}", itself=True)
            elif name != "/":
                if not member.isdir():
                    _forget(files, name, itself=True)
                files[name] = _entry(tar, member, files)


def _forget(files: dict[str, Entry], name: str, *, itself: bool) -> None:
    for each in [each for each in files if each.startswith(f"{name}/") or (itself and each == name)]:
        del files[each]


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, files: dict[str, Entry]) -> Entry:
    if member.islnk():
        # A hard link is the same file by another name: which name comes first is the writer's choice.
        other = files.get("/" + member.linkname.removeprefix("./").strip("/"))
        return dict(other) if other else {"type": "hardlink", "link": member.linkname}
    kinds = {
        tarfile.DIRTYPE: "folder",
        tarfile.SYMTYPE: "symlink",
        tarfile.CHRTYPE: "char",
        tarfile.BLKTYPE: "block",
        tarfile.FIFOTYPE: "fifo",
    }
    kind = kinds.get(member.type, "file")
    entry: Entry = {"type": kind, "owner": f"{member.uid}:{member.gid}"}
    if kind == "symlink":
        entry["link"] = member.linkname
    else:
        entry["mode"] = oct(member.mode & 0o7777)
    if kind == "file":
        data = tar.extractfile(member)
        assert data is not None
        entry["sha256"] = hashlib.sha256(data.read()).hexdigest()[:16]
    xattrs = {
        key.removeprefix("SCHILY.xattr."): value
        for key, value in member.pax_headers.items()
        if key.startswith("SCHILY.xattr.")
    }
    if xattrs:
        entry["xattrs"] = xattrs
    return entry
