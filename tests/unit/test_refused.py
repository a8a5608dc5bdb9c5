"""Flags of buildx that are refused, and attestations that are turned off."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from xxpy.cli.shared import print_error
from xxpy.cli.switches import plain
from xxpy.cli.xx import main
from xxpy.errors import XxError


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--cache-from type=gha", "registry"), ("--cache-to type=s3,bucket=b", "inline"),
        ("--cgroup-parent x", "systemd-run"),
        ("--sbom true", "no attestation"), ("--provenance mode=max", "no attestation"),
        ("--attest type=sbom", "no attestation"), ("--attest type=sbom,disabled=false", "no attestation"),
        ("--policy reset=true", "digest"), ("--resource memory=2g", "MemoryMax"), ("--memory 2g", "MemoryMax"),
        ("--cpu-shares=5", "MemoryMax"), ("--squash", "FROM scratch"), ("--security-opt x", "--allow"),
        ("--isolation default", "Windows"),
    ],
)  # fmt: skip
def test_refused_by_name(flags: str, words: str) -> None:
    done = CliRunner().invoke(main, ["build", *flags.split(), "."])
    name = flags.split()[0].partition("=")[0]
    assert done.exit_code == 2 and name in done.output and "not supported" in done.output
    assert words in done.output


@pytest.mark.parametrize(
    "flags",
    [
        "--sbom=false --provenance=0", "--attest type=sbom,disabled=true", "-D", "--rm --force-rm=false --compress",
        "--push=false --load=0 --pull=true --no-cache=False",
    ],
)  # fmt: skip
def test_taken(flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xxpy.build.engine.process.debug", False)
    done = CliRunner().invoke(main, ["build", "--store", str(tmp_path / "s"), *flags.split(), str(tmp_path)])
    # It gets as far as reading the Dockerfile, which is not there.
    assert done.exit_code == 5 and "Dockerfile" in done.output


def test_short_names_and_switches(tmp_path: Path) -> None:
    for flag, name in (("-m", "--memory"), ("-c", "--cpu-shares")):
        done = CliRunner().invoke(main, ["build", flag, "1", "."])
        assert done.exit_code == 2 and f"{name} is not supported" in done.output
    names = {"--pull", "--rm"}
    assert plain(["--pull=1", "--rm", "x", "--rm=false", "-t", "a=true"], names) == ["--pull", "x", "-t", "a=true"]
    assert plain(["--pul=maybe", "--", "--rm=true"], names) == ["--pul=maybe", "--", "--rm=true"]
    for value in ("maybe", "", "2"):
        done = CliRunner().invoke(main, ["build", f"--pull={value}", str(tmp_path)], prog_name="xx")
        lines = [f"ERROR: xx build: --pull={value} is neither true nor false", "       write --pull or --pull=false"]
        assert done.exit_code == 2 and done.output.splitlines() == lines


def test_progress_from_the_environment(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["build", str(tmp_path)], env={"BUILDKIT_PROGRESS": "nope"})
    assert done.exit_code == 2 and "BUILDKIT_PROGRESS" in done.output


def test_the_xx_image_is_written_as_an_image(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["image", "xx", "--store", str(tmp_path / "s"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2 and "type=docker" in done.output and not (tmp_path / "out").exists()


def test_what_a_stage_has_named_is_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(XxError("a\x1b[2Jb is there", remedy="move a\rb"))
    assert not set(capsys.readouterr().err) & set("\x1b\r")
