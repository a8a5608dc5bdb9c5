"""What tests of the real parts share: skipping with a reason here, failing in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest
from support import keep


def lacking(reason: str) -> NoReturn:
    """Skip for want of a part of the machine; in CI (CI=true) that part has to be there, so fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing in CI: {reason}")
    pytest.skip(reason)


def kept(*args: str) -> None:
    """Have the image that ``xx ARGS`` makes in the store that is kept between runs, or skip."""
    try:
        keep(*args)
    except RuntimeError as error:
        lacking(str(error))
