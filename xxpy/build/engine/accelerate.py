"""What an emulated step is shown so that the dispatcher finds its twins, and what it tells afterwards.

The emulator that the build registers is the dispatcher (`xxpy.build.twins`). A step sees in its /dev, which no layer
has, QEMU, the table of its twins, the twin root for reading, and a log in memory that the dispatcher adds a line to for
each program that is started.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xxpy.build.engine import syscalls
from xxpy.build.engine.cache import Cache, Record
from xxpy.build.engine.rooted import remove_tree
from xxpy.build.engine.sampling import Sampler
from xxpy.build.engine.snapshots import Chain, new_id, view
from xxpy.build.engine.spec import BindMount
from xxpy.build.graph import digest_of
from xxpy.build.outcome import Starts
from xxpy.build.store import Store
from xxpy.build.tools import Emulator
from xxpy.build.twins import FETCHED
from xxpy.build.twins.cross import download_script, find_cross, key_parts, release_of, wanted
from xxpy.build.twins.dispatcher import dispatcher
from xxpy.build.twins.find import APT_CONF, CROSS, PLACE, TWIN, Roots, apt_conf, find_twins
from xxpy.build.twins.golang import find_go
from xxpy.build.twins.llvm import find_llvm
from xxpy.build.twins.retold import SHOWN as RETOLD
from xxpy.build.twins.retold import find_retold
from xxpy.build.twins.rust import FOLDERS, HELPER, LINKER, MACROS, SHOWN, find_rust
from xxpy.build.twins.table import Entry, encode
from xxpy.platforms import Platform, qemu_arch

_LOG_BYTES = 4 << 20
_DEAREST = 8


Fetch = Callable[[str, Path], None]
"""Runs a shell script in a twin root that is thrown away, with a folder shown at `FETCHED`."""


@dataclass
class Shown:
    """What a step is shown: ``binds``, and the ``log`` of what it starts. ``reason`` says why nothing has a twin."""

    binds: list[BindMount]
    log: Path
    reason: str = ""
    sampler: Sampler | None = None
    macros: Path | None = None
    """What rustc.pl has made for this machine (`FOLDERS`)."""

    def starts(self) -> Starts:
        """What the step has started so far."""
        starts = read_starts(self.log)
        if self.sampler is None:
            return starts
        spent = self.sampler.emulated
        return replace(
            starts,
            twin_seconds=self.sampler.twins,
            emulated_seconds=spent.total() / 1000,
            dearest=tuple((name, count / 1000) for name, count in _most(spent) if count),
        )


@dataclass(frozen=True)
class _Same:
    """Entries of programs that do the same everywhere; ``retold`` is the folder with the copies that some are."""

    entries: tuple[Entry, ...]
    reason: str
    retold: Path


class Accelerator:
    """The twins of a build's steps. ``emulators`` are what the kernel is to be told of in place of QEMU."""

    def __init__(self, store: Store, cache: Cache, work: Path, qemu: Sequence[Emulator], host: Platform) -> None:
        """``qemu`` is what runs what has no twin. Raises HostError (``no-dispatcher``), OSError."""
        self._store = store
        self._cache = cache
        self._work = work
        self._host = host
        self._qemu = {each.arch: each for each in qemu}
        self._found: dict[tuple[Platform, bytes, bytes, tuple[Chain, ...]], _Same] = {}
        folder = store.root / "twins"
        self.emulators: tuple[Emulator, ...] = tuple(
            replace(each, path=str(dispatcher(folder, each))) for each in self._qemu.values()
        )

    @contextlib.contextmanager
    def plain(self, platform: Platform) -> Iterator[Shown]:
        """What an emulated step on ``platform`` needs without twins. Raises OSError."""
        with self._log() as log:
            qemu = BindMount(self._qemu[qemu_arch(platform)].path, f"{PLACE}/qemu")
            yield Shown([qemu, BindMount(str(log.parent), f"{PLACE}/log", ("rw", "nosuid", "nodev", "noexec"))], log)

    @contextlib.contextmanager
    def twins(self, platform: Platform, twin: Chain, before: Chain, fetch: Fetch) -> Iterator[Shown]:
        """What an emulated step over ``before`` needs for twins out of ``twin``.

        ``fetch`` gets cross packages where the twin root has compilers. Raises StepError from it, OSError.
        """
        with self.plain(platform) as shown, view(self._work, twin) as root, view(self._work, before) as below:
            roots = Roots(root, below, self._host, platform)
            same = self._same(roots, () if roots.by_packages else (twin, before))
            entries, shown.reason = [*same.entries, *find_go(roots), *find_llvm(roots)], same.reason
            shown.binds.append(BindMount(str(same.retold), RETOLD))
            rust = find_rust(roots)
            if rust is not None:
                entries += rust.entries
                shown.binds += self._macros(shown, before, rust.linker)
            cross = self._cross(roots, fetch)
            if cross is not None:
                entries += find_cross(roots, cross)
                shown.binds.append(BindMount(str(cross), CROSS))
            table = shown.log.with_name("table")
            table.write_bytes(encode(entries))
            told = shown.log.with_name("apt.conf")
            told.write_text(apt_conf(platform))
            shown.binds += [BindMount(str(root), TWIN), BindMount(str(table), f"{PLACE}/table")]
            shown.binds.append(BindMount(str(told), APT_CONF))
            shown.sampler = Sampler(shown.log, PLACE)
            with shown.sampler:
                yield shown

    def keep(self, shown: Shown, snapshot: str) -> None:
        """Keep what was made for this machine beside a ``snapshot``, for the steps above it. Raises OSError."""
        if shown.macros is None or not any((shown.macros / "macros").iterdir()):
            return
        kept = self._store.root / "twins" / "macros"
        kept.mkdir(parents=True, exist_ok=True)
        for other in list(kept.iterdir()):
            if not (self._store.snapshots / other.name).exists():
                remove_tree(other)
        with contextlib.suppress(FileExistsError):
            os.rename(shown.macros, kept / snapshot)

    def _same(self, roots: Roots, chains: tuple[Chain, ...]) -> _Same:
        """The entries of what packages have brought: looked for once where those, and the ``chains``, are the same."""
        key = (roots.target, roots.packages.digest, roots.packages_before.digest, chains)
        if key not in self._found:
            folder = self._work / f"retold-{secrets.token_hex(4)}"
            folder.mkdir()
            entries, reason = find_twins(roots)
            self._found[key] = _Same((*entries, *find_retold(roots, folder)), reason, folder)
        return self._found[key]

    def _macros(self, shown: Shown, before: Chain, linker: str) -> list[BindMount]:
        """What rustc.pl needs: itself, a linker, and a folder with what steps below have kept."""
        shown.macros = self._work / f"macros-{secrets.token_hex(4)}"
        for name in FOLDERS:
            (shown.macros / name).mkdir(parents=True)
        for snapshot in before:
            kept = self._store.root / "twins" / "macros" / snapshot
            if kept.is_dir():
                shutil.copytree(kept, shown.macros, dirs_exist_ok=True)
        for folder in (shown.macros, *(shown.macros / name for name in FOLDERS)):
            # A step's user may be any.
            folder.chmod(0o1777)
        link = shown.log.with_name("link")
        link.write_text(linker)
        link.chmod(0o755)
        writable = BindMount(str(shown.macros), MACROS, ("rw", "nosuid", "nodev"))
        return [BindMount(str(HELPER), SHOWN), BindMount(str(link), LINKER), writable]

    def _cross(self, roots: Roots, fetch: Fetch) -> Path | None:
        """The unpacked cross packages for the compilers of a twin root, fetched if need be; None where it has none."""
        packages = wanted(roots.packages, roots.host, roots.target)
        if not packages:
            return None
        key = digest_of(key_parts(packages, roots.host, roots.target, release_of(roots.twin)))
        with self._store.lock(key):
            record = self._cache.find(key)
            if record is None:
                began = time.monotonic()
                folder = self._work / f"cross-{secrets.token_hex(4)}"
                folder.mkdir()
                fetch(download_script(packages, FETCHED), folder)
                name = new_id()
                os.rename(folder / "root", self._store.snapshots / name)
                record = Record((name,), time.monotonic() - began, text="cross compilers for twins")
                if any((self._store.snapshots / name).iterdir()):
                    self._cache.put(key, record)
        return self._store.snapshots / record.chain[0]

    @contextlib.contextmanager
    def _log(self) -> Iterator[Path]:
        folder = self._work / f"log-{secrets.token_hex(4)}"
        folder.mkdir()
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("tmpfs", str(folder), "tmpfs", flags, f"mode=0755,size={_LOG_BYTES}")
        try:
            log = folder / "starts"
            log.touch()
            # A step's user may be any.
            log.chmod(0o622)
            yield log
        finally:
            syscalls.umount(str(folder), syscalls.MNT_DETACH)
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def read_starts(log: Path) -> Starts:
    """The dispatcher's log: a letter, a space and a path for each start; the step may have written what it likes."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in "TE"}
    with contextlib.suppress(OSError), log.open("rb") as file:
        for line in file.read(_LOG_BYTES).decode(errors="replace").splitlines():
            if line[:1] in counts and line[1:2] == " ":
                counts[line[0]][line[2:]] += 1
            elif line[:2] == "F ":
                counts["T"][line[2:]] -= 1
    return Starts(
        twins=counts["T"].total(), emulated=counts["E"].total(), most=_most(counts["E"]), most_twins=_most(counts["T"])
    )


def _most(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_DEAREST])
