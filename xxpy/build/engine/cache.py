"""Which snapshot is the result of which cache key, and whether it can be believed.

Snapshots are written without waiting for the disk. So a record counts while the machine has not been restarted since,
and after a restart only if everything had been written out before (`Syncer`): what a power cut tore is never used.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.engine import syscalls
from xxpy.build.engine.snapshots import Chain, whole
from xxpy.build.graph import Digest
from xxpy.build.store import Store
from xxpy.errors import StoreError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOST_BOOTS = 500


@dataclass(frozen=True)
class Record:
    """A solved vertex: the chain of its snapshots, the seconds it took, the end of what it printed (4 KiB at most).

    ``text`` is what it was, for people.
    """

    chain: Chain
    seconds: float
    tail: str = ""
    text: str = ""


class Cache:
    """Records by cache key. Safe for several threads and processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._putting = threading.Lock()
        self._closed = False
        self._mark = store.files / "synced.json"
        self._boot = _boot_id()
        self._synced = self._read_mark()

    def find(self, key: Digest) -> Record | None:
        """The believable record of ``key`` whose snapshots are all there."""
        value = self._store.record(key)
        if value is None:
            return None
        chain, seconds, tail = value.get("chain"), value.get("seconds"), value.get("tail")
        boot, at = value.get("boot"), value.get("at")
        if not isinstance(chain, list) or not isinstance(seconds, (int, float)) or not isinstance(at, int):
            return None
        if boot != self._boot and at > self._synced.get(str(boot), 0):
            return None
        found = Record(tuple(str(name) for name in chain), float(seconds), str(tail))
        return found if whole(self._store.snapshots, found.chain) else None

    def put(self, key: Digest, record: Record) -> None:
        """Remember ``record``, unless `close` was called. Raises StoreError."""
        seconds = round(record.seconds, 3)
        value = {"chain": list(record.chain), "seconds": seconds, "tail": record.tail, "text": record.text}
        with self._putting:
            if self._closed:
                raise StoreError("the build has ended", remedy="build again", reason="build-ended")
            self._store.put_record(key, value | {"boot": self._boot, "at": time.time_ns()})

    def close(self) -> None:
        """Have nothing remembered from now on.

        A build that fails clears its drafts away while other steps may still write to theirs: what those make then
        looks whole and is not.
        """
        with self._putting:
            self._closed = True

    def mark_synced(self, until: int) -> None:
        """All records put before ``until`` (nanoseconds since 1970) are on the disk, with their snapshots."""
        with self._store.lock("synced"):
            marks = self._read_mark()
            marks[self._boot] = max(until, marks.get(self._boot, 0))
            text = json.dumps(dict(list(marks.items())[-_MOST_BOOTS:]))
            temporary = self._mark.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            with contextlib.suppress(OSError):
                temporary.write_text(text)
                os.replace(temporary, self._mark)

    def _read_mark(self) -> dict[str, int]:
        try:
            value = json.loads(self._mark.read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(k): v for k, v in value.items() if isinstance(v, int)} if isinstance(value, dict) else {}


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"


class Syncer:
    """Writes the store out to its disk beside the running steps, so that little is left to wait for at the end."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self._root = store.root
        self._cache = cache
        self._wake = threading.Condition()
        self._wanted = self._done = 0
        threading.Thread(target=self._loop, name="syncer", daemon=True).start()

    def nudge(self) -> None:
        """Something was written."""
        with self._wake:
            self._wanted += 1
            self._wake.notify_all()

    def wait(self) -> None:
        """Until all that was written before now is on the disk."""
        with self._wake:
            wanted = self._wanted
            self._wake.wait_for(lambda: self._done >= wanted)

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._wanted > self._done)
                wanted = self._wanted
            began = time.time_ns()
            # A failed write shows as an untrusted record after a restart, which costs time and nothing else.
            with contextlib.suppress(OSError):
                fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    syscalls.syncfs(fd)
                finally:
                    os.close(fd)
                self._cache.mark_synced(began)
            with self._wake:
                self._done = wanted
                self._wake.notify_all()
