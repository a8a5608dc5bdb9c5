"""`xx build` with a real BuildKit as its engine, beside our own: the same files and errors, nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buildkit import BuildKit, engine_root, made_by_go
from conformance.cases import DIFFERENT, answers, cases
from conformance.context import make_context
from conformance.merge import merged, merges
from conftest import lacking
from copies import COPIES, copy_context, copying
from registries import Memory
from support import BOTH, ROOT, Done, Xx, config_of, error_of, listens_at, output_of
from webserver import serving

from xxpy.platforms import Platform

REFUSED = {"refused": True}
HOST = ("--network", "host", "--allow", "network.host")


class Both:
    """`xx` in one folder with two builders: ``embedded``, and BuildKit under the name ``kit``."""

    def __init__(self, xx: Xx, env: dict[str, str]) -> None:
        self.xx = xx
        self.env = env

    def run(self, *args: str) -> Done:
        return self.xx.run(*args, env=self.env)

    def build(self, builder: str, text: str, *args: str, context: str = ".") -> Done:
        path = self.xx.dockerfile(text)
        return self.run("build", "--builder", builder, "--progress", "plain", *HOST, "-f", str(path), *args, context)

    def files(self, builder: str, text: str, *args: str, context: str = ".") -> dict[str, Any]:
        """What a build of ``text`` makes: of each file its type, mode, owner, link, attributes, size and content."""
        path = self.xx.folder.parent / f"{builder}.tar"
        done = self.build(builder, text, "-o", f"type=tar,dest={path}", *args, context=context)
        assert done.code == 0, done
        with tarfile.open(path) as tar:
            return {entry.name: described(tar, entry) for entry in tar}

    def compared(self, text: str, *args: str, context: str = ".") -> dict[str, Any]:
        """The files that builds of ``text`` make on either engine, which are the same."""
        ours, theirs = (self.files(each, text, *args, context=context) for each in ("embedded", "kit"))
        assert sorted(set(ours.items()) ^ set(theirs.items())) == []
        return ours


def described(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> tuple[object, ...]:
    content = tar.extractfile(entry) if entry.isreg() else None
    digest = hashlib.sha256(content.read()).hexdigest() if content else ""
    attributes = tuple(sorted(each for each in entry.pax_headers.items() if each[0].startswith("SCHILY.xattr.")))
    return (
        entry.type, oct(entry.mode), entry.uid, entry.gid, entry.linkname, entry.size, digest, attributes,
        entry.devmajor, entry.devminor,
    )  # fmt: skip


@pytest.fixture
def both(engine: BuildKit, xx: Xx, tmp_path: Path) -> Both:
    env = {
        "DOCKER_HOST": f"unix://{engine.socket}",
        "DOCKER_CONFIG": str(engine.folder / "config"),
        "XX_CONFIG": str(tmp_path / "config"),
        "PATH": f"{engine.buildx.parent}:{os.environ['PATH']}",
    }
    made = Both(xx, env)
    done = made.run("builder", "create", "--name", "kit", "--driver", "docker")
    assert done.code == 0, done
    return made


STEPS_OF_A_BOX = "FROM busybox\nARG TARGETARCH\nRUN echo for $TARGETARCH >/f && chown 1:2 /f && uname -m >/machine\n"

STEPS = """\
ARG BASE=busybox
FROM --platform=$BUILDPLATFORM xx AS xx
FROM --platform=$BUILDPLATFORM $BASE AS build
COPY --from=xx / /
ARG TARGETPLATFORM
RUN xx-info triple >/triple && mkdir -p /made && echo $TARGETPLATFORM >/made/platform
FROM busybox AS steps
ENV WORD=some
WORKDIR /made-in/dir
RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/memory <<EOF
set -e
echo $WORD >file && ln file hard && ln -s file link && chmod 4750 hard && mkfifo pipe
mkdir sticky && chmod 1777 sticky && chown -h 7:8 link sticky
EOF
RUN --mount=type=secret,id=s,required=true md5sum /run/secrets/s >sum
RUN --mount=from=build,target=/b cat /b/made/platform >mounted
USER 5:6
RUN touch /tmp/theirs
USER root
COPY --chown=3:4 --chmod=640 <<EOF /here
$WORD
EOF
COPY --from=build --link /made /linked
FROM steps
RUN rm -r /made-in/dir/sticky && rm /made-in/dir/hard && [ -f /made-in/dir/file ]
COPY --from=build /triple /triple
"""


def test_the_same_files_for_two_platforms(both: Both) -> None:
    (both.xx.folder / "value").write_text("secret")
    args = ("--platform", BOTH, "--secret", f"id=s,src={both.xx.folder}/value")
    found = both.compared(STEPS, *args)
    assert len(found) > 500 and "linux_arm64/triple" in found


def test_the_same_files_of_copies(both: Both) -> None:
    copy_context(both.xx.folder)
    assert len(both.compared(copying(COPIES))) > 900


# What BuildKit refuses, and what is otherwise for a reason, is not among them.
CASES = [each for each in cases() if merges(each) and answers()[each.name] != REFUSED and each.name not in DIFFERENT]


@pytest.mark.parametrize("kinds", ["add arg config env syntax", "copy", "run", "stage"])
def test_the_same_files_of_the_conformance_cases(both: Both, kinds: str) -> None:
    chosen = [each for each in CASES if each.name.partition("-")[0] in kinds.split()]
    found = both.compared(merged(chosen), context=str(make_context(both.xx.folder / "all")))
    assert len(chosen) > 15 and {each.name for each in chosen} == {name.partition("/")[0] for name in found}


FLAGGED = """\
# escape=`
ARG OUTER=outer BASE=nothing
FROM $BASE AS base
ARG OUTER EMPTY=1 GIVEN=1
RUN echo "$OUTER [$EMPTY] $GIVEN [$NEVER] $no_proxy" >/args && grep one.test /etc/hosts >/hosts && `
    df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2 >/shm && ulimit -n -S >/limits && ulimit -n -H >>/limits
FROM base AS wanted
ADD with.tar /added
COPY --from=base /args /args
RUN --mount=type=ssh --mount=type=secret,id=s,target=/other,mode=0444,uid=7 `
    stat -c "%a %u:%g %F" $SSH_AUTH_SOCK /other >/handed; cat /other >/secret
