"""Takes out of a collected Python what no xx command imports.

    prune.py names APP               prints the standard library's modules that the package in APP names anywhere
    prune.py prune TARGET MODULES    leaves of the Python in TARGET the modules that the file MODULES lists

Between the two, the modules named are imported by the Python of the same version that runs this: what is loaded then is
what is needed. TARGET was made by collect.sh. An extension module stays if the libraries that it needs are in TARGET,
so that none is ever taken from a stage. Modules are left compiled, without their sources.
"""

from __future__ import annotations

import ast
import compileall
import os
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

# What the interpreter imports besides, to start and to tell of an error.
_ALWAYS = ("encodings.aliases", "encodings.utf_8", "encodings.latin_1", "encodings.ascii", "warnings")

# The package that brings a library, by which its licence is named.
_LICENSES = {"libz.so.1": "zlib1g", "libexpat.so.1": "libexpat1", "libgcc_s.so.1": "libgcc-s1"}


def named(tree: ast.AST) -> Iterator[str]:
    """The modules that a module imports when it runs, in functions too: not what only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        yield from named(node)


def names(app: Path) -> list[str]:
    """Of all modules of the package, once each."""
    found = set(_ALWAYS)
    for path in sorted((app / "xxpy").rglob("*.py")):
        found.update(named(ast.parse(path.read_bytes())))
    return sorted(name for name in found if name.partition(".")[0] != "xxpy")


def needed(path: Path) -> list[str]:
    """The libraries that an ELF file names."""
    from xxpy.verify.elf import parse_elf
    from xxpy.verify.elfdeep import read_needs
    from xxpy.verify.source import Source, open_regular

    fd, size = open_regular(path)
    try:
        source = Source(fd, size, "ELF file")
        return read_needs(source, parse_elf(source)).libraries
    finally:
        os.close(fd)


def modules_of(library: Path) -> Iterator[tuple[Path, str]]:
    """Each file of the standard library with the name of the module that it is, empty for what is none."""
    for path in sorted(library.rglob("*")):
        if path.is_dir():
            continue
        inside = path.relative_to(library)
        if inside.parts[0] == "lib-dynload":
            yield path, inside.name.partition(".")[0] if path.suffix == ".so" else ""
        elif path.suffix == ".py" and "__pycache__" not in inside.parts:
            parts = inside.with_suffix("").parts
            yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        else:
            yield path, ""


def prune(target: Path, wanted: set[str]) -> None:
    """Leave of the Python in ``target`` the modules ``wanted`` and the libraries that it needs.

    Raises SystemExit if one of these is not there: the stage's own would be taken.
    """
    library = next((target / "lib").glob("python3.*"))
    there = {path.name: path for path in (target / "lib").iterdir() if path.is_file()}
    todo, used = [target / "bin/python3"], set()
    for path, name in modules_of(library):
        keep = name in wanted
        if keep and path.suffix == ".so":
            keep = all(each in there or each.startswith("ld") for each in needed(path))
            todo += [path] if keep else []
        if not keep:
            path.unlink()
    while todo:
        path = todo.pop()
        for name in needed(path):
            if name.startswith("ld") or name in used:
                continue
            if name not in there:
                raise SystemExit(f"prune.py: {path.name} needs {name}, which collect.sh does not take")
            used.add(name)
            todo.append(there[name])
    for name in there.keys() - used:
        there[name].unlink()
        if name in _LICENSES:
            (target / "licenses" / _LICENSES[name]).unlink()
    compileall.compile_dir(
        library, legacy=True, optimize=2, quiet=1, stripdir=str(target), prependdir="/usr/lib/xx",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    for path in library.rglob("*.py"):
        path.unlink()
    for folder, _, _ in os.walk(library, topdown=False):
        # By that folder's name Python tells where it lies; without it each start begins with a warning.
        if not os.listdir(folder) and os.path.basename(folder) != "lib-dynload":
            os.rmdir(folder)


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "names":
        print("\n".join(names(folder)))
        return
    sys.path.append(str(folder / "app"))
    prune(folder, set(Path(sys.argv[3]).read_text().split()))


if __name__ == "__main__":
    main()
