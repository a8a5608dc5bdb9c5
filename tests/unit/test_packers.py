"""Packed layers: read back by others, the same bytes for the same tar, and no time lost on what does not shrink."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest
import zstandard

from xxpy.build import packers
from xxpy.build.outputs import COMPRESSIONS, GZIP, UNCOMPRESSED, ZSTD
from xxpy.build.packers import LAYER_TYPES, deflated, packer
from xxpy.build.store import Store

WORDS = b"".join(b"%d words\n" % (number * number) for number in range(100_000))
NOISE = random.Random(1).randbytes(1 << 20)
BLOCK = 256 << 10


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def packed(store: Store, data: bytes, compression: str, level: int | None = None, piece: int = 100_000) -> bytes:
    with store.writer() as out:
        one = packer(out, compression, level)
        for at in range(0, len(data), piece):
            one.write(data[at : at + piece])
        assert one.end() == "sha256:" + hashlib.sha256(data).hexdigest()
        made = out.commit(LAYER_TYPES[compression])
    return store.blob(made.digest).read_bytes()


def unpacked(data: bytes, compression: str) -> bytes:
    if compression == GZIP:
        return subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True).stdout
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if compression == ZSTD else data


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("data", [b"", b"x", WORDS[:BLOCK], WORDS[: BLOCK + 1], WORDS + NOISE + WORDS], ids=len)
def test_there_and_back(store: Store, data: bytes, compression: str) -> None:
    assert unpacked(packed(store, data, compression), compression) == data


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
def test_the_same_bytes_whatever_the_pieces_and_the_threads(
    store: Store, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    found = set()
    for count, piece in ((1, 1000), (1, 1 << 20), (3, 4096), (8, len(WORDS))):
        monkeypatch.setattr(packers, "threads", lambda count=count: count)
        found.add(packed(store, WORDS + NOISE, compression, piece=piece))
    assert len(found) == 1


def test_what_does_not_shrink_is_stored(store: Store) -> None:
    assert len(deflated(NOISE[:BLOCK], b"", 9)) < BLOCK + 200
    # Stored blocks show their content as it is.
    assert NOISE[1000:2000] in packed(store, NOISE, GZIP)
    assert len(packed(store, WORDS, GZIP)) < len(WORDS) / 3


def test_a_block_refers_back_to_the_one_before(store: Store) -> None:
    # Noise that comes again is found over the end of a block.
    head = WORDS[: BLOCK - 20_000] + NOISE[:20_000]
    again = NOISE[:20_000] + WORDS[: BLOCK - 20_000]
    assert (
        len(packed(store, head + again, GZIP))
        < len(packed(store, head, GZIP)) + len(packed(store, again, GZIP)) - 15_000
    )


def test_levels(store: Store) -> None:
    sizes = [len(packed(store, WORDS, GZIP, level)) for level in (0, 1, None, 9)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > len(WORDS)
    assert gzip.decompress(packed(store, WORDS, GZIP, 0)) == WORDS


def test_an_uncompressed_layer_is_its_tar(store: Store) -> None:
    data = os.urandom(1000)
    assert packed(store, data, UNCOMPRESSED) == data
