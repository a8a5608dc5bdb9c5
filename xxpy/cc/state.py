"""Where set-ups are remembered, and whether one was made: what each call of the compiler looks at."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_VARIABLE = "XX_STATE"
"""The folder of a stage that holds what is written for each triple; ``/var/lib/xx`` if it is not set."""


def state_root(env: Mapping[str, str]) -> str:
    """The folder of what is remembered of set-ups."""
    return env.get(STATE_VARIABLE, "") or "/var/lib/xx"


def autowrap(env: Mapping[str, str]) -> str:
    """The file that is there while ``clang`` means the wrapper."""
    return os.path.join(state_root(env), "autowrap")


def is_wrapped(env: Mapping[str, str]) -> bool:
    """Whether ``clang`` means the wrapper for the target."""
    return os.path.exists(autowrap(env))


def is_set_up(triple: str, folder: str) -> bool:
    """Whether the aliases of ``triple`` are in ``folder``: a look at one of them."""
    return os.path.lexists(os.path.join(folder, f"{triple}-clang"))
