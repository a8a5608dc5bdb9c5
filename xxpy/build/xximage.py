"""The xx image of this version: what ``FROM xx`` means in a store that has no image of that name.

It is built from the sources of the package that runs, by the Dockerfile in ``images/xx``, once for each platform and
each state of these sources, and kept in the store under a name that is a digest of them.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import xxpy
from xxpy.build.annotations import INDEX, MANIFEST, Annotation, chosen
from xxpy.build.base import Progress, make_base, missing_platforms, recipe_for
from xxpy.build.bases import StoreImages
from xxpy.build.descriptor import Descriptor
from xxpy.build.dockerfile.bases import BaseImage, Images
from xxpy.build.events import Listener
from xxpy.build.graph import ImageConfig
from xxpy.build.hostca import HostCa
from xxpy.build.image import image_manifests, write_index
from xxpy.build.names import normalize_name, short_name
from xxpy.build.plan import Plan
from xxpy.build.session import Order, index_of, plan_order, solve_order
from xxpy.build.sizes import used_at
from xxpy.build.store import Store
from xxpy.build.verdict import Mode, Verify
from xxpy.errors import SourceError
from xxpy.platforms import Platform

NAME = normalize_name("xx")
SUITE = "trixie"
"""The Debian suite whose Python the image takes where none is named."""

_UPSTREAM = "docker.io/tonistiigi/xx:"
_BUILTIN = "xx:builtin-"
_UNUSED = 7 * 86400
"""Seconds after which an image of another version is not kept any more."""
_PACKAGE = Path(xxpy.__file__).parent
# An installed package carries the recipe inside; in a checkout it stands beside the package.
_RECIPES = (_PACKAGE / "_image", _PACKAGE.parent)
_RECIPE_FILES = ("pyproject.toml", "LICENSE", "images/xx")
_LEFT_OUT = ("__pycache__", "_image")
_TITLE = "org.opencontainers.image"


class Shown(Protocol):
    """How the making of the image is shown."""

    def notice(self, text: str) -> None: ...

    def listener(self, plan: Plan) -> AbstractContextManager[Listener]: ...


def recipe_folder() -> Path:
    """Where ``images/xx`` and what it needs beside the package are. Raises SourceError (``recipe-missing``)."""
    for folder in _RECIPES:
        if (folder / "images/xx/Dockerfile").is_file():
            return folder
    raise SourceError(
        "this installation of xxpy has no recipe of the xx image",
        remedy="install it again: pip install --force-reinstall xxpy",
        reason="recipe-missing",
    )


def sources() -> Iterator[tuple[str, Path]]:
    """Each file that the image is built from, by its name in the build's context, sorted."""
    recipe = recipe_folder()
    for name in _RECIPE_FILES:
        path = recipe / name
        for each in sorted(path.rglob("*")) if path.is_dir() else (path,):
            if each.is_file() and "__pycache__" not in each.parts:
                yield str(each.relative_to(recipe)), each
    for each in sorted(_PACKAGE.rglob("*.py")):
        inside = each.relative_to(_PACKAGE)
        if not set(inside.parts) & set(_LEFT_OUT):
            yield f"xxpy/{inside}", each


