"""The xx image on a real BuildKit: made there by the same Dockerfile, and used by the example Dockerfiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from buildkit import BuildKit, buildkit
from conftest import lacking
from support import BOTH, ROOT, Xx, store_from


@pytest.fixture(scope="module")
def engine(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildKit]:
    folder = tmp_path_factory.mktemp("engine")
    store = store_from(bases, tmp_path_factory.mktemp("engine-store") / "store")
    (folder / "made").mkdir()
    try:
        with buildkit(folder, Xx(store, folder)) as running:
            yield running
    except RuntimeError as error:
        lacking(str(error))


@pytest.fixture(scope="module")
def with_xx(engine: BuildKit) -> BuildKit:
    """The engine with an xx image that it has made itself."""
    layout = engine.folder / "made/xx"
    done = engine.build(
        "-f", "images/xx/Dockerfile", "-t", "xx", "--platform", BOTH, "-o", f"type=oci,dest={layout},tar=false", ".",
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    engine.contexts += ["--build-context", f"xx=oci-layout://{layout}:latest"]
    return engine


@pytest.mark.parametrize(
    ("example", "said"),
    [("zstd", "Zstandard CLI"), ("go", "serve 1.0 for linux/"), ("rust", "checksum 1.0 for ")],
)
def test_examples(with_xx: BuildKit, example: str, said: str) -> None:
    # The last stage of the others is Debian, which here is there for this machine alone.
    platforms = BOTH if example == "go" else "linux/amd64"
    done = with_xx.build("--platform", platforms, f"examples/{example}", cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    assert sum(said in line for line in done.stderr.splitlines()) == len(platforms.split(",")), done.stderr[-4000:]


def test_an_image_for_another_machine_than_the_stages(with_xx: BuildKit, tmp_path: Path) -> None:
    """BuildKit's host may run the other machine's programs: then it works, and else it says what is wrong."""
    (tmp_path / "Dockerfile").write_text(
        "FROM xx AS xx\nFROM --platform=$BUILDPLATFORM busybox\nCOPY --from=xx / /\nARG TARGETPLATFORM\n"
        "RUN xx-info arch; xx-verify /bin/busybox; echo status $?\n"
    )
    done = with_xx.build("--no-cache", "--platform", "linux/arm64", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "expected aarch64 ELF" in done.stderr and "status 1" in done.stderr
    assert "format error" not in done.stderr.lower()
