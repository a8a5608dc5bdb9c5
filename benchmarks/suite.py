"""Measures each xx command beside the shell original of the same name, in two stages that differ in nothing else.

    benchmarks/suite.py [PATH]    PATH: a checkout of tonistiigi/xx, whose scripts are in src/

Medians of the whole process in milliseconds, and the size of the image. Package tools, cargo and go are stubs in both;
clang and file are real.
Without PATH the other column is empty.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
XX = Path(sys.executable).with_name("xx")


def run(*argv: str) -> str:
    """What ``xx ARGV`` prints to stderr."""
    done = subprocess.run([str(XX), *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"xx {' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stderr


def read(path: Path) -> dict[str, float]:
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return {name: float(seconds) * 1000 for name, seconds in rows}


def measure(folder: Path, upstream: Path | None) -> tuple[dict[str, float], dict[str, float]]:
    context = folder / "context"
    shutil.copytree(HERE / "suite", context)
    scripts = context / "upstream"
    scripts.mkdir()
    (scripts / ".keep").touch()
    for script in sorted((upstream / "src").glob("xx-*")) if upstream else ():
        shutil.copy(script, scripts / script.name)
    text = (context / "Dockerfile").read_text()
    if upstream is None:
        begin, end = text.index("FROM tools AS upstream"), text.index("FROM scratch")
        text = (text[:begin] + text[end:]).replace("COPY --from=upstream /times /upstream\n", "")
        (context / "Dockerfile").write_text(text)
    out = folder / "out"
    # The argument makes the measuring steps new each time; everything before them may be cached.
    run(
        "build",
        "-t",
        "suite",
        "--build-arg",
        f"WHEN={time.time()}",
        "-o",
        f"type=oci,dest={out},tar=false",
        str(context),
    )
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{out}:latest", str(folder / "made")],
        check=True,
        capture_output=True,
    )
    times = folder / "made/rootfs"
    return read(times / "ours"), read(times / "upstream") if upstream else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream", nargs="?", type=Path)
    options = parser.parse_args()
    if options.upstream and not (options.upstream / "src/xx-info").exists():
        sys.exit(f"{options.upstream}/src/xx-info is not there: name a checkout of tonistiigi/xx")
    run("base", "debian:trixie")
    made = run("image", "xx", "--platform", "linux/amd64,linux/arm64")
    with tempfile.TemporaryDirectory(prefix="xx-suite-", dir=os.environ.get("TMPDIR")) as folder:
        ours, theirs = measure(Path(folder), options.upstream)
    print(f"{'milliseconds, medians':<34} {'ours':>8} {'upstream':>9} {'ratio':>6}")
    for name, value in ours.items():
        other = theirs.get(name)
        columns = f"{other:>9.1f} {other / value:>6.1f}" if other else f"{'-':>9} {'-':>6}"
        print(f"{name:<34} {value:>8.1f} {columns}")
    plain = ours.get("clang -c", 0.0)
    for name in ("alias -c", "xx-clang -c"):
        other = f"{theirs[name] - theirs['clang -c']:>9.1f}" if name in theirs else f"{'-':>9}"
        print(f"{name + ', over plain clang':<34} {ours[name] - plain:>8.1f} {other}")
    print("\nthe xx image, compressed")
    for line in made.splitlines():
        if line.endswith(" MB"):
            _, platform, _, size, unit = line.split()
            print(f"{platform.rstrip(':'):<34} {size:>8} {unit}")


if __name__ == "__main__":
    main()
