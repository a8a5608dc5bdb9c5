"""Writes one launcher for each xx-* command of pyproject.toml into the folder given as the argument.

A launcher is a shell script that starts the image's own Python through the image's own loader, so that it runs in any
root filesystem that has /bin/sh, whatever its C library is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HOME = "/usr/lib/xx"

TEMPLATE = """\
#!/bin/sh
exec {home}/ld.so --library-path {home}/lib {home}/bin/python3 -I -S -c 'import sys
sys.path.append("{home}/app")
sys.argv[0] = sys.argv.pop(1)
from {module} import {function}
sys.exit({function}())' "$0" "$@"
"""


def main() -> None:
    project, folder = Path(sys.argv[1]), Path(sys.argv[2])
    section = project.read_text().partition("[project.scripts]")[2].partition("\n[")[0]
    for name, module, function in re.findall(r'^"?([\w+-]+)"? = "([\w.]+):(\w+)"$', section, re.MULTILINE):
        # `xx` itself is the builder and stays outside of stages.
        if name.startswith("xx-"):
            path = folder / name
            path.write_text(TEMPLATE.format(home=HOME, module=module, function=function))
            path.chmod(0o755)


main()
