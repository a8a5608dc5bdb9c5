"""Dockerfiles as projects publish them, none of which speaks of platforms: with twins each makes what QEMU alone makes.

Each folder in `twins` is a context. What may differ in it besides what no two runs make alike (`expected.py`) is in its
expected.json, with the reason. Those that say ``# large`` take QEMU alone a quarter of an hour and more: they are run
where XX_TESTS_LARGE is set (make test-twins), as is the second of the further architectures.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from support import Done, Xx, keep, kept_bases, store_from

FOLDER = Path(__file__).with_name("twins")
CASES = sorted(each.name for each in FOLDER.iterdir())
LIGHT = ("flags", "generated-source", "make", "never-dispatched", "uname-in-the-name")
OTHERS = (
    ("bookworm", "linux/s390x"),
    ("testing", "linux/riscv64"),
    ("bookworm", "linux/arm/v7"),
    ("bookworm", "linux/ppc64le"),
    ("bookworm", "linux/386"),
)
"""The first that Debian's archive has just now (LARGE: two): a mirror that is being updated lacks some for hours."""
STANDS_STILL = ("--apt-option", 'Acquire::Check-Valid-Until "false";')
"""What a mirror that is being brought up to date needs."""
LARGE = bool(os.environ.get("XX_TESTS_LARGE"))
HOUR = 3600


@dataclass(frozen=True)
class Others:
    """A store with Debian for ``platforms``, each with the release that it is there for."""

    store: Path
    platforms: tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, debian: Path) -> Others:
    """What cases have in common is made once."""
    found: list[tuple[str, str]] = []
    for suite, platform in OTHERS:
        with contextlib.suppress(RuntimeError):
            keep("base", f"debian:{suite}", "--platform", f"linux/amd64,{platform}", *STANDS_STILL)
            found.append((suite, platform))
        if len(found) == (2 if LARGE else 1):
            break
    return Others(store_from(kept_bases(), tmp_path_factory.mktemp("others") / "store"), tuple(found))


def verified(store: Path, folder: Path, platform: str, base: str = "debian:trixie") -> Done:
    """Build the context ``folder`` with twins and without, and compare."""
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("debian:trixie", base))
    done = Xx(store, folder).run(
        "build", "--progress", "plain", "--host-ca", "auto", "--accelerate", "verify", "--platform", platform, ".",
        timeout=3 * HOUR if LARGE else HOUR,
    )  # fmt: skip
    assert done.code == 0, done
    return done


def unexpected(done: Done, folder: Path) -> list[str]:
    """The lines of paths that differ and should not."""
    file = folder / "expected.json"
    reasons = json.loads(file.read_text()) if file.exists() else {}
    found = []
    for number, verdict in re.findall(r"^#(\d+) ((?:NOT )?the same with twins .*)$", done.err, re.MULTILINE):
        count = int(re.findall(r"(\d+) not,", verdict)[0])
        shown = re.findall(rf"^#{number}   (/\S+) (.*)$", done.err, re.MULTILINE)[:count]
        assert len(shown) == count, f"more than can be shown differ: {done}"
        found += [f"{path} {how}" for path, how in shown if not any(fnmatchcase(path, each) for each in reasons)]
    return found


def started_as_twins(done: Done) -> int:
    """How many programs the emulated steps started as twins, as the end of the build says."""
    rows = re.findall(r"^\d+ +linux/\S+ +\d+ +(\d+) .*the same", done.err, re.MULTILINE)
    return sum(map(int, rows))


@pytest.mark.parametrize("case", CASES)
def test_it_makes_the_same(debian: Path, tmp_path: Path, case: str) -> None:
    text = (FOLDER / case / "Dockerfile").read_text()
    assert "platform" not in text.lower() and "TARGETARCH" not in text
    if "# large" in text and not LARGE:
        pytest.skip("it is large: make test-twins runs it")
    folder = shutil.copytree(FOLDER / case, tmp_path / "context")
    done = verified(debian, folder, "linux/arm64")
    assert unexpected(done, folder) == []
    assert started_as_twins(done) > 0, done


@pytest.mark.parametrize("number", [0, 1] if LARGE else [0])
@pytest.mark.parametrize("case", LIGHT)
def test_it_makes_the_same_for_others(others: Others, tmp_path: Path, case: str, number: int) -> None:
    if number >= len(others.platforms):
        pytest.skip(f"Debian's archive lacks some of {OTHERS} just now")
    suite, platform = others.platforms[number]
    folder = shutil.copytree(FOLDER / case, tmp_path / "context")
    done = verified(others.store, folder, platform, f"debian:{suite}")
    assert unexpected(done, folder) == []
    assert started_as_twins(done) > 0, done
