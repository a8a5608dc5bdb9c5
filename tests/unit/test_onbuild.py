"""ONBUILD: what is kept, what runs where, what is refused; and what else a base image hands on."""

from __future__ import annotations

import pytest
from test_front import AMD64, env_of, only, runs

from xxpy.build.bases import image_config
from xxpy.build.dockerfile.bases import BaseImage
from xxpy.build.dockerfile.front import Request, make_graph
from xxpy.build.dockerfile.parse import parse
from xxpy.build.graph import FileOp, Graph, Healthcheck, ImageConfig, MakeFileAction
from xxpy.errors import DockerfileError
from xxpy.platforms import Platform


class OneImage:
    """The image ``a``, with this config."""

    def __init__(self, config: ImageConfig) -> None:
        self._config = config

    def base(self, name: str, platform: Platform) -> BaseImage:
        return BaseImage(name, "sha256:a", self._config)


def graph(text: str, *triggers: str, target: str = "", **config: object) -> Graph:
    images = OneImage(ImageConfig(on_build=triggers, **config))  # type: ignore[arg-type]
    return make_graph(parse(text, "Dockerfile"), Request((AMD64,), AMD64, target_stage=target), images)


def test_triggers_are_kept_as_text_and_not_run() -> None:
    text = (
        "FROM a\nonbuild  run one \\\n  two\nONBUILD COPY --chown=1 x /\nONBUILD RUN <<E\nbody\nE\nRUN now\n"
        "ONBUILD HEALTHCHECK CMD x\n"
    )
    found = graph(text)
    assert only(found).config.on_build == (
        "run one   two",
        "COPY --chown=1 x /",
        "RUN <<E\nbody\nE",
        "HEALTHCHECK CMD x",
    )
    assert [name for name, _ in runs(found)] == ["now"]
    assert [entry.created_by for entry in only(found).history] == ["RUN now"]


def test_triggers_of_an_image_run_first_and_are_gone() -> None:
    found = graph("ARG X\nFROM a\nRUN own\n", "ENV FROM_TRIGGER=1", "RUN triggered", "COPY <<f /to\nhere\nf")
    assert [name for name, _ in runs(found)] == ["triggered", "own"]
    (_, triggered), (_, own) = runs(found)
    assert env_of(own)["FROM_TRIGGER"] == "1"
    assert triggered.label.text == "ONBUILD RUN triggered" and triggered.label.line == 2
    assert only(found).config.on_build == ()
    files = [action for vertex in found if isinstance(vertex.op, FileOp) for action in vertex.op.actions]
    assert [action.data for action in files if isinstance(action, MakeFileAction)] == ["here\n"]


def test_triggers_of_a_stage_run_in_its_children_and_not_in_theirs() -> None:
    text = "FROM a AS base\nONBUILD RUN triggered\nFROM base AS child\nRUN child\nFROM child\nRUN grandchild\n"
    found = graph(text)
    assert [name for name, _ in runs(found)] == ["triggered", "child", "grandchild"]
    assert only(graph(text, target="base")).config.on_build == ("RUN triggered",)
    assert only(graph(text, target="child")).config.on_build == ()


def test_a_trigger_takes_from_a_stage_above() -> None:
    found = graph("FROM a AS files\nRUN f\nFROM scratch AS base\nONBUILD COPY --from=files /x /\nFROM base\n")
    assert [name for name, _ in runs(found)] == ["f"]


@pytest.mark.parametrize("inner", ["ONBUILD RUN x", "FROM b", "maintainer me", "FETCH x"])
def test_what_can_be_no_trigger(inner: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        graph(f"FROM a\n\nONBUILD {inner}\n")
    assert caught.value.place == "Dockerfile:3"
    assert caught.value.reason == ("unknown-instruction" if inner == "FETCH x" else "bad-trigger")
    # Another tool's image may hold it all the same.
    with pytest.raises(DockerfileError) as caught:
        graph("ARG x\nFROM a\n", inner)
    assert caught.value.place == "Dockerfile:2"


@pytest.mark.parametrize(
    "trigger", ["", "RUN a\nRUN b", "RUN <<E\nnever", "COPY x", 'CMD ["a", 1]', "WORKDIR $nope", "RUN --nope x", "\0"]
)
def test_a_broken_trigger_is_an_error_of_the_from(trigger: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        graph("ARG x\n\nFROM a\nRUN y\n", trigger)
    assert caught.value.place == "Dockerfile:3"


def test_an_error_names_the_trigger() -> None:
    with pytest.raises(DockerfileError) as caught:
        graph("FROM a\n", "COPY x")
    assert "COPY x" in caught.value.message


def test_what_a_foreign_config_may_hold() -> None:
    given = {"Test": ["CMD", "x"], "Interval": -1, "Timeout": "1s", "StartPeriod": 1 << 70, "Retries": 3}
    config = image_config({"Healthcheck": given, "OnBuild": ["RUN x"]}, "me")
    assert config.healthcheck == Healthcheck(("CMD", "x"), retries=3)
    assert config.on_build == ("RUN x",) and config.author == "me"
    for healthcheck in ("x", {}, {"Test": "x"}, {"Test": [1]}, None):
        config = image_config({"Healthcheck": healthcheck, "OnBuild": [1]}, {"not": "text"})
        assert config.healthcheck is None and config.on_build == () and config.author == ""


def test_a_base_hands_on_its_author_and_its_health_check() -> None:
    check = Healthcheck(("CMD", "x"), interval=5)
    inherited = only(graph("FROM a AS b\nFROM b\n", healthcheck=check, author="them")).config
    assert inherited.healthcheck == check and inherited.author == "them"
    changed = only(graph("FROM a\nMAINTAINER Some One <x@y>\nHEALTHCHECK NONE\n", healthcheck=check)).config
    assert changed.healthcheck == Healthcheck(("NONE",)) and changed.author == "Some One <x@y>"
