"""`xx`: the builder's commands."""

from __future__ import annotations

import click

from xxpy import __version__
from xxpy.cli.base import base_command
from xxpy.cli.build import build_command
from xxpy.cli.cache import cache_group
from xxpy.cli.doctor import doctor_command
from xxpy.cli.image import image_command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "--version", message="xx %(version)s")
def main() -> None:
    """Build images for several platforms: what compiles runs natively, only what must is emulated."""


for _command in (build_command, base_command, image_command, cache_group, doctor_command):
    main.add_command(_command)
