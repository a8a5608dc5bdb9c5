from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xxpy import __version__
from xxpy.cli import xx_info
from xxpy.errors import PlatformError
from xxpy.info import OsRelease, Target
from xxpy.info.queries import IS_CROSS, LENIENT, STRICT

HERE = Path(__file__).parent
COPY = HERE / "data" / "xx-info.jsonl.gz"
ORIGINAL = HERE.parents[2] / "shared" / "reference" / "xx-info.jsonl.gz"
DISTROS: dict[str, str | None] = json.loads((HERE / "data" / "xx-info-os-release.json").read_text())
ROOT = HERE.parents[1]

# TARGETPLATFORM spellings that upstream refuses and containerd's normalisation knows, with what they mean. The lenient
# queries print them as given, as upstream does.
ACCEPTED = {
    "LINUX/AMD64": "linux/amd64",  # names are not case-sensitive
    "linux/x86_64": "linux/amd64",  # uname's name
    "linux/aarch64": "linux/arm64",  # uname's name
    "linux/armhf": "linux/arm/v7",  # Debian's name
}


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _distro(name: str) -> OsRelease:
    return OsRelease.parse(DISTROS[name] or "")


def _ask(query: str, env: dict[str, str], distro: str = "debian12", machine: str = "x86_64") -> tuple[int, str, str]:
    return xx_info.run([query] if query else [], env, _distro(distro), machine)


def test_every_answer_of_the_reference() -> None:
    rows = _rows(COPY)
    assert len(rows) == 10_170
    accepted_answers = {
        (row["distro"], row["env"]["TARGETPLATFORM"], row["query"]): (row["exit"], row["stdout"])
        for row in rows
        if list(row["env"]) == ["TARGETPLATFORM"]
    }
    wrong = []
    for row in rows:
        status, out, err = _ask(row["query"], row["env"], row["distro"])
        expected = (row["exit"], row["stdout"])
        means = ACCEPTED.get(row["env"].get("TARGETPLATFORM", ""))
        if row["query"] == "--help":  # upstream's prose is on stderr; ours has a test of its own
            ok = status == 0 and "usage: xx-info" in out
        elif row["query"] == "bogus-command":
            ok = status == 1 and out == "" and "unknown query 'bogus-command'" in err
        elif row["exit"] != 0 and means is not None:
            ok = (status, out) == accepted_answers[row["distro"], means, row["query"]]
        else:
            # A refusal says why; is-cross may say no by its status alone.
            ok = (status, out) == expected and (row["query"] == IS_CROSS or bool(err) == (status != 0))
        if not ok:
            wrong.append((row, status, out, err))
    assert wrong == []


def test_every_accepted_spelling_is_in_the_reference_as_refused() -> None:
    refused = {
        row["env"]["TARGETPLATFORM"]
        for row in _rows(COPY)
        if row["query"] == "triple" and row["exit"] == 1 and "TARGETPLATFORM" in row["env"]
    }
    assert set(ACCEPTED) <= refused
    assert refused - set(ACCEPTED) == {"linux", "linux/bogus", "linux/sparc64", "linux/armv7", "wasi/wasm"}


@pytest.mark.skipif(not ORIGINAL.exists(), reason="the reference is not beside this checkout; its copy is tested")
def test_the_copy_of_the_reference_is_the_reference() -> None:
    assert _rows(COPY) == _rows(ORIGINAL)
    assert json.loads((ORIGINAL.parent / "os-release.json").read_text()) == DISTROS


def test_help_lists_every_query() -> None:
    status, out, err = _ask("--help", {})
    assert (status, err) == (0, "")
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    in_reference = {row["query"] for row in _rows(COPY)} - {"", "bogus-command", "--help"}
    assert in_reference == {*LENIENT, *STRICT, IS_CROSS}
    assert in_reference <= listed


def test_an_unknown_platform_says_what_and_what_to_do() -> None:
    status, out, err = _ask("triple", {"TARGETPLATFORM": "linux/armv7"})
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "xx-info: unknown architecture 'armv7' in platform 'linux/armv7'",
        "xx-info: Write linux/arm/v7.",
    ]


@pytest.mark.parametrize(
    "platform", ["linux/arm64/v99", "linux/arm/v7/x", "plan10/amd64", "darwin/riscv64", "windows/mips"]
)
def test_what_is_no_target_is_refused(platform: str) -> None:
    status, out, err = _ask("triple", {"TARGETPLATFORM": platform})
    assert (status, out) == (1, "")
    assert err.startswith("xx-info: ")


def test_more_than_one_query_is_refused() -> None:
    status, out, err = xx_info.run(["os", "arch"], {}, OsRelease(), "x86_64")
    assert (status, out) == (1, "")
    assert "expected one query, got 2: os arch" in err


def test_version() -> None:
    assert _ask("--version", {}) == (0, f"xx-info {__version__}", "")


