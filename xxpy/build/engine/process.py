"""The one door to other programs: a minimal environment, closed stdin, and one wording of what goes wrong."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from xxpy.errors import HostError

debug = False
"""True echoes each command line to stderr before it runs (``xx --debug``)."""

_TAIL = 2000
_PATIENCE = 10
"""Seconds that a program which is interrupted has to end by itself."""
_USER = r"(?<=://)[^/@\s]*@"


def minimal_environment() -> dict[str, str]:
    """What a program needs to find others and to speak plain English; nothing of the user's settings."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    keep = {name: os.environ[name] for name in _PROXY if name in os.environ}
    return {"PATH": path, "LC_ALL": "C.UTF-8", "HOME": "/root", **keep}


_PROXY = tuple(
    name
    for base in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (base, base.upper())
)


def output_of(
    argv: Sequence[str],
    *,
    package: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    stdin: bytes = b"",
) -> str:
    """Run ``argv`` to its end, at most ``timeout`` seconds, with ``stdin`` to read, and return its stdout.

    Raises HostError: ``program-missing`` (naming ``package`` as the remedy) or ``program-failed`` with its last words.
    """
    _echo(argv)
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            env=dict(env) if env is not None else minimal_environment(),
            check=False,
            timeout=timeout,
        )
    except OSError as error:
        raise _unstartable(argv[0], package, error) from None
    except subprocess.TimeoutExpired:
        raise HostError(
            f"{argv[0]} takes longer than {timeout:.0f} seconds",
            remedy=f"to see it alone: {shlex.join(argv)}",
            reason="program-failed",
        ) from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()[-_TAIL:]
        raise HostError(
            f"{argv[0]} {worded(done.returncode)}: {words}",
            remedy=f"to see it alone: {shlex.join(argv)}",
            reason="program-failed",
        )
    return done.stdout.decode(errors="replace")


def stream(
    argv: Sequence[str],
    on_output: Callable[[bytes], None],
    *,
    package: str = "",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> int:
    """Run ``argv``, hand what it prints (stdout and stderr together) to ``on_output`` as it comes; its exit code.

    A program that a signal ended gives 128 plus the signal's number, as shells do.
    """
    child, stdout = _piped(argv, package, env if env is not None else minimal_environment(), cwd=cwd)
    with stdout as pipe:
        while data := pipe.read(65536):
            on_output(data)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _piped(
    argv: Sequence[str], package: str, env: Mapping[str, str], *, cwd: str | None = None, session: bool = False
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """A program whose stdout and stderr come by one pipe; with ``session`` in a process group of its own."""
    _echo(argv)
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            bufsize=0,
            start_new_session=session,
        )
    except OSError as error:
        raise _unstartable(argv[0], package, error) from None
    assert child.stdout is not None
    return child, child.stdout


def feed(argv: Sequence[str], write: Callable[[IO[bytes]], None], *, env: Mapping[str, str]) -> tuple[int, str]:
    """Run ``argv`` while ``write`` gives it its stdin; its exit code and what it printed.

    It is ended where ``write`` fails, unless because it reads no more. Raises HostError (``program-missing``).
    """
    _echo(argv)
    with tempfile.TemporaryFile() as printed:
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.STDOUT, env=dict(env)
            )
        except OSError as error:
            raise _unstartable(argv[0], "", error) from None
        assert child.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError), child.stdin:
                write(child.stdin)
        except BaseException:
            child.kill()
            child.wait()
            raise
        code = child.wait()
        printed.seek(0)
        return code, printed.read(_TAIL).decode(errors="replace")


def follow(argv: Sequence[str], on_output: Callable[[bytes], None], *, env: Mapping[str, str]) -> int:
    """As `stream`, for a program that has work elsewhere to end: in a process group of its own, so that a ctrl-C is
    ours to hand on.

    Where the block ends early it gets SIGINT and `_PATIENCE` seconds, and is gone when the error goes on.
    """
    child, stdout = _piped(argv, "", env, session=True)
    try:
        while data := stdout.read(65536):
            on_output(data)
        code = child.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=_PATIENCE)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        stdout.close()
        child.wait()
    return code if code >= 0 else 128 - code


def serve(argv: Callable[[int], Sequence[str]], seconds: float) -> None:
    """Start a program that stays, and wait until it serves: it then writes to the descriptor that ``argv`` is given.

    Raises HostError (``program-failed``) with its last words if it does not within ``seconds``, or ``program-missing``.
    """
    reading, writing = os.pipe()
    words = argv(writing)
    _echo(words)
    with os.fdopen(reading, "rb") as ready:
        try:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=minimal_environment(),
                pass_fds=(writing,),
            )
        except OSError as error:
            raise _unstartable(words[0], "", error) from None
        finally:
            os.close(writing)
        assert child.stderr is not None
        if select.select([ready], [], [], seconds)[0] and ready.read(1):
            # What it says from now on interests nobody, but the pipe must not fill.
            threading.Thread(target=child.communicate, daemon=True).start()
            return
    child.kill()
    lines = [line for line in child.communicate()[1].decode(errors="replace").splitlines() if line.strip()]
    raise HostError(
        f"{words[0]} does not serve: {lines[-1] if lines else f'no word for {seconds:.0f} seconds'}",
        remedy=f"to see it alone: {shlex.join(words)}",
        reason="program-failed",
    )


def missing(program: str, package: str) -> HostError:
    """The error for a program that is not installed."""
    return HostError(
        f"{program} is not installed",
        remedy=f"apt-get install -y {package or program}",
        reason="program-missing",
    )


def _unstartable(program: str, package: str, error: OSError) -> HostError:
    if isinstance(error, FileNotFoundError):
        return missing(program, package)
    return HostError(
        f"{program} does not start: {error.strerror}",
        remedy=f"install it again: apt-get install -y --reinstall {package or program}",
        reason="program-failed",
    )


def worded(code: int) -> str:
    """An exit code in words: ``exit code 2``, ``killed by SIGKILL``; 128 + n is read as signal n, as shells have it."""
    number = -code if code < 0 else code - 128
    if code < 0 or 128 < code < 160:
        try:
            return f"was killed by {signal.Signals(number).name}"
        except ValueError:
            pass
    return f"ended with exit code {code}"


def _echo(argv: Sequence[str]) -> None:
    if debug:
        # A URL may have a user's name in it that is a token.
        sys.stderr.write(f"+ {re.sub(_USER, '', shlex.join(argv))}\n")
