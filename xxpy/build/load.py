"""Images into an engine on this machine: ``docker load`` or ``podman load``, the archive written to its stdin.

An engine keeps one platform under a name, so it gets this machine's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xxpy.build.convert import converted
from xxpy.build.descriptor import Descriptor
from xxpy.build.engine import process
from xxpy.build.export import write_archive
from xxpy.build.image import best_for, image_manifests
from xxpy.build.outputs import Output, names_for
from xxpy.build.store import Store
from xxpy.errors import HostError, StoreError, UsageError
from xxpy.platforms import Platform

_PROGRAMS = ("docker", "podman")
_SECONDS = 30


@dataclass(frozen=True)
class Loader:
    """The program that takes archives."""

    program: str


def find_loader() -> Loader:
    """Docker's command line if its engine answers, else podman's. Raises HostError (``no-engine``)."""
    silent = ""
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            continue
        asked = "{{.Server.Version}}" if program == "docker" else "{{.Client.Version}}"
        try:
            process.output_of([program, "version", "--format", asked], env=os.environ, timeout=_SECONDS)
            return Loader(program)
        except HostError as error:
            silent = silent or error.message.splitlines()[0][:200]
    raise HostError(
        f"no engine here takes the image: {silent or 'neither docker nor podman is installed'}",
        remedy="start one, or write -o type=docker,dest=image.tar, then: docker load -i image.tar",
        reason="no-engine",
    )


def check_load(outputs: Sequence[Output], platforms: Sequence[Platform]) -> None:
    """Refuse before a build what no engine here could take after it.

    Raises UsageError (``one-platform``), HostError (``no-engine``).
    """
    if not any(output.is_loaded for output in outputs):
        return
    if len(platforms) > 1 and _loaded_of(platforms) is None:
        raise UsageError(
            f"an engine takes one platform, this machine's ({Platform.host()}), which is none of those that are built",
            remedy=f"name one --platform, or {Platform.host()} among them",
            reason="one-platform",
        )
    find_loader()


def _loaded_of(platforms: Sequence[Platform]) -> Platform | None:
    found = best_for([Descriptor("", "", 0, each) for each in platforms], Platform.host())
    return found.platform if found is not None else None


def load_image(
    store: Store, index: Descriptor, tags: Sequence[str], output: Output, bases: Mapping[Platform, int]
) -> tuple[Descriptor, str]:
    """Give an engine this machine's platform of ``index``, or its only one; the manifest, and a line about it.

    Raises HostError (``no-engine``), StoreError (``engine-refused``).
    """
    loader = find_loader()
    manifests = image_manifests(store, converted(store, index, output.format, bases))
    taken = manifests[0] if len(manifests) == 1 else best_for(manifests, Platform.host())
    assert taken is not None
    names = names_for(output, tags)
    code, printed = process.feed(
        [loader.program, "load"],
        lambda out: write_archive(store, taken, names, out, docker=True),
        env=os.environ,
    )
    if code:
        raise StoreError(
            f"{loader.program} load {process.worded(code)}: {printed.strip()[-500:]}",
            remedy="write -o type=docker,dest=image.tar, and see what it says to that",
            reason="engine-refused",
        )
    others = ", ".join(str(one.platform) for one in manifests if one is not taken)
    rest = f"; {others}: in the store only" if others else ""
    return taken, f"{loader.program} has {taken.platform}{rest}"
