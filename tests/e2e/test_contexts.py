"""Where contexts come from: stdin, git, named ones; and that nothing fetched is left, or leads out of its folder."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from conftest import lacking
from support import BOTH, Xx, blob, config_of, error_of, index_of, last_layer, output_of, serving_at
from webserver import serving

TEXT = "FROM busybox\nCOPY . /in/\nRUN cat /in/f; ls -A /in\n"


def tar(*entries: tuple[str, str]) -> bytes:
    """A tar of files with their contents; a name that ends with ``@`` is a link to its content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name.removesuffix("@"))
            if name.endswith("@"):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            entry.size = 0 if name.endswith("@") else len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return out.getvalue()


def fetched(xx: Xx) -> list[str]:
    """What is left in the store of contexts; a killed build's drafts are removed by the next."""
    return sorted(str(path) for path in (xx.store / "tmp").glob("work-*/context-*"))


PACKED = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("how", PACKED)
def test_a_tar_on_stdin(xx: Xx, how: str) -> None:
    data = tar(("./Dockerfile", TEXT), ("f", f"from {how}\n"), ("out", "x"), (".dockerignore", "out\n"))
    done = xx.run("build", "--progress", "plain", "-", stdin=PACKED[how](data))
    assert done.code == 0, done
    assert output_of(done).splitlines() == [f"from {how}", ".dockerignore", "Dockerfile", "f"]
    assert fetched(xx) == []
    # The same files are the same step, however and whenever they come.
    again = xx.run("build", "--progress", "plain", "-", stdin=gzip.compress(data))
    assert output_of(again) == "", again


def test_a_dockerfile_in_a_folder_of_the_tar(xx: Xx) -> None:
    data = tar(("sub/My.Dockerfile", TEXT), ("sub/My.Dockerfile.dockerignore", "sub\n"), ("f", "yes\n"))
    done = xx.run("build", "--progress", "plain", "--no-cache", "-f", "sub/My.Dockerfile", "-", stdin=data)
    assert output_of(done).splitlines() == ["yes", "f"], done


def test_a_dockerfile_alone_on_stdin_has_no_context(xx: Xx) -> None:
    (xx.folder / "f").write_text("never seen")
    done = xx.run("build", "--progress", "plain", "--no-cache", "-", stdin=b"FROM busybox\nRUN echo alone\n")
    assert done.code == 0 and output_of(done) == "alone", done
    done = xx.run("build", "-", stdin=b"FROM busybox\n\nCOPY f /\n")
    assert done.code == 5 and error_of(done).startswith("ERROR: stdin:3"), done
    assert fetched(xx) == []


def test_the_dockerfile_on_stdin_with_a_folder(xx: Xx) -> None:
    (xx.folder / "f").write_text("of the folder\n")
    done = xx.run("build", "--progress", "plain", "--no-cache", "-f", "-", ".", stdin=TEXT.encode())
    assert done.code == 0 and output_of(done).splitlines() == ["of the folder", "f"], done


def test_a_url(xx: Xx, tmp_path: Path) -> None:
    with serving(tmp_path / "web") as web:
        web.put(
            "a.tar.gz", gzip.compress(tar(("Dockerfile", TEXT), ("f", "by url\n"), ("sub/B", "FROM busybox\nCOPIES")))
        )
        run = "cmp /more/more /more/context; cat /more/more; stat -c %a:%u /more/*"
        web.put("Dockerfile", f"FROM busybox\nCOPY --from=more / /more/\nRUN {run}\n".encode())
        web.put("more", b"of another\n")
        done = xx.run("build", "--progress", "plain", "--no-cache", f"{web.url}/a.tar.gz")
        assert done.code == 0 and output_of(done).splitlines() == ["by url", "Dockerfile", "f", "sub"], done
        done = xx.run("build", "-f", "sub/B", f"{web.url}/a.tar.gz")
        assert done.code == 3 and error_of(done).startswith("ERROR: sub/B:2: "), done
        more = ("--build-context", f"more={web.url}/more")
        done = xx.run("build", "--progress", "plain", "--no-cache", *more, f"{web.url}/Dockerfile")
        assert done.code == 0 and output_of(done).splitlines() == ["of another", *["600:0"] * 2], done
        web.put("f", b"FROM busybox\nCOPY f /\n")
        web.put("latin", b"FROM busybox\n# \xe9\n")
        for place, code in (("f", 5), ("nope", 5), ("latin", 3)):
            done = xx.run("build", f"{web.url}/{place}?sig=secret")
            assert done.code == code and error_of(done).startswith(f"ERROR: {web.url}/{place}?sig=…"), done
            assert "secret" not in done.err, done
            assert len(error_of(done).splitlines()) == 2, done
    assert fetched(xx) == []


