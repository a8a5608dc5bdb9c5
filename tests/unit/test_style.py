"""The project's own rules: ruff, mypy, the direction of imports, sizes, and what must not be written anywhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "xxpy").rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES = 400, 60

# From the lowest up; a module imports its own layer and those below it.
LAYERS = [
    ("xxpy.errors", "xxpy.platforms", "xxpy"),
    ("xxpy.info",),
    ("xxpy.verify",),
    ("xxpy.pkg", "xxpy.cc", "xxpy.cargo", "xxpy.go"),
    ("xxpy.build",),
    ("xxpy.cli",),
]
# The pipeline within build/: what is pure must not reach for the engine that acts.
PURE = ("xxpy.build.dockerfile", "xxpy.build.graph", "xxpy.build.plan", "xxpy.build.events", "xxpy.build.outcome")
SUITE_MAY_IMPORT = {"elftools", "distro", "packaging"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(name: str) -> int:
    matching = [
        (len(prefix), level)
        for level, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if name == prefix or name.startswith(f"{prefix}.")
    ]
    return max(matching)[1]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    own = layer_of(name_of(path))
    for name in imports_of(path):
        if name == "xxpy" or name.startswith("xxpy."):
            assert layer_of(name) <= own, f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith(PURE)], ids=name_of)
def test_the_pure_part_does_not_reach_for_the_engine(path: Path) -> None:
    for name in imports_of(path):
        assert not name.startswith(("xxpy.build.engine", "xxpy.build.store")), name


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if name_of(p).startswith(("xxpy.cli.xx_", "xxpy.cli.stage"))
     or not name_of(p).startswith(("xxpy.build", "xxpy.cli."))],
    ids=name_of,
)  # fmt: skip
def test_the_suite_uses_the_standard_library_alone(path: Path) -> None:
    for name in imports_of(path):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names or top == "xxpy" or top in SUITE_MAY_IMPORT, name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MOST_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_linters(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def committed() -> list[Path]:
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_nothing_names_a_registry_or_a_machine() -> None:
    hosts = re.compile(r"\b(debian|pypi|pythonhosted|npmjs|crates|golang)\.(" + "org|io|com" + r")\b")
    paths = re.compile("/" + r"(work|home/[a-z]+)/[a-z]")
    for path in committed():
        if path.is_file() and path.suffix not in (".gz", ".lock"):
            text = path.read_text(errors="replace")
            assert not hosts.search(text), path
            assert not paths.search(text), path
