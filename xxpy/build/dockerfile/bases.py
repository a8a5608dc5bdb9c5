"""What a FROM needs to know of an image, whoever keeps images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xxpy.build.graph import Digest, ImageConfig
from xxpy.platforms import Platform


@dataclass(frozen=True)
class BaseImage:
    """One platform of an image: its full name, its manifest's digest and what its config sets."""

    name: str
    manifest: Digest
    config: ImageConfig


class Images(Protocol):
    """Where images are looked up."""

    def base(self, name: str, platform: Platform) -> BaseImage:
        """The image ``name`` for ``platform``. Raises SourceError: ``image-missing``, ``platform-missing``."""
