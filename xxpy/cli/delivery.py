"""The flags of `xx build` that say where its result goes.

They are kept in click's context rather than handed to the command, which takes what they come to by `chosen_outputs`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from xxpy.build.outputs import Output, parse_output, with_shorthands

_META = "xxpy.delivery."


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"{_META}{parameter.name}"] = value


_flag = partial(click.option, expose_value=False, callback=_keep)

_OPTIONS = (
    _flag("-o", "--output", metavar="DIR|-|type=…,dest=…", multiple=True, help="Where to write it."),
    _flag("--push", is_flag=True, help="Push the image: -o type=registry."),
    _flag("--load", is_flag=True, help="Load the image into docker or podman: -o type=docker."),
)


def delivery_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command these flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_outputs() -> tuple[Output, ...]:
    """What they say of the command that runs. Raises as `parse_output` does."""
    meta = click.get_current_context().meta
    outputs = [parse_output(text) for text in meta[f"{_META}output"]]
    return with_shorthands(outputs, push=meta[f"{_META}push"], load=meta[f"{_META}load"])
