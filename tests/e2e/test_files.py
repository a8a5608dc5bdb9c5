"""COPY and ADD in whole builds: what of a source goes where, and what it becomes there."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from support import Done, Xx
from webserver import Web, serving


def output_of(done: Done) -> str:
    """What the steps printed, without progress' own lines."""
    return "\n".join(re.findall(r"^#\d+ \d+\.\d+ (.*)$", done.err, re.MULTILINE))


LIST = "RUN cd /out && find . | sort | xargs stat -c '%n %a %u:%g %F'\n"
DAY = 1_600_000_000


@pytest.fixture
def files(xx: Xx) -> Path:
    """A context: ``src`` with files, a folder, links in it and to it."""
    src = xx.folder / "src"
    (src / "deep/er").mkdir(parents=True)
    for name, mode in {"a.txt": 0o640, "b.c": 0o644, "run": 0o755, "deep/c.txt": 0o600, "deep/er/d.txt": 0o644}.items():
        (src / name).write_text(name)
        (src / name).chmod(mode)
        os.utime(src / name, (DAY, DAY))
    (src / "deep/er").chmod(0o750)
    (src / "link").symlink_to("a.txt")
    (src / "hard").hardlink_to(src / "a.txt")
    (xx.folder / "to-file").symlink_to("src/a.txt")
    (xx.folder / "to-folder").symlink_to("src/deep")
    return src


def listing(xx: Xx, steps: str, *args: str) -> dict[str, str]:
    """What is in /out after ``steps`` on busybox: ``mode owner type`` of each path."""
    done = xx.build(f"FROM busybox AS base\nRUN mkdir /out\n{steps}{LIST}", "--no-cache", *args)
    assert done.code == 0, done
    rows = [line.split(" ", 1) for line in output_of(done).splitlines() if line.startswith("./")]
    return {name[2:]: rest for name, rest in rows}


def refused(done: Done, code: int, words: str) -> None:
    assert done.code == code and words in done.err, done


def test_what_is_named_goes_where(xx: Xx, files: Path) -> None:
    found = listing(
        xx,
        "WORKDIR /out\nRUN mkdir there link-target && ln -s link-target dest-link && ln -s nowhere/new dangling\n"
        "COPY src/a.txt one\nCOPY src/a.txt src/run two/\nCOPY src three\nCOPY src/deep there\nCOPY src/b.c there\n"
        "COPY src/b.c dest-link\nCOPY src/b.c dangling\nCOPY to-file ./\nCOPY to-file as-named\n"
        "COPY to-folder contents\nCOPY src/*.* last\nCOPY src/*.txt src/d*p wild/\nCOPY src/nothing* none/\n",
    )
    file, folder, link = "regular file", "directory", "symbolic link"
    assert found["one"] == f"640 0:0 {file}"
    assert found["two/a.txt"] == f"640 0:0 {file}" and found["two/run"] == f"755 0:0 {file}"
    # A folder's contents, its links as links; named links are followed and keep their names.
    assert found["three/link"] == f"777 0:0 {link}" and found["three/deep/er"] == f"750 0:0 {folder}"
    assert found["there/c.txt"] == f"600 0:0 {file}" and found["there/b.c"] == f"644 0:0 {file}"
    assert found["link-target/b.c"] == f"644 0:0 {file}" and found["dest-link"].endswith(link)
    assert found["nowhere/new"] == f"644 0:0 {file}" and found["dangling"].endswith(link)
    assert found["to-file"] == found["as-named"] == f"640 0:0 {file}"
    assert found["contents/c.txt"] == f"600 0:0 {file}" and found["contents/er/d.txt"] == f"644 0:0 {file}"
    assert "wild/a.txt" in found and "wild/c.txt" in found and "wild/deep" not in found
    assert "none" not in found
    # Of several files for one name the last stays.
    assert found["last"] == f"644 0:0 {file}"


def test_hard_links_times_and_attributes(xx: Xx, files: Path) -> None:
    try:
        os.setxattr(files / "a.txt", "user.note", b"kept")
    except OSError:
        pytest.skip("no attributes of users on this filesystem")
    out = ("-o", "type=oci,dest=out,tar=false")
    done = xx.build("FROM busybox AS a\nCOPY src /one\nFROM scratch\nCOPY --from=a /one /two\n", "--no-cache", *out)
    assert done.code == 0, done
    blobs = [path for path in (xx.folder / "out/blobs/sha256").iterdir() if path.read_bytes().startswith(b"\x1f\x8b")]
    with tarfile.open(blobs[0]) as tar:
        layer = {each.name: each for each in tar}
    first, second = layer["two/a.txt"], layer["two/hard"]
    assert second.islnk() and second.linkname == "two/a.txt"
    assert first.mtime == DAY and first.pax_headers["SCHILY.xattr.user.note"] == "kept"


