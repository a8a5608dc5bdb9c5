"""The context: what a COPY means of it, never more than it holds; and the keys that are made of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from test_front import AMD64, ARM64, FakeImages

from xxpy.build.context import Context, HashCache, Stamp, open_context
from xxpy.build.dockerfile.front import Request, make_graph
from xxpy.build.dockerfile.parse import parse
from xxpy.build.graph import CopyAction, Graph
from xxpy.build.keys import Keys, compute_keys
from xxpy.build.selection import clean, take
from xxpy.errors import SourceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "src/deep").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "src/x.c", "src/y.c", "src/deep/z.c"):
        (root / name).write_text(name)
    return root


def opened(folder: Path) -> Context:
    return open_context(folder, folder / "Dockerfile", folder.parent)


def names(context: Context, start: str = "") -> list[str]:
    return [path for path, _ in context.walk(start)]


def test_sources(folder: Path) -> None:
    context = opened(folder)
    assert context.select("a.txt") == ["a.txt"] and context.select("/src/") == ["src"] and context.select(".") == [""]
    assert context.select("*.txt") == ["a.txt", "b.txt"] and context.select("src/*.c") == ["src/x.c", "src/y.c"]
    assert context.select("s?c/deep/[z].c") == ["src/deep/z.c"] and context.select("nothing") == []
    assert context.select("../../a.txt") == ["a.txt"]


def test_links_never_lead_out(folder: Path) -> None:
    (folder.parent / "secret").write_text("x")
    for name, target in {
        "up": "../secret",
        "abs": str(folder.parent / "secret"),
        "loop": "loop",
        "in": "src/x.c",
    }.items():
        (folder / name).symlink_to(target)
    context = opened(folder)
    assert context.select("up") == [] and context.select("abs") == [] and context.select("loop") == []
    assert context.select("in") == ["src/x.c"]


def test_what_is_ignored_is_not_there(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*.txt\nsrc\n!src/deep\n")
    context = opened(folder)
    assert context.select("a.txt") == [] and context.select("*.txt") == []
    assert names(context) == ["", ".dockerignore", "src/deep", "src/deep/z.c"]


def test_the_dockerfiles_own_ignore_file_comes_first(folder: Path) -> None:
    (folder / ".dockerignore").write_text("a.txt\n")
    (folder / "Dockerfile.dockerignore").write_text("b.txt\n")
    context = opened(folder)
    assert context.select("a.txt") == ["a.txt"] and context.select("b.txt") == []


def test_an_ignore_file_that_is_a_folder_is_no_context_without_one(folder: Path) -> None:
    (folder / ".dockerignore").mkdir()
    with pytest.raises(SourceError, match=r"\.dockerignore is a folder") as caught:
        opened(folder)
    assert caught.value.remedy
    (folder / "Dockerfile.dockerignore").write_text("b.txt\n")
    assert opened(folder).select("b.txt") == []


def test_an_ignore_file_that_is_none_leaves_the_other(folder: Path) -> None:
    os.mkfifo(folder / "Dockerfile.dockerignore")
    (folder / ".dockerignore").write_text("b.txt\n")
    assert opened(folder).select("b.txt") == []


def test_sockets_are_left_out_and_fifos_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        context = opened(folder)
        assert "fifo" in names(context) and "socket" not in names(context)
        assert context.digest("") == context.digest("")


def test_the_digest_is_of_content_names_and_modes_and_not_of_times(folder: Path) -> None:
    first = opened(folder).digest("src")
    os.utime(folder / "src/x.c", (1, 1))
    assert opened(folder).digest("src") == first
    (folder / "src/x.c").chmod(0o755)
    second = opened(folder).digest("src")
    (folder / "src/x.c").write_text("other")
    third = opened(folder).digest("src")
    (folder / "src/x.c").rename(folder / "src/w.c")
    assert len({first, second, third, opened(folder).digest("src")}) == 4


def test_a_hash_is_kept_only_while_the_file_is_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    os.utime(file, (1, 1))
    cache = HashCache(tmp_path / "cache")
    # A stamp from long ago, so that the file counts as settled.
    stamp = Stamp(3, 1, 1, file.stat().st_ino)
    known = cache.digest(str(file), stamp)
    cache.save()
    file.write_text("two")
    assert HashCache(tmp_path / "cache").digest(str(file), stamp) == known
    assert HashCache(tmp_path / "cache").digest(str(file), Stamp(3, 2, 1, stamp.inode)) != known
    (tmp_path / "cache").write_text("{damaged")
    assert HashCache(tmp_path / "cache").digest(str(file), stamp) != known


def test_no_context(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_context(tmp_path / "nowhere", tmp_path / "Dockerfile", tmp_path)
    assert caught.value.reason == "context-missing"


def test_clean() -> None:
    assert [clean(path) for path in ("/a/./b/", "../a", "a/../b", ".", "")] == ["a/b", "a", "b", "", ""]


def keys_of(folder: Path, text: str) -> tuple[Graph, Keys]:
    request = Request((AMD64, ARM64), AMD64)
    graph = make_graph(parse(text, "Dockerfile"), request, FakeImages())
    return graph, compute_keys(graph, opened(folder), "Dockerfile")


TEXT = "FROM a\nCOPY a.txt /\nRUN one\nCOPY src /src\nRUN two\n"


def changed(folder: Path, change: str) -> set[str]:
    """The steps whose keys differ after ``change`` was rewritten."""
    graph, before = keys_of(folder, TEXT)
    (folder / change).write_text("changed")
    _, after = keys_of(folder, TEXT)
    return {vertex.label.text for vertex in graph if before.of[vertex.digest] != after.of[vertex.digest]}


def test_a_changed_file_changes_only_what_depends_on_it(folder: Path) -> None:
    assert changed(folder, "src/x.c") == {"COPY src /src", "RUN two"}
    assert changed(folder, "a.txt") == {"COPY a.txt /", "RUN one", "COPY src /src", "RUN two"}
    assert changed(folder, "b.txt") == set()


def test_labels_and_line_numbers_are_not_in_a_key(folder: Path) -> None:
    one = keys_of(folder, TEXT)[1].of.values()
    two = keys_of(folder, "# moved\n\n" + TEXT.replace("RUN one", "RUN   one"))[1].of.values()
    assert sorted(one) == sorted(two)


MOUNTED = (
    "FROM a AS s\nCOPY b.txt /\nFROM a\nRUN --mount=target=/c,source=src one\nRUN --mount=from=s,target=/s two\n"
    "RUN --mount=target=/a,source=/a.txt --mount=type=cache,target=/k three\n"
)


def test_a_mount_of_the_context_is_keyed_by_what_it_shows(folder: Path) -> None:
    def differ(change: str) -> set[str]:
        graph, before = keys_of(folder, MOUNTED)
        (folder / change).write_text("changed")
        _, after = keys_of(folder, MOUNTED)
        runs = [vertex for vertex in graph if vertex.label.text.startswith("RUN")]
        return {vertex.label.text.split()[-1] for vertex in runs if before.of[vertex.digest] != after.of[vertex.digest]}

    assert differ("src/deep/z.c") == {"one", "two", "three"}
    assert differ("b.txt") == {"two", "three"} and differ("a.txt") == {"three"}
    (folder / "other").write_text("x")
    assert differ("other") == set()


def test_a_mounts_source_is_a_name_and_no_pattern(folder: Path) -> None:
    (folder / "[a].txt").write_text("x")
    (folder / "link").symlink_to("src")
    text = "FROM a\nRUN --mount=target=/c,source=[a].txt --mount=target=/d,source=link/deep x\n"

    def changed(name: str) -> bool:
        graph, before = keys_of(folder, text)
        (folder / name).write_text("changed")
        last = [vertex.digest for vertex in graph][-1]
        return before.of[last] != keys_of(folder, text)[1].of[last]

    assert changed("[a].txt") and changed("src/deep/z.c") and not changed("a.txt")


@pytest.mark.parametrize("source", ["nowhere", "*.txt", "b.txt", "../outside", "out"])
def test_a_mounts_source_that_is_missing_has_its_place(folder: Path, source: str) -> None:
    (folder / ".dockerignore").write_text("b.txt\n")
    (folder.parent / "outside").write_text("x")
    (folder / "out").symlink_to(folder.parent / "outside")
    with pytest.raises(SourceError) as caught:
        keys_of(folder, f"FROM a\n\nRUN --mount=target=/c,source={source} x\n")
    assert caught.value.reason == "mount-source-missing" and caught.value.place == "Dockerfile:3"


@pytest.mark.parametrize("source", ["nowhere", "no/*.c", "a.txt nowhere", "dangl*"])
def test_a_missing_source_has_its_place(folder: Path, source: str) -> None:
    (folder / "dangling").symlink_to("nothing")
    with pytest.raises(SourceError) as caught:
        keys_of(folder, f"FROM a\n\nCOPY {source} /to/\n")
    assert caught.value.reason == "copy-source-missing" and caught.value.place == "Dockerfile:3"


def differs(folder: Path, text: str, change: str) -> bool:
    """Whether the last step's key is another after the file ``change`` was written."""
    keys = []
    for content in ("before", "after"):
        (folder / change).write_text(content)
        graph, found = keys_of(folder, text)
        keys.append(found.of[list(graph)[-1].digest])
    return keys[0] != keys[1]


