"""From a Dockerfile to a graph: scopes, stages, what is shared, what is refused; and the plan made of it."""

from __future__ import annotations

import pytest

from xxpy.build.dockerfile.bases import BaseImage
from xxpy.build.dockerfile.front import Request, make_graph
from xxpy.build.dockerfile.parse import parse
from xxpy.build.graph import (
    CopyAction,
    ExecOp,
    FileOp,
    Graph,
    ImageConfig,
    MakeFileAction,
    MergeOp,
    MkdirAction,
    Result,
    SourceOp,
    Vertex,
)
from xxpy.build.plan import How, make_plan
from xxpy.errors import DockerfileError, HostError, SourceError, UnsupportedError
from xxpy.platforms import Platform

AMD64, ARM64, ARMV7 = (Platform.parse(text) for text in ("linux/amd64", "linux/arm64", "linux/arm/v7"))


class FakeImages:
    """Every image but those whose name begins with ``no``."""

    config = ImageConfig(env=("PATH=/bin", "FROM_BASE=yes"), cmd=("sh",), labels=(("base", "1"),))

    def base(self, name: str, platform: Platform) -> BaseImage:
        if name.startswith("no"):
            raise SourceError(f"no {name}", reason="image-missing")
        return BaseImage(f"example.test/{name}", f"sha256:{name}-{platform}", self.config)


def graph(text: str, *targets: Platform, **given: object) -> Graph:
    request = Request(targets or (AMD64,), AMD64, **given)  # type: ignore[arg-type]
    return make_graph(parse(text, "Dockerfile"), request, FakeImages())


def runs(found: Graph) -> list[tuple[str, Vertex]]:
    return [(vertex.op.args[-1], vertex) for vertex in found if isinstance(vertex.op, ExecOp)]


def only(found: Graph) -> Result:
    assert len(found.results) == 1
    return found.results[0]


def env_of(vertex: Vertex) -> dict[str, str]:
    assert isinstance(vertex.op, ExecOp)
    return dict(pair.split("=", 1) for pair in vertex.op.env)


def test_a_stage_that_does_not_depend_on_the_target_is_made_once() -> None:
    text = "FROM --platform=$BUILDPLATFORM a AS b\nRUN shared\nARG TARGETARCH\nRUN own\n"
    text += "FROM a\nCOPY --from=b /x /\nRUN last\n"
    names = [name for name, _ in runs(graph(text, AMD64, ARM64))]
    assert sorted(names) == ["last", "last", "own", "own", "shared"]


def test_platform_arguments_are_global_and_in_scope_only_where_declared() -> None:
    text = "FROM --platform=$BUILDPLATFORM a\nRUN before\nARG TARGETPLATFORM\nARG TARGETVARIANT\nRUN after\n"
    (_, before), (_, after) = runs(graph(text, ARMV7))
    assert "TARGETPLATFORM" not in env_of(before)
    assert env_of(after)["TARGETPLATFORM"] == "linux/arm/v7" and env_of(after)["TARGETVARIANT"] == "v7"


def test_arguments_and_environment() -> None:
    text = (
        "ARG V=1\nARG W=w-$V\nFROM a:$W AS s\nARG V\nARG X=dx\nENV E=$V-$X\nARG E=later\n"
        "RUN $one\nENV X=env\nRUN two\nFROM a\nRUN three\n"
    )
    found = graph(text, build_args={"X": "given"}, target_stage="s")
    (_, one), (_, two) = runs(found)
    # Of ENV and ARG the later one counts; the image's own environment has ENV alone.
    assert env_of(one)["E"] == "later" and env_of(one)["X"] == "given" and env_of(one)["V"] == "1"
    assert "E=1-given" in only(found).config.env
    assert env_of(two)["X"] == "env"
    sources = [vertex.op.identifier for vertex in found if isinstance(vertex.op, SourceOp)]
    assert sources == ["docker-image://example.test/a:w-1@sha256:a:w-1-linux/amd64"]
    # The shell expands RUN, not the builder.
    assert next(name for name, _ in runs(found)) == "$one"


