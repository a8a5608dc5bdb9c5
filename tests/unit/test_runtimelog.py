"""What OCI runtimes log: warnings apart from errors, and errors in fewer words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xxpy.build.engine.runtimelog import errors_of, in_words, is_of_the_program


def log_of(tmp_path: Path, *lines: tuple[str, str] | str) -> Path:
    path = tmp_path / "log"
    texts = [one if isinstance(one, str) else json.dumps({"level": one[0], "msg": one[1], "time": ""}) for one in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_warnings_are_no_errors(tmp_path: Path) -> None:
    log = log_of(tmp_path, ("warning", "no oom count"), ("error", "first"), ("info", "x"), ("fatal", "last"))
    assert errors_of(log) == ["first", "last"]
    assert errors_of(tmp_path / "none") == []


def test_what_has_another_form_is_not_hidden(tmp_path: Path) -> None:
    assert errors_of(log_of(tmp_path, "panic: oh", "", "[1]", '{"level": "error"}', "[" * 5000))[:3] == [
        "panic: oh", "[1]", '{"level": "error"}',
    ]  # fmt: skip


def test_a_log_without_end_is_read_to_a_bound(tmp_path: Path) -> None:
    log = log_of(tmp_path, *[("error", "x" * 1000)] * 500)
    assert 0 < len(errors_of(log)) < 100


def test_warnings_are_shown_with_debug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path, ("warning", "no oom \x1b[2Jcount"))
    assert errors_of(log) == [] and not capsys.readouterr().err
    monkeypatch.setattr("xxpy.build.engine.process.debug", True)
    assert errors_of(log) == [] and capsys.readouterr().err == "warning of the OCI runtime: no oom count\n"


@pytest.mark.parametrize(
    ("said", "words", "program"),
    [
        ('runc run failed: unable to start container process: exec: "/x": stat /x: no such file or directory',
         'exec: "/x": stat /x: no such file or directory', True),
        ('runc create failed: unable to start container process: exec: "x": executable file not found in $PATH',
         'exec: "x": executable file not found in $PATH', True),
        ("executable file `x` not found in $PATH", "executable file `x` not found in $PATH", True),
        ('exec: "/bin/sh": permission denied', 'exec: "/bin/sh": permission denied', True),
        ('runc run failed: unable to start container process: error during container init: error mounting "a"',
         'error mounting "a"', False),
    ],
)  # fmt: skip
def test_in_words(said: str, words: str, program: bool) -> None:
    assert in_words(said) == words and is_of_the_program(said) == program
