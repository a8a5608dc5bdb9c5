"""BuildKit's errors as ours: the same classes and exit codes, with the line of the Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from xxpy.build.builders import Builder
from xxpy.build.engine import process
from xxpy.build.graph import Vertex
from xxpy.build.naming import one_line
from xxpy.errors import DockerfileError, HostError, SourceError, StepError, StoreError, UsageError, XxError

_RAN = re.compile(r"process \"(?P<command>.*)\" did not complete successfully: (?:exit code: (?P<code>[0-9]+)|.*)")
_PLACED = re.compile(r"^[^\s:]+:(?P<line>[0-9]{1,7})$")
_PARSED = re.compile(r"(?:dockerfile )?parse error on line (?P<line>[0-9]{1,7}): (?P<rest>.*)")
_COPIED = re.compile(r"failed to calculate checksum of ref \S+: \"(?P<path>[^\"]*)\": not found")
_FOREIGN = "exec format error"
# buildx shows the lines that an error is of.
_SYNTAX = re.compile(r"^ *[0-9]+ \| >>> #\s*syntax=")
_FRONT_END = re.compile(r"failed to resolve source metadata for (?P<image>\S+): (?P<why>.*)")
_SOURCE = re.compile(
    r"not found|failed to resolve source metadata|pull access denied|failed to calculate checksum|no such file"
    r"|failed to do request|no match for platform|unauthorized|failed to load cache key|failed to get .*context"
)
_HOST = re.compile(
    r"Cannot connect to the Docker daemon|connection refused|error during connect|no such host|listing workers"
    r"|transport: |closing transport|connection closed|context deadline exceeded|not supported for the"
    r"|no builder|failed to find .*context|error while dialing|failed to dial|timeout waiting"
)
_DOCKERFILE = re.compile(
    r"unknown instruction|unknown flag|target stage|circular dependency|requires .* argument"
    r"|invalid (?:field|reference)|base name|failed to process|unexpected|failed to parse"
)
_GATEWAY = re.compile(r"IP value for host-gateway|add-host: ['\"]?host-gateway")
"""buildx's words, and BuildKit's front end's."""
_ENTITLED = re.compile(r"granting entitlement|entitlement .*(?:not allowed|denied)|not allowed by build(?:kit|er)")


@dataclass(frozen=True)
class Failed:
    """A vertex that failed: the step that it is, if it is one, with the last lines that it printed."""

    error: str
    vertex: Vertex | None
    output: tuple[str, ...] = ()


def failure(words: Sequence[str], failed: Failed | None, builder: Builder, dockerfile: str, code: int) -> XxError:
    """The error of a build that ended with ``code``; ``words`` are buildx' last lines."""
    said = next((line for line in reversed(words) if line.startswith("ERROR: ")), "")
    said = said.removeprefix("ERROR: ").removeprefix("failed to solve: ") or (failed.error if failed else "")
    said = said or next((line for line in reversed(words)), "") or f"buildx {process.worded(code)}"
    line = failed.vertex.label.line if failed and failed.vertex else 0
    line = line or next((int(match["line"]) for each in words if (match := _PLACED.match(each))), 0)
    place = f"{dockerfile}:{line}" if line else dockerfile
    if (ran := _RAN.search(said)) is not None:
        return _run_failed(ran, failed, builder, place)
    if (parsed := _PARSED.search(said)) is not None:
        return DockerfileError(
            parsed["rest"],
            remedy="see the line; xx build --check looks at the whole file",
            reason="buildkit-dockerfile",
            place=f"{dockerfile}:{parsed['line']}",
        )
    if (front := _FRONT_END.search(said)) is not None and any(map(_SYNTAX.search, words)):
        return SourceError(
            f"the front end {front['image']} that # syntax= names is not to be had: {front['why']}",
            remedy="have it in a registry that the builder reaches; files for docker/dockerfile:1 need no such line",
            reason="syntax-missing",
            place=place,
        )
    return _other(said, builder, place if line else "", dockerfile)


def _run_failed(ran: re.Match[str], failed: Failed | None, builder: Builder, place: str) -> XxError:
    vertex, output = (failed.vertex, failed.output) if failed else (None, ())
    code = int(ran["code"]) if ran["code"] else 1
    step = one_line(vertex.label.text) if vertex else f"RUN {one_line(ran['command'])}"
    on = f" on {vertex.platform}" if vertex and vertex.platform else ""
    remedy, reason = "the lines above are the last it printed; run it alone in that stage to see more", "run-failed"
    if any(_FOREIGN in line for line in output):
        remedy = (
            f"the builder {builder.name} does not run such programs: register QEMU where it runs "
            "(docker run --privileged --rm tonistiigi/binfmt --install all), or build with --builder embedded"
        )
        reason = "exec-format"
    return StepError(f"{step} {process.worded(code)}{on}", remedy=remedy, reason=reason, place=place, output=output)


def _other(said: str, builder: Builder, place: str, dockerfile: str) -> XxError:
    if "no space left" in said:
        return StoreError(
            said, remedy="free space where the builder keeps its data: docker buildx prune", reason="disk-full"
        )
    if _ENTITLED.search(said):
        return UsageError(
            said,
            remedy="--allow it, and have the builder allow it: its buildkitd's --allow-insecure-entitlement",
            reason="not-entitled",
        )
    if _GATEWAY.search(said):
        return HostError(
            f"the builder {builder.name} does not say what host-gateway is",
            remedy="name the address: --add-host NAME:ADDRESS; or build with --builder embedded",
            reason="builder-gateway",
        )
    if _HOST.search(said) and not place:
        return HostError(
            f"the builder {builder.name}: {said}",
            remedy=f"see it: xx builder inspect {builder.name}; or build with --builder embedded",
            reason="builder-unreachable",
        )
    if (missing := _COPIED.search(said)) is not None:
        return SourceError(
            f"{missing['path']} is not there to copy",
            remedy="see the name, .dockerignore, and what the stage that --from names has made",
            reason="copy-source-missing",
            place=place or dockerfile,
        )
    if _SOURCE.search(said):
        remedy = "name what is there; images come from the builder's registries, or from the store if it has them"
        return SourceError(said, remedy=remedy, reason="buildkit-source", place=place or dockerfile)
    if _DOCKERFILE.search(said):
        remedy = "see the line; xx build --check looks at the whole file"
        return DockerfileError(said, remedy=remedy, reason="buildkit-dockerfile", place=place or dockerfile)
    remedy = "build it with --debug to see the command line, and run that alone"
    return XxError(said, remedy=remedy, reason="buildkit-failed", place=place)
