from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xxpy.build.probes import Probe, State
from xxpy.cli import doctor
from xxpy.platforms import Platform

GOOD = Probe("kernel", State.OK, "Linux 6.18")
POOR = Probe("mmdebstrap", State.WARN, "not installed", "apt-get install -y mmdebstrap")
LACK = Probe("OCI runtime", State.MISSING, "neither crun nor runc is installed", "apt-get install -y runc")

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def invoke(found: list[Probe], *args: str) -> Result:
        def fake(_store: Any, needed: list[str], others: list[str]) -> list[Probe]:
            return [*found, Probe("asked", State.OK, f"{needed} {'s390x' in others}")]

        monkeypatch.setattr(doctor, "all_probes", fake)
        monkeypatch.setattr(Platform, "host", lambda: Platform("linux", "amd64"))
        return CliRunner().invoke(doctor.doctor_command, list(args))

    return invoke


def test_a_remedy_stands_under_each_problem(run: Run) -> None:
    result = run([GOOD, POOR, LACK])
    assert result.exit_code == 4
    assert result.output.splitlines() == [
        "ok       kernel       Linux 6.18",
        "warning  mmdebstrap   not installed",
        "                      -> apt-get install -y mmdebstrap",
        "missing  OCI runtime  neither crun nor runc is installed",
        "                      -> apt-get install -y runc",
        "ok       asked        ['aarch64'] True",
        "",
        "A build would not work here: 1 missing.",
    ]


def test_warnings_let_builds_work(run: Run) -> None:
    result = run([GOOD, POOR])
    assert result.exit_code == 0
    assert result.output.endswith("A build would work here.\n")


def test_platforms_say_what_is_needed(run: Run) -> None:
    result = run([], "--platform", "linux/s390x,linux/386,darwin/arm64,linux/arm/v6")
    assert "['s390x', 'arm'] False" in result.output


def test_json(run: Run) -> None:
    result = run([LACK], "--json")
    assert result.exit_code == 4
    value = json.loads(result.output)
    assert value["works"] is False
    assert value["probes"][0] == {
        "name": "OCI runtime", "state": "missing", "found": LACK.found, "remedy": LACK.remedy,
    }  # fmt: skip


def test_an_unknown_platform(run: Run) -> None:
    result = run([], "--platform", "linux/vax")
    assert result.exit_code == 2
    assert result.output.startswith("ERROR: unknown architecture 'vax'")
