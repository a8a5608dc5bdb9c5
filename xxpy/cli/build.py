"""`xx build`: from a Dockerfile to one image for several platforms. Flags are those of ``docker buildx build``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from xxpy.build.annotations import parse_annotation
from xxpy.build.buildkit.images import AnyImages
from xxpy.build.checking import SeenImages, check_order, outline_order, targets_order
from xxpy.build.destination import output_file
from xxpy.build.engine import process
from xxpy.build.hostca import parse_host_ca
from xxpy.build.limit import store_limit
from xxpy.build.load import check_load
from xxpy.build.metadata import build_metadata, image_id
from xxpy.build.names import short_name, tag_name
from xxpy.build.ocilayout import LayoutImages
from xxpy.build.outcome import Outcome
from xxpy.build.outputs import check_file, check_folder, check_outputs
from xxpy.build.plan import Plan
from xxpy.build.progress import MODES
from xxpy.build.registry.client import Registries
from xxpy.build.registry.images import RegistryImages
from xxpy.build.registry.pull import Puller
from xxpy.build.remotecache.local import LocalPlace
from xxpy.build.remotecache.spec import LOCAL, Cache, handed_cache, parse_cache_from, parse_cache_to
from xxpy.build.report import plan_as_json, print_plan, print_report, report_as_json
from xxpy.build.session import Order, dockerfile_of, index_of, plan_order, read_order, solve_order
from xxpy.build.store import Store
from xxpy.build.using import using
from xxpy.build.xximage import ImagesWithXx
from xxpy.cli.builder import builder_option, chosen_builder
from xxpy.cli.check import Call, check_options, one_line, show_checks, wanted_call
from xxpy.cli.contexts import context_options, opened_contexts
from xxpy.cli.delivery import chosen_outputs, delivery_options
from xxpy.cli.outline import show_outline, show_targets
from xxpy.cli.policy import chosen_acceleration, chosen_emulation, chosen_verify, policy_options
from xxpy.cli.refused import refused_flags
from xxpy.cli.run_options import RunFlags, run_options
from xxpy.cli.shared import XxImageShown, default_store, late_listener, optional_output, told
from xxpy.cli.switches import SwitchCommand
from xxpy.errors import UsageError, XxError
from xxpy.platforms import Platform, parse_list

PRINTED = ("plan", "plan-json", "dockerfile")
"""What ``--print`` shows."""


@dataclass(frozen=True)
class Options:
    """The command line as it was given: what to build, and how to tell of it."""

    order: Order
    progress: str
    shown: str
    metadata_file: Path | None
    iidfile: Path | None
    store: Path


@click.command("build", cls=SwitchCommand, short_help="Build an image from a Dockerfile.")
@click.argument("context", default=".")
@click.option(
    "-f", "--file", metavar="FILE", help="The Dockerfile, a URL too, - for stdin.  [default: CONTEXT/Dockerfile]"
)
@context_options
@check_options
@click.option("--platform", "platforms", metavar="OS/ARCH[,…]", multiple=True, help="Target platforms.")
@click.option("-t", "--tag", "tags", metavar="NAME", multiple=True, help="The image's name; FROM finds it under it.")
@delivery_options
@click.option("--build-arg", "build_args", metavar="NAME[=VALUE]", multiple=True, help="The value of an ARG.")
@click.option("--label", "labels", metavar="NAME=VALUE", multiple=True, help="A label of the image.")
@click.option("--annotation", "annotations", metavar="[TYPE:]NAME=VALUE", multiple=True, help="An OCI annotation.")
@click.option("--target", metavar="STAGE", default="", help="Build this stage instead of the last.")
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option("--no-cache-filter", metavar="STAGE[,…]", multiple=True, help="Run the steps of these stages again.")
@click.option(
    "--cache-from", "cache_from", metavar="NAME|type=…", multiple=True, help="A cache of others to take from."
)
@click.option("--cache-to", "cache_to", metavar="NAME|type=…", multiple=True, help="A cache to add to.")
@click.option("--pull", is_flag=True, help="Look base images up in their registries, those of the store too.")
@click.option(
    "--progress",
    type=click.Choice(MODES),
    default="auto",
    envvar="BUILDKIT_PROGRESS",
    show_default=True,
    show_envvar=True,
    help="How it is shown.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but the image's ID.")
@click.option(
    "--print", "shown", type=click.Choice(PRINTED), help="Print the plan, or what BuildKit gets; build nothing."
)
@click.option("--host-ca", metavar="auto|off|FILE", default="", help="Give steps this machine's CA certificates.")
@builder_option
@policy_options
@run_options
@click.option("--metadata-file", type=click.Path(path_type=Path), help="Write what was built, as JSON.")
@click.option("--iidfile", type=click.Path(path_type=Path), help="Write the image's ID.")
@click.option(
    "--store", type=click.Path(path_type=Path), help="The store's folder.  [default: XX_STORE, or the user's]"
)
@click.option("-D", "--debug", is_flag=True, help="Echo the programs that are started.")
@refused_flags
def build_command(
    context: str,
    file: str | None,
    platforms: tuple[str, ...],
    tags: tuple[str, ...],
    build_args: tuple[str, ...],
    labels: tuple[str, ...],
    annotations: tuple[str, ...],
    target: str,
    no_cache: bool,
    no_cache_filter: tuple[str, ...],
    cache_from: tuple[str, ...],
    cache_to: tuple[str, ...],
    pull: bool,
    progress: str,
    quiet: bool,
    shown: str | None,
    host_ca: str,
    metadata_file: Path | None,
    iidfile: Path | None,
    store: Path | None,
    debug: bool,
    run: RunFlags,
) -> None:
    """Build an image for one or more platforms from the Dockerfile in CONTEXT.

    CONTEXT is a folder, the URL of a git repository, a tar or a Dockerfile, or - for a tar or a Dockerfile on stdin.

    Stages on BUILDPLATFORM run natively, others under QEMU where this machine needs it. Exit codes: 0 built, 2 a wrong
    command line, 3 the Dockerfile, 4 this machine lacks something, 5 an input is missing, 6 a RUN failed, 7 the store
    or the output cannot be written, 8 the image is not what its platform says, 130 interrupted.
    """
    process.debug = debug
    with told():
        order = Order(
            context=Path(context),  # as it is given, like the file, until `opened_contexts`
            file=Path(file or ""),
            platforms=tuple(parse_list(",".join(platforms))) if platforms else (Platform.host(),),
            tags=tuple(dict.fromkeys(tag_name(tag) for tag in tags)),
            outputs=chosen_outputs(),
            build_args=dict(_build_args(build_args)),
            labels=dict(_labels(labels)),
            annotations=tuple(each for text in annotations for each in parse_annotation(text)),
            target=target,
            no_cache=no_cache,
            no_cache_stages=tuple(name for text in no_cache_filter for name in text.split(",") if name),
            epoch=source_date_epoch(),
            cache_from=_caches("--cache-from", cache_from, parse_cache_from),
            cache_to=_caches("--cache-to", cache_to, parse_cache_to),
            host_ca=parse_host_ca(host_ca),
            run=run.settings(),
            credentials=run.credentials(),
            pull=pull,
        )
        progress = "quiet" if quiet else progress
        order = _checked(_as_chosen(order), metadata_file, iidfile, quiet=progress == "quiet")
        build(Options(order, progress, shown or "", metadata_file, iidfile, store or default_store()))


def _checked(order: Order, metadata_file: Path | None, iidfile: Path | None, *, quiet: bool) -> Order:
    """``order`` with an image where its digest is to be told. Raises as `check_outputs` does."""
    told_of = bool(metadata_file or iidfile)
    check_outputs(order.outputs, len(order.platforms), order.epoch, order.tags)
    for flag, path in (("--metadata-file", metadata_file), ("--iidfile", iidfile)):
        if path is not None:
            check_file(flag, path)
    for cache in order.cache_to:
        if cache.kind == LOCAL and not cache.ignore_error:
            check_folder("--cache-to", Path(cache.place))
            if order.builder.is_embedded:
                LocalPlace(cache).require_own()
    # -q tells of it where it would else have nothing to say.
    return replace(order, image=told_of or (quiet and not order.outputs))


def _as_chosen(order: Order) -> Order:
    """``order`` with what the flags say that click's context keeps. Raises UsageError, StoreError."""
    return replace(
        order,
        emulation=chosen_emulation(),
        verify=chosen_verify(),
        accelerate=chosen_acceleration(),
        builder=chosen_builder(),
    )