def test_an_argument_goes_with_the_stage_that_is_built_upon() -> None:
    (_, vertex), = runs(graph("ARG V=1\nFROM a AS b\nARG V\nFROM b\nRUN x\n"))  # fmt: skip
    assert env_of(vertex)["V"] == "1"
    (_, vertex), = runs(graph("ARG V=1\nFROM a AS b\nARG V\nFROM a\nCOPY --from=b / /\nRUN x\n"))  # fmt: skip
    assert "V" not in env_of(vertex)


def test_an_argument_is_known_in_stages_that_are_from_its_own_and_in_no_other() -> None:
    text = "ARG V=1\nFROM a AS b\nARG V\nENV W=2\nFROM b AS c\nRUN child\nFROM a\nCOPY --from=c / /\nRUN other\n"
    found = dict(runs(graph(text)))
    assert env_of(found["child"])["V"] == "1" and env_of(found["child"])["W"] == "2"
    assert "V" not in env_of(found["other"])


def test_several_arguments_at_once_see_each_other_and_an_unused_default_is_not_read() -> None:
    (_, vertex), = runs(graph("FROM a\nARG A B=c C=$B\nARG D=${n:?}\nRUN x\n", build_args={"D": "given"}))  # fmt: skip
    assert env_of(vertex) == {"B": "c", "C": "c", "D": "given", "PATH": "/bin", "FROM_BASE": "yes"}


def test_a_build_argument_overrides_a_platform_variable_before_the_stages_too() -> None:
    found = graph("FROM a:$TARGETARCH\nARG TARGETARCH\nRUN x\n", build_args={"TARGETARCH": "odd"})
    assert env_of(runs(found)[0][1])["TARGETARCH"] == "odd"
    assert any("a:odd" in vertex.op.identifier for vertex in found if isinstance(vertex.op, SourceOp))


def test_a_stage_is_made_again_for_another_platform() -> None:
    text = "FROM a AS low\nRUN low\nFROM low AS mid\nFROM --platform=linux/arm64 mid\nCOPY --from=low /x /\nRUN top\n"
    found = graph(text)
    assert sorted((name, str(vertex.platform)) for name, vertex in runs(found)) == [
        ("low", "linux/amd64"),
        ("low", "linux/arm64"),
        ("top", "linux/arm64"),
    ]
    # A flag that says what is so anyway makes nothing twice.
    assert (
        len(runs(graph("FROM --platform=$BUILDPLATFORM a AS b\nRUN x\nFROM --platform=$BUILDPLATFORM b\n", ARM64))) == 1
    )


def test_named_contexts_go_before_images_and_stages() -> None:
    text = "FROM a AS base\nRUN never\nFROM base\nRUN x\nCOPY --from=files /f /g\nCOPY --from=b /h /i\n"
    contexts = {"base": "docker-image://other", "files": "local://files", "b::linux/arm64": "docker-image://armed"}
    found = graph(text, contexts=contexts)
    assert [name for name, _ in runs(found)] == ["x"]
    sources = [vertex.op.identifier.partition("@")[0] for vertex in found if isinstance(vertex.op, SourceOp)]
    assert sources == ["docker-image://example.test/other", "local://files", "docker-image://example.test/b"]
    copies = [action for vertex in found if isinstance(vertex.op, FileOp) for action in vertex.op.actions]
    assert [action.owner for action in copies if isinstance(action, CopyAction)] == ["", ""]
    sources = [
        vertex.op.identifier for vertex in graph(text, ARM64, contexts=contexts) if isinstance(vertex.op, SourceOp)
    ]
    assert any("armed" in source for source in sources)


def test_a_stage_from_a_folder_has_all_its_files() -> None:
    found = graph("FROM files\nRUN x\n", contexts={"files": "local://files"})
    actions = [action for vertex in found if isinstance(vertex.op, FileOp) for action in vertex.op.actions]
    assert actions == [CopyAction(1, (".",), "/", "0:0")]
    assert only(graph("FROM a\n", contexts={"a": "docker-image://scratch"})).root == ""