STDIN = {
    "empty": (b"", ("-",), 2, "empty"),
    "both": (b"FROM busybox\n", ("-f", "-", "-"), 2, "both"),
    "twice": (b"FROM busybox\n", ("-f", "Dockerfile", "-"), 2, "Dockerfile"),
    "no-tar": (gzip.compress(b"FROM busybox\n"), ("-",), 5, "unpacked"),
    "cut": (gzip.compress(tar(("f", "x" * 1000)))[:-40], ("-",), 5, "unpacked"),
    "no-dockerfile": (tar(("f", "x")), ("-",), 5, "Dockerfile"),
    "binary": (b"\x7fELF\0\0", ("-",), 3, "Dockerfile"),
    "up": (tar(("Dockerfile", "FROM busybox"), ("../up", "x")), ("-",), 5, "unpacked"),
    "url": (b"", ("https://nowhere.invalid/context.tar.gz",), 5, "nowhere.invalid"),
    "scheme": (b"", ("ftp://nowhere.invalid/context.tar.gz",), 5, "kind"),
    "no-folder": (b"", ("--build-context", "x=nowhere", "."), 5, "context"),
    "no-name": (b"", ("--build-context", "nowhere", "."), 2, "NAME"),
    "no-layout": (b"", ("--build-context", "busybox=oci-layout://.", "."), 5, "layout"),
    "no-image": (b"", ("--build-context", "busybox=docker-image://nope", "."), 5, "nope"),
}


@pytest.mark.parametrize("name", STDIN)
def test_what_is_no_context(xx: Xx, name: str) -> None:
    data, args, code, word = STDIN[name]
    xx.dockerfile("FROM busybox\n")
    done = xx.run("build", *args, stdin=data)
    assert done.code == code and word in error_of(done), done
    assert len(error_of(done).splitlines()) == 2, done
    assert fetched(xx) == []


