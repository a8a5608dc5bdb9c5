"""Builds the matrix, or its spread, and prints what ran, what passed and how long it took.

    make test-matrix                              all cells
    tests/matrix/run.py --spread                  the cells that every test run builds
    tests/matrix/run.py --kind c --platform linux/s390x --project pigz    those cells alone

Exit code 1 if a cell failed; its log is beside the others, in the folder that the first line names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from matrix.cells import CELLS, Cell
from support import ROOT, Done, Xx, keep, kept_bases, store_from

SUITES = {"trixie": (), "bookworm": (), "testing": ("--apt-option", 'Acquire::Check-Valid-Until "false";')}
"""Each with the flags of ``xx base``: a mirror that stands still has a Release file that has run out."""


def prepare(folder: Path, suite: str) -> Xx:
    """`xx` on a new store in ``folder`` that has the base of ``suite``, trixie's and the xx image of this checkout.

    Raises RuntimeError if one cannot be made.
    """
    for each in sorted({suite, "trixie"}):
        keep("base", f"debian:{each}", *SUITES[each])
    keep("image", "xx")
    return Xx(store_from(kept_bases(), folder / "store"), folder)


def build(xx: Xx, cell: Cell) -> Done:
    """Build one cell. What it runs of what it made, it runs in its build stage."""
    args = ("--build-arg", f"PROJECT={cell.project}", "--build-arg", f"BASE=debian:{cell.suite}")
    folder = ROOT / "tests/matrix"
    ours = Xx(xx.store, folder)
    flags = ("--progress", "plain", "--host-ca", "auto", "--platform", cell.platform)
    return ours.run("build", *flags, *args, "-f", f"Dockerfile.{cell.kind}", ".", timeout=1800)


def _tools(cell: Cell) -> tuple[str, str]:
    return (cell.suite, cell.kind)


def show(xx: Xx, cell: Cell, logs: Path) -> bool:
    """Build one cell, print its line, keep its log; whether it passed."""
    began = time.monotonic()
    done = build(xx, cell)
    (logs / str(cell).replace("/", "-").replace(" ", "_")).write_text(str(done))
    result = "ok" if done.code == 0 else "FAILED"
    row = f"{cell.kind:<6} {cell.project:<12} {cell.suite:<9} {cell.platform:<15} {result:<7}"
    print(f"{row} {time.monotonic() - began:7.1f}", flush=True)
    return done.code == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spread", action="store_true")
    for name in ("kind", "project", "suite", "platform"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    wanted = [
        cell
        for cell in CELLS
        if (cell.spread or not options.spread)
        and all(
            getattr(options, name) in (None, getattr(cell, name)) for name in ("kind", "project", "suite", "platform")
        )
    ]
    logs = Path(tempfile.mkdtemp(prefix="xx-matrix-"))
    print(f"logs: {logs}")
    print(f"{'kind':<6} {'project':<12} {'suite':<9} {'platform':<15} {'result':<7} seconds")
    failed = 0
    for (suite, _), cells in groupby(sorted(wanted, key=_tools), key=_tools):
        # A store for each set of tools: all of them at once would be some tens of gigabytes.
        with tempfile.TemporaryDirectory(prefix="xx-matrix-store-") as folder:
            xx = prepare(Path(folder), suite)
            failed += sum(not show(xx, cell, logs) for cell in cells)
    print(f"{len(wanted) - failed} of {len(wanted)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
