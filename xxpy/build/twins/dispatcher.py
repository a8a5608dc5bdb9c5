"""The dispatcher as a file: dispatcher.c compiled for this machine, with a copy of QEMU behind it.

The package brings it compiled where it was built with a C compiler; else the first build that wants it compiles it. The
copy of QEMU is a segment of its own, which the kernel maps but does not read until a chroot needs it.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from pathlib import Path

from xxpy.build.engine.process import output_of
from xxpy.build.tools import Emulator, find_program
from xxpy.errors import HostError

SOURCE = Path(__file__).with_name("dispatcher.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = (
    "-O2", "-std=gnu11", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie",
    "-fno-asynchronous-unwind-tables", "-Wl,--build-id", "-Wl,-z,noexecstack",
)  # fmt: skip

_MARK = b"XX-EMBEDDED-QEMU"
_PT_LOAD, _PT_NOTE, _PF_R = 1, 4, 4
_AT = 0x10000000
"""Where the copy of QEMU lies in the dispatcher's memory; the program itself is far below."""
_PAGE = 65536


def dispatcher(folder: Path, emulator: Emulator) -> Path:
    """The dispatcher with ``emulator`` in it, kept in ``folder``.

    Raises HostError (``no-dispatcher``) where there is neither a compiled one nor a compiler; OSError.
    """
    qemu = Path(emulator.path).read_bytes()
    program = compiled(folder)
    name = hashlib.sha256(program + qemu).hexdigest()[:16]
    path = folder / f"dispatcher-{emulator.arch}-{name}"
    if not path.exists():
        _write(path, embed(program, qemu))
    return path


def can_dispatch() -> bool:
    """Whether the dispatcher is there or can be compiled."""
    return _ready().exists() or _compiler() is not None


def _ready() -> Path:
    """Where a package that was built with a C compiler has the dispatcher."""
    return SOURCE.with_name(f"dispatcher-{os.uname().machine}")


def _compiler() -> str | None:
    return next((found for name in COMPILERS if (found := find_program(name))), None)


def compiled(folder: Path) -> bytes:
    """The program without QEMU: the package's, else one that is compiled now and kept in ``folder``.

    Raises HostError (``no-dispatcher``), OSError.
    """
    if _ready().exists():
        return _ready().read_bytes()
    source = SOURCE.read_bytes()
    path = folder / f"dispatcher-{hashlib.sha256(source).hexdigest()[:16]}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "dispatcher"
            compile_to(made)
            _write(path, made.read_bytes())
    return path.read_bytes()


def compile_to(path: Path) -> None:
    """Compile dispatcher.c to ``path``. Raises HostError (``no-dispatcher``)."""
    compiler = _compiler()
    if compiler is None:
        raise HostError(
            "there is no C compiler for the dispatcher", remedy="apt-get install -y gcc", reason="no-dispatcher"
        )
    try:
        output_of([compiler, *FLAGS, "-o", str(path), str(SOURCE)])
    except HostError as error:
        raise HostError(error.message, remedy=error.remedy, reason="no-dispatcher") from None


def embed(program: bytes, qemu: bytes) -> bytes:
    """``program``, an ELF file, with ``qemu`` as a read-only segment in the place of its notes.

    The program's header for notes (PT_NOTE, gABI "Program Header") becomes that of the segment. Raises HostError
    (``no-dispatcher``) for what is no dispatcher.
    """
    data = bytearray(program)
    data += b"\0" * (-len(data) % _PAGE)
    offset = len(data)
    mark = data.find(_MARK)
    start, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    notes = [at for at in range(start, start + size * count, size) if struct.unpack_from("<I", data, at)[0] == _PT_NOTE]
    if mark < 0 or not notes:
        raise HostError("the compiled dispatcher has no place for QEMU", remedy="", reason="no-dispatcher")
    length = len(qemu)
    struct.pack_into("<IIQQQQQQ", data, notes[0], _PT_LOAD, _PF_R, offset, _AT, _AT, length, length, _PAGE)
    struct.pack_into("<QQ", data, mark + len(_MARK), _AT, length)
    return bytes(data) + qemu


def _write(path: Path, data: bytes) -> None:
    """A program at ``path`` at once, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.chmod(file.name, 0o755)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
