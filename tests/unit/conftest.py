"""What several tests of single parts need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from registries import Memory, Tokens, running
from webserver import Web, serving

# How long an example takes tells of the machine.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server on loopback that no proxy stands before."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with serving(tmp_path / "web") as running:
        yield running


@pytest.fixture
def memory() -> Iterator[Memory]:
    """A registry on loopback, empty."""
    with running(Memory()) as server:
        yield server


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    """A token server on loopback."""
    with running(Tokens()) as server:
        yield server
