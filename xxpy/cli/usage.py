"""A command line that is not understood, told as any other error: in a line what is wrong, in another what to do."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from xxpy.cli.shared import told
from xxpy.errors import UsageError

_ALIKE = 0.7
_MOST_ALIKE = 2
_TOO_MANY = re.compile(r"unexpected extra arguments? \((.*)\)", re.DOTALL)


class Group(click.Group):
    """A group whose commands' errors know which command they are of."""

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Group.invoke`."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            name = ctx.invoked_subcommand
            command = self.get_command(ctx, name) if name else None
            if error.ctx is None and command is not None:
                # Of a flag that lacks its value click says no more than that.
                error.ctx = click.Context(command, parent=ctx, info_name=name)
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Group.parse_args`. Raises UsageError (``no-command``) where a command has to be named."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(f"{ctx.get_help()}\n", err=True)
            raise UsageError(
                "a command is missing", remedy="name one of those above", reason="no-command", place=ctx.command_path
            )
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See `click.Group.resolve_command`. Raises UsageError (``command-unknown``)."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise UsageError(
                f"there is no command {name[:60]!r}{_meant(name, self.list_commands(ctx))}",
                remedy=f"{ctx.command_path} --help lists them",
                reason="command-unknown",
                place=ctx.command_path,
            )
        return super().resolve_command(ctx, args)


class Program(Group):
    """The whole of a program: what its command line lacks, and what stdout does not take, is told in two lines."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """See `click.Group.main`."""
        alone = kwargs.get("standalone_mode", True)
        kwargs["standalone_mode"] = False
        with told():
            try:
                code = super().main(*args, **kwargs)
            except click.Abort:
                raise KeyboardInterrupt from None
            except click.ClickException as error:
                raise explained(error) from None
            finally:
                sys.stdout.flush()
        if alone:
            raise SystemExit(code if isinstance(code, int) else 0)
        return code

    # Where stdout has no reader, click ends with 1: it must not come to see that.
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """See `click.Command.make_context`; it prints the help."""
        with told():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Group.invoke`."""
        with told():
            return super().invoke(ctx)


def explained(error: click.ClickException) -> UsageError:
    """``error`` as one of ours: the flag or argument of its command that is wrong, and what it takes."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    place = context.command_path if context is not None else ""
    remedy = f"{place or 'xx'} --help tells what there is"
    reason = "bad-command-line"
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        flags = _flags(context) if context is not None else []
        message, remedy = f"no such option: {name}{_meant(name, flags)}", f"{place or 'xx'} --help lists them"
        reason = "flag-unknown"
    elif isinstance(error, click.BadOptionUsage):
        message, remedy = _misused(error, context) or (_plain(error.message), remedy)
    elif isinstance(error, click.MissingParameter) and error.param is not None and context is not None:
        message, remedy, reason = f"{_shown(error.param)} is missing", _form(context), "argument-missing"
    elif isinstance(error, click.BadParameter) and error.param is not None and context is not None:
        message, remedy = _bad_value(error, error.param, context)
        reason = "bad-value"
    else:
        more = _TOO_MANY.search(error.message)
        message = f"unexpected argument: {more[1]}" if more else _plain(error.message)
        remedy = _form(context) if context is not None else remedy
    return UsageError(message, remedy=remedy, reason=reason, place=place)


def _misused(error: click.BadOptionUsage, context: click.Context | None) -> tuple[str, str] | None:
    """A flag without its value, or one with a value that it does not take; what is wrong, and what to write."""
    for each in context.command.params if context is not None else ():
        if not isinstance(each, click.Option) or error.option_name not in (*each.opts, *each.secondary_opts):
            continue
        name = error.option_name
        if each.is_flag:
            return f"{name} takes no value", f"write {name} alone"
        return f"{name} has no value", f"write {name} {_metavar(each)}"
    return None


def _bad_value(error: click.BadParameter, param: click.Parameter, context: click.Context) -> tuple[str, str]:
    name = _shown(param)
    if (
        isinstance(param, click.Option)
        and context.get_parameter_source(param.name or "") is ParameterSource.ENVIRONMENT
    ):
        name = str(param.envvar)
    if isinstance(param.type, click.Choice):
        value = error.message.partition(" is not one of ")[0]
        return f"{name}: {value} is not known", f"it takes {', '.join(map(str, param.type.choices))}"
    return f"{name}: {_plain(error.message)}", f"{context.command_path} --help tells what it takes"


def _shown(param: click.Parameter) -> str:
    """The flag as it is written, or the argument's name as the help has it."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name


def _metavar(option: click.Option) -> str:
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    return option.metavar or "|".join(map(str, choices)) or option.type.name.upper()


def _form(context: click.Context) -> str:
    return " ".join(["write", context.command_path, *context.command.collect_usage_pieces(context)])


def _flags(context: click.Context) -> list[str]:
    return [
        name
        for each in context.command.get_params(context)
        if isinstance(each, click.Option) and not each.hidden
        for name in each.opts
    ]


def _meant(name: str, known: Iterable[str]) -> str:
    alike = difflib.get_close_matches(name, list(known), n=_MOST_ALIKE, cutoff=_ALIKE)
    return f" (did you mean {' or '.join(alike)}?)" if alike else ""


def _plain(text: str) -> str:
    """A sentence of click's as our messages are: without a capital and a full stop."""
    text = text.strip().removesuffix(".")
    return text[:1].lower() + text[1:]
