"""Hostile images and contexts: each is refused in two lines or does no harm, and nothing is written outside.

The images are OCI layouts whose blobs are written here by hand, and named by ``--build-context``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Done, Xx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

LONGEST = 240.0
"""Seconds that none of them may take, on a machine that does something else as well."""


class Image:
    """An image in the making; what differs from an honest one is changed before `write`."""

    def __init__(self, folder: Path) -> None:
        self.blobs = folder / "blobs/sha256"
        self.folder = folder
        self.blobs.mkdir(parents=True)
        self.layers: list[dict[str, Any]] = []
        self.diff_ids: list[str] = []
        self.change_manifest: Callable[[dict[str, Any]], None] = lambda manifest: None
        self.change_config: Callable[[dict[str, Any]], None] = lambda config: None
        self.change_index: Callable[[dict[str, Any]], None] = lambda index: None

    def blob(self, data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def layer(self, *entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], kind: str = LAYER) -> None:
        self.raw_layer(tar_of(*entries), kind)

    def raw_layer(self, data: bytes, kind: str = LAYER, diff_id: str = "") -> None:
        self.layers.append(self.blob(data, kind))
        self.diff_ids.append(diff_id or f"sha256:{hashlib.sha256(data).hexdigest()}")

    def write(self) -> None:
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        }
        self.change_config(config)
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": self.layers,
            "config": self.blob(json.dumps(config).encode(), CONFIG),
        }  # fmt: skip
        self.change_manifest(manifest)
        entry = self.blob(json.dumps(manifest).encode(), MANIFEST)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        self.change_index(index)
        (self.folder / "index.json").write_text(json.dumps(index))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, **more: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size, made.mode = kind, link, size, 0o644
    for key, value in more.items():
        setattr(made, key, value)
    return made


def tar_of(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for each in entries:
            info, data = each if isinstance(each, tuple) else (each, b"")
            info.size = len(data) if data else info.size
            tar.addfile(info, io.BytesIO(data) if data else None)
    return out.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.SYMTYPE, target)


CANARY = "../../canary"


def up(image: Image) -> None:
    image.layer((entry(f"../../{CANARY}"), b"changed"))


def through_a_link(image: Image) -> None:
    image.layer(link("out", "/"), (entry("out/tmp/xx-hostile-canary"), b"changed"))


def through_a_link_of_another_layer(image: Image) -> None:
    image.layer(link("out", "../../../.."))
    image.layer((entry("out/canary"), b"changed"))


def hard_link_outside(image: Image) -> None:
    image.layer(entry("passwd", tarfile.LNKTYPE, "../../../../../../etc/passwd"), (entry("passwd"), b"changed"))


def hard_link_through_a_link(image: Image) -> None:
    image.layer(link("out", "/etc"), entry("passwd", tarfile.LNKTYPE, "out/passwd"))


def whiteout_of_the_folder_above(image: Image) -> None:
    image.layer(entry(".wh..."), entry(".wh.."), entry("a/.wh..."))


def whiteout_through_a_link(image: Image) -> None:
    image.layer(link("out", "/"), entry("out/.wh.tmp"))


def opaque_through_a_link(image: Image) -> None:
    image.layer(link("out", "/"), entry("out/tmp/.wh..wh..opq"))


def device_of_the_host(image: Image) -> None:
    image.layer(entry("disk", tarfile.BLKTYPE, devmajor=254, devminor=0))


def too_many_bytes_for_its_size(image: Image) -> None:
    image.raw_layer(tar_of((entry("f"), b"x" * 5000))[:3000])


def damaged_header(image: Image) -> None:
    image.raw_layer(b"\xff" * 2048)


def bomb(image: Image) -> None:
    # A gigabyte of zeros in a megabyte, as many times as fit before the end is reached: the size lies.
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = packer.compress(tar_of(entry("f", size=0))[:512])
    for _ in range(64):
        data += packer.compress(bytes(1 << 20))
    data += packer.flush()
    image.raw_layer(data, f"{LAYER}+gzip", f"sha256:{'0' * 64}")


def cut_gzip(image: Image) -> None:
    image.raw_layer(gzip.compress(tar_of((entry("f"), os.urandom(9000))))[:4000], f"{LAYER}+gzip", f"sha256:{'0' * 64}")


def other_bytes_than_the_diff_id(image: Image) -> None:
    image.raw_layer(tar_of((entry("f"), b"x")), diff_id=f"sha256:{'1' * 64}")


def other_bytes_than_the_digest(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    path = image.blobs / image.layers[0]["digest"].partition(":")[2]
    path.write_bytes(path.read_bytes().replace(b"x", b"y", 1))


def other_size(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    image.layers[0]["size"] += 1


def digest_that_is_a_path(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    image.layers[0]["digest"] = "sha256:../../../../etc/passwd"


def more_layers_than_diff_ids(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    image.diff_ids.clear()


def unknown_media_type(image: Image) -> None:
    image.layer((entry("f"), b"x"), kind="application/x-unknown")


def foreign_layer(image: Image) -> None:
    image.layers.append(
        {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 9,
         "digest": f"sha256:{'2' * 64}", "urls": ["http://127.0.0.1:1/layer"]}
    )  # fmt: skip
    image.diff_ids.append(f"sha256:{'2' * 64}")


def negative_size(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    image.layers[0]["size"] = -1


def config_of_other_types(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    image.change_config = lambda config: config.update(rootfs=[1], config={"Env": {"a": 1}, "Cmd": 7})


def deep_json(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    image.change_index = lambda index: index.update(manifests=json.loads("[" * 900 + "]" * 900))


def an_index_that_names_itself(image: Image) -> None:
    def change(index: dict[str, Any]) -> None:
        for _ in range(3):
            index["manifests"] = [image.blob(json.dumps(index).encode(), INDEX)]

    image.layer((entry("f"), b"x"))
    image.change_index = change


def ten_thousand_layers(image: Image) -> None:
    image.layer((entry("f"), b"x"))
    image.layers *= 10_000
    image.diff_ids *= 10_000


def too_many_layers_of_their_own(image: Image) -> None:
    for number in range(600):
        image.layer((entry(f"f{number}"), b"x"))


def huge_attributes(image: Image) -> None:
    image.layer((entry("f", pax_headers={"SCHILY.xattr.user.big": "x" * (8 << 20)}), b"x"))


def longest_name(image: Image) -> None:
    image.layer((entry("/".join(["d" * 200] * 40)), b"x"))


def name_that_no_file_has(image: Image) -> None:
    image.layer((entry("n" * 300), b"x"))


REFUSED = (
    through_a_link, hard_link_outside, hard_link_through_a_link,
    whiteout_of_the_folder_above, whiteout_through_a_link, opaque_through_a_link, too_many_bytes_for_its_size,
    damaged_header, bomb, cut_gzip, other_bytes_than_the_diff_id, other_bytes_than_the_digest, other_size,
    digest_that_is_a_path, more_layers_than_diff_ids, foreign_layer, negative_size,
    config_of_other_types, deep_json, ten_thousand_layers, too_many_layers_of_their_own, name_that_no_file_has,
)  # fmt: skip
EITHER = (
    up,
    through_a_link_of_another_layer,
    unknown_media_type,
    device_of_the_host,
    an_index_that_names_itself,
    huge_attributes,
    longest_name,
)
"""Refused or harmless: either will do."""


@pytest.fixture
def canaries(fresh: Xx) -> Iterator[None]:
    """Files around the store that nobody may touch."""
    paths = [fresh.store.parent / "canary", fresh.folder.parent / "canary", Path("/tmp/xx-hostile-canary")]
    for path in paths:
        path.write_text("as it was")
    passwd = Path("/etc/passwd").read_bytes()
    yield
    found = [path.read_text() for path in paths]
    paths[-1].unlink()
    assert found == ["as it was"] * len(paths) and Path("/etc/passwd").read_bytes() == passwd


def built(xx: Xx, attack: Callable[[Image], None]) -> Done:
    image = Image(xx.folder / "image")
    attack(image)
    image.write()
    (xx.folder / ".dockerignore").write_text("image\n")
    began = time.monotonic()
    layout = f"base=oci-layout://{xx.folder}/image"
    done = xx.build("FROM base\nCOPY Dockerfile /\n", "--build-context", layout, "-t", "made")
    assert time.monotonic() - began < LONGEST
    return done


def told(done: Done) -> None:
    """An error of one line and what to do, with the exit code of a bad input or of a store that is not whole."""
    assert done.code in (3, 5, 7), done
    # The step's own end may say it as well; what is printed last is for the user.
    error = done.err[f"\n{done.err}".rindex("\nERROR: ") :].splitlines()
    assert 1 <= len(error) <= 2 and all(line.isprintable() and len(line) < 600 for line in error), error


@pytest.mark.parametrize("attack", REFUSED, ids=lambda attack: attack.__name__)
def test_an_image_that_is_refused(fresh: Xx, canaries: None, attack: Callable[[Image], None]) -> None:
    told(built(fresh, attack))


@pytest.mark.parametrize("attack", EITHER, ids=lambda attack: attack.__name__)
def test_an_image_that_does_no_harm(fresh: Xx, canaries: None, attack: Callable[[Image], None]) -> None:
    done = built(fresh, attack)
    if done.code:
        told(done)


def test_an_honest_image_of_the_same_making_is_taken(fresh: Xx) -> None:
    assert (
        built(fresh, lambda image: image.layer((entry("f"), b"x"), link("l", "/f"), (entry("f"), b"twice"))).code == 0
    )


INSIDE = """
set -u
ls / | tr '\\n' ' '; echo
for pid in /proc/[0-9]*; do tr '\\0' ' ' <$pid/cmdline; done | grep -c pytest
mknod /tmp/disk b 254 0 2>/dev/null && dd if=/tmp/disk of=/dev/null count=1 2>/dev/null && echo 'read the disk'
mount -t tmpfs none /mnt 2>/dev/null && echo mounted
echo 1 2>/dev/null >/proc/sys/kernel/sysrq && echo 'wrote a setting'
chroot /proc/1/root true 2>/dev/null && [ -e /proc/1/root$STORE ] && echo 'saw the store'
[ -e $STORE ] && echo 'saw the store'
cat /proc/kcore 2>/dev/null | head -c 1 | wc -c
"""


def test_a_run_sees_nothing_of_the_host(fresh: Xx) -> None:
    done = fresh.build(f"FROM busybox\nENV STORE={fresh.store}\nRUN <<'EOF'\n{INSIDE}\nEOF\n", "--no-cache")
    assert done.code == 0, done
    for words in ("read the disk", "mounted", "wrote a setting", "saw the store"):
        assert f" {words}\n" not in done.err, done


DOCKERFILE = (entry("Dockerfile"), b"FROM busybox\nCOPY . /all/\nRUN cat /all/f 2>/dev/null || true\n")
CONTEXTS = {
    "a-name-that-leads-up": (DOCKERFILE, (entry("../canary"), b"changed")),
    "a-link-that-is-written-through": (DOCKERFILE, link("out", "/tmp"), (entry("out/xx-hostile-canary"), b"changed")),
    "a-hard-link-to-the-host": (DOCKERFILE, entry("f", tarfile.LNKTYPE, "/etc/shadow")),
    "a-link-to-the-host": (DOCKERFILE, link("f", "/etc/shadow")),
    "a-dockerfile-of-the-host": (link("Dockerfile", "/etc/shadow"),),
    "an-ignore-file-of-the-host": (DOCKERFILE, link(".dockerignore", "/etc/shadow")),
    "a-fifo-as-dockerfile": (entry("Dockerfile", tarfile.FIFOTYPE),),
    "a-device": (DOCKERFILE, entry("f", tarfile.BLKTYPE, devmajor=254, devminor=0)),
    "a-name-twice": (DOCKERFILE, (entry("f"), b"one"), entry("f", tarfile.DIRTYPE), (entry("f"), b"two")),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context_that_does_no_harm(fresh: Xx, canaries: None, name: str) -> None:
    done = fresh.run("build", "--progress", "plain", "-", stdin=tar_of(*CONTEXTS[name]))
    assert "root:" not in done.err and "read the disk" not in done.err, done
    if done.code:
        told(done)
