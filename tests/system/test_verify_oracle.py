"""What xx-verify reads of this machine's own files is what pyelftools reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from xxpy.verify.elf import parse_elf
from xxpy.verify.elfdeep import read_needs
from xxpy.verify.source import Source, open_regular

FOLDERS = ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib")
MOST = 400


def files() -> list[Path]:
    folders = [Path(folder) for folder in FOLDERS if Path(folder).is_dir()]
    found = [
        path for folder in folders for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()
    ]
    found = [path for path in found if os.access(path, os.R_OK)]
    return [path for path in found if path.open("rb").read(4) == b"\x7fELF"][:MOST]


def test_the_same_as_pyelftools() -> None:
    compared = 0
    for path in files():
        with path.open("rb") as file:
            try:
                elf = ELFFile(file)
                dynamic = next((each for each in elf.iter_segments() if each.header.p_type == "PT_DYNAMIC"), None)
                needed = (
                    [tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"] if dynamic else []
                )
                interpreter = next(
                    (s.get_interp_name() for s in elf.iter_segments() if s.header.p_type == "PT_INTERP"), ""
                )
                section = next((each for each in elf.iter_sections() if isinstance(each, GNUVerNeedSection)), None)
                versions = [(v.name, a.name) for v, aux in section.iter_versions() for a in aux] if section else []
            except ELFError:
                continue
        fd, size = open_regular(path)
        try:
            source = Source(fd, size, "ELF file")
            header = parse_elf(source)
            needs = read_needs(source, header)
        finally:
            os.close(fd)
        assert header.bits == elf.elfclass, path
        assert header.interpreter == interpreter, path
        assert needs.libraries == needed, path
        assert needs.versions == versions, path
        compared += 1
    if not compared:
        pytest.skip("this machine has no ELF files where they are looked for")
