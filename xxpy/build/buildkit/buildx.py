"""The program buildx: where it is, what it says of a builder, and how a builder of ours becomes one of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xxpy.build.builders import DOCKER, Builder
from xxpy.build.engine import process
from xxpy.build.naming import harmless
from xxpy.build.tools import find_program
from xxpy.errors import HostError, PlatformError, UsageError, XxError
from xxpy.platforms import Platform

_SECONDS = 60.0
_QUICK = 10.0
_NOT_HANDED = ("BUILDX_BUILDER", "BUILDKIT_PROGRESS", "BUILDX_METADATA_PROVENANCE", "SOURCE_DATE_EPOCH")
_NOT_THERE = re.compile(r"Cannot connect|error during connect|connection refused|no such host|Kubernetes namespace")
_INSTALL = "apt-get install -y docker-buildx (Debian 13) or docker-buildx-plugin (Docker's own packages)"


@dataclass(frozen=True)
class Inspected:
    """What ``buildx inspect`` says of a builder.

    ``driver`` is empty, and ``error`` says why, where it cannot be reached. ``platforms`` are those that its nodes say
    they run, none before it has been started. ``features`` are what the driver can do, by buildx's name
    (``OCI exporter``); a name that is not there is not known.
    """

    driver: str
    status: str
    platforms: tuple[Platform, ...]
    features: Mapping[str, bool]
    error: str


def environment(builder: Builder | None = None) -> dict[str, str]:
    """The user's own environment, by which docker finds its settings, with what ``builder`` asks for.

    What would change a build that the command line does not is left out.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED}
    for name, value in (builder.environment if builder else {}).items():
        kept.pop(name, None)
        if value:
            kept[name] = value
    return kept


def find_buildx(builder: Builder | None = None) -> tuple[str, ...]:
    """What a command line of buildx begins with: ``docker buildx``, else the program itself.

    Raises HostError (``buildx-missing``); UsageError (``builder-unknown``): ``builder`` is none of ours.
    """
    docker = find_program("docker")
    if docker is not None:
        try:
            process.output_of([docker, "buildx", "version"], env=environment(), timeout=_QUICK)
            return docker, "buildx"
        except HostError:
            pass
    for name in ("docker-buildx", "buildx"):
        if path := find_program(name):
            return (path,)
    why = "docker has no buildx here" if docker else "neither docker nor buildx is installed"
    if builder is not None and not builder.own:
        raise unknown(builder.name, why)
    raise HostError(
        why,
        remedy=f"{_INSTALL}, or build in our own engine: --builder embedded",
        reason="buildx-missing",
    )


def unknown(name: str, why: str = "") -> UsageError:
    """The error for a name that no builder has, ours or buildx's."""
    return UsageError(
        f"there is no builder {harmless(name)[:80]}{f': xx has none of that name, and {why}' if why else ''}",
        remedy="xx builder ls shows what there is, xx builder use NAME chooses one for all builds"
        + (f"; for buildx's own: {_INSTALL}" if why else ""),
        reason="builder-unknown",
    )


def inspect(program: Sequence[str], builder: Builder) -> Inspected | None:
    """What buildx knows of ``builder``; None if it has none of that name.

    Raises HostError (``builder-unreachable``).
    """
    # Only where it debugs it lists what the driver can do; by itself it has no flag for that.
    env = environment(builder) | {"DEBUG": "1"}
    try:
        text = process.output_of([*program, "inspect", builder.instance], env=env, timeout=_SECONDS)
    except HostError as error:
        if re.search(r"no builder|no context|context .* not found", error.message):
            return None
        raise unreachable(builder, _last(error.message)) from None
    return parse_inspect(text)


def parse_inspect(text: str) -> Inspected:
    """Read what ``docker buildx inspect`` prints: ``Name: value`` lines, and lists that are indented."""
    fields: dict[str, list[str]] = {}
    features: dict[str, bool] = {}
    heading = ""
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        if not line.startswith(" "):
            heading = name
            fields.setdefault(name, []).append(value)
        elif heading == "Features" and value in ("true", "false"):
            features[name] = value == "true"
    return Inspected(
        driver=_first(fields, "Driver"),
        status=_first(fields, "Status"),
        platforms=tuple(dict.fromkeys(each for text in fields.get("Platforms", []) for each in _platforms(text))),
        features=features,
        error=harmless(_first(fields, "Error")),
    )