RUN --mount=target=/c,source=more,rw echo new >/c/new && ls /c >/seen
COPY --from=named / /named/
COPY --from=layout /etc/passwd /image
ADD --chown=3:4 {url}/file.txt /web/
ADD --checksum=sha256:{digest} --chmod=640 {url}/file.txt /checked
ONBUILD RUN never
FROM wanted AS never
RUN exit 1
"""


def test_the_same_files_of_flags_contexts_and_what_is_fetched(both: Both, tmp_path: Path) -> None:
    folder, agent = both.xx.folder, tmp_path / "agent"
    for name in ("more", "given"):
        (folder / name).mkdir()
        (folder / name / "left-out").write_text("x")
        (folder / name / "file").write_text(name)
    (folder / "given/.dockerignore").write_text("left-out\n")
    (folder / "value").write_text("secret")
    attributed(folder / "with.tar")
    done = both.xx.build("FROM busybox\n", "-o", f"type=oci,tar=false,dest={tmp_path}/layout", "-t", "a:1")
    assert done.code == 0, done
    args = (
        "--build-arg", "BASE=busybox", "--build-arg", "EMPTY=", "--build-arg", "GIVEN=2", "--build-arg", "NEVER=3",
        "--build-arg", "no_proxy=example.test", "--target", "wanted", "--add-host", "one.test:10.1.2.3",
        "--shm-size", "3m", "--ulimit", "nofile=123:456", "--secret", f"id=s,src={folder}/value",
        "--ssh", f"default={agent}", "--build-context", f"named={folder}/given",
        "--build-context", f"layout=oci-layout://{tmp_path}/layout:1",
    )  # fmt: skip
    with serving(tmp_path / "web") as web, socket.socket(socket.AF_UNIX) as listening:
        web.put("file.txt", b"of the web\n")
        listening.bind(str(agent))
        listening.listen()
        text = FLAGGED.format(url=web.url, digest=hashlib.sha256(b"of the web\n").hexdigest())
        found = both.compared(text, *args)
    assert {"web/file.txt", "checked", "named/file", "image", "added/capable", "secret", "handed"} <= found.keys()
    assert "SCHILY.xattr.security.capability" in dict(found["added/capable"][7])


def attributed(path: Path) -> None:
    """A tar with a file that has a capability, and one of a user's."""
    capable = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, capabilities(7)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, attribute in (("capable", capable.decode("latin-1")), ("noted", "note")):
            entry = tarfile.TarInfo(name)
            entry.mode, key = 0o755, "security.capability" if name == "capable" else "user.note"
            entry.pax_headers = {f"SCHILY.xattr.{key}": attribute}
            tar.addfile(entry)


