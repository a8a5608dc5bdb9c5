"""`xx`: the builder's commands."""

from __future__ import annotations

import click

from xxpy import __version__
from xxpy.cli.base import base_command
from xxpy.cli.build import build_command
from xxpy.cli.cache import cache_group
from xxpy.cli.doctor import doctor_command
from xxpy.cli.image import image_command
from xxpy.cli.images import images_group
from xxpy.cli.inspect import inspect_command
from xxpy.cli.merge import merge_command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "--version", message="xx %(version)s")
def main() -> None:
    """Build images for several platforms: what compiles runs natively, only what must is emulated."""


_COMMANDS = (
    build_command, base_command, image_command, images_group, inspect_command, merge_command, cache_group,
    doctor_command,
)  # fmt: skip
for _command in _COMMANDS:
    main.add_command(_command)
