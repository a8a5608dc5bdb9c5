"""Registries as users have them: Debian's docker-registry, logins, mirrors, and a proxy that spoils what it can."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import lacking
from registries import Fault, Memory, Proxy, Tokens, docker_registry, make_certificate, running
from registrycase import image
from support import BOTH, Xx, error_of, store_from

from xxpy.build.store import Store

CHILD = "RUN echo more >/more\n"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No proxy before loopback, no login and no settings of whoever runs this; the folder of config.json."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry without a login."""
    with started(tmp_path_factory.mktemp("registry") / "r") as host:
        yield host


def started(folder: Path, auth: str = "", keys: Path | None = None) -> Any:
    if shutil.which("docker-registry") is None:
        lacking("docker-registry is not installed")
    return docker_registry(folder, auth, keys)


@pytest.fixture
def proxy(registry: str) -> Iterator[Proxy]:
    server = Proxy(registry)
    yield server
    server.stop()


@pytest.fixture
def empty(tmp_path: Path) -> Xx:
    """`xx` with a store that has nothing."""
    folder = tmp_path / "empty-context"
    folder.mkdir()
    return Xx(tmp_path / "empty-store", folder)


@pytest.fixture
def pushed(xx: Xx, registry: str) -> str:
    """An image for two platforms in the registry."""
    name = f"{registry}/team/base:1"
    done = xx.build("FROM busybox\nRUN head -c 3000000 /dev/urandom >/big\n", "--platform", BOTH, "-t", name, "--push")
    assert done.code == 0, done
    return name


def settle(tmp_path: Path, text: str) -> None:
    (tmp_path / "config/xx").mkdir(parents=True, exist_ok=True)
    (tmp_path / "config/xx/registries.toml").write_text(text)


def login(folder: Path, host: str, user: str) -> None:
    text = json.dumps({"auths": {host: {"auth": base64.b64encode(user.encode()).decode()}}})
    (folder / "config.json").write_text(text)


def run(*argv: str, **how: Any) -> str:
    if shutil.which(argv[0]) is None:
        lacking(f"{argv[0]} is not installed")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wrong_in(store: Path) -> list[str]:
    """Blobs that have not the digest of their name, and what was being written."""
    import hashlib

    blobs = (store / "blobs/sha256").iterdir()
    wrong = [each.name for each in blobs if hashlib.sha256(each.read_bytes()).hexdigest() != each.name]
    return wrong + [each.name for each in (store / "tmp").iterdir()]


def test_push_and_who_reads_it(xx: Xx, registry: str, tmp_path: Path) -> None:
    name = f"{registry}/team/app:1"
    done = xx.build("FROM busybox\nRUN echo a >/a\n", "--platform", BOTH, "-t", name, "-o", "type=registry",
                    "-o", "type=oci,dest=i.tar", "--metadata-file", "m.json")  # fmt: skip
    assert done.code == 0 and f"pushing {name}: " in done.err, done
    index = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
    said = json.loads((xx.folder / "m.json").read_text())
    shown = run("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{name}").strip()
    assert said["containerimage.digest"] == shown and said["image.name"] == name
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/copied:1")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/copied:1", str(tmp_path / "bundle"))
    assert (tmp_path / "bundle/rootfs/a").read_text() == "a\n"


def test_from_a_registry(pushed: str, empty: Xx, registry: str) -> None:
    done = empty.build(f"FROM {pushed}\n{CHILD}", "--platform", BOTH, "-t", f"{registry}/team/child", "--push")
    assert done.code == 0 and f"pulling {pushed}: 0.0 of " in done.err, done
    index = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/team/child"))
    assert len(index["manifests"]) == 2 and wrong_in(empty.store) == []
    again = empty.build(f"FROM {pushed}\n{CHILD}", "--platform", BOTH)
    assert again.code == 0 and "pulling" not in again.err
    assert run("skopeo", "inspect", "--raw", f"oci:{empty.store}:{pushed}")


