"""The ``--name=value`` words of an instruction, expanded and checked against what is run."""

from __future__ import annotations

from collections.abc import Sequence

from xxpy.build.dockerfile.instructions import Instruction
from xxpy.build.dockerfile.scope import Scope
from xxpy.errors import DockerfileError, UnsupportedError


class Flags:
    """Flags of ``at`` by name, expanded.

    ``allowed`` are run; ``later`` are known and refused by name. Raises DockerfileError (``bad-flag``) for the rest and
    for a flag given twice or without a value, UnsupportedError (``unsupported``).
    """

    def __init__(self, at: Instruction, scope: Scope, allowed: Sequence[str], later: Sequence[str]) -> None:
        self._values: dict[str, str] = {}
        place = f"{scope.path}:{at.range.start}"
        for flag in at.flags:
            name, equals, value = flag.removeprefix("--").partition("=")
            if name in later:
                raise UnsupportedError(
                    f"{at.name} --{name} is not supported yet",
                    remedy="leave the flag out",
                    reason="unsupported",
                    place=place,
                )
            if name not in allowed:
                known = ", ".join(f"--{each}" for each in sorted((*allowed, *later)))
                raise DockerfileError(
                    f"{at.name} has no flag --{name}", remedy=f"it has {known}", reason="bad-flag", place=place
                )
            if not equals or name in self._values:
                problem = "needs a value" if not equals else "is given twice"
                raise DockerfileError(
                    f"--{name} {problem}", remedy=f"write --{name}=VALUE once", reason="bad-flag", place=place
                )
            self._values[name] = scope.word(value, at)

    def get(self, name: str, default: str = "") -> str:
        """A flag's value, or ``default`` if it is not there."""
        return self._values.get(name, default)
