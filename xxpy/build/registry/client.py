"""One endpoint of a registry over HTTP: who asks, what is asked again, where redirects may lead.

A login goes to the endpoint and to the token server that it names, never to where a redirect or an upload leads.
Sources: OCI distribution-spec; RFC 9110, "Retry-After" and "Range".
"""

from __future__ import annotations

import email.utils
import functools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from xxpy.build.registry.answers import (
    AWAY,
    BROKEN,
    CERTIFICATE,
    TIMEOUT,
    UNREACHABLE,
    WRONG,
    Asked,
    could_not_connect,
    failed,
    refused,
    status_error,
)
from xxpy.build.registry.auth import Authorizer
from xxpy.build.registry.logins import Logins
from xxpy.build.registry.reference import Reference
from xxpy.build.registry.settings import Endpoint, Settings, endpoints_for, read_settings

if TYPE_CHECKING:
    from requests import Response, Session

TRIES = 5
"""How often a request is made that may fare better another time."""
MOST_ROUNDS = 64
"""How often one blob, either way, may break off after some bytes."""
MOST_WAIT = 60.0
"""Seconds that a server may ask to be left alone."""

_FIRST_WAIT, _MOST_OWN_WAIT = 0.25, 8.0
_CONNECT = 10
_CONNECT_FIRST = 4
"""Seconds for a connection to a server that has not answered yet: where there is none, that should be told soon."""
_RETRIED = (408, 429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_SAME_METHOD = (307, 308)
"""Redirects after which a request is made as it was, with its body (RFC 9110)."""
_MOST_REDIRECTS = 8
_POOL = 16
"""Connections to one host that are kept."""
_PIECE = 1 << 18
"""Bytes of an answer that are read at once, at most."""
_NO_CA = "see what REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE or registries.toml name"
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

Body = Callable[[], Any]
"""Gives a request's body anew each time that it is sent."""


class Client:
    """Asks one endpoint; any thread may."""

    def __init__(
        self,
        endpoint: Endpoint,
        logins: Logins,
        timeout: float,
        ca: Path | None = None,
        pause: Callable[[float], None] = time.sleep,
        told: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """``told`` is given a line of each request that is made again, before the wait."""
        self.endpoint = endpoint
        self.host = endpoint.host
        self._timeout = timeout
        usual = next((os.environ[each] for each in _CA_VARIABLES if os.environ.get(each)), "")
        self._ca = str(ca) if ca is not None else usual
        self._pause = pause
        self._told = told
        self._lock = threading.Lock()
        self._root = ""
        self._answered = False
        self._authorizer = Authorizer(self.host, functools.partial(logins.of, self.host), self._to_token_server)

    @functools.cached_property
    def _session(self) -> Session:
        from http.cookiejar import DefaultCookiePolicy

        import requests
        import urllib3
        from requests.adapters import HTTPAdapter

        session = requests.Session()
        # With the environment's proxies would come the user's netrc.
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=_POOL))
        if self.endpoint.ca and self.endpoint.verify:
            from xxpy.build.registry.authorities import AlsoTrusting

            session.mount(f"https://{self.host}/", session.get_adapter("https://"))
            session.mount("https://", AlsoTrusting(self.endpoint.ca, _POOL))
        if not self.endpoint.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return session

    @property
    def root(self) -> str:
        """``SCHEME://HOST`` of the endpoint, by the first of its schemes that answers."""
        from requests.exceptions import RequestException

        with self._lock:
            if not self._root:
                *doubtful, last = self.endpoint.schemes
                for scheme in doubtful:
                    try:
                        self._send("GET", f"{scheme}://{self.host}/v2/").close()
                    except RequestException:
                        continue
                    last = scheme
                    break
                self._root = f"{last}://{self.host}"
            return self._root

    def path(self, repository: str, rest: str) -> str:
        """Below the root, what ``rest`` of a repository is."""
        return f"/v2/{self.prefixed(repository)}/{rest}"

    def prefixed(self, repository: str) -> str:
        """The repository's name at this endpoint."""
        return f"{self.endpoint.prefix}/{repository}" if self.endpoint.prefix else repository

    def scope(self, repository: str, actions: str = "pull") -> str:
        """What a token is asked for."""
        return f"repository:{self.prefixed(repository)}:{actions}"

    def ask(
        self,
        method: str,
        path: str,
        scope: str,
        what: str,
        *,
        expect: Sequence[int] = (200,),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        tries: int = TRIES,
    ) -> Response:
        """An answer whose status is of ``expect``; its content is yet to be read. ``path`` may be a whole URL.

        ``what`` is what errors call that which is asked for. Raises RegistryError, and as `Logins.of` does.
        """
        url = urljoin(self.root, path)
        return self._tried(lambda: self._authorized(method, url, scope, headers or {}, body), expect, what, tries)

    def blob(self, repository: str, digest: str, start: int, *, whole: bool = False) -> Iterator[bytes]:
        """The pieces of a blob from the byte ``start`` on, out of a ``whole`` one or the part that was asked for.

        Raises RegistryError (``registry-broken``, …).
        """
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        headers = {"Range": f"bytes={start}-"} if start and not whole else {}
        what = f"the blob {digest[:19]} of {repository}"
        path = self.path(repository, f"blobs/{digest}")
        with self.ask("GET", path, self.scope(repository), what, expect=(200, 206), headers=headers) as response:
            skipped = start if response.status_code == 200 else 0
            given = response.headers.get("Content-Range", "")
            if response.status_code == 206 and not given.startswith(f"bytes {start}-"):
                raise refused(self.host, f"answers with another part of {what} than was asked for", WRONG)
            try:
                # What has come, as it comes: iter_content waits for a whole piece, and copies it twice.
                while piece := response.raw.read1(_PIECE):
                    kept = piece[skipped:]
                    skipped -= len(piece) - len(kept)
                    yield kept
            except HTTPError as error:
                raise failed(self._asked(response.url, "").named, RequestException(error)) from None

    def wait(self, failures: int, problem: str) -> None:
        """Let some time pass before another request, the more the more have failed; ``problem``, if any, is told."""
        self._again(problem, _own_wait(failures))

    def _again(self, problem: str, delay: float) -> None:
        if problem:
            self._told(f"{problem}: asked again in {delay:.1f} s")
        self._pause(delay)

    def _tried(
        self, once: Callable[[], Response], expect: Sequence[int], what: str, tries: int = TRIES, server: str = ""
    ) -> Response:
        """An answer of the endpoint and of where it leads; of a token ``server`` if that is named."""
        from requests.exceptions import RequestException

        for failures in range(1, tries + 1):
            delay = _own_wait(failures)
            try:
                response = once()
            except RequestException as error:
                url = str(error.request.url) if error.request is not None else ""
                problem = failed(self._asked(url, server).named, error)
                final = could_not_connect(error) and not self._answered
                if final or problem.reason not in (BROKEN, UNREACHABLE, TIMEOUT):
                    raise problem from None
            except OSError as error:
                # A file of authorities that is not there.
                raise refused(server or self.host, f"cannot be asked: {error}", CERTIFICATE, _NO_CA) from None
            else:
                self._answered = True
                if response.status_code in expect:
                    return response
                wanted = _retry_after(response.headers.get("Retry-After", ""))
                with response:
                    problem = status_error(self._asked(response.url, server), response, what)
                if response.status_code not in _RETRIED and problem.reason != AWAY:
                    raise problem
                if wanted > MOST_WAIT:
                    problem.message += f"; it asks to wait {wanted:.0f} seconds"
                    raise problem
                delay = max(delay, wanted)
            if failures < tries:
                self._again(problem.message, delay)
        if tries > 1:
            problem.message += f" ({tries} times)"
        raise problem

    def _asked(self, url: str, server: str) -> Asked:
        """Who it is at ``url``, for errors. Of an address nothing but the host is told: the rest may be a secret."""
        login, judged = self._authorizer.shown
        if server:
            return Asked(server, self.host, login.place, judged=True, token_server=True)
        host = _server_of(url) or self.host
        return Asked(host, self.host, login.place, judged)

    def _authorized(self, method: str, url: str, scope: str, headers: Mapping[str, str], body: Body | None) -> Response:
        """One answer, with the endpoint's login where that is asked for, and redirects followed."""
        refusals = 0
        for _ in range(_MOST_REDIRECTS):
            own = _origin(url) == _origin(self.root)
            sent = self._authorizer.header(scope, plain=url.startswith("http:")) if own else ""
            more = {"Authorization": sent} if sent else {}
            response = self._send(method, url, headers={**headers, **more}, data=body() if body is not None else None)
            if response.status_code == 401 and own and refusals < 2:
                refusals += 1
                if self._authorizer.challenged(response.headers.get("WWW-Authenticate", ""), scope, sent):
                    response.close()
                    continue
            status = response.status_code
            if status not in _REDIRECTS or (method not in ("GET", "HEAD") and status not in _SAME_METHOD):
                return response
            response.close()
            url = self._redirected(url, response.headers.get("Location", ""))
        raise refused(self.host, f"leads through more than {_MOST_REDIRECTS} redirects", WRONG)

    def _redirected(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        parts = urlsplit(target)
        plain = parts.scheme == "http" and "http" in self.endpoint.schemes
        if not location or not parts.hostname or not (parts.scheme == "https" or plain):
            raise refused(self.host, "redirects to what is no address of HTTPS", WRONG)
        return target

    def _to_token_server(self, method: str, url: str, **how: Any) -> Response:
        # A redirect is an error: the login is for the server that was named.
        return self._tried(lambda: self._send(method, url, **how), (200,), "a token", server=_server_of(url))

    def _send(self, method: str, url: str, **how: Any) -> Response:
        from requests.utils import get_environ_proxies

        # What the server would pack for the way is not what has the digest.
        headers = {"Accept-Encoding": "identity", "User-Agent": "xxpy", **how.pop("headers", {})}
        own = urlsplit(url).netloc == self.host
        # Where the registry leads to may have a certificate of its authority's, or of one that everybody knows.
        verify: bool | str = (self.endpoint.ca if own else "") or self._ca or True
        if own and not self.endpoint.verify:
            verify = False
        return self._session.request(
            method,
            url,
            headers=headers,
            allow_redirects=False,
            stream=True,
            timeout=(_CONNECT if self._answered else _CONNECT_FIRST, self._timeout),
            verify=verify,
            proxies=get_environ_proxies(url, no_proxy=None),
            **how,
        )


class Registries:
    """The clients of one command: each endpoint is one, so that tokens and connections serve all requests.

    ``ca`` is a PEM file of authorities, None for the usual ones. The user's settings are read with the first that is
    asked for. ``told``, which may be set anew, is given a line where a request is made again: one for each problem of
    each server.
    """

    def __init__(
        self,
        ca: Path | None = None,
        pause: Callable[[float], None] = time.sleep,
        told: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.told = told
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._ca = ca
        self._pause = pause
        self._logins = Logins()
        self._clients: dict[Endpoint, Client] = {}

    @functools.cached_property
    def _settings(self) -> Settings:
        return read_settings()

    def clients(self, reference: Reference) -> list[Client]:
        """Who may have an image: mirrors first, the registry itself last. Raises SourceError."""
        return [self._client(each) for each in endpoints_for(self._settings, reference)]

    def own(self, reference: Reference, *, insecure: bool = False) -> Client:
        """The registry itself. Raises SourceError."""
        return self._client(endpoints_for(self._settings, reference, insecure=insecure)[-1])

    def _client(self, endpoint: Endpoint) -> Client:
        if endpoint not in self._clients:
            self._clients[endpoint] = Client(
                endpoint, self._logins, self._settings.timeout, self._ca, self._pause, self._tell
            )
        return self._clients[endpoint]

    def _tell(self, text: str) -> None:
        # How long is waited differs each time.
        what = text.rpartition(":")[0]
        with self._lock:
            new = what not in self._said
            self._said.add(what)
        if new:
            self.told(text)


def _server_of(url: str) -> str:
    """Host and port, without a login."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _own_wait(failures: int) -> float:
    most: float = min(_FIRST_WAIT * 2**failures, _MOST_OWN_WAIT)
    return most * random.uniform(0.5, 1)


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 for none."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return float(max(until - time.time(), 0.0))
