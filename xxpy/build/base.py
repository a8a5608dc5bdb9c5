"""Base images made from a distribution's own archive, for stores that have no registry to take them from.

``debian:SUITE`` and ``ubuntu:SUITE`` are bootstrapped by mmdebstrap, which checks the archive's signatures; ``busybox``
is one package, unpacked. All in the user namespace that builds run in too, so nobody needs to be root.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xxpy.build import busybox
from xxpy.build.bootstrap import bootstrap_error
from xxpy.build.descriptor import Descriptor
from xxpy.build.disk import storing
from xxpy.build.engine import process
from xxpy.build.engine.cache import Cache, Record, Syncer
from xxpy.build.engine.emulation import HOST_INSTANCE, emulators_for, register
from xxpy.build.engine.images import unpacked_key
from xxpy.build.engine.namespace import Channel, id_maps, run_inside
from xxpy.build.engine.rooted import inside, remove_tree
from xxpy.build.engine.snapshots import new_id
from xxpy.build.engine.workfolder import work_folder
from xxpy.build.image import image_manifests, write_image, write_index
from xxpy.build.layers import write_layer
from xxpy.build.names import normalize_name, short_name
from xxpy.build.store import Store
from xxpy.build.tools import find_program
from xxpy.errors import HostError, SourceError, UsageError, XxError
from xxpy.info.osrelease import OsRelease
from xxpy.platforms import Platform, debian_arch, qemu_arch, runs_natively

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SUITE = re.compile(r"[a-z][a-z0-9-]{1,30}")
_KEYRINGS = {
    "debian": ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
    "ubuntu": ("/usr/share/keyrings/ubuntu-archive-keyring.gpg", "ubuntu-keyring distro-info-data"),
}
_RELEASE = "trixie"
"""Debian's release where this machine has another distribution. A code name: suites named by state change under us."""


@dataclass(frozen=True)
class Recipe:
    """How an image is made: ``kind`` is debian, ubuntu or busybox. An empty ``mirror`` is the archive's own.

    ``apt_options`` are lines of apt.conf(5), heeded while the image is made and kept in it.
    """

    name: str
    kind: str
    distribution: str
    suite: str
    mirror: str = ""
    apt_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """One platform of a base image: what is happening, after how many seconds; ``done`` at its end."""

    platform: Platform
    text: str
    seconds: float = 0.0
    done: bool = False


def recipe_for(name: str, mirror: str = "", root: str = "", apt_options: tuple[str, ...] = ()) -> Recipe:
    """How ``name`` (``debian:trixie``, ``ubuntu:noble``, ``busybox``, ``busybox:bookworm``) is made.

    Raises UsageError (``base-unknown``).
    """
    full = normalize_name(name)
    kind, _, tag = short_name(full).partition(":")
    suite = tag.removesuffix("-slim")
    if kind == "busybox":
        return Recipe(full, kind, "debian", suite or _this_debian(root), mirror, apt_options)
    if kind not in _KEYRINGS or not _SUITE.fullmatch(suite):
        raise UsageError(
            f"{name} is no base image that can be made here",
            remedy="name debian:SUITE or ubuntu:SUITE with the release's code name, as debian:trixie; or busybox",
            reason="base-unknown",
        )
    return Recipe(full, kind, kind, suite, mirror, apt_options)


def _this_debian(root: str) -> str:
    """This machine's release if it is Debian's, else `_RELEASE`."""
    release = OsRelease.read(root)
    return release.codename if release.id == "debian" and _SUITE.fullmatch(release.codename) else _RELEASE


def missing_platforms(store: Store, recipe: Recipe, platforms: Sequence[Platform]) -> list[Platform]:
    """Those of ``platforms`` that the image is not there for."""
    entry = store.resolve(recipe.name)
    there = [one.platform for one in image_manifests(store, entry)] if entry is not None else []
    return [platform for platform in platforms if platform not in there]


def make_base(
    store: Store, recipe: Recipe, platforms: Sequence[Platform], on_progress: Callable[[Progress], None]
) -> None:
    """Make the image for ``platforms`` and put it into the store beside those it has already.

    Raises HostError (``program-missing``, ``no-keyring``, ``no-emulator``), StoreError, and as `bootstrap_error` says.
    """
    if others := [each for each in platforms if each.os != "linux"]:
        raise UsageError(
            f"{short_name(recipe.name)} is a Linux distribution's: there is none for {others[0]}",
            remedy="leave that platform out; a stage for it begins FROM scratch",
            reason="platform-unserved",
        )
    if find_program("mmdebstrap") is None:
        raise process.missing("mmdebstrap", "")
    keyring, package = _KEYRINGS[recipe.distribution]
    if not Path(keyring).exists():
        raise HostError(
            f"the keys of {recipe.distribution}'s archive are not here ({keyring})",
            remedy=f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {package}",
            reason="no-keyring",
        )
    host = Platform.host()
    foreign = [] if recipe.kind == "busybox" else [each for each in platforms if not runs_natively(each, host)]
    emulators_for(qemu_arch(each) for each in foreign)
    maker = _Maker(store, recipe, tuple(platforms), tuple(foreign))
    made, failed = run_inside(maker.work, on_progress, id_maps())
    # What one platform lacks does not undo the others.
    with store.lock("base"):
        entry = store.resolve(recipe.name)
        kept = [each for each in image_manifests(store, entry)] if entry is not None else []
        new = {each.platform for each in made}
        manifests = [*(each for each in kept if each.platform not in new), *made]
        if made:
            store.tag(recipe.name, write_index(store, sorted(manifests, key=lambda each: str(each.platform))))
    if failed is not None:
        raise failed


