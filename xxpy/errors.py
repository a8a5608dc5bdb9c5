"""Every fatal error of the project, each with its exit code and a reason that tests assert.

An error says what is wrong and where, and in ``remedy`` what to do about it: two lines, never a traceback.
Code below the command line raises one of these; only ``xxpy.cli`` prints them and ends the process.
"""

from __future__ import annotations


class XxError(Exception):
    """A failure that is told to the user in two lines.

    ``exit_code`` is the status of the process. ``reason`` is a short, stable, dashed name of the failure.
    ``place`` is where it is, as ``Dockerfile:12`` or a path; empty when the place is the command line.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", reason: str = "failed", place: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.reason = reason
        self.place = place

    def lines(self) -> list[str]:
        """The one or two lines a user reads, without colour and without the ``ERROR`` word before them."""
        first = f"{self.place}: {self.message}" if self.place else self.message
        return [first, self.remedy] if self.remedy else [first]


class UsageError(XxError):
    """A flag, a value or a combination of them that is not understood."""

    exit_code = 2


class PlatformError(UsageError):
    """A platform that cannot be read or that nothing here knows."""


class DockerfileError(XxError):
    """A Dockerfile that does not parse, or that names what is not there."""

    exit_code = 3


class UnsupportedError(DockerfileError):
    """A Dockerfile construct that is understood and not run."""


class HostError(XxError):
    """The machine lacks something the build needs: an emulator, an OCI runtime, a kernel feature."""

    exit_code = 4


class SourceError(XxError):
    """An input is missing or unusable: a base image, a context, a file that COPY names."""

    exit_code = 5


class RegistryError(SourceError):
    """A registry cannot be reached, refuses, or gives what is not what it should be."""


class StepError(XxError):
    """A RUN ended with a status other than 0. ``output`` has the last lines that it printed."""

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        reason: str = "failed",
        place: str = "",
        output: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, remedy=remedy, reason=reason, place=place)
        self.output = output


class StoreError(XxError):
    """The store cannot be read or written: a full disk, a wrong digest, another layout version."""

    exit_code = 7


class VerifyError(XxError):
    """The image is not what its platform says. ``problems`` has a line for each thing that is wrong in it."""

    exit_code = 8

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        reason: str = "failed",
        place: str = "",
        problems: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, remedy=remedy, reason=reason, place=place)
        self.problems = problems


class Interrupted(XxError):
    """Ctrl-C or SIGTERM ended the build; everything it had started is gone."""

    exit_code = 130