@pytest.mark.parametrize("opening", ["<<EOF", "<<-EOF", "<<'EOF'", '<<"EOF"', "<<E'O'F", "<<\\EOF"])
def test_a_here_document_alone_is_the_script(opening: str) -> None:
    (vertex,) = (each for each in graph(f"FROM a\nRUN {opening}\necho $one\nEOF\n") if isinstance(each.op, ExecOp))
    assert isinstance(vertex.op, ExecOp) and vertex.op.args == ("/bin/sh", "-c", "echo $one\n")


def test_ranges_of_ports_and_who_owns_a_workdir() -> None:
    found = only(graph("FROM a\nEXPOSE 8000-8002/udp\nUSER 5:6\nWORKDIR /w\n"))
    assert {"8000/udp", "8001/udp", "8002/udp"} <= set(found.config.exposed_ports)
    actions = [each.op.actions for each in graph("FROM a\nUSER 5:6\nWORKDIR /w\n") if isinstance(each.op, FileOp)]
    assert actions == [(MkdirAction("/w", "5:6"),)]


def test_the_config_of_the_image() -> None:
    config = only(
        graph(
            "FROM a AS base\nENV B=1\nLABEL l=base\nFROM base\nENV C=$B\nUSER u\nWORKDIR /w\nWORKDIR x\n"
            "EXPOSE 80 53/udp\nVOLUME /v\nARG S=9\nSTOPSIGNAL $S\n"
            'SHELL ["/bin/bash", "-c"]\nENTRYPOINT run me\nLABEL m="$C"\n',
            labels={"given": "1"},
        )
    ).config
    assert config.env == ("PATH=/bin", "FROM_BASE=yes", "B=1", "C=1")
    assert config.user == "u" and config.working_dir == "/w/x"
    assert config.exposed_ports == ("53/udp", "80/tcp") and config.volumes == ("/v",)
    assert config.entrypoint == ("/bin/bash", "-c", "run me")
    # ENTRYPOINT drops the CMD of the base (Dockerfile reference, "Understand how CMD and ENTRYPOINT interact").
    assert config.cmd is None
    assert config.labels == (("base", "1"), ("given", "1"), ("l", "base"), ("m", "1"))


def test_shell_and_exec_forms() -> None:
    found = graph('FROM a\nRUN echo a && b\nRUN ["x", "$y"]\nSHELL ["/bin/ash", "-eo"]\nRUN c\n')
    ops = [vertex.op.args for vertex in found if isinstance(vertex.op, ExecOp)]
    assert ops == [("/bin/sh", "-c", "echo a && b"), ("x", "$y"), ("/bin/ash", "-eo", "c")]


@pytest.mark.parametrize("begin", ["<<EOF", "<<-EOF", "<<'EOF'", '<<"EOF"', "<<-'EOF'"])
def test_a_heredoc_alone_is_the_script(begin: str) -> None:
    (_, vertex), = runs(graph(f"FROM a\nRUN {begin}\necho $x\nEOF\n"))  # fmt: skip
    assert isinstance(vertex.op, ExecOp) and vertex.op.args == ("/bin/sh", "-c", "echo $x\n")


def test_copy_becomes_actions() -> None:
    found = graph("FROM a AS one\nFROM a\nWORKDIR /w\nCOPY --from=one --chown=1:2 --chmod=640 x y* /to/\nCOPY . .\n")
    actions = [action for vertex in found if isinstance(vertex.op, FileOp) for action in vertex.op.actions]
    assert actions[0] == MkdirAction("/w")
    assert actions[1] == CopyAction(1, ("x", "y*"), "/to/", "1:2", 0o640)
    assert actions[2] == CopyAction(1, (".",), "/w/")


