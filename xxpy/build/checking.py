"""The build checks of an order and its outline: what is read for them, and what comes of their findings."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from xxpy.build.context import read_ignore
from xxpy.build.dockerfile.bases import BaseImage, Images
from xxpy.build.dockerfile.checks import About, Finding, Options, parse_options
from xxpy.build.dockerfile.checks_stages import check
from xxpy.build.dockerfile.expand import expand_word
from xxpy.build.dockerfile.front import IMAGE, find_context, find_named
from xxpy.build.dockerfile.ignore import Ignore
from xxpy.build.dockerfile.instructions import Dockerfile
from xxpy.build.dockerfile.outline import Outline, Target, outline_of, targets_of
from xxpy.build.dockerfile.parse import parse
from xxpy.build.dockerfile.scope import global_scope, platform_variables
from xxpy.build.graph import ImageConfig
from xxpy.build.session import Order, read_dockerfile
from xxpy.errors import DockerfileError, SourceError, XxError
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


def check_order(order: Order, seen: SeenImages, *, every_stage: bool = False) -> Checked:
    """Check the Dockerfile of ``order``, with ``every_stage`` all of it if no target is named.

    Raises DockerfileError, SourceError where it cannot be read.
    """
    text, file = _read(order)
    if every_stage:
        _look_up(order, file, seen)
    about = replace(_about(order, seen), ignore=_ignore(order), every_stage=every_stage)
    options = _options(order, file.directives.check)
    return Checked(order.place, text, check(file, text, about, options), options.fatal)


def outline_order(order: Order, seen: SeenImages) -> tuple[Outline, str]:
    """What the target of ``order`` takes of who builds it, and the Dockerfile's text. Raises as `check_order` does."""
    text, file = _read(order)
    _look_up(order, file, seen)
    return outline_of(file, text, _about(order, seen)), text


def targets_order(order: Order) -> tuple[tuple[Target, ...], str]:
    """The targets of the Dockerfile of ``order``, and its text. Raises as `check_order` does."""
    text, file = _read(order)
    return targets_of(file, text), text


def _read(order: Order) -> tuple[str, Dockerfile]:
    text = read_dockerfile(order.file, order.place)
    return text, parse(text, order.place)


def _look_up(order: Order, file: Dockerfile, seen: SeenImages) -> None:
    """Have ``seen`` know the base image of every stage, of those that are there. What is wrong, others tell."""
    target, escape = order.platforms[0], file.directives.escape
    automatic = platform_variables(target, Platform.host())
    with contextlib.suppress(XxError):
        variables = global_scope(file.meta_args, automatic, order.build_args, file.path, escape).args
        for stage in file.stages:
            with contextlib.suppress(XxError):
                name, platform = (expand_word(word, variables, escape) for word in (stage.base, stage.platform))
                if name and name != "scratch" and find_named(file.stages[: stage.index], name) is None:
                    on = Platform.parse(platform) if platform else target
                    seen.base((find_context(order.contexts.sources, name, on) or name).removeprefix(IMAGE), on)


def _about(order: Order, seen: SeenImages) -> About:
    contexts = order.contexts.sources
    named = {name: seen.configs.get(source.removeprefix(IMAGE)) for name, source in contexts.items()}
    return About(
        target=order.platforms[0],
        host=Platform.host(),
        build_args=order.build_args,
        target_stage=order.target,
        bases=seen.configs | {name: config for name, config in named.items() if config is not None},
        replaced=frozenset(contexts),
    )


def _options(order: Order, directive: str) -> Options:
    if given := order.build_args.get(_OPTIONS, ""):
        return parse_options(given, "")
    return parse_options(directive, f"{order.place}:1")


def _ignore(order: Order) -> Ignore | None:
    try:
        return read_ignore(order.context, order.file, closed=order.contexts.fetched is not None)
    except SourceError:
        return None
