"""A blob from one endpoint into the store. Where it breaks off it goes on, in this process or in the next.

Sources: OCI distribution-spec, "Pulling blobs"; RFC 9110, "Range".
"""

from __future__ import annotations

from xxpy.build.descriptor import Descriptor
from xxpy.build.partial import PartialBlob
from xxpy.build.registry.answers import BROKEN, DENIED, MISMATCH, STATUS, TIMEOUT, WRONG, refused
from xxpy.build.registry.client import MOST_ROUNDS, TRIES, Client
from xxpy.build.registry.transfer import Meter
from xxpy.build.store import Store
from xxpy.errors import RegistryError

_DAMAGED = (WRONG, MISMATCH)
"""Reasons for which what there is of a blob is thrown away."""
_NO_PARTS = (STATUS, DENIED)
"""Reasons to ask for all of a blob: some servers serve no part."""


def download(store: Store, client: Client, repository: str, blob: Descriptor, meter: Meter) -> None:
    """Have a blob in the store; who calls has its lock. Raises RegistryError, StoreError."""
    with PartialBlob(store, blob) as out:
        _Download(client, repository, blob, out, meter).run()


class _Download:
    def __init__(self, client: Client, repository: str, blob: Descriptor, out: PartialBlob, meter: Meter) -> None:
        self._client = client
        self._repository = repository
        self._blob = blob
        self._out = out
        self._meter = meter
        self._what = f"the blob {blob.digest[:19]} of {repository}"
        self._counted = 0
        self._in_parts = out.size > 0
        self._whole = False
        """Whether no part is asked for: what is there is passed over in what comes."""

    def run(self) -> None:
        self._count()
        anew = False
        try:
            while True:
                try:
                    self._fill()
                    break
                except RegistryError as error:
                    if error.reason in _NO_PARTS and self._out.size and not self._whole:
                        self._whole = True
                        continue
                    if error.reason in _DAMAGED:
                        self._out.restart()
                        self._count()
                    if error.reason not in _DAMAGED or not self._in_parts or anew:
                        raise
                    anew = True
            self._out.commit()
        except BaseException:
            self._meter.add(-self._counted)
            raise

    def _fill(self) -> None:
        """Have all of it, checked."""
        out, client, failures, rounds = self._out, self._client, 0, 0
        while out.size < self._blob.size:
            began, problem, rounds = out.size, None, rounds + 1
            self._in_parts = self._in_parts or began > 0
            try:
                for piece in client.blob(self._repository, self._blob.digest, began, whole=self._whole):
                    if out.size + len(piece) > self._blob.size:
                        many = f"gives more than the {self._blob.size} bytes of {self._what}"
                        raise refused(client.host, many, WRONG)
                    out.write(piece)
                    self._count()
            except RegistryError as error:
                if error.reason not in (BROKEN, TIMEOUT):
                    raise
                problem = error
            if out.size == self._blob.size:
                break
            failures = 1 if out.size > began else failures + 1
            short = refused(client.host, f"gives {out.size} of {self._blob.size} bytes of {self._what}", WRONG)
            if failures == TRIES or rounds == MOST_ROUNDS:
                raise problem or short
            client.wait(failures, f"{problem.message} ({self._what})" if problem else short.message)
        if out.digest != self._blob.digest:
            said = f"gives {out.digest[:19]} as {self._what}"
            raise refused(client.host, said, MISMATCH, "nothing of it is kept; tell who runs it")

    def _count(self) -> None:
        """Tell the meter of what has come or gone since it was told last."""
        more, self._counted = self._out.size - self._counted, self._out.size
        self._meter.add(more)
