"""A web server on loopback for the tests of ADD: files with ETag and Last-Modified, redirects, and what goes wrong."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Web:
    """The files below ``root``; ``log`` has the path and status of each answer, ``headers`` those asked with."""

    MODIFIED = 1_500_000_000

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[tuple[str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def put(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Web]:
    """Serve ``root`` while the block runs."""
    root.mkdir()
    web = Web(root)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/redirect/"):
                return self.answer(302, {"Location": path.removeprefix("/redirect").replace(" ", "%20")})
            if path in ("/loop", "/elsewhere"):
                return self.answer(302, {"Location": "/loop" if path == "/loop" else "file:///etc/passwd"})
            web.headers.append(dict(self.headers.items()))
            if path == "/never":
                time.sleep(2)
            if path == "/cut":
                return self.answer(200, {"Content-Length": "100"}, b"short")
            file = root / path.lstrip("/")
            if not file.is_file():
                return self.answer(404, {})
            data = file.read_bytes()
            tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == tag:
                return self.answer(304, {"ETag": tag})
            modified = email.utils.formatdate(web.MODIFIED, usegmt=True)
            return self.answer(200, {"ETag": tag, "Last-Modified": modified, "Content-Length": str(len(data))}, data)

        def answer(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
            web.log.append((self.path, status))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers and status != 304:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
