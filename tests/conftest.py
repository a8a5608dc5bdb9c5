"""What tests of the real parts share: skipping with a reason here, failing in CI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

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


def skopeo(*args: str, cwd: Path) -> Any:
    """Run skopeo in ``cwd``, or skip; what it says of an image if it inspects one."""
    if shutil.which("skopeo") is None:
        lacking("skopeo is not installed")
    done = subprocess.run(["skopeo", "--insecure-policy", *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if args[0] == "inspect" else None