def test_flags_of_copy_and_add() -> None:
    found = graph(
        "FROM a\nARG N=*.o M=u+x\nCOPY --parents --exclude=$N --exclude=b --chmod=$M x <<E /to/\nt\nE\n"
        "ADD --unpack=false a /to\nADD --keep-git-dir a.tar https://h.test/r.git#v:d https://h.test/f[1] b.tar /to/\n"
    )
    ops = [vertex for vertex in found if isinstance(vertex.op, FileOp)]
    actions = [vertex.op.actions for vertex in ops if isinstance(vertex.op, FileOp)]
    assert actions[0] == (
        CopyAction(1, ("x",), "/to/", "", -1, "u+x", ("*.o", "b"), True),
        MakeFileAction("/to/E", "t\n", "0:0", 0o744, "E"),
    )
    assert actions[1] == (CopyAction(1, ("a",), "/to"),)
    assert actions[2] == (
        CopyAction(1, ("a.tar",), "/to/", unpack=True),
        CopyAction(2, ("d",), "/to/"),
        CopyAction(3, ("f\\[1]",), "/to/"),
        CopyAction(1, ("b.tar",), "/to/", unpack=True),
    )
    sources = [found.vertices[given.digest].op for given in ops[2].inputs[1:]]
    assert [op.identifier for op in sources if isinstance(op, SourceOp)] == [
        "local://context", "git://h.test/r.git#v", "https://h.test/f[1]",
    ]  # fmt: skip


def test_link_is_a_tree_of_its_own_laid_over_the_stages() -> None:
    text = "FROM a\nRUN x\nCOPY --link y /\nCOPY --link --chown=me y /\nFROM scratch\nCOPY --link y /\n"
    found = graph(text.replace("FROM scratch", "FROM scratch AS t"), target_stage="t")
    assert not any(isinstance(vertex.op, MergeOp) for vertex in found)
    found = graph(text.partition("FROM scratch")[0])
    (merge,) = [vertex for vertex in found if isinstance(vertex.op, MergeOp)]
    copied = found.vertices[merge.inputs[1].digest]
    assert copied.inputs[0].digest == "" and isinstance(found.vertices[merge.inputs[0].digest].op, ExecOp)
    assert [entry.created_by for entry in only(found).history] == [
        "RUN x", "COPY --link y /", "COPY --link --chown=me y /",
    ]  # fmt: skip


def test_stages_by_number_and_in_any_case() -> None:
    found = graph("FROM a AS One\nRUN in-one\nFROM a\nRUN in-two\nFROM a\nCOPY --from=0 /a /\nCOPY --from=ONE /b /\n")
    assert [name for name, _ in runs(found)] == ["in-one"]


def test_only_what_the_target_needs_is_made() -> None:
    text = "FROM a AS x\nRUN x\nFROM a AS y\nRUN y\nFROM a\nCOPY --from=y /f /\n"
    assert [name for name, _ in runs(graph(text))] == ["y"]
    assert [name for name, _ in runs(graph(text, target_stage="x"))] == ["x"]


