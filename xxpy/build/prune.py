"""What of a store is to go: a decision on an `Inventory` and `Limits`, pure.

Source of the filters and of what ``--all`` means: docker buildx prune's reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from xxpy.build.inventory import Inventory, Item, Kind
from xxpy.errors import UsageError

_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h))+")
_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_AGES = ("until", "unused-for")
_TYPES = {"regular": Kind.SNAPSHOT} | {kind.value: kind for kind in Kind}
"""``regular`` is what BuildKit calls the result of a step."""


@dataclass(frozen=True)
class Limits:
    """What may go: ``unused`` in nanoseconds since its last use, ``ids`` beginnings of ids, ``kinds``; empty for any.

    ``keep`` is the bytes at which enough has gone, None for none. With ``everything`` also what named images' layers
    were made of, and what records say beside results.
    """

    unused: int = 0
    ids: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    keep: int | None = None
    everything: bool = False


@dataclass(frozen=True)
class Going:
    """What goes, in an order in which nothing is ever there without what it refers to."""

    items: tuple[Item, ...]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(item.size for item in self.items)

    @property
    def shown(self) -> tuple[Item, ...]:
        """What people are told of: records go with what they are about."""
        return tuple(item for item in self.items if not item.record)


def parse_filters(given: Sequence[str], limits: Limits) -> Limits:
    """``limits`` with ``--filter until=24h|unused-for=24h|id=…|type=…``. Raises UsageError (``bad-filter``)."""
    for text in (each for line in given for each in line.split(",")):
        key, equals, value = text.partition("=")
        if key in _AGES and equals:
            limits = replace(limits, unused=max(limits.unused, _duration(value, text)))
        elif key == "id" and value:
            limits = replace(limits, ids=(*limits.ids, value))
        elif key == "type" and value in _TYPES:
            limits = replace(limits, kinds=(*limits.kinds, _TYPES[value]))
        elif key == "type":
            raise _bad(text, f"types: {', '.join(_TYPES)}")
        else:
            raise _bad(text, "write until=24h, id=ID or type=TYPE")
    return limits


def _duration(text: str, given: str) -> int:
    """Go's ``1h30m`` in nanoseconds."""
    try:
        if _DURATION.fullmatch(text):
            return sum(int(float(number) * _NANOSECONDS[unit]) for number, unit in _PART.findall(text))
    except ValueError:
        pass
    raise _bad(given, "a duration is written as 30m, 24h or 1h30m")


def _bad(text: str, remedy: str) -> UsageError:
    return UsageError(f"--filter {text[:100]!r} is no filter", remedy=remedy, reason="bad-filter")


def cache_size(inventory: Inventory) -> int:
    """Bytes of all that a limit is about: everything but the images that have names."""
    return sum(item.size for item in inventory.items.values() if not item.named)


def plan(inventory: Inventory, limits: Limits, now: int) -> Going:
    """What goes, the least recently used first; ``now`` is nanoseconds since 1970.

    What is in use or has a name stays, with all that it refers to. What goes takes with it whatever refers to it.
    """
    items = inventory.items
    stays = _staying(inventory, limits)
    referrers = inventory.referrers()
    # Of what was used at one time the result goes before what it was made on.
    candidates = sorted(
        (item for item in items.values() if item.id not in stays and _wanted(item, limits, now)),
        key=lambda item: (item.used, len(referrers.get(item.id, ())), item.id),
    )
    left = cache_size(inventory)
    going: dict[str, Item] = {}
    for item in candidates:
        if limits.keep is not None and left <= limits.keep:
            break
        for one in _with_referrers(item, referrers, items):
            if one.id not in going:
                going[one.id] = one
                left -= one.size
    return Going(tuple(going.values()))


def _staying(inventory: Inventory, limits: Limits) -> set[str]:
    items = inventory.items
    todo = [item.id for item in items.values() if not item.reclaimable]
    if not limits.everything:
        # With what such a snapshot is over, which its record knows.
        shared = {item.id for item in items.values() if item.shared}
        todo += [item.id for item in items.values() if item.id in shared or item.makes in shared]
    stays: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in stays and name in items:
            stays.add(name)
            todo += items[name].refers
    return stays


def _wanted(item: Item, limits: Limits, now: int) -> bool:
    if item.record and item.used == 0:
        # It is about what is gone.
        return not limits.ids and not limits.kinds
    if item.record and item.refers:
        # It goes with what it is about: a result without it would be one that nothing knows.
        return False
    inner = item.kind is Kind.INTERNAL and not limits.everything and not limits.kinds
    return not inner and matches(item, limits, now)


def matches(item: Item, limits: Limits, now: int) -> bool:
    """Whether the filters of ``limits`` let ``item`` through."""
    return (
        (not limits.unused or item.used <= now - limits.unused)
        and (not limits.ids or item.id.removeprefix("sha256:").startswith(_bare(limits.ids)))
        and (not limits.kinds or item.kind in limits.kinds)
    )


def _bare(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(each.removeprefix("sha256:") for each in ids)


def _with_referrers(item: Item, referrers: Mapping[str, Sequence[str]], items: Mapping[str, Item]) -> list[Item]:
    """What has to go for ``item`` to go: what refers to it, before it."""
    order: list[Item] = []
    seen: set[str] = set()
    todo = [(item.id, False)]
    while todo:
        name, after = todo.pop()
        if after:
            order.append(items[name])
        elif name not in seen:
            seen.add(name)
            todo.append((name, True))
            todo += [(each, False) for each in referrers.get(name, ())]
    return order
