"""The ``--name=value`` words of an instruction, expanded and checked against what is run."""

from __future__ import annotations

from collections.abc import Sequence

from xxpy.build.dockerfile.instructions import Instruction
from xxpy.build.dockerfile.scope import Scope
from xxpy.errors import DockerfileError, UnsupportedError

_SWITCH = {"": True, "true": True, "false": False}


class Flags:
    """Flags of ``at`` by name, expanded.

    ``allowed`` are run and take one value; ``repeated`` take one each time they are given; ``switches`` are on, or what
    ``true`` or ``false`` says. ``later`` are known and refused by name. Raises DockerfileError (``bad-flag``) for the
    rest, for a flag given twice and for a value that is missing or none of its own, UnsupportedError (``unsupported``).
    """

    def __init__(
        self,
        at: Instruction,
        scope: Scope,
        allowed: Sequence[str] = (),
        later: Sequence[str] = (),
        *,
        repeated: Sequence[str] = (),
        switches: Sequence[str] = (),
    ) -> None:
        self._values: dict[str, list[str]] = {}
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
            if name not in (*allowed, *repeated, *switches):
                known = ", ".join(f"--{each}" for each in sorted((*allowed, *repeated, *switches, *later)))
                raise DockerfileError(
                    f"{at.name} has no flag --{name}", remedy=f"it has {known}", reason="bad-flag", place=place
                )
            form = f"--{name}" if name in switches else f"--{name}=VALUE"
            problem = ""
            if not equals and name not in switches:
                problem = "needs a value"
            elif name in self._values and name not in repeated:
                problem = "is given twice"
            expanded = scope.word(value, at)
            if name in switches and (expanded not in _SWITCH or (equals and not expanded)):
                problem = f"is {expanded!r}, neither true nor false"
            if problem:
                raise DockerfileError(
                    f"--{name} {problem}", remedy=f"write {form} once", reason="bad-flag", place=place
                )
            self._values.setdefault(name, []).append(expanded)

    def get(self, name: str, default: str = "") -> str:
        """A flag's value, or ``default`` if it is not there."""
        return self._values.get(name, [default])[0]

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a flag that may be repeated, in order."""
        return tuple(self._values.get(name, ()))

    def on(self, name: str, default: bool = False) -> bool:
        """Whether a switch is on; ``default`` if it is not there."""
        return _SWITCH[self._values[name][0]] if name in self._values else default

    def __contains__(self, name: str) -> bool:
        return name in self._values
