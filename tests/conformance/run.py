"""Builds cases with `xx build`, and with a real BuildKit to record its answers.

tests/conformance/run.py --record [NAME…]    ask BuildKit (needs root) and write answers.json
tests/conformance/run.py [NAME…]             build with xx and print what differs from the answers
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from buildkit import BuildKit, buildkit
from support import BOTH, Xx, keep, kept_bases, store_from

from conformance.cases import ANSWERS, Case, answers, cases
from conformance.context import make_context
from conformance.result import base_files, read_result

REFUSED = {"refused": True}


class Bench:
    """A context, a store, and the base image's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = make_context(folder / "context")
        self.xx = Xx(store_from(kept_bases(), folder / "store"), folder)
        layout = self._out("base")
        (folder / "Dockerfile.base").write_text("FROM busybox\n")
        done = self.xx.run(
            "build", "--platform", BOTH, "-o", f"type=oci,dest={layout},tar=false", "-f", "Dockerfile.base", "."
        )
        assert done.code == 0, done
        self.base = base_files(layout)

    def _out(self, name: str) -> Path:
        out = self.folder / f"out-{name}"
        shutil.rmtree(out, ignore_errors=True)
        return out

    def _dockerfile(self, case: Case) -> Path:
        path = self.folder / "Dockerfile"
        path.write_bytes(case.text.encode())
        return path

    def ours(self, case: Case) -> tuple[dict[str, Any], str]:
        """What `xx build` makes of ``case``, and what it said."""
        out = self._out("xx")
        argv = ("build", "--progress", "plain", "-f", str(self._dockerfile(case)), *case.flags)
        done = self.xx.run(*argv, "-o", f"type=oci,dest={out},tar=false", str(self.context))
        return (REFUSED if done.code else read_result(out, self.base)), done.err

    def theirs(self, case: Case, engine: BuildKit) -> tuple[dict[str, Any], str]:
        """What BuildKit makes of it."""
        out = self._out("buildkit")
        argv = ("-f", str(self._dockerfile(case)), *case.flags, "--provenance=false")
        done: subprocess.CompletedProcess[str] = engine.build(
            *argv, "-o", f"type=oci,dest={out},tar=false", str(self.context), cwd=self.folder
        )
        return (REFUSED if done.returncode else read_result(out, self.base)), done.stderr


def differences(mine: Any, other: Any, at: str = "") -> list[str]:
    """Where two results differ: a line each, ours first."""
    if isinstance(mine, dict) and isinstance(other, dict):
        found = []
        for key in sorted({*mine, *other}):
            found += differences(mine.get(key), other.get(key), f"{at} {key}".strip())
        return found
    return [] if mine == other else [f"{at}: {mine!r}, BuildKit: {other!r}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    wanted = [case for case in cases() if not options.names or case.name in options.names]
    keep("base", "busybox", "--platform", BOTH)
    keep("base", "debian:trixie")
    with tempfile.TemporaryDirectory(prefix="xx-conformance-") as name:
        bench = Bench(Path(name))
        if options.record:
            engine_folder = Path(tempfile.mkdtemp(prefix="xx-engine-"))
            made = answers() if ANSWERS.exists() else {}
            with buildkit(engine_folder, bench.xx) as engine:
                for case in wanted:
                    made[case.name], words = bench.theirs(case, engine)
                    last = words.strip().splitlines()[-1] if made[case.name] == REFUSED else ""
                    print(f"{case.name:<40} {last[:150]}", flush=True)
            known = {case.name for case in cases()}
            kept = {name: each for name, each in sorted(made.items()) if name in known}
            ANSWERS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
            return 0
        recorded, wrong = answers(), 0
        for case in wanted:
            mine, words = bench.ours(case)
            found = differences(mine, recorded[case.name])
            wrong += bool(found)
            for line in found:
                print(f"{case.name}: {line}", flush=True)
            if found and mine == REFUSED:
                print("    " + " ".join(words.strip().splitlines()[-2:])[:200])
        print(f"{len(wanted) - wrong} of {len(wanted)} as BuildKit")
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