def test_an_example_makes_the_same_files(both: Both) -> None:
    text = (ROOT / "examples/go/Dockerfile").read_text()
    found = both.compared(text, "--platform", BOTH, context=str(ROOT / "examples/go"))
    assert {"linux_amd64/usr/local/bin/serve", "linux_arm64/usr/local/bin/serve"} <= found.keys()


def test_an_image_is_taken_and_written_as_from_our_own_engine(both: Both, tmp_path: Path) -> None:
    text = 'FROM busybox\nLABEL a=b\nENV C=d\nRUN echo said >/f\nCMD ["x"]\n'
    out, folder, report = tmp_path / "out.tar", tmp_path / "files", tmp_path / "made.json"
    args = ("-t", "kit:1", "-o", f"type=docker,dest={out}", "-o", str(folder), "--metadata-file", str(report))
    theirs = both.build("kit", text, *args, "--annotation", "index:x=y")
    assert theirs.code == 0, theirs
    assert (folder / "f").read_text() == "said\n" and (folder / "bin/busybox").exists()
    made = json.loads(report.read_text())
    assert made["image.name"] == "docker.io/library/kit:1" and made["buildx.build.ref"]
    assert made["xx.report"]["images"][0]["digest"].startswith("sha256:")
    with tarfile.open(out) as tar:
        assert "manifest.json" in tar.getnames()
    config = config_of(both.xx, theirs)
    ours = config_of(both.xx, both.build("embedded", text, "-t", "own:1"))
    for key in ("Env", "Cmd", "Labels"):
        assert config["config"][key] == ours["config"][key], key
    assert len(config["rootfs"]["diff_ids"]) == len(ours["rootfs"]["diff_ids"])
    # And a build in our own engine goes on from it.
    on = both.build("embedded", "FROM kit:1\nRUN cat /f; echo $C\n")
    assert on.code == 0 and output_of(on).split()[-2:] == ["said", "d"], on


def test_progress_and_the_bill(both: Both) -> None:
    text = "FROM busybox AS one\nRUN echo hello; sleep 1\nFROM one\nRUN echo twice\n"
    done = both.build("kit", text, "--no-cache")
    assert "[one 2/2] RUN echo hello; sleep 1" in done.err and "hello" in output_of(done), done
    assert "native RUNs" in done.err and "saved by the cache" in done.err
    done = both.run("build", "--builder", "kit", "--progress", "rawjson", "--no-cache", *HOST, ".")
    events = [json.loads(line) for line in done.err.splitlines()]
    ended = [each for each in events if each["event"] == "step-done" and each["seconds"] >= 1]
    named = [each["step"] for each in events if "step" in each]
    assert len(ended) == 1 and [each["line"] for each in named] == [2, 4]
    assert "CACHED" in both.build("kit", text).err


def test_a_run_that_fails(both: Both) -> None:
    done = both.build("kit", "FROM busybox\nRUN true\nRUN echo words; exit 7\n")
    assert done.code == 6 and " | words" in done.err, done
    assert "/Dockerfile:3: RUN echo words; exit 7 ended with exit code 7" in error_of(done)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("FROM busybox\nRUM x\n", 3, "Dockerfile:2: unknown instruction: RUM"),
        ("FROM busybox\nCOPY nope /\n", 5, "Dockerfile:2: /nope is not there to copy"),
        ("FROM busybox\nRUN --mount=type=secret,id=s,required true\n", 5, "Dockerfile:2: RUN requires the secret s"),
        ("# syntax=registry.invalid/other:1\nWHATEVER\n", 5, "the front end registry.invalid/other:1 that # syntax="),
        ("# syntax=registry.invalid/docker/dockerfile:1\nFROM busybox\n", 5, "is not to be had"),
        ("FROM busybox\nRUN --mount=type=cache true\nFROM registry.invalid/x\n", 5, "registry.invalid/x"),
    ],
)  # fmt: skip
def test_errors(both: Both, text: str, code: int, words: str) -> None:
    done = both.build("kit", text)
    assert done.code == code and words in error_of(done), done


