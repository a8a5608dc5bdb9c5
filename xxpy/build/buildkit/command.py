"""One build as one command line of ``docker buildx build``: a pure function on values.

No secret's value and no value of the environment is in it: variables go by their name, secrets by a path to memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xxpy.build.annotations import Annotation
from xxpy.build.builders import Builder
from xxpy.build.graph import NetMode
from xxpy.build.runsettings import INSECURE, RunSettings
from xxpy.platforms import Platform

OCI, TREE = "oci", "tree.tar"
"""What BuildKit writes into the build's own folder: an OCI layout, and the files of the results as a tar."""
METADATA = "metadata.json"
HOST_NETWORK = "network.host"


@dataclass(frozen=True)
class Handed:
    """What a build hands to buildx.

    ``work`` is a folder of the build's own. ``contexts`` are the named contexts as buildx takes them, ``secrets`` a
    path for each id, ``agents`` a socket. ``image`` and ``tree`` say which results are wanted, ``compression`` of the
    layers. ``host_network`` says that some RUN asks for the host's.
    """

    context: Path
    file: Path
    work: Path
    platforms: tuple[Platform, ...]
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    target: str = ""
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    epoch: int | None = None
    run: RunSettings = field(default_factory=RunSettings)
    host_network: bool = False
    contexts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    agents: Mapping[str, Path] = field(default_factory=dict, repr=False)
    image: bool = False
    tree: bool = False
    compression: str = ""
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()


def build_command(program: Sequence[str], builder: Builder, handed: Handed) -> list[str]:
    """The command line, context last."""
    work = handed.work
    words = [*program, "build", "--builder", builder.instance, "--progress", "rawjson", "--provenance", "false"]
    words += ["--metadata-file", str(work / METADATA), "--file", str(handed.file)]
    words += ["--platform", ",".join(map(str, handed.platforms))]
    words += _of_the_result(handed)
    words += _of_the_steps(handed)
    words += _each("--build-context", (f"{name}={value}" for name, value in handed.contexts.items()))
    words += _each("--secret", (f"id={name},src={path}" for name, path in handed.secrets.items()))
    words += _each("--ssh", (f"{name}={path}" for name, path in handed.agents.items()))
    if handed.image:
        # Times in layers are SOURCE_DATE_EPOCH's where that is given.
        rewrite = ",rewrite-timestamp=true" if handed.epoch is not None else ""
        compression = f",compression={handed.compression}" if handed.compression else ""
        words += ["--output", f"type=oci,tar=false,dest={work / OCI}{compression}{rewrite}"]
    if handed.tree:
        words += ["--output", f"type=tar,dest={work / TREE}"]
    if not handed.image and not handed.tree:
        words += ["--output", "type=cacheonly"]
    return [*words, str(handed.context)]


def _of_the_result(handed: Handed) -> list[str]:
    words = ["--target", handed.target] if handed.target else []
    words += _each("--build-arg", map(_build_arg, handed.build_args.items()))
    if handed.epoch is not None:
        words += ["--build-arg", f"SOURCE_DATE_EPOCH={handed.epoch}"]
    words += _each("--label", (f"{name}={value}" for name, value in handed.labels.items()))
    return words + _each("--annotation", map(_annotation, handed.annotations))


def _build_arg(pair: tuple[str, str]) -> str:
    name, value = pair
    return name if os.environ.get(name) == value else f"{name}={value}"


def _annotation(annotation: Annotation) -> str:
    where = f"[{annotation.platform}]" if annotation.platform else ""
    return f"{annotation.kind}{where}:{annotation.key}={annotation.value}"


def _of_the_steps(handed: Handed) -> list[str]:
    run = handed.run
    words = ["--no-cache"] if handed.no_cache else []
    words += ["--pull"] if handed.pull else []
    words += _each("--no-cache-filter", handed.no_cache_stages)
    words += _each("--cache-from", handed.cache_from)
    words += _each("--cache-to", handed.cache_to)
    if run.network is not NetMode.UNSET:
        words += ["--network", run.network.value]
    words += _each("--add-host", (f"{name}:{address}" for name, address in run.extra_hosts))
    words += ["--shm-size", str(run.shm_size)] if run.shm_size else []
    words += _each("--ulimit", (f"{each.name}={each.soft}:{each.hard}" for each in run.ulimits))
    if handed.host_network or run.network is NetMode.HOST:
        words += ["--allow", HOST_NETWORK]
    return words + (["--allow", INSECURE] if run.insecure else [])


def _each(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
