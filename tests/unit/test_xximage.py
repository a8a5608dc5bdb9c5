"""The built-in xx image: what it is named by, when it is made, and what a plan shows without making it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import xxpy
from xxpy.build import xximage
from xxpy.build.annotations import INDEX, chosen
from xxpy.build.events import Listener
from xxpy.build.image import write_image, write_index
from xxpy.build.layoutindex import INDEX_TYPE
from xxpy.build.names import normalize_name, short_name
from xxpy.build.plan import Plan
from xxpy.build.store import Store
from xxpy.errors import SourceError
from xxpy.platforms import Platform
from xxpy.verify.elf import ElfHeader, read_elf

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
ROOT = Path(__file__).parents[2]


class Silent:
    def notice(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def listener(self, plan: Plan) -> Iterator[Listener]:
        yield lambda event: None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Platform, ...]]:
    """What was made, by a stand-in that makes empty images."""
    calls: list[tuple[Platform, ...]] = []

    def make(store: Store, name: str, platforms: tuple[Platform, ...], *_others: object) -> None:
        calls.append(platforms)
        entry = store.resolve(name)
        kept = xximage.image_manifests(store, entry) if entry else []
        new = [write_image(store, each, {}, [], [], "1970-01-01T00:00:00Z") for each in platforms]
        store.tag(name, write_index(store, [*kept, *new]))

    monkeypatch.setattr(xximage, "_make", make)
    return calls


def put(store: Store, name: str, *platforms: Platform) -> None:
    images = [write_image(store, each, {"User": "theirs"}, [], [], "1970-01-01T00:00:00Z") for each in platforms]
    store.tag(name, write_index(store, images))


def test_its_sources_are_the_package_and_the_recipe() -> None:
    names = dict(xximage.sources())
    assert {"images/xx/Dockerfile", "images/xx/sh/cc.sh", "pyproject.toml", "LICENSE", "xxpy/platforms.py"} <= set(
        names
    )
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]
    # Each source of the Dockerfile is among them.
    for line in (ROOT / "images/xx/Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--"):
            for source in words[1:-1]:
                assert any(name == source or name.startswith(f"{source}/") for name in names), source


def test_the_name_goes_by_content_and_suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = xximage.builtin_name()
    assert re.fullmatch(r"docker\.io/library/xx:builtin-[0-9a-f]{16}", name)
    assert xximage.builtin_name() == name and xximage.builtin_name("bookworm") != name
    changed = tmp_path / "collect.sh"
    changed.write_text("another")
    files = [(each, changed if each.endswith("collect.sh") else path) for each, path in xximage.sources()]
    monkeypatch.setattr(xximage, "sources", lambda: iter(files))
    assert xximage.builtin_name() != name


def test_made_once_for_each_platform(store: Store, made: list[tuple[Platform, ...]]) -> None:
    images = xximage.ImagesWithXx(store, Silent())
    first = images.base("xx", AMD64)
    assert images.base("xx:latest", AMD64) == first and first.name == xximage.builtin_name()
    assert images.base("xx", ARM64).manifest != first.manifest
    assert made == [(AMD64,), (ARM64,)]
    assert xximage.ensure(store, [AMD64, ARM64], Silent()) and len(made) == 2


def test_an_image_of_that_name_in_the_store_goes_first(store: Store, made: list[tuple[Platform, ...]]) -> None:
    put(store, xximage.NAME, AMD64)
    assert xximage.ImagesWithXx(store, Silent()).base("xx", AMD64).config.user == "theirs"
    assert not made


def test_a_plan_makes_nothing(store: Store, made: list[tuple[Platform, ...]]) -> None:
    base = xximage.ImagesWithXx(store, Silent(), dry=True).base("xx", AMD64)
    assert base.name == xximage.builtin_name() and base.manifest.startswith("sha256:")
    assert not made and store.images() == []


def test_upstreams_name_is_no_secret(store: Store) -> None:
    with pytest.raises(SourceError) as caught:
        xximage.ImagesWithXx(store, Silent()).base("tonistiigi/xx:1.6.1", AMD64)
    assert caught.value.reason == "image-missing" and "FROM --platform=$BUILDPLATFORM xx" in caught.value.remedy
    with pytest.raises(SourceError) as caught:
        xximage.ImagesWithXx(store, Silent()).base("tonistiigi/binfmt", AMD64)
    assert "$BUILDPLATFORM" not in caught.value.remedy


def test_an_installation_without_the_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(xximage, "_RECIPES", (tmp_path,))
    with pytest.raises(SourceError) as caught:
        xximage.builtin_name()
    assert caught.value.reason == "recipe-missing"


def test_what_it_says_of_itself() -> None:
    said = dict(chosen(xximage.described(), INDEX))
    assert said["org.opencontainers.image.version"] == xxpy.__version__
    assert "LGPL" in said["org.opencontainers.image.licenses"]
    text = (ROOT / "images/xx/Dockerfile").read_text()
    # What docker buildx makes of the same file says the same.
    assert f"ARG VERSION={xxpy.__version__}\n" in text
    assert said["org.opencontainers.image.licenses"] in text


def test_an_installed_package_carries_the_recipe(tmp_path: Path) -> None:
    """What a wheel holds is what a checkout has, so that both make the same image."""
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist()}
    for name, path in xximage.sources():
        inside = name if name.startswith("xxpy/") else f"xxpy/_image/{name}"
        assert held[inside] == path.read_bytes(), name
    # Where there is a C compiler, a wheel brings the dispatcher compiled, and is for one machine.
    machine = os.uname().machine
    program = held.get(f"xxpy/build/twins/dispatcher-{machine}", b"")
    made = next(tmp_path.glob("*.whl")).name
    if shutil.which("cc") and machine in ("x86_64", "aarch64"):
        assert b"XX-EMBEDDED-QEMU" in program and made.endswith(f"manylinux2014_{machine}.whl")
        assert read_elf_of(tmp_path, program).machine == {"x86_64": 62, "aarch64": 183}[machine]
    else:
        assert not program and made.endswith("py3-none-any.whl")


def read_elf_of(folder: Path, data: bytes) -> ElfHeader:
    (folder / "program").write_bytes(data)
    return read_elf(folder / "program")


def test_images_of_other_versions_lose_their_names_when_nobody_uses_them(
    store: Store, made: list[tuple[Platform, ...]]
) -> None:
    for name in ("xx:builtin-old", "xx:builtin-new", "xx:1.0"):
        store.tag(normalize_name(name), store.put_json({"manifests": [], "name": name}, INDEX_TYPE))
    for name in ("xx:builtin-old", "xx:1.0"):
        entry = store.resolve(normalize_name(name))
        assert entry is not None
        os.utime(store.blob(entry.digest), (1, 1))
    xximage.ensure(store, [AMD64], Silent())
    names = {short_name(name) for name, _ in store.images()}
    assert names == {"xx:builtin-new", "xx:1.0", short_name(xximage.builtin_name())} and made == [(AMD64,)]
