"""Command lines that are not understood: two lines each, one of what is wrong and one of what to do."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from xxpy.cli.usage import Program
from xxpy.cli.xx import main


def told(*args: str, **env: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(main, list(args), env=env, prog_name="xx")
    assert not done.stdout
    return done.exit_code, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("line", "what", "remedy"),
    [
        ("nope", "xx: there is no command 'nope'", "xx --help lists them"),
        ("biuld .", "xx: there is no command 'biuld' (did you mean build?)", "xx --help lists them"),
        ("-x", "xx: no such option: -x", "xx --help lists them"),
        ("cache nope", "xx cache: there is no command 'nope'", "xx cache --help lists them"),
        ("cache du --nope", "xx cache du: no such option: --nope", "xx cache du --help lists them"),
        ("build --platfrom x .", "xx build: no such option: --platfrom (did you mean --platform?)",
         "xx build --help lists them"),
        ("build --platform", "xx build: --platform has no value", "write --platform OS/ARCH[,…]"),
        ("cache du --filter", "xx cache du: --filter has no value", "write --filter KEY=VALUE"),
        ("cache du --format", "xx cache du: --format has no value", "write --format table|json"),
        ("build --store", "xx build: --store has no value", "write --store PATH"),
        ("build --pull=maybe .", "xx build: --pull takes no value but true and false", "write --pull alone"),
        ("build a b", "xx build: unexpected argument: b", "write xx build [OPTIONS] [CONTEXT]"),
        ("build --progress nope .", "xx build: --progress: 'nope' is not known",
         "it takes auto, tty, plain, rawjson, quiet, none"),
        ("cache du --format x", "xx cache du: --format: 'x' is not known", "it takes table, json"),
        ("push", "xx push: NAME is missing", "write xx push [OPTIONS] NAME [DESTINATION]"),
        ("images rm", "xx images rm: NAME… is missing", "write xx images rm [OPTIONS] NAME…"),
    ],
)  # fmt: skip
def test_two_lines(line: str, what: str, remedy: str) -> None:
    assert told(*line.split()) == (2, [f"ERROR: {what}", f"       {remedy}"])


def test_a_value_of_the_environment_is_named_as_that() -> None:
    code, (what, _) = told("build", BUILDKIT_PROGRESS="nope")
    assert code == 2 and what == "ERROR: xx build: BUILDKIT_PROGRESS: 'nope' is not known"
    code, (what, _) = told("build", "--progress", "nope", BUILDKIT_PROGRESS="plain")
    assert code == 2 and "--progress: 'nope'" in what


@pytest.mark.parametrize("group", [(), ("cache",), ("builder",)])
def test_a_group_alone_shows_its_help_and_is_no_command(group: tuple[str, ...]) -> None:
    code, lines = told(*group)
    name = " ".join(["xx", *group])
    assert code == 2 and lines[0].startswith(f"Usage: {name} ") and "Commands:" in lines
    assert lines[-2:] == [f"ERROR: {name}: a command is missing", "       name one of those above"]


def test_help_and_version_are_no_errors() -> None:
    for args in (["--help"], ["--version"], ["build", "-h"], ["cache", "prune", "--help"]):
        done = CliRunner().invoke(main, args)
        assert done.exit_code == 0 and done.stdout and not done.stderr


def test_numbers_questions_and_ctrl_c() -> None:
    @click.group(cls=Program)
    def program() -> None:
        pass

    @program.command("count")
    @click.option("--times", type=click.IntRange(1, 9))
    def count(times: int) -> None:
        raise KeyboardInterrupt if times == 9 else SystemExit(times)

    def run(times: str) -> tuple[int, list[str]]:
        done = CliRunner().invoke(program, ["count", "--times", times], prog_name="p")
        return done.exit_code, done.stderr.split("\n")

    assert run("x")[1][:2] == [
        "ERROR: p count: --times: 'x' is not a valid integer range", "       p count --help tells what it takes",
    ]  # fmt: skip
    assert run("0")[0] == 2 and run("0")[1][0].startswith("ERROR: p count: --times: 0 is not in the range")
    assert run("3")[0] == 3
    assert run("9")[0] == 130 and "ERROR: interrupted" in run("9")[1]


def test_a_flag_with_control_characters_is_printed_clean(tmp_path: Path) -> None:
    code, lines = told("build", "--no\x1b[2Jpe", str(tmp_path))
    assert code == 2 and not any("\x1b" in line for line in lines)
