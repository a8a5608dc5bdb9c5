"""What is said of a program that a stage does not have, by what the stage does have."""

from __future__ import annotations

from pathlib import Path

import pytest

from xxpy.info import programs


def remedy(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str, *there: str) -> str:
    for name in there:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    error = programs.missing(program)
    assert error.reason == "program-missing" and error.message == f"{program} is not in this stage"
    return error.remedy


@pytest.mark.parametrize(
    ("program", "there", "expected"),
    [
        ("go", "apt-get", "RUN apt-get install -y golang-go"),
        ("go", "apk", "RUN apk add go"),
        ("cargo", "dnf", "RUN dnf install -y cargo"),
        ("cargo", "microdnf", "RUN microdnf install -y cargo"),
        ("apt-get", "apk", "its package manager is apk: xx-apk"),
        ("apk", "apt-get", "its package manager is apt-get: xx-apt-get"),
    ],
)
def test_by_the_stages_package_manager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, there: str, expected: str
) -> None:
    assert remedy(monkeypatch, tmp_path, program, there).endswith(expected)


def test_without_any(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert remedy(monkeypatch, tmp_path, "dnf") == "it has no package manager"
    assert remedy(monkeypatch, tmp_path, "cargo") == "begin the stage FROM an image that has it"


def test_a_program_that_is_there_and_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "go").write_text("")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "interpreter or dynamic linker" in programs.missing("go").message