def test_owners_and_modes(xx: Xx, files: Path) -> None:
    found = listing(
        xx,
        "RUN echo me:x:1000:1001::/: >>/etc/passwd && echo us:x:50: >>/etc/group\nARG WHO=me MODE=u=rwX,go=rX\n"
        "COPY --chown=$WHO:us --chmod=$MODE src/ /out/a/\nCOPY --chown=me src/run /out/b\n"
        "COPY --chown=7 src/run /out/c\nCOPY --chown=7:8 --chmod=4711 src/run /out/d\n"
        "COPY --chmod=go-r,u+s,+t src/run src/a.txt /out/e/\n"
        "COPY --link --chmod=g=u src/a.txt /out/f\nCOPY --link=false --chown=root:root src/run /out/g\n",
    )
    assert found["a/deep/er"] == "755 1000:50 directory" and found["a/deep/c.txt"] == "644 1000:50 regular file"
    assert found["a/run"] == "755 1000:50 regular file" and found["a"] == "755 1000:50 directory"
    assert found["b"].split()[1] == "1000:1001" and found["c"].split()[1] == "7:7"
    assert found["d"] == "4711 7:8 regular file" and found["e/run"] == "5711 0:0 regular file"
    assert found["e/a.txt"] == "5600 0:0 regular file" and found["f"] == "660 0:0 regular file"
    assert found["g"] == "755 0:0 regular file"


def test_link_lays_files_over_what_is_there(xx: Xx, files: Path) -> None:
    text = "FROM busybox AS base\nRUN mkdir -p /out/real && ln -s real /out/deep && echo old >/out/kept\n"
    text += f"COPY --link src /out/\nCOPY --link --chown=3:4 src/run /out/x/y\nCOPY --link src /out/\n{LIST}"
    done = xx.build(text, "--no-cache")
    assert done.code == 0, done
    assert "./deep 755 0:0 directory" in output_of(done) and "./deep/er/d.txt" in output_of(done)
    assert "./kept 644 0:0 regular file" in output_of(done) and "./x/y 755 3:4 regular file" in output_of(done)
    # What is below may change, the copies are not done again.
    again = xx.build(text.replace("echo old", "echo new"))
    assert again.code == 0 and len(re.findall(r"^#\d+ CACHED", again.err, re.MULTILINE)) == 2, again
    assert output_of(xx.build(text.replace("echo old", "echo new"))) == ""


def test_parents(xx: Xx, files: Path) -> None:
    found = listing(
        xx,
        "FROM busybox AS from\nCOPY src /src/\nFROM base\nCOPY --parents src/deep/er/d.txt src/a.txt /out/a/\n"
        "COPY --parents src/./deep/er /out/b/\nCOPY --parents src/**/*.txt /out/c/\n"
        "COPY --parents --exclude=src/deep/er src /out/d\nCOPY --from=from --parents /sr*/./d*/**/d.txt /out/e\n"
        "COPY --parents src/no* /out/none\nCOPY --parents=false src/a.txt /out/f\n",
    )
    assert {name for name in found if name.startswith("a/")} == {
        "a/src", "a/src/a.txt", "a/src/deep", "a/src/deep/er", "a/src/deep/er/d.txt",
    }  # fmt: skip
    # Folders on the way keep their modes.
    assert found["a/src/deep/er"] == "750 0:0 directory"
    assert {name for name in found if name.startswith("b/")} == {"b/deep", "b/deep/er", "b/deep/er/d.txt"}
    assert {name for name in found if name.startswith("c/") and "." in name} == {
        "c/src/a.txt", "c/src/deep/c.txt", "c/src/deep/er/d.txt",
    }  # fmt: skip
    assert "d/src/deep/c.txt" in found and "d/src/deep/er" not in found and "d/src/run" in found
    assert {name for name in found if name.startswith("e/")} == {"e/deep", "e/deep/er", "e/deep/er/d.txt"}
    assert found["none"].endswith("directory") and found["f"].endswith("regular file")
    refused(xx.build("FROM busybox\nCOPY --parents src/./nope /out/\n"), 5, "src/./nope is not in the context")


