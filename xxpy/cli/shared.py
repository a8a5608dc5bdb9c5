"""What the subcommands of `xx` share: where the store is, and how an error is told."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import click

from xxpy.build.events import Event, Listener, Notice, Transfer
from xxpy.build.naming import harmless
from xxpy.build.plan import Plan
from xxpy.build.progress import make_listener
from xxpy.build.store import Store
from xxpy.errors import StepError, StoreError, VerifyError, XxError

STORE_VARIABLE = "XX_STORE"

store_option = click.option(
    "--store", type=click.Path(path_type=Path), help="The store's folder.  [default: as xx build]"
)


def default_store() -> Path:
    """XX_STORE, or the folder ``xx`` of the user's data (XDG Base Directory specification)."""
    named = os.environ.get(STORE_VARIABLE, "")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data else Path.home() / ".local" / "share") / "xx"


def store_to_read(named: Path | None) -> Store:
    """The store of a command that makes none: ``named`` by --store, else by XX_STORE, has to be there.

    At the usual place, where nothing can be mistyped, there is one from now on. Raises as `Store.find` does.
    """
    if named is None and not os.environ.get(STORE_VARIABLE, ""):
        return Store.open(default_store())
    return Store.find(named or default_store())


@contextmanager
def told() -> Iterator[None]:
    """Print an XxError of the block in two lines and end the process with its exit code."""
    try:
        yield
    except XxError as error:
        print_error(error)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("ERROR: interrupted\n")
        raise SystemExit(130) from None
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            raise unwritable_stdout(error) from None
        # Whoever read our output has enough; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def unwritable_stdout(error: OSError) -> SystemExit:
    """Told in two lines, the exit code of what cannot be written. Raises ``error`` if it is another."""
    if error.errno == errno.EPIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SystemExit(141)
    if error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EBADF):
        raise error
    sys.stderr.write(f"ERROR: cannot write to stdout: {error.strerror}\n       send it to a file with room left\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return SystemExit(StoreError.exit_code)


@contextmanager
def late_listener(mode: str, plan: Plan) -> Iterator[Listener]:
    """A listener that is started with the first event: it may have threads, and the engine forks before that."""
    with ExitStack() as stack:
        started: list[Listener] = []

        def listen(event: Event) -> None:
            if not started:
                started.append(stack.enter_context(make_listener(mode, plan, sys.stderr)))
            started[0](event)

        yield listen


class XxImageShown:
    """How the making of the xx image is shown: as a build is, with a line or two before it."""

    def __init__(self, mode: str) -> None:
        self._mode = mode

    def notice(self, text: str) -> None:
        """See `xximage.Shown`."""
        if self._mode not in ("quiet", "none", "rawjson"):
            with optional_output():
                sys.stderr.write(f"{text}\n")

    def listener(self, plan: Plan) -> AbstractContextManager[Listener]:
        """See `xximage.Shown`."""
        return late_listener(self._mode, plan)


class EventLines:
    """A listener for what moves images and builds none: a line on stderr for bytes and notices, none if ``quiet``."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, event: Event) -> None:
        if isinstance(event, (Transfer, Notice)) and not self._quiet:
            with optional_output():
                sys.stderr.write(f"{harmless(event.text if isinstance(event, Notice) else str(event))}\n")


@contextmanager
def optional_output() -> Iterator[None]:
    """What the block prints to stderr is not worth a failure: its reader may be gone (``2>&1 | head``)."""
    try:
        yield
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        # What is still buffered must not fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def print_error(error: XxError) -> None:
    """The error on stderr; of a failed RUN the last lines it printed come before."""
    lines = []
    if isinstance(error, StepError) and error.output:
        lines += ["------", *(f" | {harmless(line)}" for line in error.output), "------"]
    if isinstance(error, VerifyError):
        lines += [harmless(line) for line in error.problems]
    # A message may name a file that a stage has made.
    first, *rest = (harmless(line) for text in error.lines() for line in text.split("\n"))
    lines += [f"ERROR: {first}", *(f"       {line}" for line in rest)]
    with optional_output():
        sys.stderr.write("".join(f"{line}\n" for line in lines))