@pytest.mark.parametrize(
    ("machine", "env", "cross"),
    [
        ("aarch64", {}, False),
        ("aarch64", {"TARGETPLATFORM": "linux/amd64"}, True),
        ("aarch64", {"TARGETPLATFORM": "linux/arm64/v8"}, False),
        ("aarch64", {"TARGETPLATFORM": "linux/arm/v7"}, True),
        ("armv7l", {}, False),
        ("armv7l", {"TARGETPLATFORM": "linux/arm/v6"}, True),
        ("i686", {"TARGETPLATFORM": "linux/386"}, False),
        ("x86_64", {"TARGETPLATFORM": "linux/amd64/v3"}, False),
    ],
)
def test_is_cross_on_other_machines(machine: str, env: dict[str, str], cross: bool) -> None:
    assert _ask("is-cross", env, machine=machine) == (0 if cross else 1, "", "")


def test_without_a_target_the_machine_is_it() -> None:
    assert _ask("triple", {}, machine="armv6l") == (0, "arm-linux-gnueabi\n", "")
    assert _ask("variant", {}, machine="armv6l") == (0, "v6\n", "")


def test_a_machine_that_is_not_known_is_named() -> None:
    status, _, err = _ask("triple", {}, machine="alpha")
    assert status == 1
    assert "'alpha'" in err


def test_macos_by_its_other_name() -> None:
    assert _ask("triple", {"TARGETPLATFORM": "macos/arm64"}) == (0, "arm64-apple-macos11.0\n", "")


def test_env_can_be_evaluated_whatever_is_in_it() -> None:
    env = {"TARGETPLATFORM": "linux/amd64", "XX_VENDOR": "a b'c;$(exit 9)"}
    status, out, _ = _ask("env", env)
    assert status == 0
    script = f'{out}\nprintf %s "$XX_VENDOR"'
    done = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, text=True, check=True)
    assert done.stdout == env["XX_VENDOR"]


@pytest.mark.parametrize(
    ("text", "id", "version", "family"),
    [
        ('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n', "linuxmint", "22", "debian"),
        ("ID='rocky'\nID_LIKE='rhel centos fedora'\nVERSION_ID='9.4'\n", "rocky", "9.4", "rpm"),
        ("ID=wolfi\nVERSION_ID=20230201\n", "wolfi", "20230201", "other"),
        ("# ID=no\nnonsense\n\n  ID=alpine\n", "alpine", "", "alpine"),
        ('ID="a\\"b\\\\c"\n', 'a"b\\c', "", "other"),
        ("", "", "", "other"),
    ],
)
def test_os_release(text: str, id: str, version: str, family: str) -> None:
    release = OsRelease.parse(text)
    assert (release.id, release.version_id, release.family) == (id, version, family)


def test_codename() -> None:
    assert [_distro(name).codename for name in ("debian12", "ubuntu2404", "fedora42")] == ["bookworm", "noble", ""]


def test_a_derivative_is_named_as_its_parent_does() -> None:
    mint = OsRelease.parse("ID=linuxmint\nID_LIKE=ubuntu\n")
    target = Target.from_env({"TARGETPLATFORM": "linux/arm/v7"}, mint, "x86_64")
    assert (target.vendor, target.pkg_arch, target.triple) == ("linuxmint", "armhf", "arm-linux-gnueabihf")


def test_os_release_of_a_root(tmp_path: Path) -> None:
    assert OsRelease.read(str(tmp_path)).id == ""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=debian\n")
    assert OsRelease.read(str(tmp_path)).id == "debian"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_bytes(b"ID=alpine\nNAME=\xff\n")
    assert OsRelease.read(str(tmp_path)).id == "alpine"


def test_targets_are_equal_if_all_they_say_is() -> None:
    def target(**env: str) -> Target:
        return Target.from_env(env, _distro("debian12"), "x86_64")

    one = target(TARGETPLATFORM="linux/arm64/v8")
    assert one == target(TARGETPLATFORM="linux/aarch64")
    assert hash(one) == hash(target(TARGETPLATFORM="linux/aarch64"))
    assert one != target(TARGETPLATFORM="linux/arm64", XX_LIBC="musl")
    assert one != "linux/arm64"


def test_the_current_target_is_read_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGETPLATFORM", "linux/bogus")
    with pytest.raises(PlatformError):
        Target.current()
    monkeypatch.setenv("TARGETPLATFORM", "linux/s390x")
    assert Target.current().march == "s390x"


def _process(*args: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xxpy.cli.xx_info", *args]
    return subprocess.run(command, env={"PYTHONPATH": str(ROOT), **env}, capture_output=True, text=True, check=False)


def test_the_process_itself() -> None:
    target = {"TARGETPLATFORM": "linux/ppc64le"}
    assert _process("debian-arch", env=target).stdout == "ppc64el\n"
    assert _process("variant", env=target).stdout == "\n"
    cross = _process("is-cross", env={"TARGETPLATFORM": f"linux/{os.uname().machine}"})
    assert (cross.returncode, cross.stdout, cross.stderr) == (1, "", "")
    bogus = _process("bogus-command", env=target)
    assert (bogus.returncode, bogus.stdout) == (1, "")
    assert bogus.stderr.startswith("xx-info: unknown query 'bogus-command'\n")
    assert _process("--help", env={"TARGETPLATFORM": "linux/bogus"}).stdout.startswith("usage: xx-info")
