"""BuildKit behind our engine's Protocol: command lines, the status stream, steps, rewriting, errors, files."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path

import pytest
from fakeplan import AMD64, ARM64, digest_of_step, fake_plan

from xxpy.build.annotations import Annotation
from xxpy.build.builders import DRIVERS, Builder, buildx_own
from xxpy.build.buildkit.command import Handed, build_command
from xxpy.build.buildkit.failure import Failed, failure
from xxpy.build.buildkit.files import read_tree
from xxpy.build.buildkit.record import Recorder
from xxpy.build.buildkit.rewrite import MOUNTS, handed_text, taken_names, without_host_ca
from xxpy.build.buildkit.status import LogTold, StatusReader, VertexTold
from xxpy.build.buildkit.steps import Steps, parse_name
from xxpy.build.dockerfile.parse import parse
from xxpy.build.engine.roots import Piece
from xxpy.build.events import Event, Exporting, StepAdded, StepDone, StepOutput, StepStarted
from xxpy.build.graph import SCRATCH, Graph, ImageConfig, NetMode, Result, Ulimit
from xxpy.build.hostca import HostCa
from xxpy.build.outcome import Outcome, StepOutcome
from xxpy.build.plan import How, Plan
from xxpy.build.report import build_report
from xxpy.build.runsettings import RunSettings
from xxpy.errors import DockerfileError, HostError, SourceError, StepError, StoreError, UsageError, XxError

WORK = Path("/work-folder")
BEGIN = "--progress rawjson --provenance false --metadata-file /work-folder/metadata.json --file /c/Dockerfile"
BUILDERS = {
    "docker": (Builder("b", "docker"), "default"),
    "docker-container": (Builder("b", "docker-container"), "b"),
    "kubernetes": (Builder("b", "kubernetes", "", ("namespace=x",)), "b"),
    "remote": (Builder("b", "remote", "tcp://h:1"), "b"),
    "buildx's own": (buildx_own("theirs", "docker"), "theirs"),
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_the_least_command_line(kind: str) -> None:
    builder, instance = BUILDERS[kind]
    handed = Handed(Path("/c"), Path("/c/Dockerfile"), WORK, (AMD64,))
    words = build_command(("docker", "buildx"), builder, handed)
    expected = f"docker buildx build --builder {instance} {BEGIN} --platform linux/amd64 --output type=cacheonly /c"
    assert " ".join(words) == expected and set(DRIVERS) - {"embedded"} <= BUILDERS.keys()


def test_a_command_line_with_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hidden")
    handed = Handed(
        Path("/c"), Path("/c/Dockerfile"), WORK, (AMD64, ARM64),
        build_args={"A": "1", "TOKEN": "hidden"}, labels={"l": "v"},
        annotations=(Annotation("manifest", "k", "v", ARM64),), target="t", no_cache=True, no_cache_stages=("s",),
        pull=True, epoch=7,
        run=RunSettings(NetMode.HOST, (("h", "::1"),), 64, (Ulimit("nofile", 1, 2),), insecure=True),
        contexts={"debian:trixie": "oci-layout:///l@sha256:0"}, secrets={"s": "/proc/1/fd/3"},
        agents={"default": Path("/agent")}, image=True, tree=True, compression="zstd",
        cache_from=("type=local,src=c",), cache_to=("type=inline",),
    )  # fmt: skip
    words = build_command(("buildx",), Builder("b", "remote", "tcp://h:1"), handed)
    assert " ".join(words) == (
        f"buildx build --builder b {BEGIN} --platform linux/amd64,linux/arm64 --target t --build-arg A=1"
        " --build-arg TOKEN --build-arg SOURCE_DATE_EPOCH=7 --label l=v --annotation manifest[linux/arm64]:k=v"
        " --no-cache --pull --no-cache-filter s --cache-from type=local,src=c --cache-to type=inline"
        " --network host --add-host h:::1 --shm-size 64 --ulimit nofile=1:2"
        " --allow network.host --allow security.insecure --build-context debian:trixie=oci-layout:///l@sha256:0"
        " --secret id=s,src=/proc/1/fd/3 --ssh default=/agent"
        " --output type=oci,tar=false,dest=/work-folder/oci,compression=zstd,rewrite-timestamp=true"
        " --output type=tar,dest=/work-folder/tree.tar /c"
    )
    assert "hidden" not in " ".join(words)


def vertex(name: str, digest: str = "", started: bool = True, done: bool = False, **more: object) -> dict[str, object]:
    times = {"started": "2026-01-01T00:00:00.5Z"} if started else {}
    times |= {"completed": "2026-01-01T00:00:02.123456789Z"} if done else {}
    return {"digest": digest or name, "name": name, **times, **more}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_the_stream_is_read_however_it_is_cut(indent: int | None, size: int) -> None:
    log = {"vertex": "v", "stream": 1, "data": base64.b64encode(b"out\n").decode()}
    objects = [{"vertexes": [vertex("v", started=False)]}, {"vertexes": [vertex("v", done=True)], "logs": [log]}]
    text = "WARNING: w\x1b[2J\n" + "\n".join(json.dumps(each, indent=indent) for each in objects) + "\nERROR: bad"
    reader, told = StatusReader(), []
    data = text.encode()
    for at in range(0, len(data), size):
        told += reader.feed(data[at : at + size])
    told += reader.end()
    assert [type(each) for each in told] == [VertexTold, VertexTold, LogTold]
    assert isinstance(told[1], VertexTold) and told[1].started is not None and told[1].completed is not None
    assert round(told[1].completed - told[1].started, 3) == 1.623
    assert told[2] == LogTold("v", b"out\n") and list(reader.words) == ["WARNING: w", "ERROR: bad"]


@pytest.mark.parametrize(
    "text",
    [
        "{}", "[]", '{"vertexes": 1}', '{"vertexes": [1]}', '{"logs": [{"data": "%"}]}',
        '{"vertexes": [{"started": "x"}]}', "{" * 50_000 + "}",
    ],
)  # fmt: skip
def test_what_is_no_status_is_no_error(text: str) -> None:
    reader = StatusReader()
    for told in [*reader.feed(text.encode() + b"\n"), *reader.end()]:
        assert isinstance(told, VertexTold) and told.started is None


def test_names_of_vertices() -> None:
    named = parse_name("[linux/amd64->arm64 build  3/12] RUN make -j2\nmore")
    assert named is not None and (named.own, named.target) == (AMD64, ARM64)
    assert (named.stage, named.position, named.total, named.text) == ("build", 3, 12, "RUN make -j2\nmore")
    single = parse_name("[2/2] COPY a b")
    assert single is not None and (single.own, single.stage, single.word) == (None, "", "COPY")
    arm = parse_name("[linux/arm/v7 stage-1 1/1] RUN x")
    assert arm is not None and str(arm.own) == str(arm.target) == "linux/arm/v7"
    for name in ("[internal] load .dockerignore", "exporting to image", "[context x] OCI load from client"):
        assert parse_name(name) is None


# The lines and stages of `fake_plan`.
DOCKERFILE = (
    "FROM --platform=$BUILDPLATFORM debian:trixie AS build\nRUN apt-get install clang\nARG TARGETARCH\n"
    "RUN xx-clang --target=$TARGETARCH hello.c\nFROM busybox\nCOPY --from=build /hello /hello\nRUN /hello --version\n"
)


def test_vertices_are_steps_of_the_plan() -> None:
    plan = fake_plan()
    steps = Steps(plan, parse(DOCKERFILE, "Dockerfile"))
    for name, text, platform in (
        ("[linux/amd64 build 2/3] RUN apt-get install clang", "apt-get", None),
        ("[linux/amd64->arm64 build 3/3] RUN xx-clang --target=arm64 hello.c", "xx-clang", ARM64),
        ("[linux/amd64 build 3/3] RUN xx-clang --target=amd64 hello.c", "xx-clang", AMD64),
        # FROM does not count where its image comes by a named context.
        ("[linux/arm64 stage-1 1/3] COPY --from=build /hello /hello", "COPY", ARM64),
        ("[linux/arm64 stage-1 2/3] RUN /hello --version", "RUN /hello", ARM64),
    ):
        assert steps.find(name, name) == (digest_of_step(plan, text, platform), None), name
    assert steps.find("x", "exporting to image") is None


def told(reader: StatusReader, *vertices: dict[str, object], logs: dict[str, bytes] | None = None) -> list[object]:
    lines = [{"vertex": key, "data": base64.b64encode(data).decode()} for key, data in (logs or {}).items()]
    return list(reader.feed(json.dumps({"vertexes": vertices, "logs": lines}).encode() + b"\n"))


def test_what_is_told_comes_as_events_and_outcomes() -> None:
    plan, events = fake_plan(AMD64), list[Event]()
    steps = Steps(plan, parse(DOCKERFILE, "Dockerfile"))
    recorder, reader = Recorder(steps, events.append), StatusReader()
    install, copy = "[build 2/3] RUN apt-get install clang", "[stage-1 2/3] COPY --from=build /hello /hello"
    own = "[extra 1/1] RUN something"
    for each in (
        *told(reader, vertex(install)), *told(reader, logs={install: b"Setting up\n"}),
        *told(reader, vertex(install, done=True), vertex(copy, done=True, cached=True), vertex(own)),
        *told(reader, vertex(own, done=True, error="process did not")), *told(reader, vertex("exporting to x")),
        *told(reader, vertex("[internal] load build context", done=True)),
    ):  # fmt: skip
        recorder.take(each)  # type: ignore[arg-type]
    kinds = [StepStarted, StepOutput, StepDone, StepDone, StepAdded, StepStarted, StepDone, Exporting]
    assert [type(each) for each in events] == kinds
    outcomes = recorder.outcomes()
    first = outcomes[digest_of_step(plan, "apt-get")]
    assert round(first.seconds, 3) == 1.623 and first.tail == "Setting up\n" and not first.cached
    assert outcomes[digest_of_step(plan, "COPY")].cached
    assert recorder.failed is not None and recorder.failed.error == "process did not"
    assert len(steps.plan().steps) == len(plan.steps) + 1 and set(outcomes) <= set(steps.plan().steps)


def test_without_a_plan_every_instruction_is_a_step() -> None:
    """As where another front end reads the file."""
    results = tuple(Result(platform, SCRATCH, ImageConfig()) for platform in (AMD64, ARM64))
    steps = Steps(Plan(Graph({}, results), AMD64, {}, ()), None)
    hows = {}
    for text in (
        "linux/arm64 app 2/3] RUN make",
        "linux/amd64->arm64 app 2/3] RUN make",
        "linux/arm64 app 3/3] COPY a b",
    ):
        name = f"[{text}"
        found = steps.find(name, name)
        assert found is not None and found[1] is not None and found[1].name.stage == "app"
        hows[name] = found[1].how
        assert steps.find(name, name) == (found[0], None)
    assert list(hows.values()) == [How.EMULATED, How.NATIVE, How.NONE]
    outcomes = {digest: StepOutcome(digest, False, 2.0, 2.0) for digest in steps.plan().steps}
    report = build_report(steps.plan(), Outcome("", (), outcomes))
    assert [(each.platform, each.native, each.emulated) for each in report.platforms] == [("linux/arm64", 2.0, 2.0)]
    assert report.dearest[0].stage == "app" and report.dearest[0].seconds == 2.0


CA = HostCa(Path("/ca.pem"))


def test_the_host_ca_is_written_out() -> None:
    text = "# c\nFROM a \\\n  AS one\nRUN x\nrun \\\n  y\nCOPY --from=b a b\nFROM one\nRUN <<EOF\nRUN z\nEOF\n"
    lines = handed_text(text, parse(text, "D"), CA, {}).split("\n")
    assert lines[:3] == ["# c", "FROM a \\", "  AS one"] and lines[3].startswith("ARG SSL_CERT_FILE=/run/xx-host-ca/")
    assert lines[4] == f"RUN {MOUNTS} x" and lines[5:7] == [f"run {MOUNTS} \\", "  y"]
    assert lines[7:9] == ["COPY --from=b a b", "FROM one"] and lines[10:] == [f"RUN {MOUNTS} <<EOF", "RUN z", "EOF", ""]
    assert handed_text(text, parse(text, "D"), HostCa(), {}) == text


def test_the_host_ca_leaves_no_word_in_the_history() -> None:
    words = " ".join(CA.environment(()))
    said = [f"ARG {words}", f"RUN |9 {words} /bin/sh -c x", f"RUN |10 V=1 {words} /bin/sh -c x", "RUN y", "COPY a b"]
    config = {"os": "linux", "history": [{"created_by": each} for each in said] + [{}]}
    found = [each.get("created_by") for each in without_host_ca(config, CA)["history"]]
    assert found == ["RUN /bin/sh -c x", "RUN |1 V=1 /bin/sh -c x", "RUN y", "COPY a b", None]
    assert without_host_ca(config, HostCa()) == config


def test_an_image_and_a_stage_of_one_name() -> None:
    text = "FROM --platform=linux/arm64 box AS box\nRUN x\nFROM box\n"
    names = taken_names(parse(text, "D"), ["box", "other"])
    changed = handed_text(text, parse(text, "D"), HostCa(), names)
    assert changed == f"FROM --platform=linux/arm64 {names['box']} AS box\nRUN x\nFROM box\n" and len(names) == 1
    assert taken_names(parse("FROM xx AS xx\nFROM xx\n", "D"), ["xx"]) == {}
    with pytest.raises(DockerfileError) as caught:
        taken_names(parse("ARG N=box\nFROM $N AS box\nRUN x\n", "D"), ["box"])
    assert caught.value.reason == "name-taken" and caught.value.place == "D:2"


@pytest.mark.parametrize(
    ("words", "kind", "reason", "place"),
    [
        ("dockerfile parse error on line 2: unknown flag: x", DockerfileError, "buildkit-dockerfile", "D:2"),
        ('failed to calculate checksum of ref a::b: "/nope": not found', SourceError, "copy-source-missing", "D"),
        ("a:1: failed to resolve source metadata for a:1: not found", SourceError, "buildkit-source", "D"),
        ("Cannot connect to the Docker daemon at unix:///x. Is it running?", HostError, "builder-unreachable", ""),
        ("write /x: no space left on device", StoreError, "disk-full", ""),
        ("granting entitlement network.host is not allowed by the daemon", UsageError, "not-entitled", ""),
        ("failed to build: unable to derive the IP value for host-gateway: x", HostError, "builder-gateway", ""),
        ('invalid IP address in add-host: "host-gateway"', HostError, "builder-gateway", ""),
        ("something new", XxError, "buildkit-failed", ""),
    ],
)  # fmt: skip
def test_errors_are_ours(words: str, kind: type[XxError], reason: str, place: str) -> None:
    found = failure((f"ERROR: {words}",), None, Builder("b", "docker"), "D", 1)
    assert type(found) is kind and found.reason == reason and found.place == place and found.remedy


def test_a_front_end_that_is_not_there() -> None:
    said = "ERROR: failed to resolve source metadata for a/front:1: no such host"
    shown = ("Dockerfile:2", "   1 |     # c", "   2 | >>> # syntax=a/front:1", said)
    found = failure(shown, None, Builder("b", "docker"), "D", 1)
    assert isinstance(found, SourceError) and found.reason == "syntax-missing" and found.place == "D:2"
    assert "front end a/front:1" in found.message and found.message.endswith("to be had: no such host")
    base = failure(("D:1", "   1 | >>> FROM a/front:1", said), None, Builder("b", "docker"), "D", 1)
    assert base.reason == "buildkit-source" and base.place == "D:1"


def test_a_run_that_failed() -> None:
    said = 'ERROR: failed to solve: process "/bin/sh -c x" did not complete successfully: exit code: 3'
    plan = fake_plan()
    step = plan.steps[digest_of_step(plan, "RUN /hello", ARM64)].vertex
    found = failure((said,), Failed("e", step, ("last",)), Builder("b", "docker"), "D", 1)
    assert isinstance(found, StepError) and found.place == "D:7" and found.output == ("last",)
    assert "exit code 3 on linux/arm64" in found.message and found.reason == "run-failed"
    foreign = failure((said,), Failed("e", step, ("exec /bin/sh: exec format error",)), Builder("b", "docker"), "D", 1)
    assert foreign.reason == "exec-format" and "binfmt" in foreign.remedy
    by_line = failure(("D:4", "---", said), None, Builder("b", "docker"), "Dockerfile", 1)
    assert by_line.place == "Dockerfile:4"


def archive(folder: Path, *entries: tuple[str, bytes, str]) -> Path:
    path = folder / "t.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind, extra in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mtime = kind, 100
            if kind == tarfile.REGTYPE:
                entry.size = len(extra)
            else:
                entry.linkname = extra
            tar.addfile(entry, io.BytesIO(extra.encode()) if kind == tarfile.REGTYPE else None)
    return path


def test_files_are_read_for_each_platform(tmp_path: Path) -> None:
    taken: list[Piece] = []
    entries = [
        ("linux_amd64", tarfile.DIRTYPE, ""), ("linux_amd64/d", tarfile.DIRTYPE, ""),
        ("linux_amd64/d/f", tarfile.REGTYPE, "text"), ("linux_amd64/h", tarfile.LNKTYPE, "linux_amd64/d/f"),
    ]  # fmt: skip
    read_tree(archive(tmp_path, *entries), (AMD64, ARM64), 7, taken.append)
    shown = [(each.name, each.linkname, each.mtime) if isinstance(each, tarfile.TarInfo) else each for each in taken]
    assert shown == [0, ("d", "", 7), ("d/f", "", 7), b"text", ("h", "d/f", 7), 1]


@pytest.mark.parametrize(
    "entries",
    [
        [("../x", tarfile.REGTYPE, "")], [("a/b", tarfile.REGTYPE, "")], [("/x", tarfile.REGTYPE, "")],
        [("l", tarfile.SYMTYPE, "/etc"), ("l/x", tarfile.REGTYPE, "")], [("h", tarfile.LNKTYPE, "/etc/passwd")],
        [("a", tarfile.REGTYPE, ""), ("a", tarfile.REGTYPE, "")],
    ],
)  # fmt: skip
def test_no_name_leads_out_of_the_root(tmp_path: Path, entries: list[tuple[str, bytes, str]]) -> None:
    with pytest.raises(StoreError) as caught:
        read_tree(archive(tmp_path, *entries), (AMD64,), None, lambda _piece: None)
    assert caught.value.reason == "buildkit-files"
    (tmp_path / "t.tar").write_bytes(b"x" * 2000)
    with pytest.raises(StoreError):
        read_tree(tmp_path / "t.tar", (AMD64,), None, lambda _piece: None)
