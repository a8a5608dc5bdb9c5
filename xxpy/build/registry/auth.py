"""What stands in the Authorization header: Basic, or a token that the registry's token server gives for a scope.

Sources: RFC 9110, "WWW-Authenticate"; distribution's "Token Authentication Specification" and "OAuth2 Token
Authentication".
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from xxpy.build.descriptor import parse_json_object
from xxpy.build.registry.answers import body_of, refused
from xxpy.build.registry.logins import Login
from xxpy.errors import StoreError

if TYPE_CHECKING:
    from requests import Response

BASIC, BEARER = "basic", "bearer"
_LASTS = 60
"""Seconds that a token lasts where the server does not say; those of the specification."""
_EARLY = 10
_LONGEST = 86400
_MOST_HEADER = 8192
_MOST_TOKEN = 1 << 16
_CLIENT = "xxpy"

_WORD = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True)
class Challenge:
    """One of a WWW-Authenticate header: its scheme in lower case and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a header, in order. What is no challenge ends the list."""
    found: list[Challenge] = []
    header, place = header[:_MOST_HEADER], 0
    while match := _WORD.match(header, place):
        place = match.end()
        parameters: dict[str, str] = {}
        while given := _PARAMETER.match(header, place):
            quoted = given[2]
            parameters[given[1].lower()] = given[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            place = given.end()
        found.append(Challenge(match[1].lower(), parameters))
    return found


class Send(Protocol):
    """A request to the token server; redirects are not followed."""

    def __call__(self, method: str, url: str, **how: Any) -> Response: ...


class Authorizer:
    """The headers for one endpoint, from the challenges that it has made. Tokens are kept by scope until they end."""

    def __init__(self, host: str, login: Callable[[], Login], send: Send) -> None:
        self._host = host
        self._login = login
        self._send = send
        self._challenge: Challenge | None = None
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def header(self, scope: str, *, plain: bool) -> str:
        """What to send for ``scope`` now, empty for nothing. Raises RegistryError."""
        with self._lock:
            if self._challenge is None:
                return ""
            if self._challenge.scheme == BASIC:
                return self._login().basic
            token, until = self._tokens.get(scope, ("", 0.0))
            if not token or until < time.monotonic():
                token, lasts = self._fetched(self._challenge, scope, plain)
                self._tokens[scope] = (token, time.monotonic() + lasts)
            return f"Bearer {token}"

    @property
    def shown(self) -> tuple[Login, bool]:
        """The login that the endpoint was shown, and whether itself, not what a token server gave for it.

        An empty one where the endpoint has asked for none.
        """
        if self._challenge is None:
            return Login(), False
        login = self._login()
        return login, self._challenge.scheme == BASIC or bool(login.bearer)

    def challenged(self, header: str, scope: str, sent: str) -> bool:
        """Take note of a 401's header; whether another request may fare better than the one with ``sent``."""
        offered = parse_challenges(header)
        by_scheme = {each.scheme: each for each in reversed(offered)}
        chosen = by_scheme.get(BEARER) or by_scheme.get(BASIC)
        with self._lock:
            if chosen is None or (chosen.scheme == BASIC and (sent or not self._login().basic)):
                return False
            if sent and sent == f"Bearer {self._tokens.get(scope, ('', 0.0))[0]}":
                # It may have been taken back; another that is refused too is the last.
                del self._tokens[scope]
            self._challenge = chosen
            return True

    def _fetched(self, challenge: Challenge, scope: str, plain: bool) -> tuple[str, float]:
        """A token for ``scope`` and the seconds it lasts."""
        login = self._login()
        if login.bearer:
            return login.bearer, _LONGEST
        realm, service = challenge.parameters.get("realm", ""), challenge.parameters.get("service", "")
        parts = urlsplit(realm)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None:
            raise refused(self._host, "names no token server", "registry-wrong")
        if parts.scheme == "http" and not plain:
            raise refused(self._host, f"would have tokens fetched by plain HTTP ({parts.hostname})", "registry-wrong")
        scopes = [scope] if " " not in scope else scope.split(" ")
        if login.identity:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity, "scope": scope}
            answer = self._send("POST", realm, data=form | {"service": service, "client_id": _CLIENT})
        else:
            asked = [("service", service)] * bool(service) + [("scope", each) for each in scopes if each]
            headers = {"Authorization": login.basic} if login.basic else {}
            answer = self._send("GET", realm, params=asked, headers=headers)
        return self._token_of(answer)

    def _token_of(self, answer: Response) -> tuple[str, float]:
        try:
            value = parse_json_object(body_of(answer, 1 << 20), "the answer")
        except StoreError:
            value = {}
        token = value.get("token") or value.get("access_token")
        if not isinstance(token, str) or not token or len(token) > _MOST_TOKEN or not token.isprintable():
            raise refused(self._host, "has a token server that answers with no token", "registry-wrong")
        lasts = value.get("expires_in")
        seconds = lasts if isinstance(lasts, int) and not isinstance(lasts, bool) and lasts > 0 else _LASTS
        return token, max(min(seconds, _LONGEST) - _EARLY, 1)
