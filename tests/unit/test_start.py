"""How the program begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.cli import start, xx


def test_an_early_interrupt_is_told_as_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(xx, "main", interrupted)
    with pytest.raises(SystemExit) as caught:
        start.main()
    assert caught.value.code == 130 and capsys.readouterr().err == "ERROR: interrupted\n"


def test_closed_streams_are_no_files_of_others(tmp_path: Path) -> None:
    def run(closed: str, *args: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", "from xxpy.cli.start import main; main()", *args]
        argv = ["sh", "-c", f'exec "$@" {closed}', "sh", *program]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)

    done = run(">&-", "--version")
    assert done.returncode == 7 and done.stderr.startswith("ERROR: cannot write to stdout: "), done
    done = run("2>&-", "--version")
    assert done.returncode == 0 and done.stdout.startswith("xx ") and not done.stderr
    assert run("2>&- >&- <&-", "nope").returncode == 2
    done = run("<&-", "build", "--store", str(tmp_path / "s"), "-")
    assert done.returncode == 2 and "stdin is empty" in done.stderr, done
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
