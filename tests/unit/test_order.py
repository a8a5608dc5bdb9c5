"""What an order makes: an image or none, and how its layers are packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from xxpy.build.outputs import parse_output
from xxpy.build.session import Order
from xxpy.platforms import Platform


def order(*outputs: str, tags: tuple[str, ...] = (), image: bool = False) -> Order:
    parsed = tuple(parse_output(text) for text in outputs)
    return Order(Path(), Path(), (Platform.host(),), tags=tags, outputs=parsed, image=image)


def test_an_image_is_made_where_one_is_wanted() -> None:
    assert not order().makes_image
    assert not order("out", "type=tar,dest=t").makes_image
    assert order("out", "type=oci,dest=o").makes_image and order("out", tags=("a",)).makes_image
    assert order("type=docker,dest=o").makes_image and order(image=True).makes_image


@pytest.mark.parametrize(
    ("outputs", "compression"),
    [
        ((), "gzip"),
        (("out",), "gzip"),
        (("type=oci,dest=o",), "gzip"),
        (("type=oci,dest=o,compression=zstd", "out"), "zstd"),
        (("type=oci,dest=o,compression=uncompressed", "type=docker,dest=d,compression=uncompressed"), "uncompressed"),
        (("type=oci,dest=o,compression=zstd", "type=oci,dest=p"), "gzip"),
        # Of another level than ours only the output is.
        (("type=oci,dest=o,compression=zstd,compression-level=0",), "gzip"),
    ],
)
def test_layers_are_packed_as_the_outputs_want_them(outputs: tuple[str, ...], compression: str) -> None:
    assert order(*outputs, image=True).compression == compression
    # What stays in the store under a name is the same whatever is written besides.
    assert order(*outputs, tags=("name",)).compression == "gzip"
