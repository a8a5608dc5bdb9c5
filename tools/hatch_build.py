"""Puts the dispatcher (xxpy/build/twins/dispatcher.c), compiled, into a wheel, where there is a C compiler.

The machine it is for is this one, or that of XX_WHEEL_MACHINE (x86_64, aarch64), which takes Debian's cross-compiler or
clang. Without a compiler the wheel is for every machine, and the first build that wants the dispatcher compiles it. The
program is static and uses no library, so one wheel serves every Linux of its machine.
"""

from __future__ import annotations

import ast
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MACHINES = ("x86_64", "aarch64")


class DispatcherHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles before the wheel is put together; nothing is written to the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        machine = os.environ.get("XX_WHEEL_MACHINE", os.uname().machine)
        if version == "editable" or machine not in MACHINES:
            return
        compiler = compiler_for(machine)
        if compiler is None:
            self.app.display_warning(f"no C compiler for {machine}: the wheel is without the dispatcher")
            return
        twins = Path(self.root, "xxpy", "build", "twins")
        self._scratch = tempfile.TemporaryDirectory()
        made = Path(self._scratch.name, f"dispatcher-{machine}")
        command = [*compiler, *flags(twins / "dispatcher.py"), "-o", str(made), str(twins / "dispatcher.c")]
        if os.spawnvp(os.P_WAIT, command[0], command):
            raise SystemExit(f"cannot compile the dispatcher: {' '.join(command)}")
        build_data["force_include"][str(made)] = f"xxpy/build/twins/{made.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_2_17_{machine}.manylinux2014_{machine}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        scratch = getattr(self, "_scratch", None)
        if scratch is not None:
            scratch.cleanup()


def compiler_for(machine: str) -> list[str] | None:
    """The command of a C compiler for ``machine``, None where there is none."""
    if machine == os.uname().machine:
        names = [["cc"], ["gcc"], ["clang"]]
    else:
        names = [[f"{machine}-linux-gnu-gcc"], ["clang", f"--target={machine}-linux-gnu", "-fuse-ld=lld"]]
    return next((words for words in names if shutil.which(words[0])), None)


def flags(module: Path) -> tuple[str, ...]:
    """Those that the first build would compile it with: FLAGS of dispatcher.py, read without importing the package."""
    (value,) = (
        node.value
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "FLAGS"
    )
    return tuple(ast.literal_eval(value))
