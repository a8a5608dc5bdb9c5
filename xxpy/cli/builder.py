"""`xx builder`: named builders as ``docker buildx`` has them; and which of them `xx build` takes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import click

from xxpy import __version__
from xxpy.build.builders import (
    BUILT_IN,
    CONTAINER,
    DRIVERS,
    EMBEDDED,
    Builder,
    Builders,
    buildx_own,
    config_folder,
    new_builder,
    split_options,
)
from xxpy.build.buildkit import buildx
from xxpy.build.naming import harmless
from xxpy.build.tools import find_emulator
from xxpy.cli.shared import told
from xxpy.cli.tables import beside, columns
from xxpy.cli.usage import Group
from xxpy.errors import HostError, UsageError, XxError
from xxpy.platforms import QEMU, Platform, runs_natively

VARIABLE = "XX_BUILDER"
"""Not BUILDX_BUILDER: what has set docker up for a job sets that, and would choose the engine of xx with it."""
_META = "xxpy.builder"
_HEADER = ("NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS")


def builder_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the flag ``--builder``."""

    def keep(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        context.meta[_META] = value

    help = f"Who builds: see xx builder.  [env: {VARIABLE}; default: the current one]"
    return click.option("--builder", metavar="NAME", expose_value=False, callback=keep, help=help)(command)


def chosen_builder() -> Builder:
    """The builder that --builder, XX_BUILDER or ``xx builder use`` names.

    Of a name that is none of ours buildx is asked when the build starts. Raises StoreError, UsageError.
    """
    builders = Builders(config_folder())
    name = click.get_current_context().meta.get(_META) or os.environ.get(VARIABLE, "")
    return named_builder(builders, name or builders.current())


def named_builder(builders: Builders, name: str) -> Builder:
    """One of ours, else one of buildx's own. Raises UsageError, StoreError (``builder-unreadable``)."""
    return builders.get(name) or _of_buildx(name)


def _of_buildx(name: str) -> Builder:
    if name.startswith("-") or not name.isprintable() or " " in name:
        raise UsageError(
            f"{name[:80]!r} is no name of a builder", remedy="see what there is: xx builder ls", reason="bad-builder"
        )
    return buildx_own(name)


@click.group("builder", cls=Group, short_help="Choose and name who builds.")
def builder_command() -> None:
    """Builders: our own engine, which is always there as `embedded`, and BuildKit behind docker buildx."""


@builder_command.command("create")
@click.argument("endpoint", default="")
@click.option("--name", default="", metavar="NAME", help="Its name.  [default: the driver's, with a number]")
@click.option("--driver", type=click.Choice(DRIVERS), default=CONTAINER, show_default=True, help="What it builds with.")
@click.option("--driver-opt", "options", metavar="KEY=VALUE[,…]", multiple=True, help="An option of the driver.")
@click.option("--use", is_flag=True, help="Make it the current builder.")
def create_command(endpoint: str, name: str, driver: str, options: tuple[str, ...], use: bool) -> None:
    """Make a builder. ENDPOINT is a Docker context or host, or the address of a buildkitd."""
    with told():
        builders = Builders(config_folder())
        given = tuple(each for text in options for each in split_options(text))
        builder = new_builder(name or builders.free_name(driver), driver, endpoint, given)
        builders.add(builder)
        try:
            if not builder.is_embedded:
                buildx.create(buildx.find_buildx(), builder)
        except BaseException:
            builders.remove(builder.name)
            raise
        if use:
            builders.use(builder.name)
        click.echo(builder.name)


@builder_command.command("use", short_help="Have builds go to the builder NAME.")
@click.argument("name")
def use_command(name: str) -> None:
    """Have builds go to the builder NAME where they are told nothing else."""
    with told():
        builders = Builders(config_folder())
        builder = named_builder(builders, name)
        if not builder.own and buildx.inspect(buildx.find_buildx(builder), builder) is None:
            raise buildx.unknown(name)
        builders.use(name)


@builder_command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def rm_command(names: tuple[str, ...]) -> None:
    """Remove builders, with the container and the cache that they have. Buildx's own are left alone."""
    with told():
        builders = Builders(config_folder())
        for name in names:
            if name == EMBEDDED:
                raise UsageError(
                    "the builder embedded is always there",
                    remedy="choose another: xx builder use NAME",
                    reason="builder-built-in",
                )
            try:
                builder = builders.get(name)
            except XxError:
                # Its file is damaged, and that is why it goes.
                builder = Builder(name, EMBEDDED)
            if builder is None:
                raise _not_ours(name)
            if not builder.is_embedded:
                _remove_instance(builder)
            was_current = builders.current() == name
            builders.remove(name)
            click.echo(f"{name} removed")
            if was_current:
                click.echo(f"NOTICE: {name} was the current builder: {EMBEDDED} is that now", err=True)


def _remove_instance(builder: Builder) -> None:
    try:
        left = buildx.remove(buildx.find_buildx(), builder)
    except HostError as error:
        left = error.message
    if left:
        click.echo(f"NOTICE: what buildx has of {builder.name} is still there: {left}", err=True)


def _not_ours(name: str) -> UsageError:
    """The error for a name that is to be removed, which may be one of buildx's own."""
    if name not in _listed():
        return buildx.unknown(name)
    return UsageError(
        f"the builder {name} is one of buildx's own",
        remedy=f"remove it there: docker buildx rm {name}",
        reason="builder-not-ours",
    )


@builder_command.command("ls")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
def ls_command(form: str) -> None:
    """List our builders, then buildx's own where docker is there."""
    with told():
        builders = Builders(config_folder())
        theirs = _listed()
        damaged: dict[str, XxError] = {}
        ours = builders.all(damaged.__setitem__)
        found = [_ours(each, theirs.get(each.instance, {})) for each in ours]
        hidden = {each.name for each in ours}
        found += [_object(name, each) for name, each in theirs.items() if name not in hidden]
        current = builders.current()
        for each in found:
            each["Current"] = each["Name"] == current
        if form == "json":
            for each in found:
                click.echo(json.dumps(each))
        else:
            _print_table(found)
        for error in damaged.values():
            click.echo(f"NOTICE: {harmless(error.message)}\n        {harmless(error.remedy)}", err=True)
        if not any(each["Current"] for each in found) and current not in damaged and _has_gone(current):
            click.echo(f"NOTICE: the current one is {current}, which is not there: xx builder use NAME", err=True)


def _has_gone(name: str) -> bool:
    """Whether neither we nor buildx have a builder of that name; one that buildx does not list may be there."""
    theirs = buildx_own(name)
    try:
        return buildx.inspect(buildx.find_buildx(theirs), theirs) is None
    except UsageError:
        return True
    except HostError:
        return False


def _ours(builder: Builder, said: dict[str, Any]) -> dict[str, Any]:
    """One of our builders, with what buildx tells of the instance that it is there, if it does."""
    nodes = [_node(each) for each in said.get("Nodes") or [] if isinstance(each, dict)]
    if builder.is_embedded:
        nodes = [
            {
                "Name": builder.name,
                "Endpoint": "",
                "Status": "running",
                "Version": f"xx {__version__}",
                "Platforms": _own_platforms(),
            }
        ]
    elif builder.environment or not nodes:
        nodes = [_node({"Name": builder.name, "Endpoint": builder.endpoint})]
    return {"Name": builder.name, "Driver": builder.driver, "Own": True, "Nodes": nodes}


def _object(name: str, said: dict[str, Any]) -> dict[str, Any]:
    """One of buildx's own builders."""
    nodes = [_node(each) for each in said.get("Nodes") or [] if isinstance(each, dict)]
    return {"Name": name, "Driver": str(said.get("Driver") or ""), "Own": False, "Nodes": nodes}


def _node(said: dict[str, Any]) -> dict[str, Any]:
    texts = {name: str(said.get(name) or "") for name in ("Name", "Endpoint", "Status", "Version")}
    return texts | {"Platforms": [str(each) for each in said.get("Platforms") or []]}


def _own_platforms() -> list[str]:
    """What our engine can run here: this machine's own platform, and those that have an emulator."""
    host = Platform.host()
    others = [Platform("linux", arch) for arch, qemu in QEMU.items() if "/" not in arch and find_emulator(qemu)]
    return [str(host), *(str(each) for each in others if not runs_natively(each, host))]


def _listed() -> dict[str, dict[str, Any]]:
    """What buildx lists, by name; nothing where there is no buildx."""
    try:
        text = buildx.listed(buildx.find_buildx())
    except HostError:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("Name"), str):
            found.setdefault(value["Name"], value)
    return found