def builtin_name(suite: str = SUITE) -> str:
    """The full name under which the image of these sources is kept."""
    state = hashlib.sha256(suite.encode())
    for name, path in sources():
        state.update(f"\0{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return normalize_name(f"{_BUILTIN}{state.hexdigest()[:16]}")


def lacking(store: Store, name: str, platforms: Sequence[Platform]) -> tuple[Platform, ...]:
    """Those of ``platforms`` that the image ``name`` is not there for."""
    entry = store.resolve(name)
    there = {one.platform for one in image_manifests(store, entry)} if entry is not None else set()
    return tuple(platform for platform in platforms if platform not in there)


def ensure(
    store: Store, platforms: Sequence[Platform], shown: Shown, suite: str = SUITE, host_ca: HostCa | None = None
) -> Descriptor:
    """Have the image for ``platforms`` in the store; an index of just these. Raises XxError."""
    name = builtin_name(suite)
    if missing := lacking(store, name, platforms):
        with store.lock("xx-image"):
            # Another build may have made it while this one waited.
            if missing := lacking(store, name, platforms):
                _make(store, name, missing, suite, shown, host_ca or HostCa())
                _forget_others(store, name)
    entry = store.resolve(name)
    assert entry is not None
    # What was made for other builds of this version lies beside it.
    wanted = [each for each in image_manifests(store, entry) if each.platform in platforms]
    return write_index(store, wanted, chosen(described(), INDEX))


def _forget_others(store: Store, own: str) -> None:
    """Take the names from images of other versions that nobody has used for long: then they may be pruned."""
    until = time.time() - _UNUSED
    old = [
        name
        for name, index in store.images()
        if short_name(name).startswith(_BUILTIN) and name != own and used_at(store.blob(index.digest)) < until * 1e9
    ]
    if old:
        store.untag(old)


def _make(store: Store, name: str, platforms: tuple[Platform, ...], suite: str, shown: Shown, host_ca: HostCa) -> None:
    said = ", ".join(map(str, platforms))
    shown.notice(f"making the xx image of xxpy {xxpy.__version__} for {said}: once for this version")
    base = recipe_for(f"debian:{suite}")
    if absent := missing_platforms(store, base, [Platform.host()]):
        short = short_name(base.name)
        make_base(store, base, absent, lambda progress: shown.notice(_base_line(short, progress)))
    with tempfile.TemporaryDirectory(prefix="xx-image-") as folder:
        context = Path(folder)
        for inside, path in sources():
            (context / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, context / inside)
        order = Order(
            context,
            context / "images/xx/Dockerfile",
            platforms,
            build_args={"SUITE": suite, "VERSION": xxpy.__version__},
            annotations=described(),
            epoch=0,
            host_ca=host_ca,
            verify=Verify(Mode.OFF),
            name="images/xx/Dockerfile of xxpy",
            image=True,
        )
        plan = plan_order(order, StoreImages(store))
        with shown.listener(plan) as listener:
            outcome = solve_order(order, plan, store, listener)
    made = {each.platform: each for each in image_manifests(store, index_of(store, outcome))}
    entry = store.resolve(name)
    kept = [each for each in image_manifests(store, entry) if each.platform not in made] if entry is not None else []
    manifests = sorted([*kept, *made.values()], key=lambda each: str(each.platform))
    store.tag(name, write_index(store, manifests, chosen(described(), INDEX)))


def _base_line(name: str, progress: Progress) -> str:
    what = f"done in {progress.seconds:.1f}s" if progress.done else f"{progress.text} …"
    return f"{name} {progress.platform}: {what}"


def described() -> tuple[Annotation, ...]:
    """What the image's manifests and its index say of it (OCI image-spec, annotations.md)."""
    rows = {
        "title": "xx",
        "description": "Cross-compilation helpers for Dockerfiles",
        "version": xxpy.__version__,
        "licenses": "MIT AND Python-2.0.1 AND LGPL-2.1-or-later AND Zlib",
    }
    return tuple(
        Annotation(kind, f"{_TITLE}.{key}", value) for kind in (MANIFEST, INDEX) for key, value in rows.items()
    )


class ImagesWithXx:
    """`Images` of a store in which ``xx`` is there even if nobody has made it; ``others`` has all other names."""

    def __init__(
        self,
        store: Store,
        shown: Shown,
        host_ca: HostCa | None = None,
        *,
        dry: bool = False,
        others: Images | None = None,
    ) -> None:
        self._store = store
        self._images = StoreImages(store)
        self._others = others or self._images
        self._shown = shown
        self._host_ca = host_ca
        self._dry = dry

    def base(self, name: str, platform: Platform) -> BaseImage:
        """See `Images.base`. With ``dry`` the xx image is not made: a stand-in with its name serves for a plan."""
        full = normalize_name(name)
        if full == NAME and self._store.resolve(NAME) is None:
            own = builtin_name()
            if self._dry and lacking(self._store, own, [platform]):
                digest = "sha256:" + hashlib.sha256(f"{own} {platform}".encode()).hexdigest()
                return BaseImage(own, digest, ImageConfig())
            ensure(self._store, [platform], self._shown, host_ca=self._host_ca)
            return replace(self._images.base(own, platform), name=own)
        try:
            return self._others.base(name, platform)
        except SourceError as error:
            if full.startswith(_UPSTREAM) and error.reason == "image-missing":
                error.remedy = "the same commands come with xx build: write FROM --platform=$BUILDPLATFORM xx AS xx"
            raise
