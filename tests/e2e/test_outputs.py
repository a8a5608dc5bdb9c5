"""What ``-o`` writes: read back by others' tools, for one platform and several, and when it cannot be written."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import lacking, skopeo
from support import BOTH, Xx, index_of, store_from

KINDS = """FROM busybox
RUN mkdir -p /d/sub && echo content >/d/f && ln /d/f /d/hard && ln -s f /d/link && mkfifo /d/pipe && chmod 4755 /d/f
RUN chown 5:6 /d/sub && chmod 1770 /d/sub && echo gone >/d/gone && mkdir /o && echo old >/o/old && echo 1 >/late
RUN rm /d/gone && rm -r /o && mkdir /o && echo new >/o/new
"""


def test_files_as_folder_and_as_tar(xx: Xx) -> None:
    done = xx.build(KINDS, "-o", "out", "-o", "type=tar,dest=root.tar")
    assert done.code == 0, done
    out = xx.folder / "out"
    assert not (out / "d/gone").exists() and os.listdir(out / "o") == ["new"]
    assert os.readlink(out / "d/link") == "f" and (out / "d/pipe").is_fifo()
    assert (out / "d/f").samefile(out / "d/hard") and (out / "d/f").read_text() == "content\n"
    assert stat.S_IMODE((out / "d/f").stat().st_mode) == 0o4755
    assert stat.S_IMODE((out / "d/sub").stat().st_mode) == 0o1770
    if os.geteuid() == 0:
        assert ((out / "d/sub").stat().st_uid, (out / "d/sub").stat().st_gid) == (5, 6)
    assert [name for name in os.listdir(xx.folder) if name.startswith(".")] == []
    with tarfile.open(xx.folder / "root.tar") as tar:
        entries = {one.name: one for one in tar}
    listed = {os.fspath(path.relative_to(out)) for path in out.rglob("*")}
    assert set(entries) == listed
    assert entries["d/hard"].islnk() and entries["d/hard"].linkname == "d/f" and entries["d/f"].mode == 0o4755
    assert entries["d/link"].issym() and entries["d/pipe"].isfifo()
    assert (entries["d/sub"].uid, entries["d/sub"].gid, entries["d/sub"].mode) == (5, 6, 0o1770)
    for name, entry in entries.items():
        assert int((out / name).lstat().st_mtime) == entry.mtime, name


def test_gnu_tar_reads_it_from_stdout(xx: Xx) -> None:
    xx.dockerfile("FROM busybox\nRUN mkdir /d && echo x >/d/f\n")
    argv = xx.argv("build", "-q", "-o", "-", ".")
    sent = subprocess.run(argv, cwd=xx.folder, env=xx.environment(), capture_output=True, check=False)
    assert sent.returncode == 0 and sent.stderr == b""
    found = subprocess.run(["tar", "-xO", "d/f"], input=sent.stdout, capture_output=True, check=True)
    assert found.stdout == b"x\n" and found.stderr == b""


def test_who_reads_no_more_is_no_error(xx: Xx) -> None:
    xx.dockerfile("FROM debian:trixie\n")
    words = " ".join(shlex.quote(word) for word in xx.argv("build", "-q", "-o", "-", "."))
    line = f"{words} | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=xx.folder, env=xx.environment(), capture_output=True, text=True)
    assert done.stdout == "141\n" and done.stderr == "", done


def test_extended_attributes(xx: Xx) -> None:
    # setxattr(2) by number, on amd64 and arm64: no tool for it is in the image.
    (xx.folder / "set.pl").write_text(
        "my $number = `uname -m` =~ /x86_64/ ? 188 : 5;\n"
        'sub set { my @given = map { "$_" } @_; syscall($number, @given, length $_[2], 0) == 0 or die "$_[0]: $!" }\n'
        'set("/marked", "user.word", "va\\xc3\\xbc\\xff");\n'
        'set("/able", "security.capability", "\\x01\\0\\0\\x02\\0\\x04\\0\\0" . "\\0" x 12);\n'
    )
    text = "FROM debian:trixie\nCOPY set.pl /\nRUN touch /marked /able && perl /set.pl\n"
    done = xx.build(text, "-o", "out", "-o", "type=tar,dest=root.tar")
    assert done.code == 0, done.err
    assert os.getxattr(xx.folder / "out/marked", "user.word") == b"va\xc3\xbc\xff"
    with tarfile.open(xx.folder / "root.tar") as tar:
        headers = {one.name: one.pax_headers for one in tar if one.name in ("marked", "able")}
    word = headers["marked"]["SCHILY.xattr.user.word"]
    assert word.encode(errors="surrogateescape") == b"va\xc3\xbc\xff"
    assert len(headers["able"]["SCHILY.xattr.security.capability"]) == 20
    if os.geteuid() == 0:
        assert len(os.getxattr(xx.folder / "out/able", "security.capability")) == 20
    else:
        assert "extended attributes left out" in done.err


def test_two_platforms_have_a_folder_each(xx: Xx) -> None:
    text = "FROM busybox AS b\nARG TARGETARCH\nRUN mkdir /o && echo $TARGETARCH >/o/$TARGETARCH\n"
    text += "FROM scratch\nCOPY --from=b /o /\n"
    done = xx.build(text, "--platform", BOTH, "-o", "out", "-o", "type=tar,dest=root.tar",
                    "-o", "type=local,dest=one,platform-split=false")  # fmt: skip
    assert done.code == 0, done
    files = {f"linux_{arch}/{arch}" for arch in ("amd64", "arm64")}
    assert {os.fspath(path.relative_to(xx.folder / "out")) for path in (xx.folder / "out").glob("*/*")} == files
    with tarfile.open(xx.folder / "root.tar") as tar:
        assert tar.getnames() == ["linux_amd64", "linux_amd64/amd64", "linux_arm64", "linux_arm64/arm64"]
    assert sorted(os.listdir(xx.folder / "one")) == ["amd64", "arm64"]
    done = xx.build("FROM busybox\n", "--platform", BOTH, "-o", "type=local,dest=two,platform-split=false")
    assert done.code == 2 and "platform-split" in done.err and not (xx.folder / "two").exists(), done


def test_the_base_alone_and_nothing_at_all(xx: Xx) -> None:
    assert xx.build("FROM busybox\n", "-o", "base").code == 0
    assert (xx.folder / "base/bin/busybox").exists()
    for _ in range(2):
        done = xx.build("FROM scratch\nLABEL a=b\n", "-o", "empty", "-o", "type=tar,dest=empty.tar")
        assert done.code == 0, done
    assert os.listdir(xx.folder / "empty") == []
    with tarfile.open(xx.folder / "empty.tar") as tar:
        assert tar.getnames() == []


def test_files_of_the_user_stay(xx: Xx) -> None:
    (xx.folder / "out/d").mkdir(parents=True)
    (xx.folder / "out/d/mine").write_text("mine")
    text = "FROM scratch\nCOPY <<EOF /d/f\n1\nEOF\n"
    for content in ("1", "2"):
        assert xx.build(text.replace("1", content), "-o", "out").code == 0
        assert (xx.folder / "out/d/f").read_text() == f"{content}\n"
    assert (xx.folder / "out/d/mine").read_text() == "mine" and os.listdir(xx.folder / "out") == ["d"]
    (xx.folder / "bad/d/f/mine").mkdir(parents=True)
    done = xx.build(text, "-o", "bad")
    assert done.code == 2 and (xx.folder / "bad/d/f/mine").is_dir(), done


def test_a_tar_is_the_same_each_time(xx: Xx) -> None:
    found = []
    for name in ("a", "b"):
        done = xx.build(KINDS, "--no-cache", "-o", f"type=tar,dest={name}.tar", "-o", name,
                        env={"SOURCE_DATE_EPOCH": "1700000000"})  # fmt: skip
        assert done.code == 0, done
        found.append((xx.folder / f"{name}.tar").read_bytes())
        assert max(path.lstat().st_mtime for path in (xx.folder / name).rglob("*")) == 1700000000
    assert found[0] == found[1]


def test_docker_archive(xx: Xx) -> None:
    done = xx.build(KINDS, "-t", "team/app:1", "-t", "app", "-o", "type=docker,dest=d.tar", "--metadata-file", "m.json",
                    "--iidfile", "id")  # fmt: skip
    assert done.code == 0, done
    seen = skopeo("inspect", "docker-archive:d.tar:team/app:1", cwd=xx.folder)
    assert seen["Architecture"] in ("amd64", "arm64") and len(seen["Layers"]) == 4
    skopeo("copy", "docker-archive:d.tar:app:latest", "oci:read:1", cwd=xx.folder)
    with tarfile.open(xx.folder / "d.tar") as tar:

        def read(name: str) -> Any:
            member = tar.extractfile(name)
            assert member is not None
            return json.load(member)

        (entry,) = read("manifest.json")
        assert entry["RepoTags"] == ["team/app:1", "app:latest"]
        assert {entry["Config"], *entry["Layers"]} < set(tar.getnames())
        manifests = read("index.json")["manifests"]
        assert {one["annotations"]["io.containerd.image.name"] for one in manifests} == {
            "docker.io/team/app:1", "docker.io/library/app:latest",
        }  # fmt: skip
        manifest = read("blobs/" + manifests[0]["digest"].replace(":", "/"))
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    metadata = json.loads((xx.folder / "m.json").read_text())
    assert (
        metadata["containerimage.digest"] == manifests[0]["digest"] == metadata["containerimage.descriptor"]["digest"]
    )
    config = manifest["config"]["digest"]
    assert metadata["containerimage.config.digest"] == config == (xx.folder / "id").read_text()
    assert metadata["image.name"] == "docker.io/team/app:1,docker.io/library/app:latest"
    done = xx.build(KINDS, "--platform", BOTH, "-o", "type=docker,dest=two.tar")
    assert done.code == 2 and "one platform" in done.err and not (xx.folder / "two.tar").exists()


def test_forms_of_an_image(xx: Xx) -> None:
    done = xx.build(
        "FROM busybox\nRUN echo x >/x\n", "--platform", BOTH, "-o", "type=oci,dest=z.tar,name=z:1,compression=zstd,"
        "annotation-index.a=b", "-o", "type=oci,dest=u,tar=false,compression=uncompressed,force-compression=true",
        "--metadata-file", "m.json",
    )  # fmt: skip
    assert done.code == 0, done
    found = []
    for source in ("oci-archive:z.tar:1", "oci:u"):
        # skopeo checks each layer against the config as it copies.
        folder = f"dir:{source.partition(':')[0]}"
        skopeo("--override-arch", "arm64", "copy", source, folder, cwd=xx.folder)
        manifest = json.loads((xx.folder / folder.removeprefix("dir:") / "manifest.json").read_text())
        found.append([layer["mediaType"].rpartition(".")[2] for layer in manifest["layers"]])
    assert found == [["tar+gzip", "tar+zstd"], ["tar", "tar"]]
    metadata = json.loads((xx.folder / "m.json").read_text())
    index = json.loads((xx.folder / "u/index.json").read_text())["manifests"][0]
    assert metadata["containerimage.digest"] == index["digest"] and "containerimage.config.digest" not in metadata
    assert metadata["image.name"] == "docker.io/library/z:1"
    assert json.loads(subprocess.check_output(
        ["tar", "-xOf", "z.tar", "blobs/" + _top(xx.folder / "z.tar").replace(":", "/")], cwd=xx.folder
    ))["annotations"] == {"a": "b"}  # fmt: skip


def _top(archive: Path) -> str:
    with tarfile.open(archive) as tar:
        member = tar.extractfile("index.json")
        assert member is not None
        return str(json.load(member)["manifests"][0]["digest"])


def test_stages_named_run_again_with_all_that_takes_from_them(xx: Xx) -> None:
    text = "FROM busybox AS a\nRUN echo ran-a\nFROM busybox AS b\nRUN echo ran-b; date +%N >/x\n"
    text += "FROM busybox\nCOPY --from=b /x /\nRUN echo ran-last\nCOPY --from=a /bin/sh /sh\n"
    assert xx.build(text).code == 0
    again = xx.build(text, "--no-cache-filter", "b")
    assert again.code == 0, again
    assert set(re.findall(r"^#\d+ \d+\.\d+ (ran-.*)$", again.err, re.MULTILINE)) == {"ran-b", "ran-last"}, again
    wrong = xx.build(text, "--no-cache-filter", "nope")
    assert wrong.code == 2 and "its stages are: a, b, stage-2" in wrong.err


def test_none_is_silent(xx: Xx) -> None:
    xx.dockerfile("FROM busybox\n")
    quiet = xx.run("build", ".", env={"BUILDKIT_PROGRESS": "none"})
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    id_ = xx.run("build", "-q", "--iidfile", "id", ".")
    assert id_.out.strip() == (xx.folder / "id").read_text()


def test_a_full_disk_leaves_what_was_there(xx: Xx, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        lacking("root, to mount a small tmpfs")
    small = tmp_path / "small"
    small.mkdir()
    xx.dockerfile("FROM busybox\nRUN head -c 2000000 /dev/urandom >/big\n")
    outputs = (f"{small}", f"type=local,dest={small}/new", f"type=tar,dest={small}/r.tar",
               f"type=docker,dest={small}/d", f"type=oci,dest={small}/o,tar=false")  # fmt: skip
    script = (
        f"mount -t tmpfs -o size=512k none {small} && echo mine >{small}/mine || exit 99\n"
        f'for output in {" ".join(outputs)}; do "$@" -o $output .; echo "code $?"; ls -A {small}; done'
    )
    # In a namespace of its own: other tests look at the host's mounts meanwhile.
    done = xx.run("build", "--progress", "plain", before=["unshare", "--mount", "sh", "-c", script, "sh"])
    assert done.out.split("\n") == ["code 7", "mine"] * len(outputs) + [""], done
    errors = [line for line in done.err.splitlines() if line.startswith("ERROR")]
    assert len(errors) == len(outputs) and all("no space left" in line for line in errors), done
    assert done.err.count("dest=") >= len(outputs), done


@pytest.mark.parametrize("output", ["type=local,dest=there", "type=local,dest=new", "type=tar,dest=new"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_half(xx: Xx, output: str, number: signal.Signals) -> None:
    (xx.folder / "there").mkdir()
    xx.dockerfile("FROM debian:trixie\n")
    started = xx.start("build", "--progress", "plain", "-o", output, ".")
    assert started.stdout is not None
    for line in started.stdout:
        if b"writing" in line and b"layers" not in line:
            break
    started.send_signal(number)
    rest, _ = started.communicate(timeout=60)
    assert started.returncode == 130 and b"Traceback" not in rest, rest
    assert sorted(os.listdir(xx.folder)) == ["Dockerfile", "there"] and os.listdir(xx.folder / "there") == []


def layers_in(xx: Xx) -> set[str]:
    return {path.name for path in (xx.store / "blobs/sha256").iterdir() if path.stat().st_size > 100_000}


def test_layers_are_packed_for_images_alone(fresh: Xx) -> None:
    text = "FROM busybox\nRUN head -c 200000 /dev/urandom >/x; echo said\n"
    before = layers_in(fresh)
    done = fresh.build(text)
    assert done.code == 0 and "said" in done.err and done.err.rstrip().endswith(
        "no image: the result stays in the cache only; -t NAME keeps one, -o writes one"
    ), done  # fmt: skip
    done = fresh.build(text, "-o", "out", "-o", "type=tar,dest=root.tar")
    assert done.code == 0 and done.err.rstrip().endswith("files written to out, root.tar"), done
    assert "writing layers" not in done.err and "sha256:" not in done.err, done
    assert (fresh.run("build", "-q", "-o", "out", ".").out, layers_in(fresh)) == ("", before)
    found = []
    for flags in (("-q",), ("-t", "one"), ("-o", "type=oci,dest=o.tar"), ("--iidfile", "i"), ("--metadata-file", "m")):
        found.append(fresh.build(text, *flags))
        # Every one of them is the same image, whose layer is packed once.
        assert len(layers_in(fresh) - before) == 1, flags
    assert all(done.code == 0 for done in found), found
    again = fresh.build(text, "-t", "two", "--no-cache")
    assert again.code == 0 and len(layers_in(fresh) - before) == 2, again


def test_an_image_without_a_name_is_packed_as_its_output_wants_it(fresh: Xx) -> None:
    text = "FROM busybox\nRUN head -c 200000 /dev/urandom >/x\n"
    before = layers_in(fresh)
    output = "type=oci,dest=u,tar=false,compression=uncompressed"
    done = fresh.build(text, "-o", output, "--metadata-file", "m.json")
    assert done.code == 0, done
    top = json.loads((fresh.folder / "u/index.json").read_text())["manifests"][0]["digest"]
    assert json.loads((fresh.folder / "m.json").read_text())["containerimage.digest"] == top == index_of(done)
    (layer,) = layers_in(fresh) - before
    with tarfile.open(fresh.folder / "u/blobs/sha256" / layer, "r:") as tar:
        assert "x" in tar.getnames()
    named = fresh.build(text, "-o", output, "-t", "named")
    assert named.code == 0 and len(layers_in(fresh) - before) == 2 and index_of(named) != top, named


def test_a_layout_keeps_its_other_images(xx: Xx) -> None:
    def tags() -> list[str]:
        entries = json.loads((xx.folder / "lay/index.json").read_bytes())["manifests"]
        return sorted(each["annotations"]["org.opencontainers.image.ref.name"] for each in entries)

    out = ("-o", "type=oci,dest=lay,tar=false")
    for number in (1, 2, 1):
        assert xx.build(f"FROM busybox\nRUN echo {number} >/n\n", "-t", f"app:{number}", *out).code == 0
    assert tags() == ["1", "2"]
    for number in (1, 2):
        skopeo("copy", f"oci:lay:{number}", f"oci:copied:{number}", cwd=xx.folder)
    # Through a link, which stays one.
    (xx.folder / "link").symlink_to("lay")
    done = xx.build("FROM busybox\nRUN echo 3 >/n\n", "-t", "app:3", "-o", "type=oci,dest=link,tar=false")
    assert done.code == 0 and (xx.folder / "link").is_symlink() and tags() == ["1", "2", "3"]
    # What is more than a layout is left alone.
    (xx.folder / "lay/mine").write_text("mine")
    refused = xx.build("FROM busybox\n", *out)
    assert refused.code == 2 and "lay holds mine" in refused.err and (xx.folder / "lay/mine").exists()
    store = xx.build("FROM busybox\n", "-o", f"type=oci,dest={xx.store},tar=false")
    assert store.code == 2 and (xx.store / "xx-store").exists()


def test_ids_and_metadata_go_to_pipes_and_through_links(xx: Xx, tmp_path: Path) -> None:
    (xx.folder / "link").symlink_to("target")
    os.mkfifo(xx.folder / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], cwd=xx.folder, stdout=subprocess.PIPE)
    done = xx.build("FROM busybox\n", "--iidfile", "pipe", "--metadata-file", "link")
    assert done.code == 0, done
    said, _ = reader.communicate(timeout=30)
    assert said.startswith(b"sha256:") and (xx.folder / "pipe").is_fifo() and (xx.folder / "link").is_symlink()
    assert json.loads((xx.folder / "target").read_text())["containerimage.digest"]
    for name in (".", "", "/"):
        refused = xx.build("FROM busybox\n", "--iidfile", name)
        assert refused.code == 2 and "is no file" in refused.err


def test_an_image_gets_no_digest_by_its_name(xx: Xx) -> None:
    done = xx.build("FROM busybox\n", "-t", f"app@sha256:{'0' * 64}")
    assert done.code == 2 and "has a digest" in done.err


def test_a_full_stdout_is_told(xx: Xx) -> None:
    for command in ("images", "--help", "cache du"):
        words = " ".join(map(shlex.quote, xx.argv(*command.split())))
        done = subprocess.run(
            ["sh", "-c", f"{words} >/dev/full"], env=xx.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 7 and "cannot write to stdout" in done.stderr and "Traceback" not in done.stderr


def test_a_store_within_the_context_is_not_of_it(xx: Xx) -> None:
    inner = Xx(store_from(xx.store, xx.folder / "deep/[store]"), xx.folder)
    (xx.folder / "file").write_text("x")
    done = inner.build("FROM busybox\nCOPY . /all\nRUN find /all\n", "--progress", "plain")
    assert done.code == 0 and "/all/file" in done.err and "/all/deep/[store]" not in done.err