class _Maker:
    """Works inside the namespaces; one thread for each platform."""

    def __init__(
        self, store: Store, recipe: Recipe, platforms: tuple[Platform, ...], foreign: tuple[Platform, ...]
    ) -> None:
        self._store = store
        self._recipe = recipe
        self._platforms = platforms
        self._foreign = foreign

    def work(self, channel: Channel) -> tuple[list[Descriptor], XxError | None]:
        """The images that were made, and the first error of those that were not."""
        self._tell: Callable[[Progress], None] = lambda progress: channel.send(("value", progress))
        os.umask(0o022)
        cache = Cache(self._store)
        with storing(self._store.root), work_folder(self._store) as work:
            # mmdebstrap looks for the entry there to see that foreign programs run.
            register(emulators_for(qemu_arch(each) for each in self._foreign), HOST_INSTANCE)
            pool = ThreadPoolExecutor(max_workers=len(self._platforms))
            running = [pool.submit(self._one, each, work / new_id(), cache) for each in self._platforms]
            made, failed = [], None
            for future in running:
                try:
                    made.append(future.result())
                except XxError as error:
                    failed = failed or error
            syncer = Syncer(self._store, cache)
            syncer.nudge()
            syncer.wait()
        return made, failed

    def _one(self, platform: Platform, folder: Path, cache: Cache) -> Descriptor:
        began = time.monotonic()
        folder.mkdir()
        root = folder / "root"
        root.mkdir(0o755)
        if self._recipe.kind == "busybox":
            self._tell(Progress(platform, "taking busybox-static from the archive"))
            config = self._busybox(platform, folder, root)
        else:
            how = f" under QEMU {qemu_arch(platform)}" if platform in self._foreign else ""
            self._tell(Progress(platform, f"bootstrapping {self._recipe.suite}{how}"))
            self._bootstrap(platform, root, ["--variant=apt"])
            _clean(root)
            config = {"Env": [_PATH], "Cmd": ["bash"]}
        self._tell(Progress(platform, "packing", time.monotonic() - began))
        words = f"xx base {short_name(self._recipe.name)} --platform {platform}"
        layer = write_layer(root, self._store)
        name = new_id()
        root.rename(self._store.snapshots / name)
        cache.put(unpacked_key(layer.diff_id), Record((name,), time.monotonic() - began, text=words))
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        history = [{"created": created, "created_by": words, "comment": f"{self._recipe.suite}"}]
        made = write_image(self._store, platform, config, [layer], history, created)
        self._tell(Progress(platform, f"{made.digest[:19]}", time.monotonic() - began, done=True))
        return made

    def _busybox(self, platform: Platform, folder: Path, root: Path) -> dict[str, Any]:
        packages = folder / "package"
        packages.mkdir(0o755)
        # No script of the package runs and nothing else is installed: the foreign program is only unpacked. Newer
        # versions warn of this mode where root is the host's, which it is not here.
        flags = ["--variant=custom", "--mode=chrootless", "--skip=check/chrootless", "--include=busybox-static"]
        flags.append("--dpkgopt=path-exclude=/usr/share/*")
        self._bootstrap(platform, packages, flags)
        for path in ("usr/bin/busybox", "bin/busybox"):
            program = Path(inside(packages, path))
            if program.is_file():
                busybox.make_tree(program.read_bytes(), root)
                remove_tree(packages)
                return {"Env": [_PATH], "Cmd": ["sh"]}
        raise SourceError("the package busybox-static holds no busybox", reason="busybox-unknown")

    def _bootstrap(self, platform: Platform, target: Path, flags: Sequence[str]) -> None:
        recipe = self._recipe
        mode = [] if any(flag.startswith("--mode=") for flag in flags) else ["--mode=root"]
        # It would look with arch-test whether foreign programs run; they do, this namespace's QEMU sees to it.
        mode += ["--skip=check/qemu"] if platform in self._foreign else []
        argv = [
            "mmdebstrap", *mode, "--format=directory",
            f"--architectures={debian_arch(platform)}", f"--keyring={_KEYRINGS[recipe.distribution][0]}",
            *(f"--aptopt={line}" for line in recipe.apt_options),
            *flags, recipe.suite, str(target), *([recipe.mirror] if recipe.mirror else []),
        ]  # fmt: skip
        output: list[bytes] = []
        code = process.stream(argv, output.append, env={**process.minimal_environment(), "TMPDIR": str(target.parent)})
        if code:
            said = b"".join(output).decode(errors="replace")
            raise bootstrap_error(said, process.worded(code), short_name(recipe.name), platform)


def _clean(root: Path) -> None:
    """Take out what belongs to the machine that made the tree."""
    for name in ("etc/resolv.conf", "etc/hostname", "var/cache/apt/pkgcache.bin", "var/cache/apt/srcpkgcache.bin"):
        (root / name).unlink(missing_ok=True)
    lists = root / "var/lib/apt/lists"
    for entry in lists.iterdir() if lists.is_dir() else ():
        if entry.is_file():
            entry.unlink()
