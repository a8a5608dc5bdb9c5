"""Contexts: what the command line says of them, and what is put into a folder of the store."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from webserver import Web

from xxpy.build import fetch
from xxpy.build.contexts import Contexts, Given, open_all, opened, parse_named
from xxpy.build.hostca import HostCa
from xxpy.build.store import Store
from xxpy.errors import PlatformError, SourceError, UsageError


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("a=b", "a", "b"),
        ("docker.io/library/alpine:latest=./x=y", "alpine", "./x=y"),
        ("alpine:3.20=docker-image://alpine:edge", "alpine:3.20", "docker-image://alpine:edge"),
        ("base::linux/arm64/v8=x", "base::linux/arm64", "x"),
        ("team/app=x", "team/app", "x"),
    ],
)
def test_named(text: str, name: str, value: str) -> None:
    assert parse_named(text) == (name, value)


@pytest.mark.parametrize("text", ["a", "=b", "a=", "", "::linux/arm64=x", "UPPER=x", "a b=x"])
def test_what_names_no_context(text: str) -> None:
    with pytest.raises(UsageError):
        parse_named(text)


def test_a_platform_that_is_none() -> None:
    with pytest.raises(PlatformError):
        parse_named("a::linux/z80=x")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def tar(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return out.getvalue()


def test_a_folder_is_taken_as_it_is(store: Store, tmp_path: Path) -> None:
    (tmp_path / "dockerfile").write_text("FROM a\n")
    with opened(Given(str(tmp_path)), store, HostCa()) as found:
        assert found.folder == tmp_path and found.file == tmp_path / "dockerfile" and found.name == ""
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    with opened(Given(str(tmp_path)), store, HostCa()) as found:
        assert found.file == tmp_path / "Dockerfile"
    assert list(store.tmp.iterdir()) == []


def test_what_is_unpacked_is_gone_afterwards(store: Store) -> None:
    with opened(Given("-"), store, HostCa(), io.BytesIO(tar(Dockerfile="FROM a\n", f="x"))) as found:
        assert found.file.read_text() == "FROM a\n" and (found.folder / "f").read_text() == "x"
        assert found.name == "Dockerfile" and store.tmp in found.folder.parents
        context = open_all(found.folder, found.file, found.contexts, store.files)
        assert context.select("f") == ["f"] and context.digest("f")
        context.save()
    assert list(store.tmp.iterdir()) == [] and list(store.files.iterdir()) == []


def test_folders_may_forbid_what_is_put_into_them(store: Store) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, mode in (
            ("./", tarfile.DIRTYPE, 0),
            ("d", tarfile.DIRTYPE, 0o555),
            ("d/e", tarfile.DIRTYPE, 0o500),
            ("d/e/f", tarfile.REGTYPE, 0o4750),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid = kind, mode, 4321
            archive.addfile(entry)
    with opened(Given("-", "d/e/f"), store, HostCa(), io.BytesIO(out.getvalue())) as found:
        folder = found.folder
        assert [(folder / each).stat().st_mode & 0o7777 for each in ("d", "d/e", "d/e/f")] == [0o555, 0o500, 0o4750]
        assert (folder / "d/e/f").stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o700 == 0o700
    assert list(store.tmp.iterdir()) == []


def test_a_link_in_the_place_of_a_folder_leads_nowhere(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (secret / "in").mkdir(parents=True, mode=0o700)
    os.utime(secret / "in", (1000, 1000))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("d", "d/in"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o777, 5
            archive.addfile(entry)
        entry = tarfile.TarInfo("d")
        entry.type, entry.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(entry)
        archive.addfile(tarfile.TarInfo("Dockerfile"))
    with opened(Given("-"), store, HostCa(), io.BytesIO(out.getvalue())):
        info = (secret / "in").stat()
        assert info.st_mode & 0o777 == 0o700 and info.st_mtime == 1000


def test_it_is_gone_after_an_interrupt_too(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), opened(Given("-"), store, HostCa(), io.BytesIO(b"FROM a\n")) as found:
        assert found.file.read_text() == "FROM a\n" and list(found.folder.iterdir()) == []
        raise KeyboardInterrupt
    assert list(store.tmp.iterdir()) == []


def test_named_folders_are_contexts_of_their_own(store: Store, tmp_path: Path) -> None:
    for name in ("main", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    (tmp_path / "other/.dockerignore").write_text("f\n")
    named = {"x": str(tmp_path / "other"), "context": str(tmp_path / "other"), "i": "docker-image://a"}
    with opened(Given(str(tmp_path / "main"), named=named), store, HostCa()) as found:
        sources = {"x": "local://x", "context": "local://_context", "i": "docker-image://a"}
        assert found.contexts.sources == sources
        context = open_all(found.folder, found.file, found.contexts, store.files)
    assert context.at("local://context") is context and context.select("f") == ["f"]
    assert context.at("local://x").root == tmp_path / "other" and context.at("local://x").select("f") == []


def test_a_named_folder_that_is_not_there(store: Store, tmp_path: Path) -> None:
    contexts = Contexts({"x": "local://x"}, {"local://x": tmp_path / "nowhere"})
    with pytest.raises(SourceError) as caught:
        open_all(tmp_path, tmp_path / "Dockerfile", contexts, store.files)
    assert caught.value.reason == "context-missing"


PACKED = (bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress)


@pytest.mark.parametrize("packed", PACKED)
def test_a_tar_at_a_url(store: Store, web: Web, packed: type[bytes]) -> None:
    web.put("a", packed(tar(Dockerfile="FROM a\n", f="x")))
    for _ in range(2):
        with opened(Given(f"{web.url}/a"), store, HostCa()) as found:
            assert found.file.read_text() == "FROM a\n" and found.name == "Dockerfile"
            assert sorted(path.name for path in found.folder.iterdir()) == ["Dockerfile", "f"]
            assert found.contexts.fetched in found.folder.parents
    assert list(store.tmp.iterdir()) == [] and [status for _, status in web.log] == [200, 304]


def test_a_text_at_a_url_is_the_dockerfile(store: Store, web: Web) -> None:
    web.put("Dockerfile", b"FROM a\n")
    with opened(Given(f"{web.url}/Dockerfile?key=secret"), store, HostCa()) as found:
        assert found.file.read_text() == "FROM a\n" and found.name == f"{web.url}/Dockerfile?key=…"
        assert list(found.folder.iterdir()) == []
    with pytest.raises(UsageError), opened(Given(f"{web.url}/Dockerfile", "x"), store, HostCa()):
        pass


def test_where_the_dockerfile_of_a_tar_is(store: Store, web: Web, tmp_path: Path) -> None:
    web.put("a.tar", tar(Dockerfile="FROM a\n", other="FROM other\n"))
    web.put("over", b"FROM web\n")
    (tmp_path / "mine").write_text("FROM mine\n")
    for file, stdin, text, name in (
        ("other", b"", "FROM other\n", "other"),
        (f"{tmp_path}/mine", b"", "FROM mine\n", ""),
        (f"{web.url}/over", b"", "FROM web\n", f"{web.url}/over"),
        ("-", b"FROM stdin\n", "FROM stdin\n", "stdin"),
    ):
        with opened(Given(f"{web.url}/a.tar", file), store, HostCa(), io.BytesIO(stdin)) as found:
            assert (found.file.read_text(), found.name) == (text, name) and (found.folder / "other").is_file()
    with opened(Given(str(tmp_path), f"{web.url}/over"), store, HostCa()) as found:
        assert found.folder == tmp_path and found.file.read_text() == "FROM web\n"
    tarred = io.BytesIO(tar(f="x"))
    with opened(Given("-", f"{web.url}/over"), store, HostCa(), tarred) as found:
        assert found.file.read_text() == "FROM web\n" and (found.folder / "f").is_file()


def test_a_named_url_is_one_file(store: Store, web: Web, tmp_path: Path) -> None:
    web.put("a.tar", tar(f="x"))
    with opened(Given(str(tmp_path), named={"x": f"{web.url}/a.tar"}), store, HostCa()) as found:
        folder = found.contexts.folders["local://x"]
        info = (folder / "context").stat()
        assert sorted(path.name for path in folder.iterdir()) == ["a.tar", "context"]
        assert (folder / "a.tar").read_bytes() == tar(f="x") and info.st_nlink == 2
        assert info.st_mode & 0o777 == 0o600 and info.st_mtime == web.MODIFIED
    assert list(store.tmp.iterdir()) == []


NO_CONTEXTS = {
    "page": (b"\n<!DOCTYPE html>\n<p>", "web page"),
    "zip": (b"PK\3\4\0\0", "binary data"),
    "gzip": (gzip.compress(b"FROM a\n"), "cannot be unpacked"),
    "cut": (gzip.compress(tar(f="x" * 1000))[:-40], "cannot be unpacked"),
    "up": (tar(**{"../up": "x"}), "../up"),
}


@pytest.mark.parametrize("name", NO_CONTEXTS)
def test_what_is_no_context_at_a_url(store: Store, web: Web, name: str) -> None:
    data, words = NO_CONTEXTS[name]
    web.put("a", data)
    with pytest.raises(SourceError) as caught, opened(Given(f"{web.url}/a?key=secret"), store, HostCa()):
        pass
    said = caught.value.lines()
    assert words in said[0] and f"{web.url}/a?key=…" in said[0] and len(said) == 2 and "sha256" not in str(said)
    assert "secret" not in str(said) and "\n" not in "".join(said)
    assert list(store.tmp.iterdir()) == []


def test_a_url_that_gives_nothing(store: Store, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MOST_BYTES", 10)
    web.put("large", b"x" * 11)
    for place, reason in (
        (f"{web.url}/nope", "url-status"),
        (f"{web.url}/large", "url-too-large"),
        ("http://127.0.0.1:1/x", "url-unreachable"),
        ("https://nowhere.invalid/x.tar", "url-unreachable"),
        ("https://", "bad-url"),
    ):
        for given in (Given(place), Given(".", named={"x": place}), Given(".", place)):
            with pytest.raises((SourceError, UsageError)) as caught, opened(given, store, HostCa()):
                pass
            assert caught.value.reason == reason and caught.value.remedy and place in caught.value.message
    with pytest.raises(UsageError) as refused, opened(Given("https://me:secret@h.test/x"), store, HostCa()):
        pass
    assert refused.value.reason == "password-in-url" and "secret" not in str(refused.value.lines())
