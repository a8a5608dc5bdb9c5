"""What the matrix builds: each cell one project for one platform on one suite, and the spread that every test run does.

Which suite serves an architecture was found by asking apt (``apt-get update`` of each for all): trixie amd64 and arm64;
bookworm besides 386, arm, ppc64le, s390x and mips64le; testing riscv64 and loong64.
"""

from __future__ import annotations

from dataclasses import dataclass

BOOKWORM = ("linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x")
TRIXIE = ("linux/amd64", "linux/arm64")
TESTING = ("linux/riscv64",)

C_PROJECTS = ("pigz", "pbzip2", "libpng1.6", "advancecomp", "libarchive", "taglib", "libzstd", "libjsoncpp")


@dataclass(frozen=True)
class Cell:
    """``kind`` names the Dockerfile, ``project`` its PROJECT; ``spread`` says whether every test run builds it."""

    kind: str
    project: str
    suite: str
    platform: str
    spread: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.project} {self.suite} {self.platform}"


# Every build system, C and C++ (but not each with each), every suite, and every architecture that is another one and
# has all projects, once.
_SPREAD = {
    ("pigz", "linux/riscv64"), ("pbzip2", "linux/arm/v7"), ("libpng1.6", "linux/s390x"), ("advancecomp", "linux/386"),
    ("libjsoncpp", "linux/ppc64le"), ("taglib", "linux/arm64"),
}  # fmt: skip


def _c_cells() -> list[Cell]:
    suites = {"trixie": TRIXIE, "bookworm": BOOKWORM, "testing": TESTING}
    cells = [
        Cell("c", project, suite, platform, (project, platform) in _SPREAD)
        for suite, platforms in suites.items()
        for platform in platforms
        for project in C_PROJECTS
    ]
    # Architectures that one suite alone has, with one project.
    rare = (("bookworm", "linux/mips64le"), ("bookworm", "linux/arm/v5"), ("testing", "linux/loong64"))
    return cells + [Cell("c", "pigz", suite, platform) for suite, platform in rare]


def _rust_cells() -> list[Cell]:
    rows = [
        ("trixie", "linux/amd64"),
        ("trixie", "linux/arm64"),
        ("testing", "linux/arm/v7"),
        ("testing", "linux/riscv64"),
    ]
    return [Cell("rust", "workspace", suite, platform, platform in ("linux/arm64",)) for suite, platform in rows]


def _go_cells() -> list[Cell]:
    pure = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x", "windows/amd64",
            "darwin/arm64")  # fmt: skip
    # Each takes a compiled standard library of its own; C has the other architectures and systems.
    cells = [Cell("go", "pure", "trixie", platform, platform == "linux/arm/v7") for platform in pure]
    served = {"trixie": TRIXIE, "bookworm": BOOKWORM}
    for suite, platforms in served.items():
        cells += [Cell("go", "sqlite", suite, platform, platform == "linux/arm64") for platform in platforms]
    return cells


def _other_cells() -> list[Cell]:
    return [
        Cell("rustup", "hello", "trixie", "linux/amd64"),
        Cell("rustup", "hello", "trixie", "linux/arm64"),
        Cell("other", "mingw", "trixie", "windows/amd64", True),
        Cell("other", "sdk", "trixie", "darwin/arm64", True),
        Cell("other", "zig", "trixie", "windows/amd64"),
        Cell("other", "zig", "trixie", "darwin/arm64", True),
        Cell("other", "zig", "trixie", "linux/arm64"),
    ]


CELLS: tuple[Cell, ...] = (*_c_cells(), *_rust_cells(), *_go_cells(), *_other_cells())
