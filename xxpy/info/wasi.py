"""WASI, a target that has no Platform of its own here: no C toolchain of the suite makes it, Go and Rust do."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("wasi", "wasip1")


def is_wasi(env: Mapping[str, str]) -> bool:
    """Whether the stage is to produce code for WASI, in any of the ways to say so."""
    named = env.get("TARGETPLATFORM") or env.get("TARGETPAIR", "").replace("-", "/") or env.get("TARGETOS", "")
    return named.partition("/")[0] in NAMES
