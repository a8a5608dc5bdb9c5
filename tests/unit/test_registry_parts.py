"""Blobs in parts: pulls that were killed, uploads that broke off, storage on another host; and who may have them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from registries import Fault, Memory, Tokens, running
from registrycase import AMD64, ARM64, BIG, LAYER, Puller_, coded, image, kept, stand_alone, write_login, write_settings
from stores import inventory

from xxpy.build.collect import remove_all
from xxpy.build.descriptor import Descriptor
from xxpy.build.events import Event, Transfer
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE
from xxpy.build.partial import PartialBlob
from xxpy.build.prune import Going
from xxpy.build.registry.answers import Asked
from xxpy.build.registry.client import Registries
from xxpy.build.registry.push import Push, push_image
from xxpy.build.registry.reference import parse_reference
from xxpy.build.registry.settings import endpoints_for, parse_settings
from xxpy.build.store import Store
from xxpy.build.temporary import PARTIAL_LASTS, sweep
from xxpy.errors import RegistryError, StoreError, XxError

PART = 100_000
LAYER_BYTES = BIG + str(AMD64).encode()
DIGEST = "sha256:" + hashlib.sha256(LAYER_BYTES).hexdigest()


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_alone(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def name_in(server: Memory) -> str:
    return f"{server.host}/team/app:1"


def partial(store: Store) -> Path:
    return store.tmp / f"pull-{DIGEST.removeprefix('sha256:')}"


def leave(store: Store, data: bytes = LAYER_BYTES[:PART]) -> None:
    """A pull of the layer that came as far as ``data``."""
    partial(store).write_bytes(data)


def layers_asked(server: Memory) -> list[str]:
    """The Range of each request for the layer, in order."""
    return [headers.get("Range", "") for _, _, _, headers in server.asked(f"GET .*blobs/{DIGEST}")]


# -- downloads ---------------------------------------------------------------------------------------------------

PULL = """
import sys
from pathlib import Path
from xxpy.build.prune import Going
from xxpy.build.registry.answers import Asked
from xxpy.build.registry.client import Registries
from xxpy.build.registry.pull import Puller
from xxpy.build.registry.reference import parse_reference
from xxpy.build.store import Store
from xxpy.platforms import Platform
puller = Puller(Store.open(Path(sys.argv[1])), Registries())
puller.fetch([puller.look_up(parse_reference(sys.argv[2]), Platform("linux", "amd64"))], lambda event: None)
"""


def test_a_pull_that_was_killed_goes_on(memory: Memory, store: Store) -> None:
    image(memory)
    memory.faults = [Fault(f"GET .*{DIGEST}", "hold", 150_000)]
    child = subprocess.Popen([sys.executable, "-c", PULL, str(store.root), name_in(memory)])
    try:
        until = time.monotonic() + 60
        while not partial(store).exists() or partial(store).stat().st_size < PART:
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    # Another build opens the store in between.
    have = partial(Store.open(store.root)).stat().st_size
    events = Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == ["", f"bytes={have}-"] and not kept(store)
    assert isinstance(events[-1], Transfer) and events[-1].done == events[-1].total == len(LAYER_BYTES)
    assert store.read(DIGEST) == LAYER_BYTES


@pytest.mark.parametrize(
    ("left", "asked"),
    [
        # Damaged, as by a crash of the machine: the rest, then all of it.
        (b"\0" * PART, [f"bytes={PART}-", ""]), (b"\0" * len(LAYER_BYTES), [""]),
        (LAYER_BYTES + b"more", [""]), (b"", [""]), (LAYER_BYTES, []),
    ],
)  # fmt: skip
def test_what_a_partial_file_may_hold(left: bytes, asked: list[str], memory: Memory, store: Store) -> None:
    image(memory)
    leave(store, left)
    events = Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == asked and store.read(DIGEST) == LAYER_BYTES and not kept(store)
    assert [each for each in events if isinstance(each, Transfer) and not 0 <= each.done <= each.total] == []


@pytest.mark.parametrize(
    ("part", "asked"), [(200, [f"bytes={PART}-"]), (416, [f"bytes={PART}-", ""]), (206, [f"bytes={PART}-"])]
)
def test_registries_that_serve_no_parts(part: int, asked: list[str], memory: Memory, store: Store) -> None:
    image(memory)
    memory.part = part
    leave(store)
    Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == asked and store.read(DIGEST) == LAYER_BYTES and not kept(store)


@pytest.mark.parametrize("status", [206, 400, 403, 416])
def test_a_part_that_is_refused_is_not_asked_for_again(status: int, memory: Memory, store: Store) -> None:
    image(memory)
    # 206 with a Content-Range of something else, or none.
    memory.faults = [Fault(f"GET .*{DIGEST}", status)]
    leave(store)
    Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == [f"bytes={PART}-", ""] and not kept(store)


@pytest.mark.parametrize("status", [400, 403])
def test_what_is_there_outlasts_a_refusal(status: int, memory: Memory, store: Store) -> None:
    image(memory)
    memory.faults = [Fault(f"GET .*{DIGEST}", status, times=2)]
    leave(store)
    with pytest.raises(RegistryError):
        Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == [f"bytes={PART}-", ""] and partial(store).read_bytes() == LAYER_BYTES[:PART]
    memory.log.clear()
    Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == [f"bytes={PART}-"] and not kept(store)


def test_a_damaged_part_of_what_is_served_whole_alone_is_had_anew(memory: Memory, store: Store) -> None:
    image(memory)
    memory.part = 416
    leave(store, b"?" * PART)
    Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == [f"bytes={PART}-", "", ""]
    assert store.read(DIGEST) == LAYER_BYTES and not kept(store)


def test_what_broke_off_for_good_is_there_for_the_next(memory: Memory, store: Store) -> None:
    image(memory)
    memory.faults = [Fault(f"GET .*{DIGEST}", "truncate", 150_000), Fault(f"GET .*{DIGEST}", "drop", times=99)]
    with pytest.raises(RegistryError):
        Puller_(store).pull(name_in(memory))
    have = partial(store).stat().st_size
    assert have == 150_000 and not store.has(DIGEST)
    memory.faults, memory.log[:] = [], []
    Puller_(store).pull(name_in(memory))
    assert layers_asked(memory) == [f"bytes={have}-"] and not kept(store)


def test_a_damaged_blob_is_not_asked_for_for_ever(memory: Memory, store: Store) -> None:
    image(memory)
    memory.faults = [Fault(f"GET .*{DIGEST}", "corrupt", times=99)]
    leave(store)
    with pytest.raises(RegistryError) as caught:
        Puller_(store).pull(name_in(memory))
    assert caught.value.reason == "digest-mismatch" and len(layers_asked(memory)) == 2 and not kept(store)


def test_another_mirror_goes_on(memory: Memory, store: Store, tmp_path: Path) -> None:
    with running(Memory()) as mirror:
        image(memory)
        image(mirror)
        write_settings(tmp_path, f'[registry."{memory.host}"]\nmirrors = ["{mirror.host}"]')
        mirror.faults = [Fault(f"GET .*{DIGEST}", "truncate", 150_000), Fault(f"GET .*{DIGEST}", "drop", times=99)]
        events = Puller_(store).pull(name_in(memory))
        (asked,) = layers_asked(memory)
        assert asked > f"bytes={PART}-" and not kept(store)
        assert isinstance(events[-1], Transfer) and events[-1].done == events[-1].total


def test_two_pulls_at_once_write_one_file(memory: Memory, store: Store) -> None:
    image(memory)
    leave(store)
    memory.faults = [Fault(f"GET .*{DIGEST}", "truncate", 50_000, times=2)]
    threads = [threading.Thread(target=Puller_(store).pull, args=(name_in(memory),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = layers_asked(memory)
    assert len(asked) == len(set(asked)) == 3 and not kept(store), asked


@pytest.mark.parametrize(("error", "lasts"), [(errno.EIO, True), (errno.ENOSPC, False)])
def test_a_write_that_fails(store: Store, monkeypatch: pytest.MonkeyPatch, error: int, lasts: bool) -> None:
    leave(store)
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if len(data) <= 100:
            raise OSError(error, os.strerror(error))
        return real(fd, data[:-100])

    wanted = Descriptor(LAYER, DIGEST, len(LAYER_BYTES))
    with PartialBlob(store, wanted) as out:
        with monkeypatch.context() as broken:
            broken.setattr("xxpy.build.partial.os.write", write)
            with pytest.raises(StoreError):
                out.write(LAYER_BYTES[PART : PART + 1000])
        assert out.size == (PART if lasts else 0)
        out.write(LAYER_BYTES[out.size :])
        out.commit()
    assert store.read(DIGEST) == LAYER_BYTES and not kept(store)


def test_partial_files_are_swept_when_they_are_old(store: Store) -> None:
    leave(store)
    sweep(store.tmp)
    assert partial(store).exists()
    with PartialBlob(store, Descriptor(LAYER, DIGEST, len(LAYER_BYTES))) as out:
        # While somebody writes it is nobody's else, however old it is.
        sweep(store.tmp, partial_lasts=0.0)
        assert out.size == PART and partial(store).exists()
    old = time.time() - PARTIAL_LASTS - 60
    os.utime(partial(store), (old, old))
    Store.open(store.root)
    assert not partial(store).exists()
    leave(store)
    # A prune takes those of any age.
    remove_all(store, inventory(store), Going(()), lambda item: None)
    assert not partial(store).exists()


# -- uploads -----------------------------------------------------------------------------------------------------


def have(store: Store) -> Descriptor:
    """An image of one large layer."""
    layer, config = store.put_bytes(LAYER_BYTES, LAYER), store.put_bytes(b"{}", CONFIG_TYPE)
    body = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config.to_json(), "layers": [layer.to_json()]}
    return store.put_json(body, MANIFEST_TYPE)


def push(store: Store, server: Memory) -> list[Event]:
    events: list[Event] = []
    waits: list[float] = []
    name = Push(parse_reference(name_in(server)))
    push_image(store, have(store), [name], Registries(pause=waits.append), events.append)
    done = [each for each in events if isinstance(each, Transfer)]
    assert done[-1].done == done[-1].total and not [each for each in done if not 0 <= each.done <= each.total]
    return events


def sent(server: Memory) -> list[tuple[str, int, str]]:
    """Method, bytes and Content-Range of each request that uploads more than the config."""
    found = [(method, int(headers.get("Content-Length", 0)), headers.get("Content-Range", ""))
             for method, _, _, headers in server.asked("(PUT|PATCH) .*uploads")]  # fmt: skip
    return [each for each in found if each[1] > 2]


WHOLE = ("PUT", len(LAYER_BYTES), "")


def rest(start: int) -> tuple[str, int, str]:
    return "PATCH", len(LAYER_BYTES) - start, f"{start}-{len(LAYER_BYTES) - 1}"


BREAKS = Fault(f"PUT .*{DIGEST.replace(':', '%3A')}", "cut", PART)


def breaks(on: str = BREAKS.on, kind: str | int = "cut", value: float = PART, times: int = 1) -> Fault:
    return Fault(on, kind, value, times)


@pytest.mark.parametrize(
    ("tells", "faults", "expected"),
    [
        (True, [], [WHOLE]),
        (True, [breaks()], [WHOLE, rest(PART)]),
        (False, [breaks()], [WHOLE, WHOLE]),
        (True, [breaks(value=0)], [WHOLE, WHOLE]),
        (True, [breaks(), breaks("PATCH", value=7)], [WHOLE, rest(PART), rest(PART + 7)]),
        # More often than a request is tried that comes no further.
        (True, [breaks(), breaks("PATCH", value=7, times=9)], [WHOLE, *(rest(PART + 7 * n) for n in range(10))]),
        # The registry has all, and says so.
        (True, [breaks(value=1 << 30)], [WHOLE]),
        # It cannot go on after all.
        (True, [breaks(), breaks("PATCH", 404)], [WHOLE, rest(PART), WHOLE]),
        (True, [breaks(), breaks("PATCH", 416)], [WHOLE, rest(PART), WHOLE]),
        (True, [breaks(), breaks("GET .*uploads", 500)], [WHOLE, WHOLE]),
    ],
)  # fmt: skip
def test_an_upload_that_breaks_off(
    tells: bool, faults: list[Fault], expected: list[tuple[str, int, str]], memory: Memory, store: Store
) -> None:
    memory.tells, memory.faults = tells, faults
    push(store, memory)
    assert sent(memory) == expected and memory.blobs["team/app"][DIGEST] == LAYER_BYTES


def test_parts_that_do_not_make_the_whole_are_sent_anew(memory: Memory, store: Store) -> None:
    memory.faults = [breaks()]

    class Wrong(dict[str, bytes]):
        def __setitem__(self, key: str, value: bytes) -> None:
            super().__setitem__(key, b"\0" * len(value) if len(value) == PART else value)

    memory.uploads = Wrong()
    push(store, memory)
    assert sent(memory) == [WHOLE, rest(PART), WHOLE] and memory.blobs["team/app"][DIGEST] == LAYER_BYTES


def test_an_upload_that_comes_no_further_is_given_up(memory: Memory, store: Store) -> None:
    memory.faults = [breaks(), breaks("PATCH", value=0, times=99)]
    with pytest.raises(StoreError) as caught:
        push(store, memory)
    assert caught.value.reason == "registry-broken" and len(sent(memory)) == 6 and not memory.manifests


# -- storage on another host -------------------------------------------------------------------------------------

SECRET = "X-Amz-Signature=very-secret"


@contextlib.contextmanager
def storage_of(memory: Memory, tmp_path: Path) -> Iterator[Memory]:
    """A host with the blobs of ``memory``, which wants a login and leads there."""
    memory.login = "u:p"
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:p")}})
    with running(Memory()) as storage:
        storage.blobs, storage.uploads = memory.blobs, memory.uploads
        memory.elsewhere, memory.signed = f"http://{storage.host}", f"?{SECRET}"
        yield storage


def test_ranges_at_the_storage_of_a_registry(memory: Memory, store: Store, tmp_path: Path) -> None:
    image(memory)
    with storage_of(memory, tmp_path) as storage:
        storage.faults = [Fault(f"GET .*{DIGEST}", "truncate", 150_000)]
        leave(store)
        Puller_(store).pull(name_in(memory))
        first, second = layers_asked(storage)
        assert first == f"bytes={PART}-" and second > first and not kept(store)
        # Each time by an address that is new, and never with the registry's login.
        assert len(layers_asked(memory)) == 2 and len(storage.asked(f"GET .*{SECRET}")) == 3
        assert not [each for each in storage.log if "Authorization" in each[3]]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_address_that_has_expired(status: int, memory: Memory, store: Store, tmp_path: Path) -> None:
    image(memory)
    with storage_of(memory, tmp_path) as storage:
        storage.faults = [Fault(f"GET .*{DIGEST}", "truncate", 150_000), Fault(f"GET .*{DIGEST}", status, times=2)]
        Puller_(store).pull(name_in(memory))
        assert [each[:6] for each in layers_asked(storage)] == ["", *["bytes="] * 3]
        assert store.read(DIGEST) == LAYER_BYTES


@pytest.mark.parametrize(
    "fault",
    [Fault("GET", 403, times=99), Fault("GET", 500, times=99), Fault("GET", "drop", times=99),
     Fault("GET", 404, times=99), Fault("GET", "truncate", times=99), Fault("GET", "corrupt", times=99)],
)  # fmt: skip
def test_a_signed_address_is_told_to_nobody(fault: Fault, memory: Memory, store: Store, tmp_path: Path) -> None:
    image(memory)
    with storage_of(memory, tmp_path) as storage:
        storage.faults = [fault]
        with pytest.raises(XxError) as caught:
            Puller_(store).pull(name_in(memory))
        told = " ".join(caught.value.lines())
        assert memory.host in told and "secret" not in told and "X-Amz" not in told and caught.value.remedy
        assert (storage.host in told) == (fault.kind != "corrupt") or fault.kind == "truncate", told


def test_storage_that_is_not_there(memory: Memory, store: Store, tmp_path: Path) -> None:
    image(memory)
    with storage_of(memory, tmp_path) as storage:
        pass
    with pytest.raises(XxError) as caught:
        Puller_(store).pull(name_in(memory))
    told = " ".join(caught.value.lines())
    assert f"{storage.host} (where {memory.host} leads to) cannot be reached" in told and "secret" not in told


def test_uploads_to_another_host(memory: Memory, store: Store, tmp_path: Path) -> None:
    with storage_of(memory, tmp_path) as storage:
        memory.elsewhere, memory.uploads_to = "", f"http://{storage.host}"
        storage.uploads_to = memory.uploads_to
        storage.faults = [breaks()]
        push(store, memory)
        assert sent(storage) == [WHOLE, rest(PART)] and not sent(memory)
        # What the registry put behind the address goes along, the login does not.
        assert len(storage.asked("PUT .*_state=a&digest=sha256")) == 3
        assert not [each for each in storage.log if "Authorization" in each[3]]
        storage.log.clear()
        memory.blobs.clear()
        storage.faults = [breaks(kind=403, times=2)]
        push(store, memory)
        # An address that has expired: another is asked for.
        assert sent(storage) == [WHOLE] * 3 and len(memory.asked("POST")) == 2 + 2 + 2


@pytest.mark.parametrize("status", [307, 308])
def test_a_registry_that_has_moved_takes_pushes_where_it_is(
    status: int, memory: Memory, store: Store, tmp_path: Path
) -> None:
    with storage_of(memory, tmp_path) as other:
        memory.elsewhere = ""
        for method, path in (("POST", "/v2/team/app/blobs/uploads/"), ("PUT", "/v2/team/app/manifests/1")):
            there = {"Location": f"http://{other.host}{path}"}
            memory.faults.append(Fault(f"{method} {path}", status, times=99, headers=there))
        push(store, memory)
        assert other.asked("PUT .*manifests") and sent(other) == [WHOLE] and not memory.manifests
        assert not [each for each in other.log if "Authorization" in each[3]]


# -- who may -----------------------------------------------------------------------------------------------------


def refusal(store: Store, name: str) -> XxError:
    with pytest.raises(XxError) as caught:
        Puller_(store).pull(name)
    assert "hidden" not in " ".join(caught.value.lines())
    return caught.value


def test_no_login_a_wrong_one_and_no_right(memory: Memory, store: Store, tmp_path: Path) -> None:
    image(memory)
    memory.login = "u:p"
    error = refusal(store, name_in(memory))
    assert f"there is none for {memory.host}" in error.message and f"docker login {memory.host}" in error.remedy
    # What docker login leaves here where a credential helper keeps the rest is no login.
    write_login(tmp_path, auths={memory.host: {}})
    error = refusal(store, name_in(memory))
    assert f"there is none for {memory.host}" in error.message
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:hidden")}})
    error = refusal(store, name_in(memory))
    place = tmp_path / "docker/config.json"
    assert f"refuses the login for {memory.host} that is in {place}" in error.message
    assert error.remedy == f"log in again: docker login {memory.host}" and error.reason == "registry-unauthorized"
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:p")}})
    # Denied before anybody was asked for a login.
    memory.faults = [Fault("GET .*manifests", 403)]
    error = refusal(store, name_in(memory))
    assert error.reason == "registry-denied" and "may need a login" in error.remedy


def test_the_same_of_a_token_server(memory: Memory, tokens: Tokens, store: Store, tmp_path: Path) -> None:
    image(memory)
    memory.realm, tokens.login = tokens.realm, "u:p"
    write_login(tmp_path, auths={memory.host: {}})
    error = refusal(store, name_in(memory))
    assert (
        f"{tokens.host} gives a token to nobody without a login, and there is none for {memory.host}" in error.message
    )
    assert f"docker login {memory.host}" in error.remedy
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:hidden")}})
    error = refusal(store, name_in(memory))
    assert f"{tokens.host} refuses the login for {memory.host} that is in {tmp_path}/docker" in error.message
    # A token is given, and the registry does not take it: the login is right, and has no right to this.
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:p")}})
    error = refusal(store, name_in(memory))
    assert f"{memory.host} does not give image" in error.message and "has a right to it" in error.remedy
    assert error.reason == "registry-unauthorized"
    memory.tokens = {f"token-{number}" for number in range(99)}
    memory.faults = [Fault("GET .*blobs", 403)]
    error = refusal(store, name_in(memory))
    assert f"to the login that is in {tmp_path}/docker" in error.message and error.reason == "registry-denied"
    tokens.faults = [Fault("GET", 403)]
    error = refusal(store, name_in(memory))
    assert error.message.startswith(f"{tokens.host} denies a token to the login for {memory.host}")


def test_a_login_of_a_helper_is_told_as_its(memory: Memory, store: Store, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    image(memory)
    memory.login = "u:p"
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\necho \'{"Username":"u","Secret":"hidden"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    write_login(tmp_path, credsStore="test")
    assert "that is in docker-credential-test: 401" in refusal(store, name_in(memory)).message


# -- Docker Hub --------------------------------------------------------------------------------------------------


def test_mirrors_of_docker_hub_by_each_of_its_names() -> None:
    for host in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        settings = parse_settings(f'[registry."{host}"]\nmirrors = ["mirror.example/hub"]')
        mirror, hub = endpoints_for(settings, parse_reference("busybox"))
        assert (mirror.host, mirror.prefix) == ("mirror.example", "hub") and hub.host == "registry-1.docker.io"


def test_docker_hub_is_logged_in_to_without_a_name() -> None:
    assert Asked("auth.docker.io", "registry-1.docker.io", token_server=True).command == "docker login"
    assert Asked("r.example:5000", "r.example:5000").command == "docker login r.example:5000"


def test_too_many_requests(memory: Memory, store: Store) -> None:
    image(memory)
    memory.faults = [Fault("GET .*manifests", 429, times=3)]
    puller = Puller_(store)
    puller.pull(name_in(memory))
    # It says no time: the waits grow.
    assert len(puller.waited) == 3 and puller.waited[0] < puller.waited[2] <= 8
    memory.faults = [Fault("GET .*manifests", 429, times=99)]
    error = refusal(Store.open(store.root.with_name("other")), name_in(memory))
    assert error.reason == "registry-busy" and "a login may be allowed more" in error.remedy


def test_a_name_that_is_as_it_was_is_no_pull(memory: Memory, store: Store) -> None:
    index = image(memory, (AMD64, ARM64))
    Puller_(store).pull(name_in(memory))
    memory.log.clear()
    Puller_(store).pull(name_in(memory))
    # Docker Hub counts GET of a manifest.
    assert [(method, path) for method, path, _, _ in memory.asked("manifests")] == [
        ("HEAD", "/v2/team/app/manifests/1")
    ]
    Puller_(store).pull(name_in(memory), ARM64)
    assert [each[1] for each in memory.asked("GET .*manifests") if index in each[1]] == []
    # Servers that serve no HEAD, or give no digest, or another's.
    newer = image(memory, (AMD64, ARM64), layer=b"newer")
    for fault in (Fault("HEAD", 405), Fault("HEAD", "digest"), Fault("HEAD", 200)):
        memory.faults = [fault]
        memory.log.clear()
        Puller_(store).pull(name_in(memory))
        assert len(memory.asked("GET .*manifests/1")) == 1 and store.has(newer)
