"""Outputs come to their names when they are whole."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from xxpy.build.destination import output_file, output_folder
from xxpy.build.engine.namespace import undisturbed
from xxpy.build.outputs import check_file
from xxpy.errors import StoreError


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    dest = tmp_path / "new/er/file"
    for data in (b"one", b"two"):
        with output_file(str(dest)) as out:
            out.write(data)
            assert not dest.exists() or dest.read_bytes() == b"one"
    assert dest.read_bytes() == b"two" and os.listdir(dest.parent) == ["file"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("older")
    with pytest.raises(KeyboardInterrupt), output_file(str(tmp_path / "file")) as out:
        out.write(b"half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), output_folder(str(tmp_path / "folder")) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert (tmp_path / "file").read_text() == "older" and os.listdir(tmp_path) == ["file"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with output_folder(str(tmp_path / "folder")) as folder:
            (folder / name).touch()
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == ["b"]


def test_a_file_that_came_meanwhile_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught, output_folder(str(tmp_path / "dest")) as folder:
        (folder / "a").touch()
        (tmp_path / "dest").write_text("mine")
    assert "is a file" in caught.value.message and caught.value.remedy
    assert (tmp_path / "dest").read_text() == "mine" and os.listdir(tmp_path) == ["dest"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with output_file(str(tmp_path / "link")) as out:
        out.write(b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"x"


def test_a_link_in_a_folder_of_others_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("mine")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with output_file(str(tmp_path / name), own=False) as out:
            out.write(b"x")
        assert not (tmp_path / name).is_symlink() and (tmp_path / name).read_bytes() == b"x"
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with output_file(str(tmp_path / "pipe")) as out:
        out.write(b"through")
    reader.join()
    assert found == [b"through"] and (tmp_path / "pipe").is_fifo()


def test_what_is_open_is_written_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("ab", buffering=0) as log:
        (tmp_path / "out").symlink_to(f"/proc/self/fd/{log.fileno()}")
        for dest in (f"/dev/fd/{log.fileno()}", f"/proc/self/fd/{log.fileno()}", os.fspath(tmp_path / "out")):
            with output_file(dest) as file:
                file.write(b"made\n")
            check_file("--iidfile", Path(dest))
        log.write(b"after\n")
    assert path.read_text() == "before\nmade\nmade\nmade\nafter\n" and (tmp_path / "out").is_symlink()


def test_a_full_disk() -> None:
    # full(4): every write ends with ENOSPC.
    with pytest.raises(StoreError) as caught, output_file("/dev/full") as out:
        out.write(b"x" * 100_000)
    assert caught.value.reason == "disk-full" and "dest=" in caught.value.remedy
    assert Path("/dev/full").is_char_device()


def test_signals_wait(tmp_path: Path) -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    # The kernel may give a signal to any thread.
    ended = threading.Event()
    threading.Thread(target=ended.wait).start()
    try:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == []
        assert seen == [signal.SIGTERM]
    finally:
        ended.set()
        signal.signal(signal.SIGTERM, old)
