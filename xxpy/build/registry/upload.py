"""One blob into a repository. Where an upload breaks off, the registry is asked how far it came, and it goes on there.

Sources: OCI distribution-spec, "Pushing a blob monolithically", "Pushing a blob in chunks" (``GET`` of the upload's
location answers 204 with ``Range: 0-LAST``), "Mounting a blob from another repository".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import quote, urljoin

from xxpy.build.descriptor import Descriptor
from xxpy.build.registry.answers import AWAY, BROKEN, BUSY, FAILS, MISMATCH, TIMEOUT, UNREACHABLE, WRONG, refused
from xxpy.build.registry.client import MOST_ROUNDS, TRIES, Client
from xxpy.build.registry.transfer import Meter
from xxpy.build.store import Store
from xxpy.errors import RegistryError

_AGAIN = (BROKEN, TIMEOUT, UNREACHABLE, FAILS, BUSY, AWAY)
"""Reasons for which an upload goes on or begins again."""
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,15})")
_BYTES = {"Content-Type": "application/octet-stream"}


def upload(store: Store, client: Client, repository: str, blob: Descriptor, source: str, meter: Meter) -> None:
    """Have a blob of the store in ``repository``, mounted from the repository ``source`` if that is named and serves.

    Raises RegistryError, OSError.
    """
    sent = _Counted(meter, store, blob)
    try:
        _Upload(client, repository, blob, sent).run(source)
    except BaseException:
        sent.take_back()
        raise
    finally:
        sent.close()


class _Upload:
    def __init__(self, client: Client, repository: str, blob: Descriptor, sent: _Counted) -> None:
        self._client = client
        self._repository = repository
        self._blob = blob
        self._sent = sent
        self._what = f"the blob {blob.digest[:19]} of {repository}"
        self._scope = client.scope(repository, "pull,push")
        self._place = ""
        """Where the upload goes, empty before there is one."""
        self._reached = 0
        """Bytes that the registry is known to have of it."""

    def run(self, source: str) -> None:
        failures = 0
        for _ in range(MOST_ROUNDS):
            before, self._reached = self._reached, self._asked_how_far()
            failures = 0 if self._reached > before else failures
            try:
                if self._reached:
                    self._go_on()
                else:
                    self._begin(source)
                return
            except RegistryError as error:
                failures += 1
                if error.reason not in _AGAIN:
                    # What was put together of parts may be wrong; and a login that may not read the other repository is
                    # no reason not to push.
                    if not self._reached and not source:
                        raise
                    self._place = ""
                if failures == TRIES:
                    raise
                last, source = error, ""
                self._client.wait(failures, f"{error.message} ({self._what})" if error.reason in _AGAIN else "")
        raise last

    def _begin(self, source: str) -> None:
        """Upload it from its start, in one request, unless it can be mounted."""
        client, uploads, scope = self._client, self._client.path(self._repository, "blobs/uploads/"), self._scope
        self._sent.take_back()
        if source:
            scope = f"{scope} {client.scope(source)}"
            uploads += f"?mount={quote(self._blob.digest)}&from={quote(client.prefixed(source))}"
        with client.ask("POST", uploads, scope, f"an upload of {self._what}", expect=(201, 202)) as begun:
            if begun.status_code == 201:
                self._sent.count(self._blob.size)
                return
            self._place = self._led_to(begun.url, begun.headers.get("Location", ""))
        self._put(start=0)

    def _asked_how_far(self) -> int:
        """Bytes that the registry has of the upload that broke off; 0 where it has none, or does not say."""
        if not self._place or not self._sent.bytes:
            return 0
        with (
            contextlib.suppress(RegistryError),
            self._client.ask("GET", self._place, self._scope, self._what, expect=(204,), tries=1) as answer,
        ):
            match = _RANGE.fullmatch(answer.headers.get("Range", ""))
            # "0-0" is said by those too that have nothing.
            have = int(match[1]) + 1 if match and int(match[1]) else 0
            if have <= self._blob.size:
                self._place = self._led_to(answer.url, answer.headers.get("Location", "") or self._place)
                return have
        return 0

    def _go_on(self) -> None:
        """Upload the rest, and end the upload."""
        start, size = self._reached, self._blob.size
        self._sent.take_back()
        if start < size:
            headers = {**_BYTES, "Content-Range": f"{start}-{size - 1}"}
            with self._client.ask(
                "PATCH", self._place, self._scope, self._what, expect=(202,), headers=headers, tries=1,
                body=lambda: self._sent.open(start),
            ) as answer:  # fmt: skip
                self._place = self._led_to(answer.url, answer.headers.get("Location", "") or self._place)
        self._put(start=size)

    def _put(self, start: int) -> None:
        """End the upload with what is there from byte ``start`` on."""
        place = f"{self._place}{'&' if '?' in self._place else '?'}digest={quote(self._blob.digest)}"
        with self._client.ask(
            "PUT", place, self._scope, self._what, expect=(201,), headers=_BYTES, tries=1,
            body=lambda: self._sent.open(start),
        ) as done:  # fmt: skip
            require_agreed(self._client.host, done.headers.get("Docker-Content-Digest", ""), self._blob, self._what)

    def _led_to(self, url: str, location: str) -> str:
        """The upload's place as a whole address. Raises RegistryError."""
        place = urljoin(url, location)
        if not location or not place.startswith("https://" if self._client.root.startswith("https:") else "http"):
            raise refused(self._client.host, f"does not say where {self._what} goes", WRONG)
        return place


def require_agreed(host: str, said: str, sent: Descriptor, what: str) -> None:
    """Refuse an answer with a digest, ``said``, of something else than was sent. Raises RegistryError."""
    if said.startswith("sha256:") and said != sent.digest:
        remedy = "what stands between here and the registry changes what is sent: see whether that is a proxy"
        raise refused(host, f"has {said[:19]} as {what}", MISMATCH, remedy)


class _Counted:
    """A request's body out of a blob, which counts what is read of it."""

    def __init__(self, meter: Meter, store: Store, blob: Descriptor) -> None:
        self._meter = meter
        self._path = store.blob(blob.digest)
        self._size = blob.size
        self._start = 0
        self._file: IO[bytes] | None = None
        self.bytes = 0
        """That count as sent."""

    def open(self, start: int) -> Any:
        """The body from the byte ``start`` on; what is before counts as sent."""
        self.take_back()
        self.count(start)
        self._start = start
        if start == self._size:
            # requests sends what has no length in chunks, which registries need not take.
            return b""
        self._file = self._path.open("rb")
        self._file.seek(start)
        return self

    def count(self, count: int) -> None:
        self.bytes += count
        self._meter.add(count)

    def take_back(self) -> None:
        """What was sent does not count."""
        self.close()
        sent, self.bytes = self.bytes, 0
        self._meter.add(-sent)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __len__(self) -> int:
        return self._size - self._start

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(1 << 18):
            yield data

    def read(self, size: int = -1) -> bytes:
        assert self._file is not None
        data = self._file.read(size)
        self.count(len(data))
        return data