def test_a_platform_at_a_time_and_the_name_again(xx: Xx, empty: Xx, registry: str) -> None:
    name = f"{registry}/team/moving:1"

    def put(word: str) -> None:
        done = xx.build(f"FROM busybox\nRUN echo {word} >/word\n", "--platform", BOTH, "-t", name, "--push")
        assert done.code == 0, done

    put("one")
    reading = f"FROM {name}\nRUN cat /word\n"
    assert "one" in empty.build(reading).err
    put("two")
    assert empty.build(reading, "--no-cache").err.count(" two") == 0
    assert " two" in empty.build(reading, "--pull").err
    done = empty.run("pull", name, "--platform", "all")
    assert done.code == 0 and "linux/amd64: sha256:" in done.out and "linux/arm64: sha256:" in done.out, done
    assert empty.run("pull", "-q", name).out.startswith("sha256:")


def test_docker_media_types(xx: Xx, empty: Xx, registry: str) -> None:
    name = f"{registry}/team/docker:1"
    done = xx.build(
        "FROM busybox\n", "--platform", BOTH, "-o", f"type=image,name={name},push=true,oci-mediatypes=false"
    )
    assert done.code == 0, done
    raw = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    assert raw["mediaType"].startswith("application/vnd.docker.")
    done = empty.build(f"FROM {name}\nRUN echo x >/x\n", "-o", "type=oci,dest=i.tar,tar=false")
    assert done.code == 0, done
    manifest = run("skopeo", "inspect", "--raw", f"oci:{empty.folder}/i.tar")
    assert "vnd.docker" not in manifest


def test_by_digest_then_an_index_by_hand(xx: Xx, empty: Xx, registry: str) -> None:
    repository = f"{registry}/team/digests"
    output = f"type=image,name={repository},push-by-digest=true,name-canonical=true,push=true"
    done = xx.build("FROM busybox\n", "-o", output, "--metadata-file", "m.json")
    assert done.code == 0, done
    digest = json.loads((xx.folder / "m.json").read_text())["containerimage.digest"]
    assert empty.build(f"FROM {repository}@{digest}\n{CHILD}").code == 0
    missing = empty.run("pull", repository)
    assert missing.code == 5 and "404" in error_of(missing)
    # By now no registry is asked for it.
    assert "pulling" not in empty.build(f"FROM {repository}@{digest}\n{CHILD}", "--pull").err


def test_xx_push_mounts_what_the_registry_has(pushed: str, empty: Xx, registry: str, proxy: Proxy) -> None:
    assert empty.run("pull", pushed.replace(registry, proxy.host), "--platform", "all").code == 0
    done = empty.run("push", pushed.replace(registry, proxy.host), f"{proxy.host}/moved/here:2")
    assert done.code == 0, done
    posts = proxy.asked("POST")
    assert posts and {each[2] for each in posts} == {201} and not proxy.asked("PUT .*uploads")
    run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/moved/here:2")
    assert empty.run("push", "nosuch").code == 5 and empty.run("push", pushed, f"x@sha256:{'0' * 64}").code == 2


