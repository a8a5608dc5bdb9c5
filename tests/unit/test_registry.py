"""Registries: names, settings, logins, tokens, what is asked again, and that nothing wrong is ever kept."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from registries import Fault, Memory, Server, Tokens
from registrycase import (
    AMD64,
    ARM64,
    BIG,
    LAYER,
    Puller_,
    coded,
    image,
    kept,
    reason_of,
    stand_alone,
    write_login,
    write_settings,
)

from xxpy.build.descriptor import Descriptor
from xxpy.build.dockerfile.bases import BaseImage
from xxpy.build.events import Event, Notice, Transfer
from xxpy.build.image import CONFIG_TYPE, MANIFEST_TYPE, image_manifests, read_image
from xxpy.build.registry import client as client_module
from xxpy.build.registry.auth import Challenge, parse_challenges
from xxpy.build.registry.client import MOST_WAIT, TRIES, Registries
from xxpy.build.registry.images import RegistryImages
from xxpy.build.registry.logins import Login, Logins
from xxpy.build.registry.pull import Puller
from xxpy.build.registry.push import Push, push_image
from xxpy.build.registry.reference import Reference, parse_reference
from xxpy.build.registry.settings import HostSettings, endpoints_for, parse_settings, read_settings
from xxpy.build.registry.transfer import Meter, move_all
from xxpy.build.store import Store
from xxpy.errors import HostError, RegistryError, SourceError, StoreError, UsageError, XxError


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_alone(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def puller(store: Store) -> Puller_:
    return Puller_(store)


# -- names, settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected", "server"),
    [
        ("busybox", ("docker.io", "library/busybox", "latest", ""), "registry-1.docker.io"),
        ("docker.io/team/app:1", ("docker.io", "team/app", "1", ""), "registry-1.docker.io"),
        ("localhost:5000/a/b/c", ("localhost:5000", "a/b/c", "latest", ""), "localhost:5000"),
        (f"r.example/a@sha256:{'0' * 64}", ("r.example", "a", "", f"sha256:{'0' * 64}"), "r.example"),
        (f"r.example/a:1@sha256:{'0' * 64}", ("r.example", "a", "1", f"sha256:{'0' * 64}"), "r.example"),
    ],
)
def test_references(name: str, expected: tuple[str, ...], server: str) -> None:
    reference = parse_reference(name)
    assert reference == Reference(*expected) and reference.server == server
    assert reference.target == (expected[3] or expected[2]) and parse_reference(reference.full) == reference


SETTINGS = """
timeout = 5
[registry."docker.io"]
mirrors = ["mirror.example/hub", "127.0.0.1:1"]
[registry."mirror.example"]
http = true
[registry."r.example"]
insecure = true
"""


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().hosts == {}
    write_settings(tmp_path, SETTINGS)
    settings = read_settings()
    assert settings.timeout == 5 and settings.hosts["r.example"] == HostSettings(insecure=True)
    mirror, loopback, hub = endpoints_for(settings, parse_reference("busybox"))
    assert (mirror.host, mirror.prefix, mirror.schemes, mirror.mirror) == ("mirror.example", "hub", ("http",), True)
    assert (loopback.schemes, loopback.verify) == (("https", "http"), False)
    assert (hub.host, hub.schemes, hub.verify, hub.mirror) == ("registry-1.docker.io", ("https",), True, False)
    (own,) = endpoints_for(settings, parse_reference("r.example/a"))
    assert (own.schemes, own.verify) == (("https", "http"), False)
    (own,) = endpoints_for(settings, parse_reference("s.example/a"), insecure=True)
    assert (own.schemes, own.verify) == (("https", "http"), False)
    other = tmp_path / "other.toml"
    other.write_text("")
    monkeypatch.setenv("XX_REGISTRIES", str(other))
    assert read_settings().hosts == {}
    monkeypatch.setenv("XX_REGISTRIES", str(tmp_path / "nope"))
    assert reason_of(read_settings) == "registries-invalid"


@pytest.mark.parametrize(
    "text",
    [
        "x = 1", "[registry]\nx = 1", "not toml", "timeout = 0", "timeout = true", 'registry = ["a"]',
        '[registry."a"]\nnope = 1', '[registry."a"]\nhttp = "yes"', '[registry."a"]\nmirrors = "b"',
        '[registry."a"]\nmirrors = ["https://b"]', '[registry."a/b"]\nhttp = true', '[registry."a"]\nca = "/nope.pem"',
        '[registry."a"]\nca = [1]', "timeout = 1\n" + "#" * (1 << 20),
    ],
)  # fmt: skip
def test_wrong_settings(text: str, tmp_path: Path) -> None:
    write_settings(tmp_path, text)
    assert reason_of(read_settings) == "registries-invalid"


# -- logins ------------------------------------------------------------------------------------------------------


def test_logins_of_config_json(tmp_path: Path) -> None:
    assert Logins().of("r.example") == Login()
    auths = {
        "r.example": {"auth": coded("u:p:w")},
        "https://old.example/v1/": {"username": "a", "password": "b"},
        "id.example": {"identitytoken": "i", "auth": coded("x:")},
        "https://index.docker.io/v1/": {"auth": coded("hub:pw")},
        "bad.example": {"auth": "!"},
    }
    write_login(tmp_path, auths=auths)
    logins = Logins()
    assert logins.of("r.example").basic == "Basic " + coded("u:p:w")
    assert logins.of("old.example") == Login("a", "b") and logins.of("r.example:5000") == Login()
    assert logins.of("id.example").identity == "i" and logins.of("registry-1.docker.io") == Login("hub", "pw")
    assert "p:w" not in repr(logins.of("r.example")) and reason_of(logins.of, "bad.example") == "login-invalid"


@pytest.mark.parametrize("text", ["", "[]", "{", "{" * 100_000, " " * (1 << 20) + "{}"])
def test_a_damaged_config_json(text: str, tmp_path: Path) -> None:
    write_login(tmp_path)
    (tmp_path / "docker/config.json").write_text(text)
    assert reason_of(Logins().of, "r.example") == "login-invalid"


HELPER = """#!/bin/sh
read -r server
echo "$@ $server" >>"$0.log"
case $server in
r.example) echo '{"ServerURL":"r.example","Username":"u","Secret":"hidden"}' ;;
id.example) echo '{"Username":"<token>","Secret":"refresh"}' ;;
https://index.docker.io/v1/) echo '{"Username":"hub","Secret":"hidden"}' ;;
odd.example) echo 'hidden' ;;
broken.example) echo 'hidden: the ring is locked'; exit 1 ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"""


def test_credential_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    write_login(tmp_path, credsStore="test", credHelpers={"gone.example": "missing", "bad.example": "../x"},
                auths={"plain.example": {"auth": coded("a:b")}})  # fmt: skip
    logins = Logins()
    assert logins.of("r.example") == Login("u", "hidden") and logins.of("r.example") == Login("u", "hidden")
    assert logins.of("id.example") == Login(identity="refresh")
    assert logins.of("registry-1.docker.io") == Login("hub", "hidden")
    assert logins.of("plain.example") == Login("a", "b") and logins.of("none.example") == Login()
    log = (tmp_path / "docker-credential-test.log").read_text().splitlines()
    assert log[0] == "get r.example" and len([line for line in log if "r.example" in line.split()]) == 1
    for host, reason in (("gone.example", "program-missing"), ("bad.example", "login-invalid"),
                         ("odd.example", "credential-helper"), ("broken.example", "credential-helper")):  # fmt: skip
        with pytest.raises(XxError) as caught:
            logins.of(host)
        assert caught.value.reason == reason and "hidden" not in " ".join(caught.value.lines())


# -- tokens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="repository:x:pull"',
         [Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull"})]),
        ('Basic realm="a \\"b\\", c"', [Challenge("basic", {"realm": 'a "b", c'})]),
        ("BASIC realm=x, Bearer Realm = \"y\" , service=z",
         [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y", "service": "z"})]),
        ("Negotiate", [Challenge("negotiate", {})]), ("", []), ("=", []), ('"' * 100_000, []),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges(header) == expected


def test_basic(memory: Memory, puller: Puller_, tmp_path: Path, store: Store) -> None:
    image(memory)
    memory.login = "u:p"
    name = f"{memory.host}/team/app:1"
    with pytest.raises(RegistryError) as caught:
        puller.pull(name)
    assert caught.value.reason == "registry-unauthorized" and f"docker login {memory.host}" in caught.value.remedy
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:p")}})
    Puller_(store).pull(name)
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:wrong")}})
    with pytest.raises(RegistryError) as caught:
        Puller_(Store.open(tmp_path / "other")).pull(name)
    assert caught.value.reason == "registry-unauthorized" and "wrong" not in " ".join(caught.value.lines()).replace(
        "a right login", ""
    )


def test_tokens(memory: Memory, tokens: Tokens, puller: Puller_, tmp_path: Path) -> None:
    image(memory, (AMD64, ARM64))
    memory.realm, tokens.login = tokens.realm, "u:p"
    memory.tokens = {f"token-{number}" for number in range(99)}
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:p")}})
    puller.pull(f"{memory.host}/team/app:1", AMD64, ARM64)
    # One token serves all requests of a scope, and the registry never sees the login.
    (asked,) = tokens.log
    assert "scope=repository%3Ateam%2Fapp%3Apull" in asked[1] and "service=tests" in asked[1]
    assert not [each for each in memory.log if each[3].get("Authorization", "").startswith("Basic")]


def test_a_token_that_is_taken_back_is_renewed(memory: Memory, tokens: Tokens, store: Store) -> None:
    image(memory, (AMD64, ARM64))
    memory.realm, memory.tokens = tokens.realm, {"token-0"}
    puller = Puller_(store)
    pulled = puller.look_up(parse_reference(f"{memory.host}/team/app:1"), AMD64)
    memory.tokens = {"token-1"}
    puller.fetch([pulled], lambda event: None)
    assert tokens.given == ["token-0", "token-1"]
    memory.tokens = set()
    assert reason_of(puller.look_up, parse_reference(f"{memory.host}/team/app:2"), AMD64) == "registry-unauthorized"


def test_identity_tokens(memory: Memory, tokens: Tokens, puller: Puller_, tmp_path: Path) -> None:
    image(memory)
    memory.realm, memory.tokens, tokens.login, tokens.identity = tokens.realm, {"token-0"}, "no:body", "refresh"
    write_login(tmp_path, auths={memory.host: {"identitytoken": "refresh"}})
    puller.pull(f"{memory.host}/team/app:1")
    assert [each[0] for each in tokens.log] == ["POST"]


def test_logins_stay_where_they_belong(
    memory: Memory, tokens: Tokens, store: Store, puller: Puller_, tmp_path: Path
) -> None:
    other, mirror = Memory(), Memory()
    try:
        image(memory)
        image(other)
        memory.login, memory.elsewhere = "u:p", f"http://{other.host}"
        write_login(tmp_path, auths={memory.host: {"auth": coded("u:p")}})
        write_settings(tmp_path, f'[registry."{memory.host}"]\nmirrors = ["{mirror.host}"]')
        puller.pull(f"{memory.host}/team/app:1")
        asked = [*other.asked("GET .*blobs"), *mirror.asked("GET")]
        assert other.asked("GET .*blobs") and mirror.asked("GET .*manifests")
        assert not [each for each in asked if "Authorization" in each[3]]
        assert [each for each in memory.log if "Authorization" in each[3]]
    finally:
        other.stop()
        mirror.stop()


@pytest.mark.parametrize("realm", ["", "ftp://x/t", "http://", "http://u:p@127.0.0.1/t"])
def test_realms_that_are_none(realm: str, memory: Memory, puller: Puller_) -> None:
    memory.realm = realm or "x"
    assert reason_of(puller.pull, f"{memory.host}/team/app:1") == "registry-wrong"


def test_redirects_of_the_token_server_are_not_followed(memory: Memory, tokens: Tokens, puller: Puller_) -> None:
    memory.realm = tokens.realm
    tokens.faults = [Fault("GET", 307, headers={"Location": f"http://{memory.host}/steal"})]
    assert reason_of(puller.pull, f"{memory.host}/team/app:1") == "registry-status"
    assert not memory.asked("steal")


# -- pull --------------------------------------------------------------------------------------------------------


def test_pull(memory: Memory, store: Store, puller: Puller_) -> None:
    index = image(memory, (AMD64, ARM64))
    name = f"{memory.host}/team/app:1"
    events = puller.pull(name)
    size = len(BIG) + len("linux/amd64")
    assert events == [Transfer(f"pulling {name}", 0, size), Transfer(f"pulling {name}", size, size)]
    assert read_image(store, name, AMD64).config["config"] == {"User": "of-amd64"} and not kept(store)
    entry = store.resolve(name)
    assert entry is not None and [each.platform for each in image_manifests(store, entry)] == [AMD64]
    Puller_(store).pull(name, ARM64)
    entry = store.resolve(name)
    assert entry is not None and [each.platform for each in image_manifests(store, entry)] == [AMD64, ARM64]
    # What comes twice is fetched once; all platforms together are the registry's own index.
    assert len(memory.asked("GET .*blobs")) == 4
    assert entry.digest == index


def test_a_name_that_means_another_image_by_now(memory: Memory, store: Store) -> None:
    image(memory, (AMD64, ARM64))
    name = f"{memory.host}/team/app:1"
    Puller_(store).pull(name, AMD64, ARM64)
    image(memory, (AMD64, ARM64), layer=b"newer")
    Puller_(store).pull(name, AMD64)
    entry = store.resolve(name)
    # The other platform's is of the older image: one name is one image.
    assert entry is not None and [each.platform for each in image_manifests(store, entry)] == [AMD64]


def test_by_digest_and_single_manifests(memory: Memory, store: Store, puller: Puller_) -> None:
    digest = image(memory)
    puller.pull(f"{memory.host}/team/app@{digest}")
    assert store.resolve(f"{memory.host}/team/app@{digest}") is not None
    with pytest.raises(SourceError) as caught:
        puller.pull(f"{memory.host}/team/app:1", ARM64)
    assert caught.value.reason == "platform-missing" and "linux/amd64" in caught.value.message


def test_two_at_once_fetch_once(memory: Memory, store: Store) -> None:
    image(memory)
    memory.faults = [Fault("GET .*blobs", "truncate", 150_000, times=2)]
    threads = [threading.Thread(target=Puller_(store).pull, args=(f"{memory.host}/team/app:1",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = [each for each in memory.asked("GET .*blobs") if "Range" not in each[3]]
    assert len(whole) == 2 and not kept(store), whole


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("GET .*manifests", "drop", times=2)], [Fault("GET .*blobs", "drop", times=3)],
        [Fault("GET .*blobs", "truncate", 100, times=3)], [Fault("GET .*manifests", "truncate", 10)],
        [Fault("GET .*manifests", 503, times=4)], [Fault("GET .*blobs", 500), Fault("GET .*blobs", 502)],
        [Fault("GET .*manifests", 429, headers={"Retry-After": "7"})], [Fault("GET .*blobs", 408)],
    ],
)  # fmt: skip
def test_what_passes_is_asked_again(
    faults: list[Fault], memory: Memory, store: Store, puller: Puller_, tmp_path: Path
) -> None:
    image(memory)
    memory.faults = faults
    puller.pull(f"{memory.host}/team/app:1")
    assert not kept(store) and len(read_image(store, f"{memory.host}/team/app:1", AMD64).layers) == 1
    assert puller.waited and (faults[0].kind != 429 or puller.waited == [7.0])


def test_a_server_that_stalls(memory: Memory, store: Store, puller: Puller_, tmp_path: Path) -> None:
    image(memory)
    write_settings(tmp_path, "timeout = 0.5")
    memory.faults = [Fault("GET .*manifests", "stall", 2), Fault("GET .*blobs", "stall", 2)]
    puller.pull(f"{memory.host}/team/app:1")
    memory.faults = [Fault("GET .*manifests", "stall", 2, times=99)]
    assert reason_of(puller.pull, f"{memory.host}/team/app:2") == "registry-timeout"


def test_a_download_goes_on_where_it_broke_off(memory: Memory, store: Store, puller: Puller_) -> None:
    image(memory)
    memory.faults = [Fault("GET .*blobs", "truncate", 150_000, times=3)]
    puller.pull(f"{memory.host}/team/app:1")
    starts = [int(each[3]["Range"][6:-1]) for each in memory.asked("GET .*blobs") if "Range" in each[3]]
    assert starts == [150_000] and not kept(store), starts


def test_what_is_asked_again_is_told_once_with_its_wait(memory: Memory, store: Store, puller: Puller_) -> None:
    image(memory)
    memory.faults = [Fault("GET .*blobs", "truncate", 0, times=4), Fault("GET .*manifests", 503, times=3)]
    early: list[str] = []
    registries = Registries(pause=puller.waited.append, told=early.append)
    reference, events = parse_reference(f"{memory.host}/team/app:1"), list[Event]()
    again = Puller(store, registries)
    again.fetch([again.look_up(reference, AMD64)], events.append)
    lines = [*early, *(event.text for event in events if isinstance(event, Notice))]
    assert len([line for line in lines if ": 503 " in line]) == 1, lines
    assert len(lines) == len({line.rpartition(":")[0] for line in lines})
    assert all(re.search(r": asked again in \d+\.\d s$", line) and memory.host in line for line in lines), lines
    assert any("broke off its answer (the blob sha256:" in line for line in lines), lines
    assert len(puller.waited) > len(lines) and not kept(store)


def test_bytes_that_come_again_are_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xxpy.build.registry.transfer._EVERY", 0.0)
    events: list[Event] = []
    meter = Meter("pulling a", 100, events.append)
    for count in (30, 20, -50, 30, 20, 10, -60, 60, 40):
        meter.add(count)
    meter.end()
    assert [each.done for each in events if isinstance(each, Transfer)] == [0, 30, 50, 60, 100]


def test_without_ranges_it_begins_again_and_skips(memory: Memory, store: Store, puller: Puller_) -> None:
    image(memory)
    memory.part, memory.faults = 200, [Fault("GET .*blobs", "truncate", 150_000, times=4)]
    puller.pull(f"{memory.host}/team/app:1")
    assert not kept(store) and len(read_image(store, f"{memory.host}/team/app:1", AMD64).layers) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("GET .*manifests", "corrupt", times=99), "digest-mismatch"),
        (Fault("GET .*manifests", "digest", times=99), "digest-mismatch"),
        (Fault("GET .*blobs", "corrupt", times=99), "digest-mismatch"),
        (Fault("GET .*blobs", "longer", times=99), "registry-wrong"),
        (Fault("GET .*blobs", "truncate", 0, times=99), "registry-broken"),
        (Fault("GET .*manifests", "drop", times=99), "registry-broken"),
        (Fault("GET .*manifests", 401, times=99), "registry-unauthorized"),
        (Fault("GET .*manifests", 403, times=99), "registry-denied"),
        (Fault("GET .*manifests", 404, times=99), "image-missing"),
        (Fault("GET .*blobs", 404, times=99), "image-missing"),
        (Fault("GET .*manifests", 429, times=99), "registry-busy"),
        (Fault("GET .*manifests", 429, headers={"Retry-After": "3600"}), "registry-busy"),
        (Fault("GET .*manifests", 500, times=99), "registry-fails"),
        (Fault("GET .*manifests", 503, times=99), "registry-fails"),
        (Fault("GET .*manifests", 418), "registry-status"),
        (Fault("GET .*manifests", 307, headers={"Location": "file:///etc/passwd"}), "registry-wrong"),
        (Fault("GET .*manifests", 307, headers={"Location": "/v2/a/manifests/b"}, times=99), "registry-wrong"),
    ],
)  # fmt: skip
def test_what_stays_wrong_is_told_and_not_kept(
    fault: Fault, reason: str, memory: Memory, store: Store, puller: Puller_
) -> None:
    image(memory)
    memory.faults = [fault]
    with pytest.raises(XxError) as caught:
        puller.pull(f"{memory.host}/team/app:1")
    assert caught.value.reason == reason and caught.value.exit_code == 5 and caught.value.remedy, caught.value
    assert memory.host in caught.value.message and not kept(store) and store.images() == []
    assert len(puller.waited) < TRIES * 3 and max(puller.waited, default=0) <= MOST_WAIT


def test_who_never_answered_is_given_up_at_once(puller: Puller_) -> None:
    closed = Server()
    closed.stop()
    assert reason_of(puller.pull, f"{closed.host}/a") == "registry-unreachable" and puller.waited == []


def test_plain_http_is_taken_where_it_is_allowed(
    memory: Memory, puller: Puller_, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("xxpy.build.registry.settings.is_loopback", lambda host: False)
    image(memory)
    with pytest.raises(RegistryError) as caught:
        puller.pull(f"{memory.host}/team/app:1")
    assert caught.value.reason == "registry-certificate" and "http = true" in caught.value.remedy
    assert not memory.log and not puller.waited
    for word in ("http", "insecure"):
        write_settings(tmp_path, f'[registry."{memory.host}"]\n{word} = true\n')
        Puller_(store).pull(f"{memory.host}/team/app:1")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"layers": [{"mediaType": LAYER, "digest": "sha256:" + "0" * 64, "size": 1, "urls": ["http://x/"]}]},
         "foreign-layer"),
        ({"layers": [{"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                      "digest": "sha256:" + "0" * 64, "size": 1}]}, "foreign-layer"),
        ({"layers": [{"mediaType": "application/vnd.cncf.helm.chart", "digest": "sha256:" + "0" * 64, "size": 1}]},
         "image-unsupported"),
        ({"layers": 7}, "image-unsupported"), ({"config": None}, "image-unsupported"),
        ({"layers": []}, "image-unsupported"),
        ({"schemaVersion": 1}, "image-unsupported"), ({"mediaType": "text/plain"}, "image-unsupported"),
        ({"manifests": []}, "image-unsupported"),
        ({"config": {"mediaType": CONFIG_TYPE, "digest": "../../etc/passwd", "size": 1}}, "image-unsupported"),
        ({"layers": [{"mediaType": LAYER, "digest": "sha256:" + "0" * 64, "size": 1 << 50}]}, "image-unsupported"),
    ],
)  # fmt: skip
def test_what_is_no_image(changed: dict[str, Any], reason: str, memory: Memory, puller: Puller_) -> None:
    image(memory, **changed)
    assert reason_of(puller.pull, f"{memory.host}/team/app:1") == reason


def test_manifests_are_bounded(memory: Memory, puller: Puller_, store: Store) -> None:
    image(memory, annotations={"x": "y" * (5 << 20)})
    assert reason_of(puller.pull, f"{memory.host}/team/app:1") == "registry-wrong" and not list(store.blobs.iterdir())


def test_what_a_registry_says_is_printed_without_control_characters(
    memory: Memory, puller: Puller_, capsys: pytest.CaptureFixture[str]
) -> None:
    from xxpy.cli.shared import print_error

    memory.faults = [Fault("GET .*manifests", 403)]
    with pytest.raises(RegistryError) as caught:
        puller.pull(f"{memory.host}/team/app:1")
    print_error(caught.value)
    assert "TESTED: as it was told" in capsys.readouterr().err


def test_mirrors_go_first_and_none_has_to_have_it(memory: Memory, store: Store, tmp_path: Path) -> None:
    mirror, closed = Memory(), Server()
    closed.stop()
    try:
        digest = image(memory)
        image(mirror, repository="hub/team/app", layer=b"a mirror's own")
        text = f'[registry."{memory.host}"]\nmirrors = ["{closed.host}", "{mirror.host}/hub"]'
        write_settings(tmp_path, text)
        name = f"{memory.host}/team/app"
        Puller_(store).pull(f"{name}:1")
        assert len(mirror.asked("GET .*/hub/team/app/blobs")) == 2 and not memory.log
        # By digest the mirror has another: the registry's own is taken.
        Puller_(store).pull(f"{name}@{digest}")
        assert mirror.asked(f"GET .*{digest}") and memory.asked("GET .*blobs") and not kept(store)
        mirror.faults = [Fault("GET", 500, times=99)]
        memory.faults = [Fault("GET", 404, times=99)]
        with pytest.raises(RegistryError) as caught:
            Puller_(store).pull(f"{name}:2")
        assert caught.value.reason == "image-missing" and mirror.host in caught.value.message
    finally:
        mirror.stop()


# -- what FROM asks ----------------------------------------------------------------------------------------------


def images(store: Store, told: list[str], *, anew: bool = False) -> RegistryImages:
    return RegistryImages(store, Puller_(store), told.append, anew=anew)


def test_from_takes_the_stores_and_then_the_registrys(memory: Memory, store: Store) -> None:
    told: list[str] = []
    name = f"{memory.host}/team/app:1"
    image(memory, (AMD64, ARM64))
    found: BaseImage = images(store, told).base(name, AMD64)
    assert found.config.user == "of-amd64" and store.resolve(name) is None and not memory.asked("GET .*blobs.*layer")
    Puller_(store).pull(name)
    count = len(memory.log)
    assert images(store, told).base(name, AMD64) == found and len(memory.log) == count
    image(memory, (AMD64, ARM64), layer=b"newer")
    assert images(store, told).base(name, AMD64) == found
    newer = images(store, told, anew=True).base(name, AMD64)
    assert newer.manifest != found.manifest and not told
    memory.faults = [Fault("GET|HEAD", 404, times=99)]
    assert images(store, told, anew=True).base(name, AMD64) == found
    assert len(told) == 1 and "is taken from the store" in told[0]
    memory.faults = [Fault("GET|HEAD", 403, times=99)]
    assert reason_of(images(store, told, anew=True).base, name, AMD64) == "registry-denied"


def test_what_neither_has(memory: Memory, store: Store) -> None:
    with pytest.raises(SourceError) as caught:
        images(store, []).base(f"{memory.host}/library/debian:trixie", AMD64)
    assert caught.value.reason == "image-missing"
    assert "in the store" in caught.value.message and "MANIFEST_UNKNOWN" in caught.value.message
    memory.faults = [Fault("GET .*manifests", 500, times=99)]
    assert reason_of(images(store, []).base, f"{memory.host}/x", AMD64) == "registry-fails"


# -- push --------------------------------------------------------------------------------------------------------


def have(store: Store, memory: Memory, name: str = "team/app:1") -> Descriptor:
    """An image of two platforms in the store, out of a registry that is another by now."""
    image(memory, (AMD64, ARM64))
    Puller_(store).pull(f"{memory.host}/{name}", AMD64, ARM64)
    entry = store.resolve(f"{memory.host}/{name}")
    assert entry is not None
    memory.log.clear()
    return entry


def push(store: Store, top: Descriptor, name: str, **how: bool) -> list[Event]:
    events: list[Event] = []
    waits: list[float] = []
    push_image(store, top, [Push(parse_reference(name), **how)], Registries(pause=waits.append), events.append)
    return events


def test_push(memory: Memory, store: Store) -> None:
    top = have(store, memory)
    other = Memory()
    try:
        events = push(store, top, f"{other.host}/new/app:2")
        assert isinstance(events[-1], Transfer) and events[-1].done == events[-1].total > 2 * len(BIG)
        assert other.manifests["new/app"]["2"][1] == memory.manifests["team/app"]["1"][1]
        assert set(other.blobs["new/app"]) == set(memory.blobs["team/app"])
        lines = [f"{method} {path}" for method, path, _, _ in other.log]
        # No manifest before the last blob, the index last.
        first = next(i for i, line in enumerate(lines) if line.startswith("PUT /v2/new/app/manifests"))
        assert not [line for line in lines[first:] if "blobs" in line] and lines[-1].endswith("/manifests/2")
        other.log.clear()
        push(store, top, f"{other.host}/new/app:3")
        assert not other.asked("POST") and len(other.asked("HEAD")) == 4
    finally:
        other.stop()


def test_mounted_from_another_repository(memory: Memory, store: Store) -> None:
    top = have(store, memory)
    push(store, top, f"{memory.host}/other/app:1")
    assert len(memory.asked("POST .*from=team/app")) == 4 and not memory.asked("PUT .*uploads")
    assert set(memory.blobs["other/app"]) == set(memory.blobs["team/app"])
    memory.blobs["team/app"].clear()
    memory.blobs["other/app"].clear()
    push(store, top, f"{memory.host}/third/app:1")
    assert len(memory.asked("PUT /v2/third/app/blobs/uploads")) == 4


def test_a_repository_that_may_not_be_read_is_no_reason_not_to_push(memory: Memory, store: Store) -> None:
    top = have(store, memory)
    memory.faults = [Fault("POST .*mount=", 401, times=99)]
    push(store, top, f"{memory.host}/other/app:1")
    assert len(memory.asked("PUT .*uploads")) == 4 and "1" in memory.manifests["other/app"]


def test_push_by_digest(memory: Memory, store: Store) -> None:
    top = have(store, memory)
    push(store, top, f"{memory.host}/by/digest", by_digest=True)
    assert set(memory.manifests["by/digest"]) == {
        top.digest, *(each.digest for each in image_manifests(store, top))
    }  # fmt: skip


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("POST", "drop", times=2)], [Fault("PUT .*uploads", "drop", times=3)], [Fault("PUT .*uploads", 500)],
        [Fault("PUT .*uploads", 503, times=4)], [Fault("PUT .*manifests", 502)], [Fault("HEAD", 500)],
        [Fault("PUT .*manifests", 429, headers={"Retry-After": "1"})],
    ],
)  # fmt: skip
def test_pushed_again(faults: list[Fault], memory: Memory, store: Store) -> None:
    top = have(store, memory)
    other = Memory()
    try:
        other.faults = faults
        events = push(store, top, f"{other.host}/a:1")
        assert other.manifests["a"]["1"][1] == store.read(top.digest) and len(other.blobs["a"]) == 4
        assert [each for each in events if isinstance(each, Transfer) and each.done > each.total] == []
    finally:
        other.stop()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("POST", 401, times=99), "registry-unauthorized"), (Fault("POST", 403, times=99), "registry-denied"),
        (Fault("PUT .*uploads", 500, times=99), "registry-fails"), (Fault("PUT .*uploads", 400), "registry-status"),
        (Fault("PUT .*uploads", "digest", times=99), "digest-mismatch"), (Fault("POST", 202), "registry-wrong"),
        (Fault("PUT .*manifests", "digest", times=99), "digest-mismatch"), (Fault("POST", 413), "registry-status"),
        (Fault("POST", 202, headers={"Location": "file:///x"}), "registry-wrong"),
    ],
)  # fmt: skip
def test_a_push_that_fails_names_nothing(fault: Fault, reason: str, memory: Memory, store: Store) -> None:
    top = have(store, memory)
    other = Memory()
    try:
        other.faults = [fault]
        with pytest.raises(StoreError) as caught:
            push(store, top, f"{other.host}/a:1")
        assert caught.value.reason == reason and caught.value.remedy and other.host in caught.value.message
        assert "1" not in other.manifests.get("a", {})
    finally:
        other.stop()


def test_a_blob_that_the_store_has_lost(memory: Memory, store: Store) -> None:
    top = have(store, memory)
    other = Memory()
    try:
        for digest in memory.blobs["team/app"]:
            store.blob(digest).unlink()
        assert reason_of(push, store, top, f"{other.host}/a:1") == "blob-missing" and not other.manifests
    finally:
        other.stop()


def test_a_login_for_a_push_that_goes_elsewhere(memory: Memory, tokens: Tokens, store: Store, tmp_path: Path) -> None:
    top = have(store, memory)
    memory.realm, memory.tokens, tokens.login = tokens.realm, {f"token-{n}" for n in range(9)}, "u:p"
    write_login(tmp_path, auths={memory.host: {"auth": coded("u:p")}})
    push(store, top, f"{memory.host}/other/app:1")
    scopes = [re.findall(r"scope=([^&]+)", each[1]) for each in tokens.log]
    assert ["repository%3Aother%2Fapp%3Apull%2Cpush"] in scopes
    assert ["repository%3Aother%2Fapp%3Apull%2Cpush", "repository%3Ateam%2Fapp%3Apull"] in scopes


# -- several at once ---------------------------------------------------------------------------------------------


def test_the_first_error_ends_all() -> None:
    told: list[Event] = []
    begun: list[threading.Thread] = []
    going = threading.Event()

    def endless(meter: Meter) -> None:
        begun.append(threading.current_thread())
        going.set()
        while True:
            meter.add(1)

    def failing(_meter: Meter) -> None:
        going.wait()
        raise HostError("x")

    meter = Meter("x", 1 << 60, told.append)
    with pytest.raises(HostError):
        move_all([endless, failing, endless], meter, at_once=2)
    begun[0].join(10)
    assert len(begun) == 1 and not begun[0].is_alive() and told[0] == Transfer("x", 0, 1 << 60)


def test_waits_grow_and_are_bounded() -> None:
    waits = [client_module._own_wait(failures) for failures in range(1, 40)]
    assert max(waits) <= 8 and waits[0] <= 0.5
    assert client_module._retry_after("17") == 17 and client_module._retry_after("") == 0
    assert client_module._retry_after("soon") == client_module._retry_after("-1") == 0
    assert client_module._retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    with pytest.raises(UsageError):
        parse_reference("Not A Name")
    with pytest.raises(ValueError, match="not known"):
        parse_settings("x = 1")


def test_logins_of_podman_and_skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(path: Path, user: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auths": {"r.example": {"auth": coded(f"{user}:word")}}}))

    keep(tmp_path / "config/containers/auth.json", "kept")
    assert Logins().of("r.example").user == "kept"
    keep(tmp_path / "run/containers/auth.json", "session")
    assert Logins().of("r.example").user == "session"
    keep(tmp_path / "named.json", "named")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "named.json"))
    assert Logins().of("r.example").user == "named"
    write_login(tmp_path, auths={"r.example": {"auth": coded("docker:word")}})
    assert Logins().of("r.example").user == "docker" and Logins().of("other.example") == Login()
    (tmp_path / "named.json").write_text("{")
    with pytest.raises(SourceError) as caught:
        Logins().of("other.example")
    assert caught.value.place == str(tmp_path / "named.json")


@pytest.mark.parametrize("name", ["localhost:99999/x", "localhost:65536/x:1"])
def test_a_port_that_there_is_not(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(name)
    assert caught.value.reason == "bad-reference"


def test_authorities_that_are_not_there(memory: Memory, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(RegistryError) as caught:
        Puller(store, Registries(pause=lambda _seconds: None)).look_up(parse_reference("r.invalid/a/b:1"), AMD64)
    assert "nowhere.pem" in caught.value.message and caught.value.remedy


def test_a_page_that_takes_everything_is_no_registry(store: Store, memory: Memory) -> None:
    memory.answer = lambda *_request: (200, {}, b"<html>")  # type: ignore[method-assign]
    layer = store.put_bytes(b"layer", LAYER)
    config = store.put_bytes(b"{}", CONFIG_TYPE)
    body = {"schemaVersion": 2, "config": config.to_json(), "layers": [layer.to_json()]}
    manifest = store.put_json(body, MANIFEST_TYPE)
    push = Push(parse_reference(f"{memory.host}/a/b:1"))
    with pytest.raises(StoreError):
        push_image(store, manifest, [push], Registries(pause=lambda _seconds: None), lambda _event: None)
