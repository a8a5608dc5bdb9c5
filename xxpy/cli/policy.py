"""The flags of `xx build` that say what a build may do and what an image must be.

They are kept in click's context rather than handed to the command: what is asked of a build is one value each.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

import click

from xxpy.build.plan import Accelerate, Emulation
from xxpy.build.verdict import Mode, Verify

_META = "xxpy.policy."


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"{_META}{parameter.name}"] = value


_flag = partial(click.option, expose_value=False, callback=_keep)


def _choice(name: str, values: type[Enum], help: str) -> Callable[..., Any]:
    """A flag that takes one of ``values``, ``auto`` where it is not given."""
    return _flag(name, type=click.Choice([each.value for each in values]), default="auto", show_default=True, help=help)


_OPTIONS = (
    _choice("--emulation", Emulation, "Which RUNs may be emulated."),
    _choice("--accelerate", Accelerate, "Whether emulated RUNs start this machine's programs."),
    _choice("--verify", Mode, "Check the programs in the image."),
    _flag(
        "--verify-allow",
        metavar="GLOB",
        multiple=True,
        help="Files that are not checked.",
    ),
)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_emulation() -> Emulation:
    """What --emulation says of the command that runs."""
    return Emulation(click.get_current_context().meta[f"{_META}emulation"])


def chosen_acceleration() -> Accelerate:
    """What --accelerate says of the command that runs."""
    return Accelerate(click.get_current_context().meta[f"{_META}accelerate"])


def chosen_verify() -> Verify:
    """What --verify and --verify-allow say of the command that runs."""
    meta = click.get_current_context().meta
    return Verify(Mode(meta[f"{_META}verify"]), tuple(meta[f"{_META}verify_allow"]))
