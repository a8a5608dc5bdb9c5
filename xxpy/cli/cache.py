"""`xx cache`: what the store's cache takes, and taking it out. Flags are those of buildx' ``du`` and ``prune``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from xxpy.build.collect import collect, inventory_of
from xxpy.build.inventory import Inventory, Item, Kind
from xxpy.build.naming import harmless, human_size
from xxpy.build.prune import Limits, matches, parse_filters, plan
from xxpy.build.runsettings import parse_size
from xxpy.cli.shared import store_option, store_to_read, told
from xxpy.cli.tables import ago, beside, columns, date, short_id
from xxpy.cli.usage import Group
from xxpy.errors import UsageError

_KINDS = (
    (Kind.SNAPSHOT, "Snapshots"),
    (Kind.BLOB, "Blobs"),
    (Kind.CACHE, "Cache mounts"),
    (Kind.IMAGE, "Images"),
    (Kind.INTERNAL, "Records"),
)


@click.group("cache", cls=Group)
def cache_group() -> None:
    """Look at the store's cache, or take out of it what is not in use."""


@cache_group.command("du", short_help="Show what lies in the store, and how large it is.")
@click.option("--filter", "filters", metavar="KEY=VALUE", multiple=True, help="until=24h, id=ID or type=TYPE.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", help="One JSON object a line.")
@click.option("--verbose", is_flag=True, help="Tell more of each.")
@store_option
def du_command(filters: tuple[str, ...], form: str, verbose: bool, store: Path | None) -> None:
    """Show what lies in the store, how much of the disk it takes, and whether it could go."""
    with told():
        limits = parse_filters(filters, Limits(everything=True))
        inventory = inventory_of(store_to_read(store))
        now = time.time_ns()
        listed = [item for item in inventory.items.values() if matches(item, limits, now) and not item.record]
        # What images have is in the sum, and one by one for who asks for it.
        items = [item for item in listed if item.kind is not Kind.IMAGE or Kind.IMAGE in limits.kinds]
        items.sort(key=lambda item: (-item.size, item.id))
        if form == "json":
            for item in items:
                click.echo(json.dumps(_as_object(item)))
            return
        click.echo("\n\n".join(map(_details, items)) if verbose else _table(items, now))
        if not filters:
            click.echo(f"\n{_summary(inventory)}")


@cache_group.command("prune", short_help="Take out of the store what nothing uses.")
@click.option("-a", "--all", "everything", is_flag=True, help="Also what named images were made of or unpacked to.")
@click.option("--filter", "filters", metavar="KEY=VALUE", multiple=True, help="until=24h, id=ID or type=TYPE.")
@click.option(
    "--keep-storage", "--max-used-space", "--reserved-space", "keep", metavar="BYTES", default="",
    help="Stop when the cache takes no more than this, as in 10g.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would go, and leave it.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@store_option
def prune_command(
    everything: bool, filters: tuple[str, ...], keep: str, dry_run: bool, force: bool, store: Path | None
) -> None:
    """Take out of the store what nothing uses, the least recently used first.

    Images with names stay, whatever is given here; so does all that a running build uses.
    """
    with told():
        kept = parse_size(keep, "--keep-storage") if keep else None
        limits = parse_filters(filters, Limits(keep=kept, everything=everything))
        place = store_to_read(store)
        if not (force or dry_run):
            _confirm(everything)
        inventory = inventory_of(place)
        now = time.time_ns()
        going = plan(inventory, limits, now)
        if dry_run:
            _tell("Would go", going.shown, going.size, now)
            return
        done = collect(place, inventory, going)
        _tell("Total", done.items, done.size, now)
        if done.spared:
            click.echo(f"{done.spared} stay: a build has begun to use them", err=True)


def _confirm(everything: bool) -> None:
    """Ask, where somebody can answer. Raises UsageError (``not-forced``), SystemExit."""
    if not sys.stdin.isatty():
        remedy = "give --force to prune without a question, or --dry-run to see what would go"
        raise UsageError("nobody is here to ask", remedy=remedy, reason="not-forced")
    spared = "" if everything else ", what named images were made of"
    click.echo(f"This removes the whole cache but for what running builds use{spared}.", err=True)
    try:
        wanted = click.confirm("Go on?", err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    if not wanted:
        raise SystemExit(1)


def _tell(word: str, items: Sequence[Item], size: int, now: int) -> None:
    if items:
        click.echo(f"{_table(items, now)}\n")
    click.echo(f"{word}:  {human_size(size)}")


def _table(items: Sequence[Item], now: int) -> str:
    rows = [
        (short_id(item.id), str(item.reclaimable).lower(), human_size(item.size), ago(item.used, now)) for item in items
    ]
    return columns(("ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"), rows)


def _details(item: Item) -> str:
    rows = {
        "ID": item.id,
        "Type": item.kind.value,
        "Reclaimable": str(item.reclaimable).lower(),
        "Shared": str(item.shared or item.named).lower(),
        "Size": human_size(item.size),
        "Last used": date(item.used) if item.used else "never",
    }
    rows |= {"Description": harmless(item.text)} if item.text else {}
    return "\n".join(beside(f"{name + ':':<14}", value) for name, value in rows.items())


def _as_object(item: Item) -> dict[str, Any]:
    return {
        "ID": item.id,
        "Type": item.kind.value,
        "Reclaimable": item.reclaimable,
        "InUse": item.needed,
        "Shared": item.shared or item.named,
        "Size": item.size,
        "LastUsedAt": date(item.used) if item.used else "",
        "Description": item.text,
    }


def _summary(inventory: Inventory) -> str:
    items = inventory.items.values()
    rows = [
        (f"{word}:", human_size(sum(item.size for item in items if item.kind is kind)),
         human_size(sum(item.size for item in items if item.kind is kind and item.reclaimable)))
        for kind, word in _KINDS
    ]  # fmt: skip
    total, free = (sum(item.size for item in some) for some in (items, [one for one in items if one.reclaimable]))
    rows += [("Other:", human_size(inventory.other), human_size(0))]
    rows += [("Total:", human_size(total + inventory.other), human_size(free))]
    return columns(("", "SIZE", "RECLAIMABLE"), rows)
