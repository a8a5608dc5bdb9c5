"""What the documentation says of exit codes and flags is what the program has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

from xxpy import errors
from xxpy.cli.xx import main

ROOT = Path(__file__).parents[2]


def test_every_exit_code_is_documented() -> None:
    codes = {
        kind.exit_code for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.XxError)
    }
    text = (ROOT / "docs/exit-codes.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    # 141 is no error of ours: `told` ends with it where stdout has no reader.
    assert documented == codes | {0, 141}


def test_every_flag_of_build_is_documented() -> None:
    command = main.commands["build"]
    text = (ROOT / "docs/build.md").read_text()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert any(f"`{name}" in text or f", `{name}" in text for name in parameter.opts), parameter.opts


def test_every_flag_of_the_store_s_commands_is_documented() -> None:
    text = (ROOT / "docs/store.md").read_text()
    context = click.Context(main)
    for name in ("cache", "images", "inspect", "merge"):
        command = main.get_command(context, name)
        assert command is not None
        commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
        for parameter in [each for one in commands for each in one.params if isinstance(each, click.Option)]:
            for flag in parameter.opts:
                assert f"`{flag}`" in text or f"`{flag} " in text, (name, flag)


def test_links_between_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_command_flag_and_variable_of_the_suite_is_documented() -> None:
    """docs/suite.md names each xx-* command, and what the help of each names."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "docs/suite.md").read_text()
    for name, entry in project["project"]["scripts"].items():
        if name == "xx":
            continue
        assert name in text, name
        source = (ROOT / (entry.partition(":")[0].replace(".", "/") + ".py")).read_text()
        for word in re.findall(r"^  (--[a-z-]+)|\b(XX_[A-Z_]+)\b", source, re.MULTILINE):
            flag = word[0] or word[1]
            assert flag in text or flag in ("--help", "--version"), f"{name}: {flag}"