@pytest.mark.parametrize(
    ("step", "covered", "other"),
    [
        ("COPY --exclude=*.c src /", "src/deep/z.c", "src/x.c"),
        ("COPY --exclude=deep --exclude=!deep/z.c src /", "src/deep/z.c", "src/deep/new"),
        ("COPY --exclude=*.c src/* /to/", "src/new", "src/x.c"),
        ("COPY --parents src/**/z.c /", "src/deep/z.c", "src/x.c"),
        ("COPY --parents src/./deep /", "src/deep/new", "a.txt"),
        ("COPY --parents --exclude=deep/z.c src/./ /", "src/x.c", "src/deep/z.c"),
        ("ADD src/*.c /", "src/x.c", "src/deep/z.c"),
    ],
)
def test_the_key_covers_just_what_is_copied(folder: Path, step: str, covered: str, other: str) -> None:
    (folder / "src/deep/w.c").write_text("w")
    assert differs(folder, f"FROM a\n{step}\n", covered)
    assert not differs(folder, f"FROM a\n{step}\n", other)


def test_links_between_files_attributes_and_names_are_in_the_key(folder: Path) -> None:
    def key(source: str) -> str:
        graph, found = keys_of(folder, f"FROM a\nCOPY {source} /to/\n")
        return found.of[list(graph)[-1].digest]

    (folder / "src/y.c").write_text("src/x.c")
    before = key("src")
    (folder / "src/y.c").unlink()
    (folder / "src/y.c").hardlink_to(folder / "src/x.c")
    assert (linked := key("src")) != before
    os.setxattr(folder / "src/x.c", "user.mark", b"1")
    assert key("src") != linked
    os.chmod(folder / "src", 0o700)
    assert key("src") == key("src")


