"""`xx inspect`: what an image holds, wherever it lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from xxpy.build.inspection import OURS, Attached, Facts, ImageFacts, LayerFacts, inspect
from xxpy.build.naming import harmless, human_size, one_line
from xxpy.build.remotecache.entries import CONFIG_TYPE as CACHE_TYPE
from xxpy.build.sources import needs_store, opened
from xxpy.build.store import Store
from xxpy.cli.shared import store_option, store_to_read, told
from xxpy.cli.tables import beside, columns, short_id
from xxpy.errors import StoreError
from xxpy.platforms import Platform

_LISTED = ("Entrypoint", "Cmd", "Shell", "OnBuild")
_TEXTS = ("User", "WorkingDir", "StopSignal")
_SETS = ("ExposedPorts", "Volumes")
_WIDTH = 80


@click.command("inspect", short_help="Show what an image holds.")
@click.argument("what")
@click.option("--platform", metavar="OS/ARCH", default="", help="The image of this platform alone.")
@click.option("--layers", is_flag=True, help="Show each layer with the step that made it.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="One JSON object instead.")
@store_option
def inspect_command(what: str, platform: str, layers: bool, form: str, store: Path | None) -> None:
    """Show what the image WHAT holds: platforms, digests, sizes, configs, layers, attestations.

    WHAT is a name, an ID or a digest of the store, a folder with an OCI layout, or an archive that `xx build -o` or
    `docker save` has written; as PATH:TAG where it holds several images. Archives are read where they lie.
    docker://NAME is an image of a registry.
    """
    with told():
        wanted = Platform.parse(platform) if platform else None
        with _store_for(what, store) as place, opened(place, what) as source:
            facts = inspect(source, wanted)
        if form == "json":
            click.echo(json.dumps(as_object(facts), indent=2))
        else:
            click.echo("\n".join(_lines(facts, layers=layers)))


@contextmanager
def _store_for(what: str, named: Path | None) -> Iterator[Store]:
    """The store that is named; where there is none, one for the moment, unless ``what`` would have to be in it."""
    try:
        place = store_to_read(named)
    except StoreError as error:
        if error.reason != "store-missing" or needs_store(what):
            raise
        with TemporaryDirectory(prefix="xx-") as folder:
            yield Store.open(Path(folder))
        return
    yield place


def as_object(facts: Facts) -> dict[str, Any]:
    """The facts for programs; sizes in bytes."""
    entry = facts.listing.entry
    return {
        "name": facts.name,
        "mediaType": entry.media_type,
        "digest": entry.digest,
        "annotations": dict(facts.listing.annotations),
        "images": [_image_object(image) for image in facts.images],
        "attached": [
            {
                "digest": one.manifest.digest,
                "type": one.kind,
                "subject": one.subject,
                "predicateTypes": list(one.predicates),
            }
            for one in facts.attached
        ],
    }


def _image_object(image: ImageFacts) -> dict[str, Any]:
    return {
        "platform": None if image.artifact else str(image.manifest.platform),
        "artifactType": image.artifact or None,
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.size,
        "created": image.config.get("created"),
        "annotations": dict(image.annotations),
        "config": dict(image.settings),
        "layers": [
            {
                "mediaType": layer.blob.media_type,
                "digest": layer.blob.digest,
                "size": layer.blob.size,
                "step": layer.step,
                "by": layer.by,
                "snapshot": layer.snapshot,
            }
            for layer in image.layers
        ],
    }


def _lines(facts: Facts, *, layers: bool) -> Iterator[str]:
    entry = facts.listing.entry
    head = {"Name": facts.name, "MediaType": entry.media_type, "Digest": entry.digest}
    head |= {"Annotations": _pairs(dict(facts.listing.annotations))} if facts.listing.annotations else {}
    yield from _rows(head)
    for image in facts.images:
        yield ""
        yield from _rows(_image_rows(image))
        if layers:
            yield ""
            yield _layer_table(image.layers)
    for one in facts.attached:
        yield ""
        yield from _rows(_attached_rows(one, facts))


def _image_rows(image: ImageFacts) -> dict[str, str]:
    settings = image.settings
    kind = f"a cache of {OURS}" if image.artifact == CACHE_TYPE else image.artifact
    count = len(image.layers)
    rows = {
        **({"Kind": f"{kind}, no image"} if kind else {"Platform": str(image.manifest.platform)}),
        "Digest": image.manifest.digest,
        "Size": f"{human_size(image.size)} in {count} layer{'s' if count != 1 else ''}",
        **({} if kind else {"Created": str(image.config.get("created") or "-")}),
    }
    rows |= {key: json.dumps(settings[key]) for key in _LISTED if settings.get(key)}
    rows |= {key: str(settings[key]) for key in _TEXTS if settings.get(key)}
    rows |= {key: ", ".join(settings[key]) for key in _SETS if isinstance(settings.get(key), dict) and settings[key]}
    env = settings.get("Env")
    if isinstance(env, list) and env:
        # What a variable holds may be nobody's business at a glance; --format json has it.
        rows["Env"] = ", ".join(str(each).partition("=")[0] for each in env)
    labels = settings.get("Labels")
    rows |= {"Labels": _pairs(labels)} if isinstance(labels, dict) and labels else {}
    rows |= {"Annotations": _pairs(image.annotations)} if image.annotations else {}
    return rows


def _attached_rows(one: Attached, facts: Facts) -> dict[str, str]:
    of = next((str(each.platform) for each in facts.listing.manifests if each.digest == one.subject), "")
    rows = {
        "Attestation": f"for {of or 'no image that is here'}"
        if one.kind == "attestation-manifest"
        else (one.kind or "?"),
        "Digest": one.manifest.digest,
    }
    return rows | {"Predicates": ", ".join(one.predicates)} if one.predicates else rows


def _layer_table(layers: Sequence[LayerFacts]) -> str:
    rows = [
        (
            short_id(layer.blob.digest),
            human_size(layer.blob.size),
            layer.blob.media_type,
            layer.snapshot or "-",
            layer.by or "-",
            _short(one_line(layer.step)) or "-",
        )
        for layer in layers
    ]
    return columns(("LAYER", "SIZE", "MEDIA TYPE", "SNAPSHOT", "BY", "STEP"), rows, indent=2)


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _pairs(pairs: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in pairs.items())


def _rows(rows: Mapping[str, str]) -> Iterator[str]:
    for name, value in rows.items():
        yield beside(f"{name + ':':<13}", harmless(value))
