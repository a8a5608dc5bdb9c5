"""The commands of docs/ci.md, as its jobs give them: each job on a store of its own, a registry between them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import lacking
from registries import docker_registry
from support import ROOT, Done, Xx, ran, store_from

PAGE = (ROOT / "docs/ci.md").read_text()
DOCKERFILE = """FROM busybox AS build
RUN cat /proc/sys/kernel/random/uuid >/id
FROM busybox
COPY --from=build /id /id
"""


def commands(heading: str) -> list[list[str]]:
    """The commands of `xx` under a heading, in their order, as a shell would split them."""
    section = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]
    blocks = [textwrap.dedent(each) for each in re.findall(r"```(?:sh|yaml)\n(.*?)```", section, re.DOTALL)]
    text = re.sub(r"\\\n\s*", " ", "\n".join(blocks))
    # YAML folds what is indented further than the item's dash.
    text = re.sub(
        r"^(\s*)- (xx .*)\n((?:\1  \s*\S.*\n)+)", lambda m: f"{m[1]}{m[2]} {m[3].strip()}\n", text, flags=re.M
    )
    return [shlex.split(line.strip()) for line in text.splitlines() if line.strip().startswith("xx ")]


class Jobs:
    """Runs commands on stores that have nothing in common but the base image."""

    def __init__(self, bases: Path, tmp_path: Path, host: str) -> None:
        self._bases, self._tmp = bases, tmp_path
        self.image = f"{host}/team/app"
        self.folder = tmp_path / "context"
        self.folder.mkdir()
        (self.folder / "Dockerfile").write_text(DOCKERFILE)

    def run(self, job: str, command: list[str], **variables: str) -> Done:
        store = self._tmp / f"store-{job}"
        xx = Xx(store if store.exists() else store_from(self._bases, store), self.folder)
        values = {"IMAGE": self.image, **variables}
        argv = [re.sub(r"\$(\w+)", lambda match: values[match[1]], word) for word in command[1:]]
        done = xx.run(*argv)
        assert done.code == 0, done
        return done

    def pushed(self) -> Any:
        """The index of the image in the registry."""
        if shutil.which("skopeo") is None:
            lacking("skopeo is not installed")
        argv = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{self.image}:latest"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def jobs(bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    if shutil.which("docker-registry") is None:
        lacking("docker-registry is not installed")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with docker_registry(tmp_path / "registry") as host:
        yield Jobs(bases, tmp_path, host)


def platforms(index: Any) -> list[str]:
    return [each["platform"]["architecture"] for each in index["manifests"]]


def test_a_job_for_each_platform(jobs: Jobs) -> None:
    build, merge, push = commands("GitHub Actions")
    assert (build[1], merge[1], push[1]) == ("build", "merge", "push")
    for arch in ("amd64", "arm64"):
        jobs.run(arch, build, PLATFORM=f"linux/{arch}", ARCH=arch)
    jobs.run("image", merge)
    jobs.run("image", push)
    assert platforms(jobs.pushed()) == ["amd64", "arm64"]
    # Another runner of the same job.
    again = jobs.run("again", build, PLATFORM="linux/arm64", ARCH="arm64")
    assert ran(again) == []


def test_one_job_for_all_platforms(jobs: Jobs) -> None:
    (build,) = commands("GitLab")
    jobs.run("one", build)
    assert platforms(jobs.pushed()) == ["amd64", "arm64"]
    assert ran(jobs.run("two", build)) == []


def test_a_folder_in_place_of_a_registry(jobs: Jobs) -> None:
    (build,) = commands("A folder")
    jobs.run("one", build)
    assert (jobs.folder / ".xx-cache/index.json").is_file()
    assert ran(jobs.run("two", build)) == []
