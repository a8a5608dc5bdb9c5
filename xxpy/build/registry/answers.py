"""What registries answer, read with bounds, and their errors in words.

Source: OCI distribution-spec, "Error Codes". requests is imported with the first request: most builds make none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xxpy.build.descriptor import parse_json_object
from xxpy.build.fetch import why_of
from xxpy.build.registry.reference import HUB_SERVER
from xxpy.errors import RegistryError, StoreError

if TYPE_CHECKING:
    from requests import Response
    from requests.exceptions import RequestException

UNREACHABLE, MISSING, UNAUTHORIZED, BROKEN = (
    "registry-unreachable",
    "image-missing",
    "registry-unauthorized",
    "registry-broken",
)
WRONG, BUSY, STATUS, CERTIFICATE = "registry-wrong", "registry-busy", "registry-status", "registry-certificate"
TIMEOUT, FAILS = "registry-timeout", "registry-fails"
DENIED, MISMATCH, AWAY = "registry-denied", "digest-mismatch", "registry-away"

_MOST_ERROR = 1 << 16
_PIECE = 1 << 16
_AGAIN = "try again later; docs/registry.md says how to name a mirror"


def refused(host: str, what: str, reason: str, remedy: str = _AGAIN) -> RegistryError:
    """The error of one server: ``host`` and what it does."""
    return RegistryError(f"{host} {what}", remedy=remedy, reason=reason)


def body_of(response: Response, limit: int) -> bytes:
    """The whole of an answer. Raises RegistryError (``registry-wrong``) for more than ``limit`` bytes."""
    data = b""
    for piece in response.iter_content(_PIECE):
        data += piece
        if len(data) > limit:
            host = response.url.partition("://")[2].partition("/")[0]
            raise refused(host, f"answers with more than {limit} bytes", WRONG)
    return data


def said(response: Response) -> str:
    """Status and error codes of an answer, as in ``404 Not Found (NAME_UNKNOWN: repository name not known)``."""
    from requests.exceptions import RequestException

    words = f"{response.status_code} {response.reason or ''}".strip()[:80]
    try:
        errors = parse_json_object(body_of(response, _MOST_ERROR), "the answer").get("errors")
    except (StoreError, RegistryError, RequestException):
        errors = None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return words
    told = [first[key] for key in ("code", "message") if isinstance(first.get(key), str) and first[key]]
    return f"{words} ({': '.join(told)[:200]})" if told else words


@dataclass(frozen=True)
class Asked:
    """Whom a request went to. ``host`` answers; ``registry`` is who led there, the same where that was asked itself.

    ``login`` is where the login is from that was sent, empty for none. ``judged`` says that the answer is about that
    login: of a registry that was shown it, or of the token server, which is no registry's host.
    """

    host: str
    registry: str
    login: str = ""
    judged: bool = False
    token_server: bool = False

    @property
    def away(self) -> bool:
        """Whether it is a host that the registry leads to, for a download or an upload."""
        return self.host != self.registry and not self.token_server

    @property
    def named(self) -> str:
        """What errors call it."""
        return f"{self.host} (where {self.registry} leads to)" if self.away else self.host

    @property
    def command(self) -> str:
        """What gets a login."""
        return "docker login" if self.registry == HUB_SERVER else f"docker login {self.registry}"


def status_error(asked: Asked, response: Response, what: str) -> RegistryError:
    """The error of a status that is none of those hoped for; ``what`` was asked for."""
    status, words, host = response.status_code, said(response), asked.named
    if status in (400, 401, 403) and asked.away:
        remedy = "try again: such addresses serve for a short time; and see whether this machine's clock is right"
        return refused(host, f"denies {what}: {words}", AWAY, remedy)
    if status == 401:
        return _unauthorized(asked, words, what)
    if status == 403:
        return _denied(asked, words, what)
    if status == 404:
        return refused(host, f"has no {what}: {words}", MISSING, "see whether the name is right")
    if status == 429:
        return refused(host, f"has had too many requests: {words}", BUSY, f"{_AGAIN}; a login may be allowed more")
    if status >= 500:
        return refused(host, f"fails at {what}: {words}", FAILS)
    return refused(host, f"does not take the request for {what}: {words}", STATUS, "see what the registry serves")


def _unauthorized(asked: Asked, words: str, what: str) -> RegistryError:
    if not asked.login:
        told = f"gives {what} to nobody without a login, and there is none for {asked.registry}: {words}"
        return refused(asked.host, told, UNAUTHORIZED, f"is the name right? if it is, log in: {asked.command}")
    if asked.judged:
        told = f"refuses the login for {asked.registry} that is in {asked.login}: {words}"
        return refused(asked.host, told, UNAUTHORIZED, f"log in again: {asked.command}")
    told = f"does not give {what} to the login that is in {asked.login}: {words}"
    return refused(asked.host, told, UNAUTHORIZED, _rights(asked))


def _denied(asked: Asked, words: str, what: str) -> RegistryError:
    if asked.login and asked.token_server:
        # Some say so of a wrong password, others of a repository.
        told = f"denies {what} to the login for {asked.registry} that is in {asked.login}: {words}"
        remedy = f"see whether the name is right and that login has a right to it; or log in again: {asked.command}"
        return refused(asked.host, told, DENIED, remedy)
    if asked.login:
        return refused(
            asked.host, f"denies {what} to the login that is in {asked.login}: {words}", DENIED, _rights(asked)
        )
    remedy = f"see whether the name is right; if it is, it may need a login: {asked.command}"
    return refused(asked.host, f"denies {what}: {words}", DENIED, remedy)


def _rights(asked: Asked) -> str:
    return f"see whether the name is right, and whether that login has a right to it; another one: {asked.command}"


def failed(host: str, error: RequestException) -> RegistryError:
    """The error of a request that got no answer, or not the whole of one."""
    from requests import exceptions as kinds

    if isinstance(error, kinds.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
        remedy = "if it is meant to be plain HTTP, say http = true for it (docs/registry.md); xx push takes --insecure"
        return refused(host, "does not speak TLS", CERTIFICATE, remedy)
    if isinstance(error, kinds.SSLError):
        remedy = "name its authority, or say insecure = true for it (docs/registry.md); behind a proxy: --host-ca auto"
        return refused(host, f"has a certificate that cannot be trusted: {why_of(error)}", CERTIFICATE, remedy)
    if could_not_connect(error):
        why = "no connection in time" if isinstance(error, kinds.ConnectTimeout) else why_of(error)
        remedy = "see whether the host is right, and whether this machine needs a proxy (HTTPS_PROXY)"
        return refused(host, f"cannot be reached: {why}", UNREACHABLE, remedy)
    # Of an answer that stops in its middle requests has no kind of error of its own.
    if isinstance(error, kinds.ReadTimeout) or "timed out" in str(error):
        return refused(host, "does not answer in time", TIMEOUT)
    return refused(host, "broke off its answer", BROKEN)


def could_not_connect(error: RequestException) -> bool:
    """Whether not even a connection came about."""
    from requests import exceptions as kinds
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, (kinds.ProxyError, kinds.ConnectTimeout, kinds.SSLError)):
        return True
    return any(isinstance(getattr(each, "reason", None), NewConnectionError) for each in error.args)