FAULTS = [
    [Fault("GET .*blobs", "drop", times=2), Fault("GET .*manifests", "drop")],
    [Fault("GET .*blobs", "truncate", 1_000_000, times=3)],
    [Fault("GET .*blobs", "stall", 6)],
    [Fault("GET .*manifests", 503, times=2), Fault("GET .*blobs", 500)],
    [Fault("GET .*blobs", 429, headers={"Retry-After": "1"})],
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda each: f"{each[0].kind}")
def test_what_passes_is_borne(faults: list[Fault], pushed: str, empty: Xx, proxy: Proxy, tmp_path: Path) -> None:
    rest = pushed.partition("/")[2]
    if faults[0].kind == "stall":
        settle(tmp_path, "timeout = 4")
    proxy.faults = [Fault(each.on, each.kind, each.value, each.times, each.headers) for each in faults]
    done = empty.build(f"FROM {proxy.host}/{rest}\n{CHILD}", "--platform", BOTH)
    assert done.code == 0 and wrong_in(empty.store) == [], done
    assert not any(each.times for each in proxy.faults)
    if faults[0].kind == "truncate":
        assert [each for each in proxy.asked("GET .*blobs") if each[2] == 206]
    proxy.faults = [Fault(each.on.replace("GET", "PUT"), each.kind, each.value, each.times, each.headers)
                    for each in faults]  # fmt: skip
    done = empty.build(f"FROM {proxy.host}/{rest}\nRUN echo {time.time()} >/n\n", "-t", f"{proxy.host}/a/b", "--push")
    assert done.code == 0, done


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("GET .*blobs", "corrupt", times=99), "gives sha256:"),
        (Fault("GET .*blobs", "longer", times=99), "gives more than"),
        (Fault("GET .*manifests", "corrupt", times=99), "digest"),
        (Fault("GET .*manifests", "digest", times=99), "digest"),
        (Fault("GET .*manifests", 401, times=99), "docker login"),
        (Fault("GET .*manifests", 404, times=99), "404 Not Found"),
        (Fault("GET .*manifests", 429, headers={"Retry-After": "7200"}), "asks to wait 7200 seconds"),
        (Fault("GET .*blobs", 503, times=99), "503 Service Unavailable"),
    ],
    ids=lambda each: f"{each.kind}" if isinstance(each, Fault) else "",
)
def test_what_stays_wrong_is_an_error(fault: Fault, words: str, pushed: str, empty: Xx, proxy: Proxy) -> None:
    proxy.faults = [Fault(fault.on, fault.kind, fault.value, fault.times, fault.headers)]
    name = f"{proxy.host}/{pushed.partition('/')[2]}"
    done = empty.build(f"FROM {name}\n{CHILD}", "-t", "mine")
    assert (done.code == 5 and words in error_of(done) and "Dockerfile:1" in error_of(done)) or "blobs" in fault.on, (
        done
    )
    assert words in done.err and wrong_in(empty.store) == []
    assert name not in (empty.store / "index.json").read_text()
    proxy.faults = []
    assert empty.build(f"FROM {name}\n{CHILD}", "-t", "mine").code == 0


