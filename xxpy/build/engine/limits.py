"""Resource limits that steps ask for: room for them is made, or they are refused, before anything runs."""

from __future__ import annotations

import resource
from collections.abc import Iterable

from xxpy.build.graph import Ulimit
from xxpy.errors import HostError


def make_room(limits: Iterable[Ulimit]) -> None:
    """Raise this process's own hard limits to those of ``limits``; steps inherit them and may only go down.

    A process of a user namespace may not raise them, not even its root (setrlimit(2)): so it is done before that.
    Raises HostError (``ulimit-too-high``).
    """
    for limit in limits:
        kind = getattr(resource, f"RLIMIT_{limit.name.upper()}", None)
        if kind is None:
            continue
        soft, hard = resource.getrlimit(kind)
        wanted = resource.RLIM_INFINITY if limit.hard == -1 else limit.hard
        if hard == resource.RLIM_INFINITY or (wanted != resource.RLIM_INFINITY and wanted <= hard):
            continue
        try:
            resource.setrlimit(kind, (soft, wanted))
        except (OSError, ValueError):
            raise HostError(
                f"--ulimit {limit.name}: this user may have {hard} at most, not {limit.hard}",
                remedy=f"ask for {hard} at most, or raise the user's limit (limits.conf(5))",
                reason="ulimit-too-high",
            ) from None
