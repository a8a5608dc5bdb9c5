"""What tests of registries need: an image in one, pulls that do not wait, logins and settings."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from registries import Memory

from xxpy.build.descriptor import canonical_json
from xxpy.build.events import Event
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE
from xxpy.build.layoutindex import INDEX_TYPE
from xxpy.build.registry.client import Registries
from xxpy.build.registry.pull import Puller
from xxpy.build.registry.reference import parse_reference
from xxpy.build.store import Store
from xxpy.errors import XxError
from xxpy.platforms import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
LAYER = "application/vnd.oci.image.layer.v1.tar"
BIG = os.urandom(1 << 18)


def stand_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no login and no settings of whoever runs this; those of the test are in ``folder``."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / "docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.delenv("XX_REGISTRIES", raising=False)
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))


def write_login(tmp_path: Path, **config: Any) -> None:
    (tmp_path / "docker").mkdir(exist_ok=True)
    (tmp_path / "docker/config.json").write_text(json.dumps(config))


def write_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "config/xx").mkdir(parents=True, exist_ok=True)
    (tmp_path / "config/xx/registries.toml").write_text(text)


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def image(server: Memory, platforms: tuple[Platform, ...] = (AMD64,), repository: str = "team/app", tag: str = "1",
          layer: bytes = BIG, **changed: Any) -> str:  # fmt: skip
    """Put an image for ``platforms`` into a registry; an index if they are several. Its digest."""
    found = []
    for platform in platforms:
        # The layers need not be tars here: nothing unpacks them.
        data = layer + str(platform).encode()
        blob = {"mediaType": LAYER, "digest": server.put_blob(repository, data), "size": len(data)}
        config = {"os": platform.os, "architecture": platform.arch, "config": {"User": "of-" + platform.arch},
                  "rootfs": {"type": "layers", "diff_ids": [blob["digest"]]}}  # fmt: skip
        written = canonical_json(config)
        described = {"mediaType": CONFIG_TYPE, "digest": server.put_blob(repository, written), "size": len(written)}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described, "layers": [blob]} | changed
        text = canonical_json(manifest)
        digest = server.put_manifest(repository, tag, MANIFEST_TYPE, text)
        found.append({"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(text),
                      "platform": {"os": platform.os, "architecture": platform.arch}})  # fmt: skip
    if len(platforms) == 1:
        return str(found[0]["digest"])
    index = canonical_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": found})
    return server.put_manifest(repository, tag, INDEX_TYPE, index)


class Puller_(Puller):
    """A `Puller` that notes how long it would have waited, and does not."""

    def __init__(self, store: Store) -> None:
        self.waited: list[float] = []
        super().__init__(store, Registries(pause=self.waited.append))

    def pull(self, name: str, *platforms: Platform) -> list[Event]:
        events: list[Event] = []
        reference = parse_reference(name)
        self.fetch([self.look_up(reference, each) for each in platforms or (AMD64,)], events.append)
        return events


def reason_of(call: Any, *args: Any) -> str:
    with pytest.raises(XxError) as caught:
        call(*args)
    assert caught.value.remedy, caught.value.message
    return caught.value.reason


def kept(store: Store) -> list[str]:
    """What is wrong in the store: blobs that have not the digest of their name, and what was being written."""
    wrong = [each.name for each in store.blobs.iterdir() if hashlib.sha256(each.read_bytes()).hexdigest() != each.name]
    return wrong + [each.name for each in store.tmp.iterdir()]