def test_two_builds_at_once_fetch_once(pushed: str, empty: Xx, proxy: Proxy) -> None:
    name = f"{proxy.host}/{pushed.partition('/')[2]}"
    proxy.faults = [Fault("GET .*blobs", "truncate", 1_000_000, times=4)]
    results = []
    empty.dockerfile(f"FROM {name}\n{CHILD}")
    threads = [threading.Thread(target=lambda: results.append(empty.run("build", "."))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.code for done in results] == [0, 0], results
    whole = [each[1] for each in proxy.asked("GET .*blobs") if "Range" not in each[3]]
    assert len(whole) == len(set(whole)), whole


def test_stopped_while_it_pulls(pushed: str, empty: Xx, proxy: Proxy) -> None:
    name = f"{proxy.host}/{pushed.partition('/')[2]}"
    proxy.faults = [Fault("GET .*blobs", "stall", 120, times=99)]
    child = empty.start("pull", name)
    while not proxy.asked("GET .*blobs") and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out = child.communicate(timeout=60)[0].decode()
    assert child.returncode == 130 and "Traceback" not in out, out
    proxy.faults = []
    assert empty.run("pull", name).code == 0 and wrong_in(empty.store) == []


def come(store: Path) -> int:
    """Bytes of the blobs that are on their way."""
    total = 0
    for each in store.glob("tmp/pull-*"):
        with contextlib.suppress(FileNotFoundError):
            total += each.stat().st_size
    return total


def test_killed_while_it_pulls(pushed: str, empty: Xx, proxy: Proxy) -> None:
    name = f"{proxy.host}/{pushed.partition('/')[2]}"
    proxy.faults = [Fault("GET .*blobs", "hold", 1_000_000, times=99)]
    child = empty.start("pull", name)
    while child.poll() is None and come(empty.store) < 900_000:
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    proxy.faults = []
    done = empty.run("pull", name)
    assert done.code == 0 and wrong_in(empty.store) == [] and not [*empty.store.glob("tmp/pull-*")], done
    assert [each for each in proxy.asked("GET .*blobs") if each[2] == 206 and "Range" in each[3]]


def test_an_upload_that_breaks_off(xx: Xx, proxy: Proxy) -> None:
    proxy.faults = [Fault("PUT .*uploads", "cut", 500_000, times=2)]
    done = xx.build(f"FROM busybox\nRUN head -c 3000000 /dev/urandom >/n; echo {time.time()}\n", "-t",
                    f"{proxy.host}/broken", "--push")  # fmt: skip
    assert done.code == 0 and not any(each.times for each in proxy.faults), done
    # This registry says that it has nothing of it: 404, and another upload is begun.
    asked = [each[2] for each in proxy.asked("GET .*uploads")]
    assert asked and set(asked) == {404}, asked


def test_htpasswd(xx: Xx, empty: Xx, alone: Path, tmp_path: Path) -> None:
    lines = run("htpasswd", "-Bbn", "ann", "hidden-word")
    (tmp_path / "htpasswd").write_text(lines)
    with started(tmp_path / "r", f"{{htpasswd: {{realm: tests, path: {tmp_path}/htpasswd}}}}") as host:
        name = f"{host}/team/app:1"
        done = xx.build("FROM busybox\n", "-t", name, "--push")
        assert done.code == 7 and f"docker login {host}" in error_of(done), done
        login(alone, host, "ann:hidden-word")
        done = xx.build("FROM busybox\n", "-D", "-t", name, "--push")
        assert done.code == 0 and "hidden-word" not in done.err, done
        assert empty.build(f"FROM {name}\n{CHILD}").code == 0
        login(alone, host, "ann:wrong-word")
        done = empty.run("pull", name)
        assert done.code == 5 and "docker login" in error_of(done) and "wrong-word" not in done.err, done
        helper = tmp_path / "docker-credential-tests"
        helper.write_text(f'#!/bin/sh\nread -r host\n[ "$host" = {host} ] || exit 1\n'
                          'echo \'{"Username":"ann","Secret":"hidden-word"}\'\n')  # fmt: skip
        helper.chmod(0o755)
        (alone / "config.json").write_text('{"credsStore":"tests"}')
        done = empty.run("pull", "-D", name, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert done.code == 0 and "hidden-word" not in done.err + done.out and "docker-credential-tests get" in done.err
        kept = subprocess.run(["grep", "-r", "hidden-word", str(empty.store), str(xx.store)], capture_output=True)
        assert kept.returncode == 1, kept.stdout


def test_a_token_server(xx: Xx, empty: Xx, alone: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        lacking("openssl is not installed")
    tokens = Tokens()
    tokens.login, tokens.key = "ann:hidden-word", make_certificate(tmp_path / "keys")
    bundle = f"rootcertbundle: {tmp_path}/keys/cert.pem"
    auth = f"{{token: {{realm: '{tokens.realm}', service: tests, issuer: tests, {bundle}}}}}"
    try:
        with started(tmp_path / "r", auth) as host:
            name = f"{host}/team/app:1"
            done = xx.build("FROM busybox\n", "-t", name, "--push")
            assert done.code == 7 and "docker login" in error_of(done), done
            login(alone, host, "ann:hidden-word")
            tokens.log.clear()
            done = xx.build("FROM busybox\n", "--platform", BOTH, "-t", name, "--push")
            assert done.code == 0, done
            assert empty.build(f"FROM {name}\n{CHILD}").code == 0
            done = empty.run("push", name, f"{host}/other/app:1")
            assert done.code == 0, done
            assert {each[2] for each in tokens.log} == {200}
    finally:
        tokens.stop()


def test_mirrors(pushed: str, empty: Xx, registry: str, tmp_path: Path) -> None:
    repository = pushed.partition("/")[2]
    settle(tmp_path, f'[registry."r.invalid"]\nmirrors = ["127.0.0.1:1", "{registry}"]\n')
    done = empty.build(f"FROM r.invalid/{repository}\n{CHILD}")
    assert done.code == 0, done
    done = empty.build("FROM r.invalid/nosuch\n")
    assert done.code == 5 and registry in done.err and "r.invalid cannot be reached" in done.err, done
    settle(tmp_path, "mirrors = 1\n")
    done = empty.build("FROM r.invalid/nosuch\n")
    assert done.code == 5 and "registries.toml" in error_of(done), done


def test_certificates(xx: Xx, empty: Xx, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        lacking("openssl is not installed")
    for name in ("keys", "others"):
        make_certificate(tmp_path / name)
    with started(tmp_path / "r", keys=tmp_path / "keys") as host:
        # Loopback may have any certificate, as with Docker.
        assert xx.build("FROM busybox\n", "-t", f"{host}/a", "--push").code == 0
        settle(tmp_path, f'[registry."{host}"]\nca = "{tmp_path}/keys/cert.pem"\n')
        assert empty.run("pull", f"{host}/a").code == 0
        settle(tmp_path, f'[registry."{host}"]\nca = "{tmp_path}/others/cert.pem"\n')
        done = empty.run("pull", f"{host}/a")
        assert done.code == 5 and "certificate that cannot be trusted" in error_of(done), done
        settle(tmp_path, f'[registry."{host}"]\ninsecure = true\nca = "{tmp_path}/others/cert.pem"\n')
        assert empty.run("pull", f"{host}/a").code == 0


def test_certificates_of_the_storage_that_a_registry_leads_to(
    xx: Xx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the registry's own authority will do, one of those that everybody knows too, and no other."""
    if shutil.which("openssl") is None:
        lacking("openssl is not installed")
    keys = {name: make_certificate(tmp_path / name) for name in ("own", "known", "strange")}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "known/cert.pem"))
    store = Store.open(tmp_path / "there")
    with running(Memory(keys["own"])) as registry:
        image(registry)
        settle(tmp_path, f'[registry."{registry.host}"]\nca = "{tmp_path}/own/cert.pem"\n')
        for name in keys:
            with running(Memory(keys[name])) as storage:
                storage.blobs, registry.elsewhere = registry.blobs, f"https://{storage.host}"
                done = Xx(store.root, xx.folder).run("pull", f"{registry.host}/team/app:1")
                trusted = name != "strange"
                assert done.code == (0 if trusted else 5), done
                assert trusted or "certificate that cannot be trusted" in error_of(done), done
                assert bool(storage.log) is trusted
            shutil.rmtree(store.root)
            Store.open(store.root)


def test_no_network(empty: Xx) -> None:
    done = empty.build("FROM 127.0.0.1:1/debian:trixie\n")
    assert done.code == 5 and "cannot be reached: Connection refused" in error_of(done), done
    done = empty.run("build", "--pull", ".")
    assert done.code == 5 and "no image 127.0.0.1:1/debian:trixie in the store" in error_of(done), done


def test_pull_of_what_is_only_here(xx: Xx, tmp_path: Path, bases: Path) -> None:
    store = store_from(bases, tmp_path / "own")
    here = Xx(store, xx.folder)
    assert here.build("FROM busybox\n", "-t", "127.0.0.1:1/mine").code == 0
    done = here.build("FROM 127.0.0.1:1/mine\n", "--pull")
    assert done.code == 0 and "NOTICE: --pull: 127.0.0.1:1/mine is taken from the store" in done.err, done


def test_load_into_podman(xx: Xx, registry: str, tmp_path: Path) -> None:
    if shutil.which("podman") is None:
        lacking("podman is not installed")
    settings = tmp_path / "storage.conf"
    settings.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/images"\nrunroot = "{tmp_path}/running"\n')
    # An engine of Docker's that there may be here does not answer.
    env = {"CONTAINERS_STORAGE_CONF": str(settings), "DOCKER_HOST": f"unix://{tmp_path}/nothing"}
    name = f"{registry}/team/podman:1"
    done = xx.build("FROM busybox\nLABEL a=b\n", "-t", name, "--load", "--push", "--iidfile", "id", env=env)
    assert done.code == 0 and "podman has linux/" in done.err, done
    environment = {**os.environ, **env}
    shown = json.loads(run("podman", "image", "inspect", name, env=environment))[0]
    assert f"sha256:{shown['Id']}" == (xx.folder / "id").read_text() and shown["Labels"] == {"a": "b"}
    run("podman", "rmi", name, env=environment)
    run("podman", "pull", "--tls-verify=false", name, env=environment)


def test_load_into_an_engine(xx: Xx, tmp_path: Path) -> None:
    """The program that takes the archive stands in for docker: skopeo reads what it was given."""
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && exit 0\necho "$@" >{tmp_path}/argv\ncat >{tmp_path}/given.tar\n'
    )
    program.chmod(0o755)
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = xx.build("FROM busybox\nRUN echo a >/a\n", "--platform", BOTH, "-t", "team/app:1", "--load", env=env)
    assert done.code == 0 and "docker has linux/" in done.err and "in the store only" in done.err, done
    assert (tmp_path / "argv").read_text() == "load\n"
    shown = json.loads(
        run("skopeo", "inspect", "--config", f"docker-archive:{tmp_path}/given.tar:docker.io/team/app:1")
    )
    assert shown["os"] == "linux"
    program.write_text('#!/bin/sh\n[ "$1" = version ] && exit 0\ncat >/dev/null\necho no room here >&2\nexit 1\n')
    done = xx.build("FROM busybox\n", "-t", "x", "--load", env=env)
    assert done.code == 7 and "no room here" in error_of(done), done
    program.write_text('#!/bin/sh\n[ "$1" = version ] && exit 0\nexit 3\n')
    assert xx.build("FROM busybox\n", "-t", "x", "--load", env=env).code == 7
    program.write_text("#!/bin/sh\necho it does not run >&2\nexit 1\n")
    done = xx.build("FROM busybox\n", "-t", "x", "--load", env={"PATH": f"{program.parent}:/usr/bin:/bin"})
    if shutil.which("podman") is None:
        assert done.code == 4 and "it does not run" in error_of(done), done
    other = "linux/s390x,linux/riscv64"
    done = xx.build("FROM scratch\n", "--platform", other, "-t", "x", "--load", env=env)
    assert done.code == 2 and "one platform" in error_of(done), done


def test_an_image_is_inspected_and_merged_out_of_registries(pushed: str, registry: str, xx: Xx, empty: Xx) -> None:
    shown = empty.run("inspect", "--format", "json", pushed)
    assert shown.code == 0, shown
    images = json.loads(shown.out)["images"]
    assert [each["platform"] for each in images] == BOTH.split(",")
    layers = [empty.store / "blobs/sha256" / each["layers"][-1]["digest"].removeprefix("sha256:") for each in images]
    assert not any(each.exists() for each in layers), "layers are not needed to tell of them"
    other = f"{registry}/team/other:1"
    done = xx.build("FROM busybox\nRUN echo other >/other\n", "--platform", "linux/arm64", "-t", other, "--push")
    assert done.code == 0, done
    assert empty.run("merge", "-t", "both", f"docker://{pushed}", f"docker://{other}").code == 5
    assert empty.run("merge", "-t", "both", f"docker://{pushed}", pushed).code == 0
    assert all(each.exists() for each in layers) and wrong_in(empty.store) == []
    missing = empty.run("inspect", f"docker://{registry}/team/none:1")
    assert missing.code == 5 and "none" in missing.err
