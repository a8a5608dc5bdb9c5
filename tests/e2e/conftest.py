"""A store with base images, made once for all tests of whole builds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from buildkit import BuildKit, buildkit
from conftest import kept, lacking
from support import BOTH, Xx, kept_bases, store_from

from xxpy.build.probes import BINFMT_KERNEL, all_probes, kernel_version, works


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store that has busybox for amd64 and arm64, debian:trixie and the xx image for this machine."""
    folder = tmp_path_factory.mktemp("session")
    probes = all_probes(folder, ["aarch64"])
    if not works(probes):
        lacking("; ".join(f"{probe.name}: {probe.found}" for probe in probes if probe.remedy))
    kept("base", "busybox", "--platform", BOTH)
    kept("base", "debian:trixie")
    kept("image", "xx")
    store = store_from(kept_bases(), folder / "store")
    yield store
    shutil.rmtree(store, ignore_errors=True)


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory, bases: object) -> Path:
    """A store of the module's own that has Debian for both platforms, on a machine where steps can have twins."""
    if kernel_version(os.uname().release) < BINFMT_KERNEL:
        lacking("Linux 6.7, whose binfmt_misc a build may have for itself")
    if not shutil.which("cc"):
        lacking("a C compiler for the dispatcher")
    kept("base", "debian:trixie", "--platform", BOTH)
    return store_from(kept_bases(), tmp_path_factory.mktemp("debian") / "store")


@pytest.fixture(scope="module")
def engine(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildKit]:
    """A real BuildKit that has busybox for both platforms and debian:trixie for this machine."""
    folder = tmp_path_factory.mktemp("engine")
    store = store_from(bases, tmp_path_factory.mktemp("engine-store") / "store")
    (folder / "made").mkdir()
    try:
        with buildkit(folder, Xx(store, folder)) as running:
            yield running
    except RuntimeError as error:
        lacking(str(error))


@pytest.fixture
def xx(bases: Path, tmp_path: Path) -> Xx:
    """`xx` in an empty folder, on the shared store."""
    folder = tmp_path / "context"
    folder.mkdir()
    return Xx(bases, folder)


@pytest.fixture
def fresh(bases: Path, tmp_path: Path) -> Xx:
    """`xx` on a store of its own that has the base images and nothing else."""
    store = store_from(bases, tmp_path / "store")
    folder = tmp_path / "fresh-context"
    folder.mkdir()
    return Xx(store, folder)
