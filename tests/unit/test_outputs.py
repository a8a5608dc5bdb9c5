"""``-o``: what is read of it, and what is refused before a build."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xxpy.build.annotations import Annotation
from xxpy.build.outputs import (
    Format,
    Output,
    check_file,
    check_folder,
    check_outputs,
    names_for,
    parse_output,
    with_shorthands,
)
from xxpy.errors import UsageError, XxError
from xxpy.platforms import Platform

FULL = "docker.io/library/a:latest"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out", Output("local", "out", tar=False)),
        ("a=b", Output("local", "a=b", tar=False)),
        ("-", Output("tar", "-")),
        ("type=local,dest=out", Output("local", "out", tar=False)),
        ("type=tar", Output("tar", "-")),
        ("type=tar,dest=x.tar,platform-split=false", Output("tar", "x.tar", split=False)),
        ("type=oci", Output("oci", "-")),
        ("TYPE=oci, Dest=a.tar", Output("oci", "a.tar")),
        ('type=oci,"dest=a,b",tar=0', Output("oci", "a,b", tar=False)),
        ("type=docker", Output("docker", "", format=Format(oci=False))),
        ("type=image,name=a", Output("image", "", names=(FULL,))),
        ("type=image,name=a,push=true", Output("image", "", names=(FULL,), push=True)),
        ("type=registry,name=a", Output("registry", "", names=(FULL,), push=True)),
        ("type=registry,push=false", Output("registry", "")),
        (
            "type=image,name=a,push-by-digest=true,name-canonical=true,push=true,registry.insecure=1",
            Output("image", "", names=(FULL,), push=True, by_digest=True, canonical=True, insecure=True),
        ),
        ("type=docker,dest=d.tar", Output("docker", "d.tar", format=Format(oci=False))),
        ("type=docker,dest=d.tar,compression=zstd", Output("docker", "d.tar", format=Format("zstd"))),
        ("type=docker,dest=d,oci-mediatypes=1,tar=False", Output("docker", "d", tar=False)),
        ("type=oci,dest=x,name=a", Output("oci", "x", names=(FULL,))),
        ('type=oci,dest=x,"name=a,b:1"', Output("oci", "x", names=(FULL, "docker.io/library/b:1"))),
        ("type=oci,dest=x,rewrite-timestamp=true", Output("oci", "x", rewrite=True)),
        (
            "type=oci,dest=x,compression=gzip,compression-level=9,force-compression=true",
            Output("oci", "x", format=Format("gzip", 9, force=True)),
        ),
        (
            "type=docker,dest=x,annotation.Org.A=b=c,annotation-index[linux/arm64].k=",
            Output("docker", "x", format=Format(annotations=(
                Annotation("manifest", "Org.A", "b=c"), Annotation("index", "k", "", Platform("linux", "arm64")),
            ))),
        ),
    ],
)  # fmt: skip
def test_read(text: str, expected: Output) -> None:
    assert parse_output(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "bad-output"), ("dest=x,tar=1", "bad-output"), ("type=nope,dest=x", "bad-output"),
        ("type=oci,x", "bad-output"), ("type=oci,dest=x,nope=1", "bad-output"), ("a\nb,c=1", "bad-output"),
        ("type=local", "bad-output"), ("type=local,dest=-", "bad-output"), ("type=oci,tar=false", "bad-output"),
        ("type=oci,dest=-,tar=false", "bad-output"), ("type=docker,tar=false", "bad-output"),
        ("type=oci,dest=x,tar=maybe", "bad-output"), ("type=local,dest=x,platform-split=2", "bad-output"),
        ("type=oci,dest=x,compression=lzma", "bad-output"), ("type=oci,dest=x,compression-level=10", "bad-output"),
        ("type=oci,dest=x,compression=zstd,compression-level=23", "bad-output"),
        ("type=oci,dest=x,compression-level=-1", "bad-output"), ("type=oci,dest=x,compression-level=²", "bad-output"),
        ("type=oci,dest=x,compression=uncompressed,compression-level=1", "bad-output"),
        ("type=docker,dest=x,oci-mediatypes=false,compression=zstd", "bad-output"),
        ("type=docker,dest=x,oci-mediatypes=false,annotation.a=b", "bad-output"),
        ("type=oci,dest=x,annotation=b", "bad-output"), ("type=oci,dest=x,annotation-nope.a=b", "bad-output"),
        ("type=oci,dest=x,name=UPPER", "bad-reference"),
        ("type=oci,dest=x,compression=estargz", "output-unsupported"),
        ("type=oci,dest=x,push=true", "output-unsupported"), ("type=docker,dest=x,context=c", "output-unsupported"),
        ("type=local,dest=x,compression=zstd", "output-unsupported"), ("type=tar,dest=x,tar=0", "output-unsupported"),
        ("type=image,name=x,dest=f", "output-unsupported"), ("type=registry,tar=true", "output-unsupported"),
        ("type=image,name=x,unpack=true", "output-unsupported"), ("type=image,name=x,push=perhaps", "bad-output"),
        ("type=local,dest=x,push=true", "output-unsupported"), ("type=cacheonly", "output-unsupported"),
    ],
)  # fmt: skip
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_output(text)
    assert caught.value.reason == reason and caught.value.remedy
    assert text.partition(",")[0][:20] in caught.value.message or reason == "bad-reference"


def refused(*texts: str, platforms: int = 1, epoch: int | None = None) -> str:
    with pytest.raises(XxError) as caught:
        check_outputs([parse_output(text) for text in texts], platforms, epoch)
    return caught.value.reason


def test_shorthands_of_push_and_load() -> None:
    image, archive = parse_output("type=image,name=a"), parse_output("type=docker,dest=d.tar")
    assert with_shorthands([], push=True, load=False) == (parse_output("type=registry"),)
    assert with_shorthands([image], push=True, load=False) == (parse_output("type=image,name=a,push=true"),)
    assert with_shorthands([archive], push=False, load=True) == (archive, parse_output("type=docker"))
    assert with_shorthands([archive], push=True, load=True) == (
        archive, parse_output("type=registry"), parse_output("type=docker"),
    )  # fmt: skip
    assert with_shorthands([parse_output("type=docker")], push=False, load=True) == (parse_output("type=docker"),)


def test_refused_before_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/mine").touch()
    (tmp_path / "file").touch()
    assert refused("type=docker,dest=d.tar", platforms=2) == "one-platform"
    assert refused("type=oci,dest=x,rewrite-timestamp=false", epoch=1) == "output-unsupported"
    assert refused("-", "type=oci") == "bad-output"
    assert refused("type=tar,dest=x", "type=oci,dest=./x") == "bad-output"
    assert refused("type=tar,dest=folder") == refused("type=oci,dest=folder,tar=false") == "bad-output"
    assert refused("file") == refused("file/below") == refused("type=tar,dest=file/below/x") == "bad-output"
    check_outputs([parse_output("folder"), parse_output("type=tar,dest=/dev/null"), parse_output("new/er")], 2, 1)
    assert refused("type=registry") == refused("type=image") == "bad-output"
    assert refused(f"type=registry,name=a@sha256:{'0' * 64}") == "bad-output"
    check_outputs(
        [parse_output("type=registry"), parse_output("type=image"), parse_output("type=docker")], 2, 1, [FULL]
    )
    check_outputs([parse_output("type=docker,dest=d.tar,rewrite-timestamp=false")], 1, None)


def test_what_is_there_of_another_kind_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    file, folder = tmp_path / "file", tmp_path / "folder"
    for text, words, remedy in (
        (str(file), "is a file, and a folder is to be written", "dest=DIR"),
        (f"type=local,dest={file}", "is a file", "dest=DIR"),
        (f"type=oci,tar=false,dest={file}", "is a file", "dest=DIR"),
        (f"type=tar,dest={folder}", "is a folder, and a file is to be written", "dest=FILE"),
        (f"type=oci,dest={folder}", "is a folder", "tar=false"),
        (f"type=tar,dest={file}/x", f"{file} is no folder", "dest="),
    ):
        with pytest.raises(UsageError) as caught:
            check_outputs([parse_output(text)], 1, None)
        assert words in caught.value.message and remedy in caught.value.remedy
    assert file.read_text() == "mine" and not list(folder.iterdir())


def test_files_and_caches_beside_the_image(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_file("--iidfile", tmp_path / "new/er/file")
    check_file("--iidfile", tmp_path / "file")
    check_file("--iidfile", Path("/dev/null"))
    check_folder("--cache-to", tmp_path)
    check_folder("--cache-to", tmp_path / "new/er")
    for path in (tmp_path, tmp_path / "file/x", Path("/")):
        with pytest.raises(UsageError) as caught:
            check_file("--iidfile", path)
        assert caught.value.reason == "bad-output" and caught.value.remedy
    for path in (tmp_path / "file", tmp_path / "file/x"):
        with pytest.raises(UsageError) as caught:
            check_folder("--cache-to", path)
        assert "no folder" in caught.value.message and caught.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; tests/e2e has it as another user")
def test_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert refused(str(closed)) == refused(f"type=oci,dest={closed}/x/y") == "store-unwritable"


def test_names_of_t_go_before_those_of_name() -> None:
    output = parse_output("type=oci,dest=x,name=a")
    assert names_for(output, ["t"]) == ("t",) and names_for(output, []) == (FULL,)


def test_a_folder_for_each_of_several_platforms() -> None:
    assert [parse_output("out").splits(count) for count in (1, 2)] == [False, True]
    assert parse_output("type=local,dest=o,platform-split=true").splits(1)
    assert not parse_output("type=local,dest=o,platform-split=false").splits(2)
