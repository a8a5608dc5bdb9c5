"""How the program begins."""

from __future__ import annotations

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
