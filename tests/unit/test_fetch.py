"""Fetching: what is kept, what is asked, and how each failure is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from webserver import Web

from xxpy.build import fetch
from xxpy.build.fetch import Fetcher
from xxpy.build.hostca import HostCa
from xxpy.build.store import Store
from xxpy.errors import SourceError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def fetcher(store: Store) -> Fetcher:
    return Fetcher(store, HostCa())


def test_a_file_and_its_second_time(web: Web, store: Store, fetcher: Fetcher) -> None:
    web.put("f", b"one")
    found = fetcher.fetch(f"{web.url}/f")
    assert store.blob(found.digest).read_bytes() == b"one" and found.mtime == web.MODIFIED
    assert fetcher.fetch(f"{web.url}/f") == found
    web.put("f", b"two")
    assert fetcher.fetch(f"{web.url}/f") != found
    assert [status for _, status in web.log] == [200, 304, 200]


def test_a_lost_blob_is_fetched_again(web: Web, store: Store, fetcher: Fetcher) -> None:
    web.put("f", b"one")
    found = fetcher.fetch(f"{web.url}/f")
    store.blob(found.digest).unlink()
    assert fetcher.fetch(f"{web.url}/f") == found and store.has(found.digest)


def test_a_checksum(web: Web, store: Store, fetcher: Fetcher) -> None:
    web.put("f", b"one")
    digest = "sha256:" + hashlib.sha256(b"one").hexdigest()
    assert fetcher.fetch(f"{web.url}/f", digest).digest == digest
    assert fetcher.fetch(f"{web.url}/f", digest).digest == digest and len(web.log) == 1
    other = "sha256:" + "0" * 64
    assert failure(fetcher, f"{web.url}/f", other) == failure(fetcher, f"{web.url}/f?", other) == "checksum-mismatch"
    web.put("g", b"wrong")
    failure(fetcher, f"{web.url}/g", other)
    assert not store.has("sha256:" + hashlib.sha256(b"wrong").hexdigest())


def failure(fetcher: Fetcher, url: str, checksum: str = "") -> str:
    with pytest.raises(SourceError) as caught:
        fetcher.fetch(url, checksum)
    assert "secret" not in str(caught.value.lines())
    return caught.value.reason


def test_failures(web: Web, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(fetcher, f"{web.url}/nope") == "url-status"
    assert failure(fetcher, f"{web.url}/loop") == "url-redirects"
    assert failure(fetcher, f"{web.url}/elsewhere") == "bad-url"
    assert failure(fetcher, f"{web.url}/cut") == "url-unreachable"
    assert failure(fetcher, "http://me:secret@127.0.0.1:1/x") == "url-unreachable"
    assert failure(fetcher, web.url.replace("http:", "https:") + "/f") == "url-certificate"
    monkeypatch.setattr(fetch, "MOST_BYTES", 10)
    web.put("large", b"x" * 11)
    assert failure(fetcher, f"{web.url}/large") == "url-too-large"
    monkeypatch.setattr(fetch, "MOST_SECONDS", -1)
    web.put("slow", b"x")
    assert failure(fetcher, f"{web.url}/slow") == "url-timeout"
    monkeypatch.setattr(fetch, "TIMEOUT", (1, 0.2))
    assert failure(fetcher, f"{web.url}/never") == "url-timeout"


def test_a_bundle_that_is_none(web: Web, store: Store, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    assert failure(Fetcher(store, HostCa(tmp_path / "ca.pem")), web.url.replace("http:", "https:") + "/f")


def test_neither_netrc_nor_a_coded_answer_is_used(
    web: Web, store: Store, fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    web.put("f", b"one")
    fetcher.fetch(f"{web.url}/f")
    assert "Authorization" not in web.headers[-1] and web.headers[-1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("text", ["", "nonsense", "Wed, 31 Dec 1969 23:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_times_that_are_none(text: str) -> None:
    assert fetch._time(text) == 0
