"""FROM an image of the store: what its config sets, as the front wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xxpy.build.dockerfile.bases import BaseImage
from xxpy.build.graph import Healthcheck, ImageConfig
from xxpy.build.image import Image, read_image
from xxpy.build.names import normalize_name
from xxpy.build.store import Store
from xxpy.platforms import Platform


class StoreImages:
    """`Images` out of a `Store`; each is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, Platform], BaseImage] = {}

    def base(self, name: str, platform: Platform) -> BaseImage:
        """See `Images.base`."""
        full = normalize_name(name)
        if (full, platform) not in self._known:
            self._known[(full, platform)] = base_of(full, read_image(self._store, full, platform))
        return self._known[(full, platform)]


def base_of(name: str, image: Image) -> BaseImage:
    """What the front wants to know of an image of the store."""
    given = image.config.get("config")
    config = image_config(given if isinstance(given, dict) else {}, image.config.get("author"))
    return BaseImage(name, image.manifest.digest, config)


def image_config(given: Mapping[str, Any], author: object = "") -> ImageConfig:
    """The ``config`` object of an OCI image configuration, and the ``author`` that stands beside it.

    What has not the type it should have counts as not there.
    """
    labels = given.get("Labels")
    return ImageConfig(
        env=_texts(given.get("Env")) or (),
        entrypoint=_texts(given.get("Entrypoint")),
        cmd=_texts(given.get("Cmd")),
        working_dir=_text(given.get("WorkingDir")),
        user=_text(given.get("User")),
        labels=tuple(sorted((str(k), str(v)) for k, v in labels.items())) if isinstance(labels, dict) else (),
        exposed_ports=_names(given.get("ExposedPorts")),
        volumes=_names(given.get("Volumes")),
        stop_signal=_text(given.get("StopSignal")),
        shell=_texts(given.get("Shell")),
        healthcheck=_healthcheck(given.get("Healthcheck")),
        on_build=_texts(given.get("OnBuild")) or (),
        author=_text(author),
    )


def _healthcheck(given: object) -> Healthcheck | None:
    """Docker's image specification v1.2, ``Healthcheck``; times are in nanoseconds."""
    test = _texts(given.get("Test")) if isinstance(given, dict) else None
    if test is None or not isinstance(given, dict):
        return None
    times = [_number(given.get(name)) for name in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")]
    return Healthcheck(test, *times)


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return None
    return tuple(value)


def _names(value: object) -> tuple[str, ...]:
    return tuple(sorted(str(name) for name in value)) if isinstance(value, dict) else ()
