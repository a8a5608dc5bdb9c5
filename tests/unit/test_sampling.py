"""How long the programs of a step ran."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xxpy.build.engine import sampling
from xxpy.build.engine.sampling import Sampler, descendants


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        # Both end by themselves, whatever becomes of the test.
        [sys.executable, "-c", "import os, signal\nif os.fork():\n    os.wait()\nsignal.alarm(20)\nwhile True: pass"]
    ) as made:
        yield made
        for pid in (*descendants(made.pid), made.pid):
            os.kill(pid, 9)


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def test_children_of_children_are_found(busy: subprocess.Popen[bytes]) -> None:
    wait_for(lambda: list(descendants(busy.pid)))
    (child,) = descendants(busy.pid)
    assert {busy.pid, child} <= {*descendants(os.getpid())}
    assert not list(descendants(2**22 + 1))


def test_seconds_are_those_of_programs_below_the_place(
    busy: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter is "below the place" here."""
    wait_for(lambda: list(descendants(busy.pid)))
    place = os.path.dirname(os.path.realpath(sys.executable))
    monkeypatch.setattr(Sampler, "_is_of_the_step", lambda self, pid: True)
    with Sampler(Path("/"), place) as sampler:
        wait_for(lambda: sampler.twins > 0.3)
    assert 0.3 < sampler.twins < 20 and not sampler.emulated
    elsewhere = Sampler(Path("/"), str(tmp_path))
    with elsewhere:
        time.sleep(3 * sampling.INTERVAL)
    assert elsewhere.twins == 0 and not elsewhere.emulated