REFUSED = {
    "FROM a\nRUN --device=x y\n": (UnsupportedError, "unsupported", 2),
    "FROM a\nRUN --security=insecure y\n": (DockerfileError, "insecure-not-allowed", 2),
    "FROM a\nSTOPSIGNAL SIGNOPE\n": (DockerfileError, "bad-signal", 2),
    "FROM a\nVOLUME $nope\n": (DockerfileError, "empty-path", 2),
    "FROM a\nEXPOSE 70000\n": (DockerfileError, "bad-port", 2),
    "FROM a\nCOPY --link=no x y\n": (DockerfileError, "bad-flag", 2),
    "FROM a\nCOPY --link --link x y\n": (DockerfileError, "bad-flag", 2),
    "FROM a\nCOPY --exclude x y\n": (DockerfileError, "bad-flag", 2),
    "FROM a\nCOPY --chmod=888 x y\n": (DockerfileError, "bad-mode", 2),
    "FROM a\nCOPY --chmod=10000 x y\n": (DockerfileError, "bad-mode", 2),
    "FROM a\nCOPY https://h.test/x y\n": (DockerfileError, "copy-url", 2),
    "FROM a\nCOPY git@h.test:x y\n": (DockerfileError, "copy-url", 2),
    "FROM a\nCOPY --checksum=sha256:0 x y\n": (DockerfileError, "bad-flag", 2),
    "FROM a\nADD --from=x x y\n": (DockerfileError, "bad-flag", 2),
    "FROM a\nADD --parents x y\n": (DockerfileError, "bad-flag", 2),
    "FROM a\nADD --checksum=sha256:0 https://h.test/x y\n": (DockerfileError, "bad-checksum", 2),
    "FROM a\nADD --checksum=0 x y\n": (DockerfileError, "bad-checksum", 2),
    "FROM a\nADD --checksum=0 git://h.test/x git://h.test/y z/\n": (DockerfileError, "bad-checksum", 2),
    "FROM a\nADD --checksum=0 https://h.test/x.git?commit=1 y\n": (DockerfileError, "bad-checksum", 2),
    "FROM a\nADD https://h.test/x.git#-x y\n": (DockerfileError, "bad-git-url", 2),
    "FROM a\nADD https:///x y\n": (DockerfileError, "bad-url", 2),
    "FROM a\nADD x\n": (DockerfileError, "missing-arguments", 2),
    "FROM a AS x\nCOPY --from=x a b\n": (DockerfileError, "stage-cycle", 2),
    "FROM nob AS nox\nFROM a\n": (SourceError, "image-missing", 1),
    "FROM noy AS x\nFROM a AS noy\n": (DockerfileError, "stage-cycle", 1),
    "FROM a\nCOPY --from=nothere x y\n": (SourceError, "image-missing", 2),
    "FROM a\nCOPY --chmod=rwx x y\n": (DockerfileError, "", 2),
    "FROM a\nCOPY --nope x y\n": (DockerfileError, "", 2),
    "FROM a\nCOPY x\n": (DockerfileError, "", 2),
    "FROM a\nCOPY x y z\n": (DockerfileError, "", 2),
    "FROM $nope\n": (DockerfileError, "", 1),
    "FROM --platform=$nope a\n": (DockerfileError, "", 1),
    "FROM --platform=linux/z80 a\n": (DockerfileError, "platform-unknown", 1),
    "FROM a\nRUN --network=other x\n": (DockerfileError, "bad-flag", 2),
    "FROM a\nWORKDIR $nope\n": (DockerfileError, "empty-path", 2),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    kind, reason, line = REFUSED[text]
    target = "nox" if "nox" in text else "x" if "AS x" in text and "noy" in text else ""
    with pytest.raises(kind) as caught:
        graph(text, target_stage=target)
    assert caught.value.place == f"Dockerfile:{line}"
    assert not reason or caught.value.reason == reason


def test_an_unknown_target_names_those_there_are() -> None:
    with pytest.raises(DockerfileError) as caught:
        graph("FROM a AS one\nFROM a\n", target_stage="two")
    assert caught.value.reason == "stage-unknown" and "one" in caught.value.remedy


def test_the_plan_says_where_each_step_runs() -> None:
    found = graph(
        "FROM --platform=$BUILDPLATFORM a AS b\nRUN native\nFROM a\nCOPY --from=b /x /\nRUN foreign\n", AMD64, ARM64
    )
    plan = make_plan(found, AMD64)
    how = {(name, str(vertex.platform)): plan.steps[vertex.digest].how for name, vertex in runs(found)}
    assert how == {
        ("native", "linux/amd64"): How.NATIVE,
        ("foreign", "linux/amd64"): How.NATIVE,
        ("foreign", "linux/arm64"): How.EMULATED,
    }
    assert plan.emulated == ("aarch64",)
    shared = next(step for step in plan.steps.values() if isinstance(step.vertex.op, ExecOp))
    assert shared.targets == (AMD64, ARM64) and "once for all platforms" in shared.why


def test_copies_alone_need_no_emulator() -> None:
    found = graph("FROM --platform=$BUILDPLATFORM a AS b\nRUN x\nFROM a\nCOPY --from=b /x /\n", ARM64)
    assert make_plan(found, AMD64).emulated == ()


def test_a_platform_without_an_emulator_is_an_error_of_the_plan() -> None:
    with pytest.raises(HostError) as caught:
        make_plan(graph("FROM a\nRUN x\n", Platform.parse("windows/amd64")), AMD64)
    assert caught.value.reason == "emulator-unknown"
