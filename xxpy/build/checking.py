"""The build checks of an order: what is read for them, and what comes of their findings."""

from __future__ import annotations

from dataclasses import dataclass

from xxpy.build.context import read_ignore
from xxpy.build.dockerfile.bases import BaseImage, Images
from xxpy.build.dockerfile.checks import About, Finding, Options, parse_options
from xxpy.build.dockerfile.checks_stages import check
from xxpy.build.dockerfile.front import IMAGE
from xxpy.build.dockerfile.ignore import Ignore
from xxpy.build.dockerfile.parse import parse
from xxpy.build.graph import ImageConfig
from xxpy.build.session import Order, read_dockerfile
from xxpy.errors import DockerfileError, SourceError
from xxpy.platforms import Platform

_OPTIONS = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument of BuildKit that goes before the directive."""


class SeenImages:
    """`Images` that note the configs of what was looked up, by the name that was asked for."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self.configs: dict[str, ImageConfig] = {}

    def base(self, name: str, platform: Platform) -> BaseImage:
        """See `Images.base`."""
        found = self._images.base(name, platform)
        self.configs.setdefault(name, found.config)
        return found


@dataclass(frozen=True)
class Checked:
    """What was found in the Dockerfile ``place``, whose text is ``text``; if ``fatal``, a finding ends a build."""

    place: str
    text: str
    findings: tuple[Finding, ...]
    fatal: bool

    def error(self) -> DockerfileError | None:
        """Why a build must not go on, if it must not."""
        if not self.fatal or not self.findings:
            return None
        names = ", ".join(dict.fromkeys(finding.rule for finding in self.findings))
        return DockerfileError(
            f"build checks have found something: {names}",
            remedy="see them with xx build --check; # check=error=true makes them errors",
            reason="check-failed",
            place=f"{self.place}:{self.findings[0].start}",
        )


def check_order(order: Order, seen: SeenImages) -> Checked:
    """Check the Dockerfile of ``order``. Raises DockerfileError, SourceError where it cannot be read."""
    text = read_dockerfile(order.file, order.place)
    file = parse(text, order.place)
    contexts = order.contexts.sources
    named = {name: seen.configs.get(source.removeprefix(IMAGE)) for name, source in contexts.items()}
    about = About(
        target=order.platforms[0],
        host=Platform.host(),
        build_args=order.build_args,
        target_stage=order.target,
        bases=seen.configs | {name: config for name, config in named.items() if config is not None},
        replaced=frozenset(contexts),
        ignore=_ignore(order),
    )
    options = _options(order, file.directives.check)
    return Checked(order.place, text, check(file, text, about, options), options.fatal)


def _options(order: Order, directive: str) -> Options:
    if given := order.build_args.get(_OPTIONS, ""):
        return parse_options(given, "")
    return parse_options(directive, f"{order.place}:1")


def _ignore(order: Order) -> Ignore | None:
    try:
        return read_ignore(order.context, order.file, closed=order.contexts.fetched is not None)
    except SourceError:
        return None