def _print_table(found: list[dict[str, Any]]) -> None:
    rows = [_HEADER]
    for each in found:
        rows.append((each["Name"] + ("*" if each["Current"] else ""), each["Driver"], "", "", ""))
        rows += [
            (
                f" \\_ {node['Name']}",
                f" \\_ {node['Endpoint']}".rstrip() if node["Endpoint"] else "",
                node.get("Status", ""),
                node.get("Version", ""),
                ", ".join(node.get("Platforms", [])),
            )
            for node in each["Nodes"]
        ]
    click.echo(columns(rows[0], rows[1:], gap=2))


@builder_command.command("inspect")
@click.argument("name", default="")
def inspect_command(name: str) -> None:
    """Show the builder NAME, the current one without a name."""
    with told():
        builders = Builders(config_folder())
        builder = named_builder(builders, name or builders.current())
        lines = [("Name", builder.name), ("Driver", builder.driver), ("Endpoint", builder.endpoint)]
        lines += [("Driver options", ", ".join(builder.options))]
        if builder == BUILT_IN or builder.is_embedded:
            lines += [("Status", "running"), ("Platforms", ", ".join(_own_platforms()))]
        else:
            found = buildx.inspect(buildx.find_buildx(builder), builder)
            if found is None and not builder.own:
                raise buildx.unknown(builder.name)
            lines += _inspected(found)
        _print_pairs([(key, value) for key, value in dict(lines).items() if value])


def _inspected(found: buildx.Inspected | None) -> list[tuple[str, str]]:
    if found is None:
        return [("Status", "buildx does not know it yet: the next build tells it")]
    return [
        ("Driver", found.driver),
        ("Status", found.status or found.error),
        ("Platforms", ", ".join(map(str, found.platforms))),
        *((name, str(able).lower()) for name, able in found.features.items()),
    ]


def _print_pairs(pairs: list[tuple[str, str]]) -> None:
    width = max(len(key) for key, _ in pairs) + 1
    for key, value in pairs:
        click.echo(beside(f"{f'{key}:':<{width}} ", harmless(value)))
