"""Registries for tests: one in memory, Debian's docker-registry, a proxy before it, a token server, and faults.

Source: OCI distribution-spec; distribution's token authentication specification.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import itertools
import json
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from support import serving_at

Headers = dict[str, str]
Answer = tuple[int, Headers, bytes]


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose ``METHOD /path`` matches ``on``.

    ``kind``: ``drop`` (no answer), ``stall`` (none for ``value`` seconds), ``truncate`` (after ``value`` bytes),
    ``hold`` (nothing more after ``value`` bytes, until the other hangs up), ``cut`` (hung up after ``value`` bytes of
    the request's body have come), ``corrupt``, ``longer`` (a byte more), ``digest`` (a wrong one in the header), or a
    status with ``headers``. An answer that is too short to be truncated or held is not counted.
    """

    on: str
    kind: str | int
    value: float = 0
    times: int = 1
    headers: Headers = field(default_factory=dict)


class Server:
    """An HTTP server on loopback; ``log`` has method, path, status and the request's headers of each answer."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str, int, Headers]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def run(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                fault = outer._fault(f"{self.command} {self.path}")
                if fault is not None and fault.kind == "cut":
                    asked = dict(self.headers.items())
                    outer.log.append((self.command, self.path, 0, asked))
                    outer.cut(self.command, self.path, asked, self.rfile.read(min(length, int(fault.value))))
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                outer.respond(self, self.rfile.read(length), fault)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = run

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        raise NotImplementedError

    def cut(self, method: str, path: str, headers: Headers, body: bytes) -> None:
        """A request has come of whose body this is all."""

    def asked(self, pattern: str) -> list[tuple[str, str, int, Headers]]:
        """Those of the log whose ``METHOD /path`` matches."""
        return [each for each in self.log if re.search(pattern, f"{each[0]} {each[1]}")]

    def _fault(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times and re.search(fault.on, line):
                    fault.times -= 1
                    return fault
        return None

    def _unused(self, fault: Fault) -> None:
        with self._lock:
            fault.times += 1

    def respond(self, handler: BaseHTTPRequestHandler, body: bytes, fault: Fault | None) -> None:
        method, path = handler.command, handler.path
        asked = dict(handler.headers.items())
        if fault is not None and fault.kind in ("drop", "stall"):
            self.log.append((method, path, 0, asked))
            time.sleep(fault.value)
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault is not None and isinstance(fault.kind, int):
            said = json.dumps({"errors": [{"code": "TESTED", "message": "as it was\x1b[2J told"}]}).encode()
            status, headers, data = fault.kind, dict(fault.headers), said
        else:
            status, headers, data = self.answer(method, path, asked, body)
        self.log.append((method, path, status, asked))
        cut = len(data)
        if fault is not None:
            if fault.kind == "corrupt":
                data = bytes([data[0] ^ 1]) + data[1:]
            elif fault.kind == "longer":
                data += b"x"
                cut += 1
            elif fault.kind == "digest":
                headers["Docker-Content-Digest"] = "sha256:" + "0" * 64
            elif fault.kind in ("truncate", "hold"):
                cut = int(fault.value)
                if cut >= len(data):
                    self._unused(fault)
        handler.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                handler.send_header(name, value)
        length = headers.get("Content-Length", str(len(data))) if method == "HEAD" else str(len(data))
        handler.send_header("Content-Length", length)
        handler.end_headers()
        if method != "HEAD":
            handler.wfile.write(data[:cut])
        if fault is not None and fault.kind == "hold" and cut < len(data):
            handler.wfile.flush()
            handler.rfile.read(1)
        if cut < len(data):
            handler.close_connection = True


Served = TypeVar("Served", bound=Server)


@contextlib.contextmanager
def running(server: Served) -> Iterator[Served]:
    """``server``, which is stopped in the end."""
    try:
        yield server
    finally:
        server.stop()


class Memory(Server):
    """A registry in memory. ``blobs`` by digest and ``manifests`` (type, bytes) by tag and digest, for each repository.

    ``login`` (``USER:PASSWORD``) asks for it by Basic; ``realm`` names a token server, of whose tokens ``tokens`` are
    taken; ``elsewhere`` is where blobs are redirected to, with ``signed`` behind their path. A part of a blob is
    answered with ``part`` (206, or 200 for all of it, or 416). Uploads go to ``uploads_to`` (``http://HOST``), to the
    registry itself if that is empty; whether it says how far one has come is ``tells``.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(certificate)
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.login = ""
        self.realm = ""
        self.tokens: set[str] = set()
        self.elsewhere = ""
        self.signed = ""
        self.part = 206
        self.uploads: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        self.uploads_to = ""
        self.tells = True

    def put_blob(self, repository: str, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.blobs.setdefault(repository, {})[digest] = data
        return digest

    def put_manifest(self, repository: str, tag: str, kind: str, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.manifests.setdefault(repository, {}).update({tag: (kind, data), digest: (kind, data)})
        return digest

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if not self._may(headers.get("Authorization", "")):
            return 401, {"WWW-Authenticate": self._challenge()}, b'{"errors":[{"code":"UNAUTHORIZED"}]}'
        match = re.fullmatch(r"/v2/(.+?)/(blobs|manifests)/(.+)", url.path)
        if match is None:
            return 200 if url.path == "/v2/" else 404, {}, b"{}"
        repository, kind, name = match[1], match[2], match[3]
        if name.startswith("uploads/"):
            return self._upload(method, repository, url.path.rpartition("/")[2], query, headers, body)
        if kind == "manifests":
            return self._manifest(method, repository, name, headers, body)
        data = self.blobs.get(repository, {}).get(name)
        if data is None:
            return 404, {}, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}'
        if self.elsewhere:
            return 307, {"Location": f"{self.elsewhere}{path}{self.signed}"}, b""
        start = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if start and self.part == 416:
            return 416, {}, b""
        if start and self.part == 206:
            at = int(start[1])
            return 206, {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"}, data[at:]
        return 200, {"Content-Length": str(len(data))}, data

    def _may(self, authorization: str) -> bool:
        if self.realm:
            return authorization.removeprefix("Bearer ") in self.tokens
        return not self.login or authorization == "Basic " + base64.b64encode(self.login.encode()).decode()

    def _challenge(self) -> str:
        if self.realm:
            return f'Bearer realm="{self.realm}",service="tests",scope="ignored"'
        return 'Basic realm="tests"'

    def _manifest(self, method: str, repository: str, name: str, headers: Headers, body: bytes) -> Answer:
        if method == "PUT":
            return (
                201,
                {"Docker-Content-Digest": self.put_manifest(repository, name, headers["Content-Type"], body)},
                b"",
            )
        found = self.manifests.get(repository, {}).get(name)
        if found is None:
            return 404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        said = "sha256:" + hashlib.sha256(found[1]).hexdigest()
        return 200, {"Content-Type": found[0], "Docker-Content-Digest": said}, found[1]

    def cut(self, method: str, path: str, headers: Headers, body: bytes) -> None:
        name = urllib.parse.urlsplit(path).path.rpartition("/")[2]
        if name in self.uploads:
            self.uploads[name] += body

    def _upload(self, method: str, repository: str, name: str, query: Headers, headers: Headers, body: bytes) -> Answer:
        if method == "POST":
            known = self.blobs.get(query.get("from", ""), {}).get(query.get("mount", ""))
            if known is not None:
                self.put_blob(repository, known)
                return 201, {"Location": "/x"}, b""
            name = str(next(self._numbers))
            self.uploads[name] = b""
            return 202, {"Location": self._place(repository, name)}, b""
        have = self.uploads.get(name)
        if have is None or (method == "GET" and not self.tells):
            return 404, {}, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"no"}]}'
        said = {"Location": self._place(repository, name), "Range": f"0-{max(len(have) + len(body) - 1, 0)}"}
        if method == "GET":
            return 204, said, b""
        given = re.fullmatch(r"(\d+)-(\d+)", headers.get("Content-Range", ""))
        if given and (int(given[1]), int(given[2])) != (len(have), len(have) + len(body) - 1):
            return 416, {}, b""
        self.uploads[name] = have + body
        if method == "PATCH":
            return 202, said, b""
        whole = self.uploads.pop(name)
        if "sha256:" + hashlib.sha256(whole).hexdigest() != query.get("digest"):
            return 400, {}, b'{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}'
        return 201, {"Docker-Content-Digest": self.put_blob(repository, whole)}, b""

    def _place(self, repository: str, name: str) -> str:
        return f"{self.uploads_to}/v2/{repository}/blobs/uploads/{name}?_state=a"