def test_nothing_of_a_tar_leads_out_of_it(xx: Xx, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("FROM secret\n")
    hostile = [
        ("link@", str(secret)),
        ("link/written", "x"),
        ("Dockerfile", "FROM busybox\nCOPY l* /in/\nCOPY link/key /key\n"),
    ]
    done = xx.run("build", "-", stdin=tar(*hostile))
    assert done.code == 5 and os.listdir(secret) == ["key"], done
    for name in ("Dockerfile", ".dockerignore"):
        done = xx.run("build", "-", stdin=tar((f"{name}@", str(secret / "key")), ("other", "FROM busybox\n")))
        assert done.code == 5 and "secret" not in done.err.replace(str(secret), ""), done
    done = xx.run("build", "-", stdin=tar((".dockerignore@", str(secret / "key")), ("Dockerfile", "FROM busybox\n")))
    assert done.code == 0, done
    assert fetched(xx) == []


def test_an_interrupted_build_leaves_no_context(xx: Xx) -> None:
    text = "FROM busybox\nCOPY f /f\nRUN echo begun; sleep 60\n"
    child = subprocess.Popen(
        xx.argv("build", "--no-cache", "--progress", "plain", "-"),
        cwd=xx.folder,
        env=xx.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdin is not None and child.stderr is not None
    child.stdin.write(tar(("Dockerfile", text), ("f", "x")))
    child.stdin.close()
    while line := child.stderr.readline():
        if line.endswith(b" begun\n"):
            break
    os.killpg(child.pid, signal.SIGINT)
    child.stderr.read()
    assert child.wait(timeout=30) == 130
    assert fetched(xx) == []


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a repository that git serves here: branch main, tag v1, a folder ``docker``."""
    if not shutil.which("git"):
        lacking("git is not installed")
    folder = tmp_path_factory.mktemp("git")
    work = folder / "work"
    (work / "docker").mkdir(parents=True)

    def git(*args: str) -> None:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(folder)}
        named = ["-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *named, *args], cwd=work, env=env, check=True, capture_output=True)

    git("init", "-q")
    (work / "docker/Dockerfile").write_text("FROM busybox\nCOPY f /f\nRUN cat /f\n")
    (work / "docker/f").write_text("v1\n")
    (work / "Dockerfile").write_text("FROM busybox\nCOPY . /in/\nRUN ls -A /in; cat /in/docker/f\n")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1")
    (work / "docker/f").write_text("main\n")
    git("commit", "-qam", "two")
    git("clone", "-q", "--bare", ".", "../repo.git")
    argv = ["git", "daemon", "--export-all", f"--base-path={folder}", "--listen=127.0.0.1"]
    with serving_at(lambda port: [*argv, f"--port={port}"], folder / "log") as port:
        yield f"git://127.0.0.1:{port}/repo.git"


def test_a_repository(xx: Xx, repository: str) -> None:
    done = xx.run("build", "--progress", "plain", "--no-cache", repository)
    assert done.code == 0 and output_of(done).splitlines() == ["Dockerfile", "docker", "main"], done
    done = xx.run("build", "--progress", "plain", "--no-cache", f"{repository}#v1:docker")
    assert done.code == 0 and output_of(done) == "v1", done
    kept = ("--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")
    done = xx.run("build", "--progress", "plain", "--no-cache", *kept, repository)
    assert ".git" in output_of(done).splitlines(), done
    assert fetched(xx) == []


@pytest.mark.parametrize(("fragment", "word"), [("#nope", "nope"), ("#main:nowhere", "nowhere")])
def test_what_a_repository_does_not_have(xx: Xx, repository: str, fragment: str, word: str) -> None:
    done = xx.run("build", repository + fragment)
    assert done.code == 5 and word in error_of(done), done
    assert fetched(xx) == []


def test_named_contexts(xx: Xx, repository: str) -> None:
    (xx.folder / "other").mkdir()
    (xx.folder / "other/f").write_text("of the folder\n")
    (xx.folder / "other/out").write_text("x")
    (xx.folder / "other/.dockerignore").write_text("out\n.dockerignore\n")
    text = (
        "FROM nowhere AS replaced\nRUN never run\nFROM replaced\nCOPY --from=files / /files/\n"
        "COPY --from=repo /docker/f /r\n"
        "RUN cat /files/f /r; ls -A /files; stat -c %u /files/f\n"
    )
    given = {"replaced": "docker-image://busybox", "files": "other", "repo": f"{repository}#v1"}
    args = [each for name, value in given.items() for each in ("--build-context", f"{name}={value}")]
    done = xx.build(text, "--no-cache", *args)
    assert done.code == 0 and output_of(done).splitlines() == ["of the folder", "v1", "f", "0"], done
    assert output_of(xx.build(text, *args)) == ""
    (xx.folder / "other/f").write_text("changed\n")
    assert output_of(xx.build(text, *args)).splitlines()[0] == "changed"


def test_a_folder_as_the_base(xx: Xx) -> None:
    (xx.folder / "root/etc").mkdir(parents=True)
    (xx.folder / "root/etc/f").write_text("x")
    done = xx.build("FROM base\nCOPY --from=base /etc/f /g\n", "-t", "g", "--build-context", "base=root")
    assert done.code == 0 and set(last_layer(xx, done)) == {"g"}, done
    manifest = blob(xx, blob(xx, index_of(done))["manifests"][0]["digest"])
    assert len(manifest["layers"]) == 2
    assert [each["created_by"] for each in config_of(xx, done)["history"]] == [
        "FROM base",
        "COPY --from=base /etc/f /g",
    ]


def test_an_oci_layout(xx: Xx, fresh: Xx) -> None:
    text = "FROM busybox\nARG TARGETARCH\nENV OF=$TARGETARCH\nCOPY <<f /f\nfrom a layout\nf\nONBUILD ENV BY=trigger\n"
    done = xx.build(text, "--platform", BOTH, "-t", "x:1", "-o", f"type=oci,dest={fresh.folder}/layout,tar=false")
    assert done.code == 0, done
    mine = "FROM base\nRUN echo $OF $BY $(cat /f)\n"
    for value in ("oci-layout://layout", "oci-layout://layout:1", f"oci-layout://layout@{index_of(done)}"):
        built = fresh.build(mine, "--no-cache", "--platform", "linux/amd64", "--build-context", f"base={value}")
        assert built.code == 0 and output_of(built) == "amd64 trigger from a layout", built
    given = ("--platform", "linux/arm64", "--build-context", "base=oci-layout://layout")
    built = fresh.build("FROM base\n", "-t", "again", *given)
    assert "OF=arm64" in config_of(fresh, built)["config"]["Env"], built
    built = fresh.build(mine, "--platform", "linux/riscv64", "--build-context", "base=oci-layout://layout")
    assert built.code == 5 and "linux/amd64, linux/arm64" in error_of(built), built
    built = fresh.build(mine, "--build-context", "base=oci-layout://layout:2")
    assert built.code == 5 and "1" in error_of(built), built


def test_a_damaged_layout(xx: Xx, fresh: Xx) -> None:
    done = xx.build("FROM busybox\nCOPY <<f /f\nunique to this\nf\n", "-o", f"type=oci,dest={fresh.folder}/l,tar=false")
    manifest = blob(xx, blob(xx, index_of(done))["manifests"][0]["digest"])
    # What a store has already is not read again: so each blob is damaged before any after it was taken.
    for digest in (manifest["config"]["digest"], manifest["layers"][-1]["digest"]):
        path = fresh.folder / "l/blobs/sha256" / digest.removeprefix("sha256:")
        good = path.read_bytes()
        for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:-1]):
            path.unlink()
            path.write_bytes(bad)
            built = fresh.build("FROM base\n", "--build-context", "base=oci-layout://l")
            assert built.code == 7 and "damaged" in error_of(built), built
        path.write_bytes(good)
    assert fresh.build("FROM base\n", "--build-context", "base=oci-layout://l").code == 0


def test_triggers_health_check_and_author_reach_the_image(xx: Xx) -> None:
    base = (
        'FROM busybox\nMAINTAINER Me <me@example.test>\nHEALTHCHECK --interval=1m --retries=2 CMD ["true"]\n'
        "ONBUILD COPY f /f\nONBUILD RUN echo triggered $(cat /f)\n"
    )
    done = xx.build(base, "-t", "triggers")
    assert done.code == 0, done
    config = config_of(xx, done)
    assert config["author"] == "Me <me@example.test>"
    assert config["config"]["OnBuild"] == ["COPY f /f", "RUN echo triggered $(cat /f)"]
    assert config["config"]["Healthcheck"] == {"Test": ["CMD", "true"], "Interval": 60 * 10**9, "Retries": 2}
    (xx.folder / "f").write_text("here")
    done = xx.build("FROM triggers\n", "--no-cache", "-t", "child")
    assert done.code == 0 and output_of(done) == "triggered here", done
    again = config_of(xx, done)
    assert "OnBuild" not in again["config"] and again["config"]["Healthcheck"] == config["config"]["Healthcheck"]
    assert again["author"] == config["author"] and "triggered" not in json.dumps(again["config"])
    assert output_of(xx.build("FROM child\n", "--no-cache")) == ""
    xx.build("FROM busybox\nONBUILD RUN false\n", "-t", "failing")
    done = xx.build("# a comment\nFROM failing\n")
    assert done.code == 6 and error_of(done).startswith("ERROR: Dockerfile:2") and "ONBUILD RUN" in error_of(done)


def test_a_stage_on_another_platform(xx: Xx) -> None:
    text = "FROM busybox AS b\nRUN uname -m\nFROM --platform=linux/arm64 b\n"
    done = xx.build(text, "--no-cache", "--platform", "linux/amd64")
    assert done.code == 0 and output_of(done) == "aarch64", done
