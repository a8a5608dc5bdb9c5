"""Command lines that are not understood: two lines each, one of what is wrong and one of what to do."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from stores import image, named

from xxpy.build.export import export_image
from xxpy.build.outputs import parse_output
from xxpy.build.store import Store
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
        ("build --pull=maybe .", "xx build: --pull=maybe is neither true nor false", "write --pull or --pull=false"),
        ("images --quiet=true", "xx images: --quiet takes no value", "write --quiet alone"),
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


@pytest.mark.parametrize("destination", ["localhost:5000", "registry.test:5000", "docker://registry.test:5000"])
def test_a_registry_without_a_repository_is_no_name_and_tag(destination: str, tmp_path: Path) -> None:
    code, (what, remedy) = told("push", "a:1", destination, "--store", str(tmp_path))
    assert code == 2 and what == f"ERROR: {destination} is a registry without a repository"
    assert f"{destination}/app:1.0" in remedy


def test_a_name_with_a_dot_and_a_number_is_a_name(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    for name in ("my.app:1", "docker://my.app:1"):
        code, (what, remedy) = told("push", name, "--store", str(store.root))
        assert code == 5 and what == "ERROR: there is no image my.app:1 in the store" and "xx pull" in remedy


READING = (
    ["images"], ["images", "-q"], ["images", "rm", "a"], ["inspect", "a"], ["cache", "du"], ["cache", "prune", "-f"],
    ["push", "a:1"], ["merge", "a", "-t", "b"], ["merge", "docker.io/a/b", "a", "-t", "b"],
)  # fmt: skip


@pytest.mark.parametrize("args", READING)
def test_a_store_that_is_only_read_is_not_made(args: list[str], tmp_path: Path) -> None:
    place = tmp_path / "typo" / "store"
    for flags, variable in ((["--store", str(place)], ""), ([], str(place))):
        code, (what, remedy) = told(*args, *flags, XX_STORE=variable)
        assert code == 7 and what == f"ERROR: there is no store at {place}" and "--store and XX_STORE" in remedy
    assert not place.parent.exists()


def test_an_empty_folder_is_no_store_and_a_file_neither(tmp_path: Path) -> None:
    assert told("images", "--store", str(tmp_path))[0] == 7 and not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    for args in (["images"], ["pull", "a"]):
        code, lines = told(*args, "--store", str(tmp_path / "file"))
        assert code == 7 and "is no store of xx, but a file" in lines[0]
    assert (tmp_path / "file").read_text() == "mine"


def test_at_its_usual_place_a_store_is_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["images", "-q"], env={"XX_STORE": "", "XDG_DATA_HOME": str(tmp_path)})
    assert done.exit_code == 0 and not done.output and (tmp_path / "xx/xx-store").exists()


def test_what_lies_elsewhere_is_inspected_and_merged_without_a_store(tmp_path: Path) -> None:
    made, place = Store.open(tmp_path / "made"), tmp_path / "none"
    archive = tmp_path / "a.tar"
    index = named(made, "docker.io/library/a:1", image(made, (b"layer",)))
    export_image(made, index, ["docker.io/library/a:1"], parse_output(f"type=oci,dest={archive}"))
    done = CliRunner().invoke(main, ["inspect", str(archive), "--store", str(place)])
    assert done.exit_code == 0 and index.digest in done.output and not place.exists()
    done = CliRunner().invoke(main, ["merge", str(archive), "-t", "b", "--store", str(place)])
    assert done.exit_code == 0 and Store.find(place).resolve("docker.io/library/b:latest") is not None


def test_a_context_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    store = ["--store", str(tmp_path / "s")]
    for context, words, remedy in (
        (tmp_path / "nowhere", "there is no context", "name a folder"),
        (tmp_path / "Dockerfile", "is a file, and a context is a folder", f"-f {tmp_path}/Dockerfile {tmp_path}"),
    ):
        code, lines = told("build", *store, str(context))
        assert code == 5 and words in lines[0] and str(context) in lines[0] and remedy in lines[1]


def test_a_name_that_is_given_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    seen: list[tuple[str, ...]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xxpy.cli.build.build", lambda options: seen.append(options.order.tags))
        told("build", "-t", "a", "-t", "a:latest", "-t", "b", str(tmp_path))
    assert seen == [("docker.io/library/a:latest", "docker.io/library/b:latest")]


@pytest.mark.parametrize("group", [(), ("cache",), ("builder",), ("images",)])
def test_no_line_of_a_list_of_commands_is_cut_off(group: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*group, "--help"])
    assert done.exit_code == 0 and "Commands:" in done.stdout and "..." not in done.stdout.partition("Commands:")[2]
