"""`xx`: the builder's commands."""

from __future__ import annotations

import importlib

import click

from xxpy import __version__
from xxpy.cli.base import base_command
from xxpy.cli.build import build_command
from xxpy.cli.builder import builder_command
from xxpy.cli.doctor import doctor_command
from xxpy.cli.image import image_command
from xxpy.cli.usage import Program

_LATE = {
    "cache": "cache_group",
    "images": "images_group",
    "inspect": "inspect_command",
    "merge": "merge_command",
    "pull": "pull_command",
    "push": "push_command",
}
"""Commands with a module each that is imported when they are called: a build does without them."""


class _Commands(Program):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group.list_commands`."""
        return sorted([*super().list_commands(ctx), *_LATE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See `click.Group.get_command`."""
        if cmd_name not in _LATE:
            return super().get_command(ctx, cmd_name)
        found = getattr(importlib.import_module(f"xxpy.cli.{cmd_name}"), _LATE[cmd_name])
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "--version", message="xx %(version)s")
def main() -> None:
    """Build images for several platforms: what compiles runs natively, only what must is emulated."""


for _command in (build_command, base_command, image_command, builder_command, doctor_command):
    main.add_command(_command)