def test_exclude(xx: Xx, files: Path) -> None:
    found = listing(
        xx,
        "COPY --exclude=*.txt --exclude=deep src /out/a/\nCOPY --exclude=**/*.txt --exclude=!deep/c.txt src /out/b/\n"
        "COPY --exclude=*.txt src/* /out/c/\nARG NOT=link\nCOPY --exclude=$NOT src /out/d/\n",
    )
    assert {name for name in found if name.startswith("a/")} == {"a/b.c", "a/hard", "a/link", "a/run"}
    assert "b/deep/c.txt" in found and "b/deep/er/d.txt" not in found and "b/a.txt" not in found
    assert "c/a.txt" not in found and "c/b.c" in found
    assert "d/link" not in found and "d/a.txt" in found


def test_the_key_covers_what_is_copied_and_nothing_else(xx: Xx, files: Path) -> None:
    text = "FROM busybox\nCOPY --exclude=*.txt --parents src/./ /out/\nRUN echo ran\n"
    assert output_of(xx.build(text, "--no-cache")) == "ran"
    (files / "deep/c.txt").write_text("in it")
    assert output_of(xx.build(text)) == "ran"
    (files / "a.txt").unlink()
    (files / "link").unlink()
    (files / "hard").unlink()
    assert output_of(xx.build(text)) == "ran"
    (files / "z.txt").write_text("left out")
    assert output_of(xx.build(text)) == ""
    os.chmod(files, 0o700)
    assert output_of(xx.build(text)) == ""


def test_what_cannot_be(xx: Xx, files: Path) -> None:
    refused(xx.build("FROM busybox\nCOPY src /etc/passwd\n"), 5, "/etc/passwd cannot be a folder")
    refused(xx.build("FROM busybox\nRUN mkdir /d && ln -s d /deep\nCOPY src /\n"), 5, "it is a symbolic link")
    refused(xx.build("FROM busybox\nRUN mkdir /a.txt\nCOPY src /\n"), 5, "/a.txt is a folder")
    refused(xx.build("FROM busybox\nCOPY src/nope /\n"), 5, "src/nope is not in the context")
    refused(xx.build("FROM busybox\nCOPY --link=maybe src /\n"), 3, "neither true nor false")
    refused(xx.build("FROM busybox\nCOPY http://localhost/x /\n"), 3, "write ADD")
    refused(xx.build("FROM busybox\nADD --checksum=sha256:00 src /\n"), 3, "--checksum is for a URL")