def _first(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(fields.get(name, ())), "")


def _platforms(text: str) -> Iterator[Platform]:
    """One that the user has named at ``create`` has a star."""
    for each in text.split(","):
        try:
            yield Platform.parse(each.strip().rstrip("*"))
        except PlatformError:
            continue


def unreachable(builder: Builder, why: str) -> HostError:
    """The error for a builder that does not answer."""
    remedies = {
        DOCKER: "start the Docker Engine, or name it: DOCKER_HOST, or docker context use",
        "docker-container": "start the Docker Engine that its container runs in",
        "kubernetes": "see that kubectl reaches the cluster (kubectl cluster-info), or name it: KUBECONFIG",
        "remote": f"see that a buildkitd listens at {builder.endpoint or 'its address'}",
    }
    fallback = f"see what buildx says: docker buildx inspect {builder.instance}"
    return HostError(
        f"the builder {builder.name} does not answer: {harmless(why)}",
        remedy=f"{remedies.get(builder.driver, fallback)}; or build in our own engine: --builder embedded",
        reason="builder-unreachable",
    )


def create_command(builder: Builder) -> tuple[str, ...]:
    """What has buildx know ``builder``, behind the program. Of the docker driver it knows one for each context."""
    options = [word for option in builder.options for word in ("--driver-opt", _quoted(option))]
    endpoint = [builder.endpoint] if builder.endpoint else []
    return ("create", "--name", builder.name, "--driver", builder.driver, *options, *endpoint)


def _quoted(option: str) -> str:
    """One option as a line of CSV."""
    return '"' + option.replace('"', '""') + '"' if set(option) & set(',"') else option


def create(program: Sequence[str], builder: Builder) -> None:
    """Have buildx know a builder of ours.

    Raises UsageError (``builder-refused``), HostError (``builder-unreachable``).
    """
    if builder.driver == DOCKER:
        if builder.environment.get("DOCKER_CONTEXT") and not _knows_context(program, builder):
            raise UsageError(
                f"there is no Docker context {builder.endpoint}",
                remedy="see what there is: docker context ls; or name an engine's address, as in tcp://HOST:2375",
                reason="builder-refused",
            )
        return
    try:
        process.output_of([*program, *create_command(builder)], env=environment(builder), timeout=_SECONDS)
    except HostError as error:
        if error.reason != "program-failed":
            raise
        said = _last(error.message)
        if _NOT_THERE.search(said):
            raise unreachable(builder, said) from None
        if "existing instance" in said:
            remedy = f"give --name another, or build with it as it is: --builder {builder.name}"
        else:
            remedy = "name an endpoint and options that its driver has: see the table in docs/builders.md"
        raise UsageError(
            f"buildx does not take the builder {builder.name}: {said}", remedy=remedy, reason="builder-refused"
        ) from None


def _knows_context(program: Sequence[str], builder: Builder) -> bool:
    """Whether there is the Docker context of a builder, be its engine started or not."""
    try:
        return inspect(program, builder) is not None
    except HostError:
        return True


def remove(program: Sequence[str], builder: Builder) -> str:
    """Have buildx forget a builder of ours, with its container and cache; why it could not, if so."""
    if builder.driver == DOCKER:
        return ""
    try:
        process.output_of([*program, "rm", "--force", builder.name], env=environment(builder), timeout=_SECONDS)
    except XxError as error:
        return "" if "no builder" in error.message else _last(error.message)
    return ""


def listed(program: Sequence[str]) -> str:
    """``buildx ls`` as JSON, an object a line; empty where buildx is too old to say it so, or takes too long."""
    try:
        return process.output_of([*program, "ls", "--format", "json"], env=environment(), timeout=_QUICK)
    except HostError:
        return ""


def _last(message: str) -> str:
    """buildx' last line, which is what is wrong."""
    lines = [line for line in message.splitlines() if line.strip()]
    return harmless(re.sub(r"^.*?ERROR: ", "", lines[-1])) if lines else "it does not say why"