class Proxy(Server):
    """Hands all on to the registry at ``upstream``, after its faults."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self.upstream = upstream

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            connection.request(method, path, body=body, headers={**headers, "Host": self.host})
            answer = connection.getresponse()
            said = {name: value for name, value in answer.getheaders() if name.lower() != "transfer-encoding"}
            return answer.status, said, answer.read()
        finally:
            connection.close()

    def cut(self, method: str, path: str, headers: Headers, body: bytes) -> None:
        host, _, port = self.upstream.partition(":")
        with socket.create_connection((host, int(port)), 60) as connection:
            lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in {**headers, "Host": self.host}.items())]
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            # Until the registry has seen that no more comes.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass


class Tokens(Server):
    """A token server. With ``key`` (a PEM file) tokens are signed as docker-registry wants them, else they count up.

    ``login`` may have them; without one everybody may. ``identity`` is a refresh token that is taken too.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(certificate)
        self.login = ""
        self.identity = ""
        self.given: list[str] = []
        self.key: Path | None = None
        self.lasts = 300

    @property
    def realm(self) -> str:
        return f"http://{self.host}/token"

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        query = urllib.parse.parse_qs(body.decode() if method == "POST" else urllib.parse.urlsplit(path).query)
        basic = "Basic " + base64.b64encode(self.login.encode()).decode()
        known = (
            query.get("refresh_token") == [self.identity]
            if method == "POST"
            else (not self.login or headers.get("Authorization") == basic)
        )
        if not known:
            return 401, {}, b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong login"}]}'
        scopes = [word for text in query.get("scope", []) for word in text.split()]
        token = self._signed(scopes) if self.key else f"token-{len(self.given)}"
        self.given.append(token)
        return 200, {}, json.dumps({"token": token, "expires_in": self.lasts}).encode()

    def _signed(self, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {
            "iss": "tests",
            "sub": "",
            "aud": "tests",
            "nbf": now - 60,
            "iat": now,
            "exp": now + 300,
            "jti": str(now),
        }
        assert self.key is not None
        pem = self.key.read_text()
        (chain,) = re.findall(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", pem, re.DOTALL)
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(chain.split())]}
        signed = ".".join(_base64(json.dumps(each).encode()) for each in (header, {**claims, "access": access}))
        argv = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        done = subprocess.run(argv, input=signed.encode(), capture_output=True, check=True)
        return f"{signed}.{_base64(done.stdout)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def make_certificate(folder: Path) -> Path:
    """A new key and its certificate for 127.0.0.1, in one PEM file."""
    folder.mkdir(exist_ok=True)
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    argv += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(argv, capture_output=True, check=True)
    both.write_text(key.read_text() + cert.read_text())
    return both


@contextlib.contextmanager
def docker_registry(folder: Path, auth: str = "", keys: Path | None = None) -> Iterator[str]:
    """Debian's docker-registry on a port of its own; ``HOST:PORT``.

    ``auth`` is that part of its configuration, ``keys`` the folder of `make_certificate` for TLS.
    """
    folder.mkdir()
    tls = f", tls: {{certificate: {keys}/cert.pem, key: {keys}/key.pem}}" if keys is not None else ""

    def argv(port: int) -> list[str]:
        config = f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}"{tls}}}
{f"auth: {auth}" if auth else ""}
"""
        (folder / "config.yml").write_text(config)
        return ["docker-registry", "serve", str(folder / "config.yml")]

    with serving_at(argv, folder / "log") as port:
        yield f"127.0.0.1:{port}"