def test_what_a_fetched_source_is_is_its_key(folder: Path) -> None:
    request = Request((AMD64,), AMD64)
    found = []
    for host in ("one.test", "two.test"):
        graph = make_graph(parse(f"FROM a\nADD https://{host}/f /\n", "Dockerfile"), request, FakeImages())
        (source,) = [vertex.digest for vertex in graph if vertex.label.text.startswith("fetch")]
        keys = [compute_keys(graph, opened(folder), "Dockerfile", {source: content}).of for content in ("1", "2")]
        found += [{key for digest, key in each.items()} for each in keys]
        assert found[-1] != found[-2]


def test_a_link_is_followed_inside_and_keeps_its_name(folder: Path) -> None:
    (folder / "link").symlink_to("/src/x.c")
    (folder / "hidden").symlink_to("a.txt")
    (folder / ".dockerignore").write_text("hidden\n")
    action = CopyAction(1, (), "/")
    taken = take(opened(folder), action, "link")
    assert [(one.path, one.name) for one in taken] == [("src/x.c", "link")]
    assert [one.name for one in take(opened(folder), action, "[hl]i*")] == ["link"]
    with pytest.raises(SourceError) as caught:
        take(opened(folder), action, "hidden")
    assert caught.value.reason == "copy-source-missing"


def test_patterns_do_not_go_through_links(folder: Path) -> None:
    (folder.parent / "outside").mkdir()
    (folder.parent / "outside/secret").write_text("x")
    (folder / "way-out").symlink_to(folder.parent / "outside")
    (folder / "way-in").symlink_to("src")
    assert take(opened(folder), CopyAction(1, (), "/"), "*/secret") == []
    assert take(opened(folder), CopyAction(1, (), "/"), "way-*/x.c") == []


def test_folders_on_the_way_come_with_what_is_in_them(folder: Path) -> None:
    (folder / ".dockerignore").write_text("src\n!src/deep/z.c\n")
    (one,) = take(opened(folder), CopyAction(1, (), "/"), "src")
    assert [(entry.name, entry.parent) for entry in one.entries] == [("", False), ("deep", True), ("deep/z.c", False)]
