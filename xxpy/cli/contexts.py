"""The flags of `xx build` that name contexts. They are kept in click's context rather than handed to the command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from xxpy.build.contexts import Given, opened, parse_named
from xxpy.build.credentials import AGENT, DEFAULT_AGENT
from xxpy.build.session import Order
from xxpy.build.store import Store

_META = "xxpy.contexts."
_KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
"""The build argument of buildx that keeps the ``.git`` of a repository that is the context."""


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"{_META}{parameter.name}"] = value


def context_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the flag ``--build-context``."""
    return click.option(
        "--build-context",
        metavar="NAME=CONTEXT",
        multiple=True,
        expose_value=False,
        callback=_keep,
        help="A folder, image, OCI layout, repository or URL beside the context, by name.",
    )(command)


@contextmanager
def opened_contexts(order: Order, store: Store) -> Iterator[Order]:
    """``order`` with the contexts that the running command names, there while the block runs.

    Raises as `contexts.opened` does.
    """
    command = click.get_current_context()
    named = dict(parse_named(text) for text in command.meta[f"{_META}build_context"])
    keep_git = order.build_args.get(_KEEP_GIT, "").lower() in ("1", "t", "true")
    # As with buildx, the user's own agent serves what the command line names; ADD is given one by --ssh alone.
    agent = order.credentials.agents.get(DEFAULT_AGENT, os.environ.get(AGENT))
    given = Given(
        command.params["context"],
        command.params["file"] or "",
        named,
        keep_git,
        Path(agent).absolute() if agent else None,
    )
    with opened(given, store, order.host_ca) as found:
        yield replace(order, context=found.folder, file=found.file, name=found.name, contexts=found.contexts)
