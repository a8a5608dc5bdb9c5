"""Files from URLs, for ADD and contexts: fetched with bounds into the store, and asked for conditionally the next time.

Source: RFC 9110 (``If-None-Match``, ``If-Modified-Since``, 304); Dockerfile reference, "Adding files from a URL".
requests is imported with the first URL: few builds have one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xxpy.build.descriptor import Descriptor
from xxpy.build.dockerfile.remote import shown
from xxpy.build.graph import Digest, digest_of
from xxpy.build.hostca import HostCa
from xxpy.build.store import Store
from xxpy.errors import SourceError

if TYPE_CHECKING:
    from requests import Response, Session
    from requests.exceptions import RequestException

MOST_BYTES = 16 << 30
"""Bytes of a fetched file, at most."""
MOST_SECONDS = 3600
"""Seconds that one file may take."""
MOST_REDIRECTS = 10
TIMEOUT = (30, 60)
"""Seconds to wait for a connection, and for more of an answer."""

_TYPE = "application/octet-stream"
_PIECE = 1 << 20
_LONGEST = 1024
"""Characters of a header that is kept."""


@dataclass(frozen=True)
class Fetched:
    """A fetched file: its content is the blob ``digest``; ``mtime`` is Last-Modified in seconds since 1970, else 0."""

    digest: Digest
    mtime: int


class Fetcher:
    """Fetches into ``store``. Neither netrc nor cookies are used; proxies are those of the environment."""

    def __init__(self, store: Store, host_ca: HostCa) -> None:
        self._store = store
        self._host_ca = host_ca

    def fetch(self, url: str, checksum: Digest = "") -> Fetched:
        """The file at ``url``, from the store if the server says that it is as it was.

        With ``checksum`` a file of that digest that came from there before is taken unasked. Raises SourceError
        (``url-unreachable``, ``url-status``, ``url-certificate``, ``url-too-large``, ``url-timeout``,
        ``checksum-mismatch``, ``bad-url``), StoreError.
        """
        from requests.exceptions import RequestException

        key = digest_of(["fetched", url])
        known = self._known(key)
        if checksum and known is not None and known["digest"] == checksum:
            return Fetched(known["digest"], known["mtime"])
        try:
            with self._session() as session, self._asked(session, url, known) as response:
                if response.status_code == 304 and known is not None:
                    return _agreed(Fetched(known["digest"], known["mtime"]), url, checksum)
                if response.status_code != 200:
                    raise _status(url, response)
                blob = self._body(url, response, checksum)
                found = Fetched(blob.digest, _time(response.headers.get("Last-Modified", "")))
        except RequestException as error:
            raise _failed(url, error) from None
        etag, modified = (response.headers.get(name, "")[:_LONGEST] for name in ("ETag", "Last-Modified"))
        value = {"digest": found.digest, "mtime": found.mtime, "etag": etag, "modified": modified}
        self._store.put_record(key, value)
        return found

    def _known(self, key: Digest) -> dict[str, Any] | None:
        value = self._store.record(key)
        if value is None or not isinstance(value.get("mtime"), int) or not isinstance(value.get("digest"), str):
            return None
        return value if self._store.has(value["digest"]) else None

    def _session(self) -> Session:
        import requests

        session = requests.Session()
        # The environment's proxies are given by hand: with them would come the user's netrc.
        session.trust_env = False
        session.max_redirects = MOST_REDIRECTS
        session.verify = str(self._host_ca.bundle) if self._host_ca.bundle is not None else True
        return session

    def _asked(self, session: Session, url: str, known: dict[str, Any] | None) -> Response:
        from requests.utils import get_environ_proxies

        # What the server would pack for the way is not what is there.
        headers = {"Accept-Encoding": "identity", "User-Agent": "xxpy"}
        if known is not None and known.get("etag"):
            headers["If-None-Match"] = str(known["etag"])
        elif known is not None and known.get("modified"):
            headers["If-Modified-Since"] = str(known["modified"])
        proxies = get_environ_proxies(url, no_proxy=None)
        return session.get(url, headers=headers, stream=True, timeout=TIMEOUT, proxies=proxies)

    def _body(self, url: str, response: Response, checksum: Digest) -> Descriptor:
        until = time.monotonic() + MOST_SECONDS
        size, state = 0, hashlib.sha256()
        with self._store.writer() as out:
            for piece in response.iter_content(_PIECE):
                size += len(piece)
                if size > MOST_BYTES:
                    raise _error(url, f"is larger than {MOST_BYTES >> 30} GiB", "give less of it", "url-too-large")
                if time.monotonic() > until:
                    raise _error(url, f"takes longer than {MOST_SECONDS} seconds", "try again", "url-timeout")
                state.update(piece)
                out.write(piece)
            _agreed(Fetched(f"sha256:{state.hexdigest()}", 0), url, checksum)
            return out.commit(_TYPE)


def put_fetched(store: Store, fetched: Fetched, place: Path) -> None:
    """Copy a fetched file to ``place``, with mode 0600 and its time, as BuildKit has it. Raises OSError."""
    shutil.copyfile(store.blob(fetched.digest), place)
    place.chmod(0o600)
    os.utime(place, (fetched.mtime, fetched.mtime))


def _agreed(found: Fetched, url: str, checksum: Digest) -> Fetched:
    if checksum and found.digest != checksum:
        raise _error(
            url,
            f"is {found.digest}, --checksum says {checksum}",
            "see which of the two is right: the file may have been changed",
            "checksum-mismatch",
        )
    return found


def _time(text: str) -> int:
    """A date of HTTP in seconds since 1970; 0 for none, and for what cannot be a file's."""
    import email.utils

    try:
        found = int(email.utils.parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0
    return found if 0 <= found < 1 << 34 else 0


def _status(url: str, response: Response) -> SourceError:
    word = f"{response.status_code} {response.reason or ''}".strip()[:80]
    remedy = "see whether the address is right" if response.status_code < 500 else "try again later"
    return _error(url, f"cannot be fetched: the server says {word}", remedy, "url-status")


def _failed(url: str, error: RequestException) -> SourceError:
    from requests import exceptions as kinds

    if isinstance(error, kinds.SSLError):
        return _error(
            url,
            f"has a certificate that cannot be trusted: {why_of(error)}",
            "behind a proxy with an authority of its own: --host-ca auto",
            "url-certificate",
        )
    if isinstance(error, kinds.TooManyRedirects):
        return _error(url, f"leads through more than {MOST_REDIRECTS} redirects", "name the file", "url-redirects")
    if isinstance(error, kinds.Timeout):
        return _error(url, "does not answer in time", "try again, or see whether a proxy is needed", "url-timeout")
    if isinstance(error, (kinds.InvalidURL, kinds.InvalidSchema, kinds.MissingSchema)):
        return _error(url, "leads to what is no address of HTTP", "name the file itself", "bad-url")
    return _error(
        url,
        f"cannot be reached: {why_of(error)}",
        "see whether the address is right, and whether this machine needs a proxy (HTTPS_PROXY)",
        "url-unreachable",
    )


def why_of(error: BaseException) -> str:
    """The system's word for what lies at the bottom of an error of requests."""
    said = "the connection broke off"
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.strerror:
            said = one.strerror
        reason = getattr(one, "reason", None)
        inner = [each for each in one.args if isinstance(each, BaseException)]
        todo += [*inner, one.__cause__, one.__context__, reason if isinstance(reason, BaseException) else None]
    return said[:200]


def _error(url: str, what: str, remedy: str, reason: str) -> SourceError:
    return SourceError(f"{shown(url)} {what}", remedy=remedy, reason=reason)