def test_what_cannot_be_is_said_before_anything_starts(both: Both) -> None:
    for args, words in (
        (("--verify=error",), "--verify=error"), (("--accelerate=verify",), "twins"),
        (("--build-context", "a::linux/arm64=docker-image://busybox"), "NAME::PLATFORM"),
        (("--verify-allow", "/x"), "--verify-allow"),
        # The engine has no bridge, whose address that would be.
        (("--add-host", "h:host-gateway"), "does not say what host-gateway is"),
    ):  # fmt: skip
        done = both.build("kit", "FROM busybox\nRUN echo ran\n", *args)
        assert done.code == (4 if "host" in words else 2) and words in error_of(done), done
        assert "ran" not in output_of(done).split()
    done = both.build("nobody", "FROM busybox\n")
    assert done.code == 2 and "there is no builder nobody" in error_of(done)
    gone = Both(both.xx, both.env | {"DOCKER_HOST": "unix:///nowhere/engine.sock"}).build("kit", "FROM busybox\n")
    assert gone.code == 4 and "does not answer" in error_of(gone)
    native = both.build("kit", "FROM busybox\nRUN true\n", "--platform", "linux/arm64", "--emulation=never")
    assert native.code == 3 and "would be emulated" in error_of(native)


def test_ctrl_c_leaves_nothing(both: Both) -> None:
    both.xx.dockerfile("FROM busybox\nRUN echo begun; sleep 987\n")
    argv = both.xx.argv("build", "--builder", "kit", "--progress", "plain", *HOST, ".")
    running = subprocess.Popen(
        argv, cwd=both.xx.folder, env=both.xx.environment(both.env), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert running.stderr is not None
    lines = b""
    while b" begun\n" not in lines and (line := running.stderr.readline()):
        lines += line
    running.send_signal(signal.SIGINT)
    rest = running.stderr.read()
    assert running.wait() == 130 and b"Traceback" not in rest, lines + rest
    assert not list((both.xx.store / "tmp").iterdir())
    for _ in range(100):
        if not sleeping():
            break
        time.sleep(0.1)
    assert not sleeping()


def sleeping() -> list[str]:
    """Processes of the step above."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        found += [str(path)] if b"987" in words else []
    return found


def test_the_host_ca_is_there_and_leaves_nothing(both: Both, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    text = "FROM busybox AS a\nRUN cat $SSL_CERT_FILE $APT_CONFIG\nFROM a\nRUN touch /f\n"
    plain = both.files("kit", text.replace(" $SSL_CERT_FILE $APT_CONFIG", " /dev/null"))
    done = both.build("kit", text, "--host-ca", str(bundle), "-t", "ca", "-o", f"type=tar,dest={tmp_path}/ca.tar")
    assert done.code == 0 and "BEGIN CERTIFICATE" in output_of(done) and "CAInfo" in output_of(done), done
    with tarfile.open(tmp_path / "ca.tar") as tar:
        assert {entry.name: described(tar, entry) for entry in tar} == plain
    assert "xx-host-ca" not in json.dumps(config_of(both.xx, done))
    shown = both.build("kit", text, "--host-ca", str(bundle), "--print=dockerfile")
    assert "--mount=type=secret,id=xx-host-ca," in shown.out and "ARG SSL_CERT_FILE=" in shown.out
    assert both.build("embedded", text, "--host-ca", str(bundle), "--print=dockerfile").out == text


def test_buildx_own_builders_beside_ours(both: Both) -> None:
    listed = [json.loads(line) for line in both.run("builder", "ls", "--format", "json").out.splitlines()]
    assert [(each["Name"], each["Own"]) for each in listed] == [("embedded", True), ("kit", True), ("default", False)]
    assert listed[1]["Nodes"][0]["Status"] == "running"
    assert "Driver:" in both.run("builder", "inspect", "default").out
    done = both.build("default", "FROM busybox\nRUN true\n")
    assert done.code == 0, done


@pytest.fixture
def registry(both: Both) -> Iterator[Memory]:
    """A registry that has busybox, and BuildKit's front end as ``front``."""
    program = made_by_go("dockerfile-frontend")
    if not program:
        lacking("BuildKit's front end is not there: tools/buildkitd builds it")
    registry = Memory()
    try:
        shutil.copyfile(program, both.xx.folder / "front")
        text = 'FROM scratch\nCOPY --chmod=755 front /front\nENTRYPOINT ["/front"]\n'
        for name, each in (("front", text), ("busybox", "FROM busybox\n")):
            done = both.xx.build(each, "-t", f"{registry.host}/{name}:1", "--push")
            assert done.code == 0, done
        yield registry
    finally:
        registry.stop()


def test_a_front_end_that_syntax_names_reads_the_file(both: Both, registry: Memory, daemon: str) -> None:
    assert both.run("builder", "create", "--name", "far", "--driver", "remote", daemon).code == 0
    run = "RUN --mount=type=secret,id=s,env=WORD echo $WORD | md5sum >/sum && echo in the step"
    text = f"# syntax={registry.host}/front:1\nFROM {registry.host}/busybox:1\n{run}\n"
    (both.xx.folder / "value").write_text("secret")
    args = ("--secret", f"id=s,src={both.xx.folder}/value")
    theirs = both.files("far", text, *args)
    assert registry.asked("GET /v2/front/blobs/") and registry.asked("GET /v2/busybox/blobs/")
    assert theirs == both.files("embedded", text.partition("\n")[2], *args) and "sum" in theirs
    done = both.build("far", text, *args, "--no-cache", "-t", "fronted")
    assert done.code == 0 and "in the step" in output_of(done) and "RUN --mount=type=secret" in done.err, done
    assert both.build("embedded", text).code == 3
    assert both.run("builder", "rm", "far").code == 0


@pytest.fixture
def plain_engine(both: Both, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The same engine without the image store of containerd."""
    folder = tmp_path_factory.mktemp("plain")
    engine = BuildKit(engine_root(), folder, image_store=False)
    engine.start()
    try:
        yield Both(both.xx, both.env | {"DOCKER_HOST": f"unix://{engine.socket}"})
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_an_engine_without_the_image_store(plain_engine: Both) -> None:
    text = "FROM busybox\nRUN echo ran >/f\n"
    for args, words in (
        (("-t", "x"), "writes no OCI images"), (("--platform", BOTH), "builds for one platform only"),
        (("--cache-to", "type=local,dest=cache"), "writes no cache: --cache-to type=local,dest=cache"),
    ):  # fmt: skip
        done = plain_engine.build("kit", text, *args)
        assert done.code == 4 and words in error_of(done) and "#1" not in done.err, done
    done = plain_engine.build("kit", text)
    assert done.code == 4 and "reads no OCI layouts, as which busybox would be handed over" in error_of(done), done
    # What it can do it does.
    (plain_engine.xx.folder / "f").write_text("copied")
    text = "FROM scratch\nCOPY --chown=1:2 f /d/\n"
    assert plain_engine.files("kit", text) == plain_engine.files("embedded", text)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """The address of a buildkitd of the test's own."""
    program = shutil.which("buildkitd") or made_by_go("buildkitd")
    if not program:
        lacking("buildkitd is not installed: tools/buildkitd builds it")
    if os.geteuid() != 0 or not shutil.which("runc"):
        lacking("root and runc for buildkitd")
    address = f"unix://{tmp_path}/buildkitd.sock"
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(
            [program, "--root", str(tmp_path / "root"), "--addr", address, "--oci-worker-snapshotter", "native",
             "--oci-worker-net", "host", "--allow-insecure-entitlement", "network.host"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        assert listens_at(tmp_path / "buildkitd.sock", running), (tmp_path / "log").read_text(errors="replace")
        yield address
    finally:
        running.terminate()
        running.wait()


def test_the_remote_driver(both: Both, daemon: str) -> None:
    made = both.run("builder", "create", "--name", "far", "--driver", "remote", "--use", daemon)
    assert made.code == 0, made
    text = "FROM busybox\nRUN echo from far >/f && chown 1:2 /f\n"
    assert both.files("far", text) == both.files("embedded", text)
    assert both.run("builder", "rm", "far").code == 0
    assert "far" not in both.run("builder", "ls").out


@pytest.fixture
def container(engine: BuildKit, both: Both, tmp_path: Path) -> str:
    """The name of an image of BuildKit that the engine has: no registry serves one here."""
    context = tmp_path / "kit"
    context.mkdir()
    for name in ("buildkitd", "buildctl"):
        program = made_by_go(name)
        if not program:
            lacking(f"{name} is not there: tools/buildkitd builds it")
        shutil.copy(program, context / name)
    shutil.copy(engine.root / "usr/sbin/runc", context / "runc")
    (context / "Dockerfile").write_text(
        'FROM debian:trixie\nCOPY buildkitd buildctl runc /usr/bin/\nENTRYPOINT ["buildkitd"]\n'
    )
    name = f"buildkit-of-the-test:{secrets.token_hex(4)}"
    (context / "bin").mkdir()
    (context / "bin/docker").symlink_to(engine.docker)
    env = both.env | {"PATH": f"{context}/bin:{os.environ['PATH']}"}
    done = both.xx.run("build", "-t", name, "--load", str(context), env=env)
    assert done.code == 0, done
    return name


def test_the_docker_container_driver(engine: BuildKit, both: Both, container: str, tmp_path: Path) -> None:
    def containers() -> str:
        argv = [engine.docker, "ps", "--all", "--format", "{{.Names}} {{.Image}}"]
        return subprocess.run(argv, env={**os.environ, **both.env}, capture_output=True, text=True, check=True).stdout

    name = f"box{secrets.token_hex(4)}"
    options = ("--driver-opt", f"image={container},network=host", "--use")
    made = both.run("builder", "create", "--name", name, *options)
    assert made.code == 0 and made.out == f"{name}\n", made
    assert containers() == ""
    try:
        assert both.files(name, STEPS_OF_A_BOX) == both.files("embedded", STEPS_OF_A_BOX)
        assert containers() == f"buildx_buildkit_{name}0 {container}\n"
        assert re.search(r"Status: +running", both.run("builder", "inspect", name).out)
        listed = both.run("builder", "ls").out
        assert re.search(rf"^{name}\* +docker-container$", listed, re.MULTILINE), listed
        # Several platforms, an image of them, and a cache, none of which the engine's own BuildKit has alike.
        cache = f"type=local,dest={tmp_path}/cache,mode=max"
        image = ("--platform", BOTH, "-t", "boxed:1", "--cache-to", cache)
        done = both.build(name, STEPS_OF_A_BOX, *image)
        assert done.code == 0, done
        kept = json.loads(both.run("inspect", "boxed:1", "--format", "json").out)
        assert {each["platform"] for each in kept["images"]} == set(BOTH.split(",")), kept
        assert (tmp_path / "cache/index.json").exists()
    finally:
        removed = both.run("builder", "rm", name)
    assert removed.code == 0 and containers() == ""
    # One whose image is nowhere to be had says so.
    assert both.run("builder", "create", "--name", name, "--driver-opt", "image=127.0.0.1:9/nope:1").code == 0
    done = both.build(name, STEPS_OF_A_BOX)
    assert done.code == 4 and "127.0.0.1:9/nope:1" in error_of(done), done
    assert both.run("builder", "rm", name).code == 0


def test_an_engine_loads_and_runs_what_our_own_engine_has_built(
    engine: BuildKit, both: Both, plain_engine: Both, tmp_path: Path
) -> None:
    """By `docker load`, whichever store the engine has: it gets this machine's platform, and no other is lost."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").symlink_to(engine.docker)
    text = 'FROM busybox\nARG TARGETARCH\nENV WORD=for-$TARGETARCH\nUSER 5:6\nCMD ["sh", "-c", "echo $WORD; id -u"]\n'
    for each in (both, plain_engine):
        env = each.env | {"PATH": f"{programs}:{os.environ['PATH']}"}
        done = both.xx.build(text, "-t", "loaded:1", "--load", "--platform", BOTH, env=env)
        assert done.code == 0, done
        ran = subprocess.run(
            [programs / "docker", "run", "--rm", "--network", "none", "loaded:1"],
            env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.stdout == f"for-{Platform.host().arch}\n5\n", ran.stderr
        kept = json.loads(both.run("inspect", "loaded:1", "--format", "json").out)
        assert {image["platform"] for image in kept["images"]} == set(BOTH.split(",")), kept
