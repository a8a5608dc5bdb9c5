"""Builders: their files, the commands of `xx builder`, and what buildx is asked and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from xxpy.build.builders import BUILT_IN, Builder, Builders, new_builder, split_options
from xxpy.build.buildkit.buildx import create_command, environment, parse_inspect
from xxpy.cli.xx import main
from xxpy.errors import StoreError, UsageError
from xxpy.platforms import Platform

BUILDX = """\
#!/bin/sh
echo "$@" >>"$LOG"
case " $* " in
    *" version "*) echo github.com/docker/buildx v0.13.1 ;;
    *" ls "*) echo '{"Name":"default","Driver":"docker","Nodes":[{"Name":"default","Status":"running"}]}' ;;
    *" create "*bad*) echo 'ERROR: invalid driver option bad' >&2; exit 1 ;;
    *" create "*taken*) echo 'ERROR: existing instance for "taken" but no append mode' >&2; exit 1 ;;
    *" create "*nowhere*) echo 'ERROR: x: Cannot connect to the Docker daemon at unix:///nowhere.' >&2; exit 1 ;;
    *" create "*kubernetes*) echo 'ERROR: x: cannot determine Kubernetes namespace: no config' >&2; exit 1 ;;
    *" inspect nobody"*) echo 'ERROR: no builder "nobody" found' >&2; exit 1 ;;
    *" inspect stopped"*) echo 'ERROR: Cannot connect to the Docker daemon at tcp://h:1.' >&2; exit 1 ;;
    *" inspect plain"*) cat "$LOG.inspected" ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of the test's own, and a program docker that writes down what it is asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text(BUILDX)
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XX_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    for name in ("XX_BUILDER", "BUILDX_BUILDER", "DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "log"


def xx(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(args))
    return done.exit_code, done.output


def test_a_builder_is_kept_used_and_removed(log: Path, tmp_path: Path) -> None:
    made = xx("builder", "create", "--name", "far", "--driver", "remote", "--use", "tcp://host.test:1234")
    assert made == (0, "far\n")
    assert "buildx create --name far --driver remote tcp://host.test:1234" in log.read_text()
    kept = json.loads((tmp_path / "config/builders/far.json").read_text())
    assert kept == {"name": "far", "driver": "remote", "endpoint": "tcp://host.test:1234", "driver-opts": []}
    code, out = xx("builder", "ls", "--format", "json")
    listed = {each["Name"]: each for each in map(json.loads, out.splitlines())}
    assert code == 0 and list(listed) == ["embedded", "far", "default"]
    assert [each for each in listed if listed[each]["Current"]] == ["far"]
    assert not listed["default"]["Own"] and listed["far"]["Own"]
    assert xx("builder", "create", "--name", "far", "--driver", "docker")[0] == 2
    code, out = xx("builder", "rm", "far")
    assert code == 0 and out.startswith("far removed\n") and "embedded is that now" in out
    assert "buildx rm --force far" in log.read_text()
    assert Builders(tmp_path / "config").current() == "embedded" and xx("builder", "rm", "far")[0] == 2


def test_of_two_that_make_one_builder_at_once_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builders, builder = Builders(tmp_path), Builder("b", "kubernetes")
    builders.add(builder)
    # Neither saw the other's file when it looked.
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    with pytest.raises(UsageError) as caught:
        builders.add(Builder("b", "docker"))
    assert caught.value.reason == "builder-exists" and builders.get("b") == builder
    assert [path.name for path in (tmp_path / "builders").iterdir()] == ["b.json"]


@pytest.mark.parametrize(
    ("args", "code", "wrong", "remedy"),
    [
        (("create", "--name", "b", "--driver-opt", "bad=1"), 2, "invalid driver option bad", "docs/builders.md"),
        (("create", "--name", "taken"), 2, "existing instance", "--builder taken"),
        (("create", "unix:///nowhere"), 4, "does not answer: x: Cannot connect", "start the Docker Engine"),
        (("create", "--driver", "kubernetes"), 4, "no config", "KUBECONFIG"),
        (("create", "--driver", "docker", "nobody"), 2, "there is no Docker context nobody", "docker context ls"),
        (("create", "--name", "embedded"), 2, "a builder embedded already", "give --name another"),
        (("use", "nobody"), 2, "there is no builder nobody", "xx builder ls"),
        (("inspect", "nobody"), 2, "there is no builder nobody", "xx builder ls"),
        (("rm", "nobody"), 2, "there is no builder nobody", "xx builder ls"),
        (("rm", "default"), 2, "default is one of buildx's own", "docker buildx rm default"),
        (("rm", "embedded"), 2, "embedded is always there", "xx builder use"),
    ],
)
def test_an_error_is_a_line_and_what_to_do_and_leaves_no_builder(
    log: Path, tmp_path: Path, args: tuple[str, ...], code: int, wrong: str, remedy: str
) -> None:
    found, out = xx("builder", *args)
    said, do, *more = out.splitlines()
    assert found == code and said.startswith("ERROR: ") and wrong in said and remedy in do and not more, out
    assert "rm embedded" not in do
    assert Builders(tmp_path / "config").all() == [BUILT_IN]


def test_without_buildx_no_builder_is_made(log: Path, tmp_path: Path) -> None:
    (tmp_path / "bin/docker").write_text("#!/bin/sh\necho 'docker: unknown command: docker buildx' >&2; exit 1\n")
    code, out = xx("builder", "create")
    assert code == 4 and out.splitlines()[0] == "ERROR: docker has no buildx here" and "docker-buildx" in out
    assert Builders(tmp_path / "config").all() == [BUILT_IN]


def test_without_docker_ls_is_quiet_and_a_build_says_what_to_do(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin/docker").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("xxpy.build.buildkit.buildx.find_program", lambda _name: None)
    code, out = xx("builder", "ls")
    assert code == 0 and out.startswith("NAME/NODE") and "embedded*" in out and "default" not in out
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    code, out = xx("build", "--store", str(tmp_path / "store"), "--builder", "default", str(tmp_path))
    assert code == 2 and "there is no builder default: xx has none of that name, and neither docker nor buildx" in out
    assert xx("builder", "use", "default")[0] == xx("builder", "inspect", "default")[0] == 2
    Builders(tmp_path / "config").add(new_builder("far", "remote", "tcp://h:1", ()))
    code, out = xx("build", "--store", str(tmp_path / "store"), "--builder", "far", str(tmp_path))
    assert code == 4 and "neither docker nor buildx" in out and "--builder embedded" in out
    # The current one has gone with docker: that is said, and how to choose another.
    (tmp_path / "config/builder").write_text("default\n")
    code, out = xx("builder", "ls")
    assert (
        code == 0
        and out.splitlines()[-1] == "NOTICE: the current one is default, which is not there: xx builder use NAME"
    )
    code, out = xx("build", "--store", str(tmp_path / "store"), str(tmp_path))
    assert code == 2 and "no builder default" in out and "xx builder use NAME" in out


def test_the_environment_names_a_builder(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    store = str(tmp_path / "store")
    # Where docker was set up for a CI job, this is there, and says nothing of xx.
    monkeypatch.setenv("BUILDX_BUILDER", "nobody")
    assert xx("build", "--store", store, str(tmp_path))[0] == 0
    monkeypatch.setenv("XX_BUILDER", "nobody")
    found, out = xx("build", "--store", store, str(tmp_path))
    assert found == 2 and "there is no builder nobody" in out
    assert xx("build", "--store", store, "--builder", "embedded", "--print=plan", str(tmp_path))[0] == 0


@pytest.mark.parametrize(
    ("name", "driver", "endpoint", "options"),
    [
        ("a/b", "docker", "", ()), ("", "docker", "", ()), ("a", "vm", "", ()), ("a", "remote", "", ()),
        ("a", "embedded", "x", ()), ("a", "docker", "", ("k=v",)), ("a", "kubernetes", "", ("k",)),
        ("a", "docker", "-x", ()), ("a", "docker", "a b", ()),
    ],
)  # fmt: skip
def test_refused(name: str, driver: str, endpoint: str, options: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        new_builder(name, driver, endpoint, options)
    assert caught.value.reason == "bad-builder" and caught.value.remedy


def test_a_damaged_file_is_named_and_can_be_removed(log: Path, tmp_path: Path) -> None:
    builders = Builders(tmp_path / "config")
    builders.add(Builder("b", "kubernetes"))
    (tmp_path / "config/builders/b.json").write_text("{")
    with pytest.raises(StoreError) as caught:
        builders.get("b")
    assert caught.value.reason == "builder-unreadable" and "b.json" in caught.value.message
    assert builders.all() == [BUILT_IN] and builders.get("../b") is None
    code, out = xx("builder", "ls")
    assert code == 0 and "NOTICE: cannot read the builder" in out and "xx builder rm b" in out
    # One that is none is named too, and of the current one is told all the same.
    (tmp_path / "config/builders/b.json").write_text('{"driver": "nope"}')
    (tmp_path / "config/builder").write_text("nobody\n")
    code, out = xx("builder", "ls")
    assert "builders/b.json: there is no driver nope" in out and "the current one is nobody, which is not there" in out
    # buildx knows what it does not list.
    (tmp_path / "log.inspected").write_text("Name: plain\n")
    (tmp_path / "config/builder").write_text("plain\n")
    assert "which is not there" not in xx("builder", "ls")[1]
    assert xx("builder", "rm", "b")[0] == 0 and builders.get("b") is None


def test_command_lines_that_make_instances() -> None:
    options = tuple(split_options('"nodeselector=a=1,b=2",namespace=x'))
    assert options == ("nodeselector=a=1,b=2", "namespace=x")
    builder = new_builder("k", "kubernetes", "", options)
    assert create_command(builder) == (
        "create", "--name", "k", "--driver", "kubernetes",
        "--driver-opt", '"nodeselector=a=1,b=2"', "--driver-opt", "namespace=x",
    )  # fmt: skip
    assert create_command(new_builder("c", "docker-container", "ctx", ())) == (
        "create", "--name", "c", "--driver", "docker-container", "ctx",
    )  # fmt: skip


@pytest.mark.parametrize("context", ["plain", "stopped", ""])
def test_a_docker_builder_may_be_made_before_its_engine_is_started(context: str, log: Path) -> None:
    (log.parent / "log.inspected").write_text("Name: plain\n")
    assert xx("builder", "create", "--name", "mine", "--driver", "docker", context) == (0, "mine\n")
    assert ("inspect" in log.read_text()) == bool(context)


def test_a_docker_builder_is_a_context_or_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///mine")
    monkeypatch.setenv("BUILDX_BUILDER", "other")
    host, context = Builder("a", "docker", "tcp://h:1"), Builder("b", "docker", "ctx")
    assert host.instance == "default" and environment(host)["DOCKER_HOST"] == "tcp://h:1"
    assert context.instance == "ctx" and environment(context)["DOCKER_CONTEXT"] == "ctx"
    assert "DOCKER_HOST" not in environment(context) and "BUILDX_BUILDER" not in environment()
    assert Builder("c", "docker").instance == "default" and environment()["DOCKER_HOST"] == "unix:///mine"


PLAIN = """\
Name:   plain
Driver: docker

Nodes:
Name:             plain
Endpoint:         plain
Status:           running
Platforms:        linux/amd64, linux/arm64
Features:
 Cache export:         {able}
 Docker exporter:      {able}
 Multi-platform build: {able}
 OCI exporter:         {able}
Labels:
"""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--platform", "linux/amd64,linux/arm64"), "builds for one platform only"),
        (("-t", "x"), "writes no OCI images"), (("-o", "type=docker,dest=x.tar"), "writes no OCI images"),
        (("--metadata-file", "m"), "writes no OCI images"),
        (("--cache-to", "type=local,dest=c"), "writes no cache: --cache-to type=local,dest=c"),
        (("--build-context", "a=oci-layout://l"), "reads no OCI layouts, as which a would be handed over"),
    ],
)  # fmt: skip
def test_what_an_engine_without_the_image_store_cannot_do_is_said_before_anything_starts(
    log: Path, tmp_path: Path, args: tuple[str, ...], words: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    command = ("build", "--store", str(tmp_path / "store"), "--builder", "plain", *args, str(tmp_path))
    inspected = Path(f"{log}.inspected")
    inspected.write_text(PLAIN.format(able="false"))
    code, out = xx(*command)
    said = [line for line in out.splitlines() if line.strip()][-2:]
    assert code == 4 and said[0] == f"ERROR: the builder plain (driver docker) {words}"
    assert "containerd image store" in said[1] and "xx builder create" in said[1]
    assert " build " not in log.read_text()
    # Where it can, or buildx does not say, the build is handed over.
    for able in ("true", "unknown"):
        inspected.write_text(PLAIN.format(able=able))
        xx(*command)
        assert log.read_text().count(" build ") == 1
        log.write_text("")


def test_what_buildkit_has_no_counterpart_of_is_said_before_anything_starts(log: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    (tmp_path / "Other").write_text("# syntax=example.test/other\nWHAT EVER\n")
    (tmp_path / "ca.pem").write_text("x")
    Path(f"{log}.inspected").write_text(PLAIN.format(able="true"))
    for args, words in (
        (("--verify=warn",), "--verify=warn: "), (("--verify-allow", "/x"), "--verify-allow: "),
        (("--accelerate=verify",), "--accelerate=verify: "),
        (("--build-context", f"a::linux/arm64={tmp_path}"), "NAME::PLATFORM"),
        (("--cache-to", "type=local,dest=c,keep-storage=1g"), "keep-storage=: "),
        (("--cache-from", "a,b"), "is no KEY=VALUE"),
        (("-f", str(tmp_path / "Other"), "--host-ca", str(tmp_path / "ca.pem")), "--host-ca: "),
        (("-f", str(tmp_path / "Other"), "--emulation=never"), "--emulation=never: "),
    ):  # fmt: skip
        code, out = xx("build", "--store", str(tmp_path / "store"), "--builder", "plain", *args, str(tmp_path))
        assert code == 2 and words in out and ("leave it out" in out or "KEY=VALUE" in words), out
        assert not log.exists() or " build " not in log.read_text()


def test_caches_of_kinds_that_buildkit_alone_has_are_handed_to_it(log: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    Path(f"{log}.inspected").write_text(PLAIN.format(able="true"))
    caches = (
        "--cache-from",
        "type=gha,scope=a",
        "--cache-to",
        "type=gha,scope=a,mode=max,ignore-error=true",
        "--cache-to",
        "type=inline,mode=max",
        "--cache-to",
        "type=registry,ref=r.test/a,compression=zstd",
    )
    command = ("build", "--store", str(tmp_path / "store"), *caches, str(tmp_path))
    xx(*command, "--builder", "plain")
    (line,) = (each for each in log.read_text().splitlines() if " build " in each)
    assert " ".join(caches) in line, line
    code, out = xx(*command)
    assert code == 2 and "--cache-from type=gha,scope=a: a cache of type gha is not supported" in out, out


INSPECTED = """\
Name:          two
Driver:        docker-container

Nodes:
Name:          two0
Endpoint:      unix:///var/run/docker.sock
Status:        running
Platforms:     linux/amd64*, linux/amd64/v2, what/ever/is/this
Features:
 Multi-platform build: true
 OCI exporter:         false
Labels:
 some.selinux.enabled: false

Name:          two1
Endpoint:      tcp://other
Status:        inactive
Platforms:     linux/arm64, linux/amd64
"""


def test_what_inspect_prints() -> None:
    found = parse_inspect(INSPECTED)
    assert (found.driver, found.status, found.error) == ("docker-container", "running", "")
    assert found.features == {"Multi-platform build": True, "OCI exporter": False}
    assert Platform.parse("linux/arm64") in found.platforms and Platform.parse("linux/amd64") in found.platforms
    assert parse_inspect("Name: x\nDriver:\nError: Cannot\x1b[2J connect\n").error == "Cannot connect"