def test_a_pattern_does_not_lead_out_of_the_context_by_a_link(xx: Xx, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (xx.folder / "out-link").symlink_to(tmp_path / "outside")
    found = listing(xx, "COPY */secret out-l*/secret /out/\n")
    assert found == {}


def test_here_documents(xx: Xx) -> None:
    found = xx.build(
        "FROM busybox\nARG V=var\nCOPY --chown=5:6 --chmod=u=rwx,go= <<one.sh <<'two' /out/\necho $V\none.sh\n"
        "raw $V\ntwo\nADD <<three /etc\n3\nthree\nRUN cat /out/one.sh /out/two /etc/three;"
        " stat -c '%a %u:%g' /out/one.sh /etc/three\n",
        "--no-cache",
    )
    assert found.code == 0, found
    assert output_of(found).splitlines() == ["echo var", "raw $V", "3", "700 5:6", "644 0:0"]


# -- archives -----------------------------------------------------------------------------------------------------


def archive(*entries: tarfile.TarInfo | str, content: bytes = b"content") -> bytes:
    """A tar with these entries; a text is a file's name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for each in entries:
            entry = tarfile.TarInfo(each) if isinstance(each, str) else each
            entry.mtime = entry.mtime or DAY
            if entry.isreg():
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            else:
                tar.addfile(entry)
    return out.getvalue()


def entry(name: str, kind: bytes, link: str = "", mode: int = 0o755, uid: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode, made.uid = kind, link, mode, uid
    return made


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


PACKERS = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


def test_archives_are_taken_apart_whatever_packs_them(xx: Xx) -> None:
    for name, pack in PACKERS.items():
        (xx.folder / f"{name}.data").write_bytes(pack(archive("f", entry("d", tarfile.DIRTYPE, uid=7, mode=0o700))))
    (xx.folder / "no.tar.gz").write_bytes(b"")
    (xx.folder / "broken.tar.gz").write_bytes(gzip.compress(archive("f"))[:20])
    steps = "".join(f"ADD {name}.data /out/{name}/\n" for name in PACKERS)
    found = listing(
        xx,
        f"{steps}ADD no.tar.gz broken.tar.gz /out/\nADD --unpack=false gz.data /out/kept\nCOPY gz.data /out/copied\n"
        "ADD --chown=5:6 --unpack gz.data /out/own\n",
    )
    for name in PACKERS:
        assert found[f"{name}/f"] == "644 0:0 regular file" and found[f"{name}/d"] == "700 7:0 directory"
    assert found["no.tar.gz"].endswith("regular empty file") and found["broken.tar.gz"].endswith("regular file")
    assert found["kept"].endswith("regular file") and found["copied"].endswith("regular file")
    assert found["own/d"] == "700 5:6 directory" and found["own/f"] == "644 5:6 regular file"


def test_an_archive_goes_over_what_is_there(xx: Xx) -> None:
    (xx.folder / "a.tar").write_bytes(
        archive(
            "file", entry("dir", tarfile.DIRTYPE), "dir/new", "through/it", entry("was-link", tarfile.DIRTYPE),
            entry("sym", tarfile.SYMTYPE, "/etc/passwd"), entry("hard", tarfile.LNKTYPE, "file"),
            entry("dev", tarfile.CHRTYPE), entry("fifo", tarfile.FIFOTYPE), "was-dir",
        )
    )  # fmt: skip
    found = listing(
        xx,
        "RUN cd /out && echo old >file && mkdir -p dir real was-dir/x && touch dir/old && ln -s real through &&"
        " ln -s real was-link\nADD a.tar /out\nRUN cat /out/file /out/hard; head -n1 /out/sym\n",
    )
    assert "dir/old" in found and "dir/new" in found and found["was-dir"].endswith("regular file")
    assert "real/it" in found and found["through"].endswith("symbolic link")
    assert found["was-link"].endswith("directory") and found["fifo"].endswith("fifo")


HOSTILE = {
    "up": archive("../evil"),
    "absolute-up": archive("/../../evil"),
    "link-up": archive(entry("l", tarfile.LNKTYPE, "../../etc/passwd")),
    "missing-link": archive(entry("l", tarfile.LNKTYPE, "nowhere")),
    "cut": archive("f", "g", content=b"x" * 4000)[:3000],
    "long": archive("x" * 300),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(xx: Xx, name: str) -> None:
    (xx.folder / "a.tar").write_bytes(HOSTILE[name])
    refused(xx.build("FROM busybox\nADD a.tar /deep/out\n", "--no-cache"), 5, "a.tar cannot be unpacked")


def test_links_of_an_archive_stay_in_its_folder(xx: Xx) -> None:
    (xx.folder / "a.tar").write_bytes(
        archive(entry("abs", tarfile.SYMTYPE, "/"), "abs/one", entry("up", tarfile.SYMTYPE, "../../.."), "up/two")
    )
    found = listing(xx, "ADD a.tar /out\n")
    assert {"one", "two"} <= set(found)
    assert not os.path.exists("/one") and not os.path.exists("/two")


# -- URLs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path: Path) -> Web:
    with serving(tmp_path / "web") as running:
        yield running


def fetched(xx: Xx, text: str, *args: str) -> Done:
    return xx.build(text, *args, env={"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"})


def test_urls(xx: Xx, web: Web) -> None:
    web.put("dir/file name.txt", b"one")
    web.put("a.tar.gz", gzip.compress(archive("f")))
    digest = hashlib.sha256(b"one").hexdigest()
    (xx.folder / "local").write_text("local")
    done = fetched(
        xx,
        f"FROM busybox\nARG AT={web.url}\nADD $AT/dir/file%20name.txt?x=1 /out/\nADD --chmod=755 --chown=3:4 "
        f"--checksum=sha256:{digest} $AT/dir/file%20name.txt /out/b\nADD $AT/a.tar.gz local /out/c/\n"
        "ADD --unpack=true $AT/a.tar.gz /out/d/\nADD $AT/redirect/dir/file%20name.txt /out/e\n"
        "RUN cd /out && find . -type f | sort | while read f; do stat -c '%n %a %u:%g %Y' \"$f\"; done\n",
        "--no-cache",
    )
    assert done.code == 0, done
    assert output_of(done).splitlines() == [
        f"./b 755 3:4 {web.MODIFIED}",
        f"./c/a.tar.gz 600 0:0 {web.MODIFIED}",
        f"./c/local 644 0:0 {int((xx.folder / 'local').stat().st_mtime)}",
        f"./d/f 644 0:0 {DAY}",
        f"./e 600 0:0 {web.MODIFIED}",
        f"./file name.txt 600 0:0 {web.MODIFIED}",
    ]


def test_a_url_is_asked_each_time_and_fetched_when_it_has_changed(xx: Xx, web: Web) -> None:
    web.put("f", b"one")
    text = f"FROM busybox\nADD {web.url}/f /f\nRUN cat /f\n"
    assert output_of(fetched(xx, text)) == "one"
    assert web.log == [("/f", 200)]
    assert output_of(fetched(xx, text)) == "" and web.log[1:] == [("/f", 304)]
    web.put("f", b"two")
    assert output_of(fetched(xx, text)) == "two" and web.log[2:] == [("/f", 200)]
    # The same content from elsewhere is the same step.
    web.put("f", b"one")
    assert output_of(fetched(xx, text.replace("127.0.0.1", "localhost"), "--no-cache")) == "one"


def test_a_pinned_url_is_not_asked_again(xx: Xx, web: Web) -> None:
    web.put("p", b"pinned")
    checksum = f"--checksum=sha256:{hashlib.sha256(b'pinned').hexdigest()}"
    text = f"FROM busybox\nADD {checksum} {web.url}/p /p\nRUN cat /p\n"
    assert output_of(fetched(xx, text)) == "pinned"
    assert output_of(fetched(xx, text)) == "" and web.log == [("/p", 200)]
    web.put("p", b"other")
    wrong = fetched(xx, text.replace("/p /p", "/p?again /p"), "--no-cache")
    refused(wrong, 5, "--checksum says")


def test_urls_that_fail(xx: Xx, web: Web) -> None:
    cases = {
        "/nope": "404",
        "/loop": "more than 10 redirects",
        "/elsewhere": "no address of HTTP",
        "/cut": "cannot be reached",
    }
    for path, words in cases.items():
        done = fetched(xx, f"FROM busybox\nADD {web.url}{path} /x/\n")
        refused(done, 5, words)
        assert "Dockerfile:2" in done.err
    refused(fetched(xx, "FROM busybox\nADD http://127.0.0.1:1/x /x/\n"), 5, "Connection refused")
    refused(fetched(xx, "FROM busybox\nADD http://user:pass@127.0.0.1:1/x /x/\n"), 3, "http://127.0.0.1:1/x")


# -- git ----------------------------------------------------------------------------------------------------------


def git(folder: Path, *args: str) -> str:
    env = {
        **os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t.test",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t.test",
    }  # fmt: skip
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *args],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(web: Web) -> Path:
    """A repository that the server has as ``repo.git``, with a branch, a tag, a folder, a program and a link."""
    work = web.root / "work"
    (work / "docs").mkdir(parents=True)
    git(work, "init", "--quiet", "-b", "main")
    (work / "docs/guide").write_text("guide")
    (work / "run").write_text("#!/bin/sh\n")
    (work / "run").chmod(0o755)
    (work / "link").symlink_to("run")
    (work / "plain").write_text("main")
    (work / "plain").chmod(0o600)
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "one")
    git(work, "tag", "-a", "v1", "-m", "v1")
    git(work, "checkout", "--quiet", "-b", "side")
    (work / "plain").write_text("side")
    git(work, "commit", "--quiet", "-am", "two")
    git(work, "checkout", "--quiet", "main")
    publish(web)
    return work


def publish(web: Web) -> None:
    shutil.rmtree(web.root / "repo.git", ignore_errors=True)
    git(web.root, "clone", "--quiet", "--bare", "work", "repo.git")
    git(web.root / "repo.git", "update-server-info")


def test_git(xx: Xx, web: Web, repository: Path) -> None:
    commit = git(repository, "rev-parse", "side")
    at = f"{web.url}/repo.git"
    done = fetched(
        xx,
        f"FROM busybox\nADD {at} /out/a\nADD {at}#side /out/b\nADD {at}#v1:docs /out/c\nADD {at}#{commit} /out/d/\n"
        f"ADD --checksum={commit[:7]} --chown=5:6 --exclude=docs --keep-git-dir=true {at}#side /out/e\n"
        f"ADD {at}?branch=side&subdir=docs /out/f\n"
        "RUN cd /out; cat a/plain b/plain d/plain; echo; cat c/guide f/guide; echo; cat e/.git/HEAD;"
        " ls -d */.git; stat -c '%n %a %u:%g %F' a/run a/plain a/link a/docs e/run; ls e\n",
        "--no-cache",
    )
    assert done.code == 0, done
    assert output_of(done).splitlines() == [
        "mainsideside", "guideguide", commit, "e/.git", "a/run 755 0:0 regular file", "a/plain 644 0:0 regular file",
        "a/link 777 0:0 symbolic link", "a/docs 755 0:0 directory", "e/run 755 5:6 regular file",
        "link", "plain", "run",
    ]  # fmt: skip


def test_a_branch_is_looked_up_each_time(xx: Xx, web: Web, repository: Path) -> None:
    text = f"FROM busybox\nADD {web.url}/repo.git#side /out\nRUN cat /out/plain\n"
    assert output_of(fetched(xx, text)) == "side"
    asked = len(web.log)
    assert output_of(fetched(xx, text)) == ""
    # The commit has not changed: nothing but the refs was asked for.
    assert not any("objects" in path for path, _ in web.log[asked:])
    git(repository, "checkout", "--quiet", "side")
    (repository / "plain").write_text("later")
    git(repository, "commit", "--quiet", "-am", "three")
    publish(web)
    assert output_of(fetched(xx, text)) == "later"


def test_git_that_fails(xx: Xx, web: Web, repository: Path) -> None:
    at = f"{web.url}/repo.git"
    refused(fetched(xx, f"FROM busybox\nADD {at}#nope /x\n"), 5, "no branch and no tag 'nope'")
    refused(fetched(xx, f"FROM busybox\nADD {web.url}/none.git /x\n"), 5, "none.git cannot be fetched")
    refused(fetched(xx, f"FROM busybox\nADD --checksum=0000 {at}#side /x\n"), 5, "--checksum says 0000")
    refused(fetched(xx, f"FROM busybox\nADD {at}#{'0' * 40} /x\n"), 5, f"has no commit {'0' * 40}")
    refused(fetched(xx, f"FROM busybox\nADD {at}#side:nowhere /x\n"), 5, "nowhere is not there")
    refused(fetched(xx, f"FROM busybox\nADD {at}#--upload-pack=x /x\n"), 3, "no branch, tag or commit")


def test_submodules_and_the_protocols_that_they_may_use(xx: Xx, web: Web, repository: Path) -> None:
    outer = web.root / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet", "-b", "main")
    git(outer, "-c", "http.proxy=", "submodule", "--quiet", "add", f"{web.url}/repo.git", "inner")
    git(outer, "commit", "--quiet", "-m", "one")
    git(web.root, "clone", "--quiet", "--bare", "outer", "outer.git")
    git(web.root / "outer.git", "update-server-info")
    text = f"FROM busybox\nADD {web.url}/outer.git /out\nRUN cat /out/inner/plain; ls -A /out /out/inner\n"
    done = fetched(xx, text, "--no-cache")
    assert output_of(done).startswith("main") and ".git\n" not in output_of(done) + "\n", done
    without = fetched(xx, text.replace("outer.git ", "outer.git?submodules=false ").replace("cat", "ls -d"))
    assert "No such file" in output_of(without), without
    git(outer, "config", "-f", ".gitmodules", "submodule.inner.url", str(web.root / "repo.git"))
    git(outer, "commit", "--quiet", "-am", "two")
    shutil.rmtree(web.root / "outer.git")
    git(web.root, "clone", "--quiet", "--bare", "outer", "outer.git")
    git(web.root / "outer.git", "update-server-info")
    refused(fetched(xx, text), 5, "transport 'file' not allowed")


def test_a_missing_git_is_named(xx: Xx, tmp_path: Path) -> None:
    done = xx.build("FROM busybox\nADD https://example.test/a.git /x\n", "--progress", "quiet")
    # Without the program (see the unit test) the package is named; with it the host is not found.
    assert done.code == 5 and re.search(r"cannot be fetched|not installed", done.err), done