def _caches(flag: str, given: Sequence[str], parse: Callable[[str], Cache]) -> tuple[Cache, ...]:
    """Those of a flag, read where it is our engine that has to know what they mean. Raises UsageError."""
    read = parse if chosen_builder().is_embedded else partial(handed_cache, flag)
    return tuple(map(read, given))


def _build_args(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"--build-arg {text!r} has no name", remedy="write NAME=VALUE", reason="bad-build-arg")
        if equals:
            yield name, value
        elif name in os.environ:
            yield name, os.environ[name]


def _labels(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in given:
        name, _, value = text.partition("=")
        if not name:
            raise UsageError(f"--label {text!r} has no name", remedy="write NAME=VALUE", reason="bad-label")
        yield name, value


def build(options: Options) -> None:
    """Build what ``options`` say. Raises XxError."""
    store = Store.open(options.store)
    with using(store):
        _build(options, store)


def _build(options: Options, store: Store) -> None:
    shown = XxImageShown(options.progress)
    call = wanted_call()
    dry = bool(options.shown or call)
    if not dry:
        check_load(options.order.outputs, options.order.platforms)
    limited = replace(options.order, limit=store_limit(store))
    with opened_contexts(limited, store) as order:
        puller = Puller(store, Registries(order.host_ca.bundle, told=lambda text: shown.notice(f"NOTICE: {text}")))
        pulled = RegistryImages(store, puller, shown.notice, anew=order.pull)
        own = order.builder.is_embedded
        # BuildKit gets from registries by itself what the store has not.
        found = LayoutImages(store, ImagesWithXx(store, shown, order.host_ca, dry=dry, others=pulled if own else None))
        images = SeenImages(found if own else AnyImages(found))
        if call is not None:
            _call(order, images, call)
            return
        plan = plan_order(order, images)
        if options.shown == "dockerfile":
            click.echo(dockerfile_of(order, plan, store), nl=False)
            return
        if options.shown:
            _print_plan(plan, options.shown)
            return
        checked = check_order(order, images) if read_order(order)[1] is not None else None
        if checked is not None and (error := checked.error()):
            raise error
        with late_listener(options.progress, plan) as listener:
            if own:
                pulled.fetch(plan.graph, listener)
            outcome = solve_order(order, plan, store, listener)
    _finish(options, outcome.plan or plan, outcome, store)
    if options.progress not in ("quiet", "rawjson") and checked is not None and checked.findings:
        with optional_output():
            sys.stderr.write(f"{one_line(checked)}\n")


def _call(order: Order, images: SeenImages, call: Call) -> None:
    """Do what is asked for in place of building. Raises XxError."""
    if call.method == "check":
        _check(order, images, call)
    elif call.method == "outline":
        outline, text = outline_order(order, images)
        show_outline(outline, text, as_json=call.json)
    else:
        targets, text = targets_order(order)
        show_targets(targets, text, as_json=call.json)


def _check(order: Order, images: SeenImages, call: Call) -> None:
    """Show what checks find; 1 is the exit code if that is anything. Raises XxError where the build would."""
    failed: XxError | None = None
    try:
        plan_order(order, images)
    except XxError as error:
        failed = error
    try:
        checked = check_order(order, images, every_stage=True)
    except XxError as error:
        raise failed or error from None
    if checked.findings or failed is None:
        show_checks(checked, as_json=call.json)
    if failed is not None:
        raise failed
    if checked.findings and not call.ignore_status:
        raise SystemExit(1)


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH (reproducible-builds specification), or None. Raises UsageError (``bad-epoch``)."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > 253402300799:
        raise UsageError(
            f"SOURCE_DATE_EPOCH={text[:40]} is no number of seconds since 1970",
            remedy="set it as in: SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)",
            reason="bad-epoch",
        )
    return int(text)


def _print_plan(plan: Plan, shown: str) -> None:
    if shown == "plan-json":
        click.echo(json.dumps(plan_as_json(plan), indent=2))
    else:
        print_plan(plan, sys.stdout)


def _finish(options: Options, plan: Plan, outcome: Outcome, store: Store) -> None:
    order = options.order
    if order.makes_image:
        written = outcome.written or index_of(store, outcome, order.annotations)
        if options.metadata_file is not None:
            made = build_metadata(store, written, order.tags, order.outputs)
            made |= outcome.metadata
            made["xx.report"] = report_as_json(plan, outcome)
            _write(options.metadata_file, json.dumps(made, indent=2) + "\n")
        if options.iidfile is not None:
            _write(options.iidfile, image_id(store, written))
        if options.progress == "quiet" and not any(output.dest == "-" for output in order.outputs):
            click.echo(image_id(store, written))
    if options.progress not in ("quiet", "rawjson", "none"):
        with optional_output():
            print_report(plan, outcome, sys.stderr)
            sys.stderr.write(f"{_result(order, outcome)}\n")


def _result(order: Order, outcome: Outcome) -> str:
    """The last line: what there is now."""
    if order.makes_image:
        full = order.tags or dict.fromkeys(name for output in order.outputs for name in output.names)
        names = ", ".join(map(short_name, full))
        return f"{names or 'untagged'}  {outcome.index}"
    if order.outputs:
        places = (output.dest if output.dest != "-" else "stdout" for output in order.outputs)
        return f"files written to {', '.join(places)}"
    return "no image: the result stays in the cache only; -t NAME keeps one, -o writes one"


def _write(path: Path, text: str) -> None:
    """Write a file that is replaced when it is whole; a pipe or a device is written to. Raises StoreError."""
    with output_file(str(path)) as file:
        file.write(text.encode())
