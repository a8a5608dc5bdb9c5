"""xx-apt: which words are packages, what they become, what is asked of apt and done before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xxpy.errors import HostError, UsageError
from xxpy.pkg import apt, lists

ROOT = Path(__file__).parents[2]

# What apt-cache depends --recurse prints, cut to the lines that matter: of a release with GCC 14, and of one with 9.
DEPENDS = """\
gcc{a}
  Depends: cpp{a}
  Depends: gcc-{n}{a}
 |Recommends: libc6-dev{a}
  Recommends: <libc-dev{a}>
    libc6-dev{a}
gcc-{n}{a}
  Depends: gcc-{n}-aarch64-linux-gnu{a}
  Depends: gcc-{n}-base{a}
gcc-{n}-aarch64-linux-gnu{a}
  PreDepends: libgcc-{n}-dev{a}
  Depends: libstdc++6{a}
g++{a}
  Depends: g++-{n}{a}
g++-{n}{a}
  Depends: libstdc++-{n}-dev{a}
<virtual>
perl
  Depends: libgcc-7-dev{a}
"""


def answering(version: str, arch: str) -> apt.Ask:
    def ask(argv: Sequence[str]) -> str:
        assert argv[:2] == ["apt-cache", "depends"]
        return DEPENDS.format(n=version, a=arch)

    return ask


def no_cross(words: Sequence[str]) -> dict[str, str]:
    return {}


def never(argv: Sequence[str]) -> str:
    raise AssertionError(argv)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["install", "-y", "zlib1g-dev"], ["install", "-y", "zlib1g-dev:arm64"]),
        (["install", "a=1.0", "b/sid"], ["install", "a:arm64=1.0", "b:arm64/sid"]),
        (["install", "a=1:1.0-2"], ["install", "a:arm64=1:1.0-2"]),
        (["install", "c-", "g++"], ["install", "c:arm64-", "g++:arm64"]),
        (["install", "a:amd64", "./x.deb", "/y.deb", "?name(x)"],) * 2,
        (["-o", "A::B=c", "-t", "sid", "install", "x"], ["-o", "A::B=c", "-t", "sid", "install", "x:arm64"]),
        (["install", "-t", "sid", "x", "-o", "A=b"], ["install", "-t", "sid", "x:arm64", "-o", "A=b"]),
        (["install", "--", "-x"], ["install", "--", "-x:arm64"]),
        (["update"], ["update"]),
        (["upgrade", "-y"], ["upgrade", "-y"]),
        (["clean"], ["clean"]),
        (["remove", "x"], ["remove", "x:arm64"]),
        (["--version"], ["--version"]),
    ],
)  # fmt: skip
def test_packages_get_the_architecture_and_nothing_else_changes(args: list[str], expected: list[str]) -> None:
    assert apt.expand(args, "arm64", False, never, no_cross) == expected
    assert apt.expand(args, "arm64", True, never, no_cross) == args


@pytest.mark.parametrize("version", ["9", "14", "15"])
def test_the_essentials_are_found_out(version: str) -> None:
    found = apt.expand(["install", "xx-c-essentials"], "arm64", False, answering(version, ":arm64"), no_cross)
    assert found == ["install", "libc6-dev:arm64", f"libgcc-{version}-dev:arm64"]
    found = apt.expand(["install", "xx-cxx-essentials"], "arm64", False, answering(version, ":arm64"), no_cross)
    assert set(found) == {"install", "libc6-dev:arm64", f"libgcc-{version}-dev:arm64", f"libstdc++-{version}-dev:arm64"}
    native = apt.expand(["install", "xx-c-essentials"], "amd64", True, answering(version, ""), no_cross)
    assert native == ["install", "libc6-dev", f"libgcc-{version}-dev"]


def test_essentials_that_apt_does_not_know() -> None:
    with pytest.raises(HostError) as caught:
        apt.expand(["install", "xx-c-essentials"], "arm64", False, lambda _: "", no_cross)
    assert caught.value.reason == "essentials-unknown"
    with pytest.raises(UsageError) as wrong:
        apt.expand(["remove", "xx-c-essentials"], "arm64", False, never, no_cross)
    assert wrong.value.reason == "meta-not-installed"


FETCH = "apt-get update -q -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o APT::Get::List-Cleanup=false"
WAIT = "-o DPkg::Lock::Timeout=120 "
APT_GET = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"$LOG"
[ "$1" = -o ] && shift 2
case $1 in
    indextargets) cat "$STATE/lists" 2>/dev/null; exit 0 ;;
    policy|depends) exit 0 ;;
    update) mkdir "$STATE/updating" || { echo 'E: Could not get lock'; exit 100; }
            echo "$*" >>"$STATE/updates"; [ -e "$STATE/slow" ] && sleep 0.5; rmdir "$STATE/updating"
            [ -e "$STATE/half" ] && { echo arm64 >"$STATE/lists"; exit 100; }
            [ -e "$STATE/broken" ] && exit 100
            [ -e "$STATE/unserved" ] || echo arm64 >"$STATE/lists" ;;
    install) exit "${INSTALL:-0}" ;;
esac
"""
DPKG = """\
#!/bin/sh
echo "dpkg $*" >>"$LOG"
case $1 in
    --print-architecture) echo amd64 ;;
    --print-foreign-architectures) cat "$STATE/foreign" 2>/dev/null || true ;;
    --add-architecture) echo "$2" >>"$STATE/foreign" ;;
esac
"""


class Stage:
    """A folder of programs that stand for apt's and write down how they are called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in {
            "apt-get": APT_GET,
            "apt": APT_GET,
            "apt-cache": APT_GET,
            "dpkg": DPKG,
            "dpkg-query": "#!/bin/sh\n",
        }.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def run(self, *args: str, target: str = "linux/arm64", **env: str) -> tuple[int, list[str], str]:
        log = self.folder / "log"
        log.write_text("")
        # Not this machine's own files.
        program = (
            "import os, sys; from xxpy.cli import xx_apt; from xxpy.pkg import lists\n"
            "xx_apt.DPKG_ARCHITECTURES = lists.LISTS = os.environ['STATE'] + '/none'\n"
            "sys.exit(xx_apt.main_apt_get())"
        )
        environment = {
            "PATH": f"{self.folder}:/usr/bin:/bin", "LOG": str(log), "STATE": str(self.folder),
            "TARGETPLATFORM": target, "PYTHONPATH": str(ROOT), **env,
        }  # fmt: skip
        done = subprocess.run([sys.executable, "-c", program, *args], env=environment, capture_output=True, text=True)
        calls = [
            line
            for line in log.read_text().splitlines()
            if not line.startswith("apt-cache") and "indextargets" not in line and "--print" not in line
        ]
        return done.returncode, calls, done.stderr


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    if os.uname().machine != "x86_64":
        pytest.skip("its dpkg says amd64")
    return Stage(tmp_path)


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="adding an architecture needs root")


@root_only
def test_the_architecture_is_added_and_lists_fetched_once(stage: Stage) -> None:
    code, calls, _ = stage.run("install", "-y", "x")
    assert code == 0
    assert calls == ["dpkg --add-architecture arm64", FETCH, f"apt-get {WAIT}install -y x:arm64"]
    assert stage.run("install", "y")[1] == [f"apt-get {WAIT}install y:arm64"]
    assert stage.run("update")[1] == ["apt-get update"]


def test_native_and_other_systems(stage: Stage) -> None:
    assert stage.run("clean", target="linux/amd64")[1] == [f"apt-get {WAIT}clean"]
    code, calls, words = stage.run("install", "x", target="darwin/arm64")
    assert (code, calls) == (0, []) and "darwin/arm64" in words
    assert stage.run("install", "x", target="linux/z80")[0] == 2


@root_only
def test_the_exit_code_is_apts(stage: Stage) -> None:
    assert stage.run("install", "x", INSTALL="77")[0] == 77


@root_only
@pytest.mark.parametrize(("state", "code"), [("half", 0), ("broken", 1), ("unserved", 1)])
def test_lists_that_fail(stage: Stage, state: str, code: int) -> None:
    (stage.folder / state).touch()
    found, calls, words = stage.run("install", "x")
    assert found == code and words.count("xx-apt-get:") >= 1
    assert (f"apt-get {WAIT}install x:arm64" in calls) is (code == 0)


@root_only
@pytest.mark.parametrize(
    ("target", "command", "updates"),
    [("linux/arm64", "install x", 1), ("linux/arm64", "update", 4), ("windows/amd64", "update", 4)],
)
def test_commands_at_once_fetch_one_after_the_other(target: str, command: str, updates: int, stage: Stage) -> None:
    (stage.folder / "slow").touch()
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: stage.run(*command.split(), target=target), range(4)))
    assert [code for code, _, _ in done] == [0] * 4, done
    # Lists that another has fetched meanwhile are not fetched again, what the user asks for is done.
    assert len((stage.folder / "updates").read_text().splitlines()) == updates
    foreign = stage.folder / "foreign"
    assert (foreign.read_text() if foreign.exists() else "") == ("arm64\n" if target == "linux/arm64" else "")


HOLDER = """\
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_an_update_of_somebody_elses_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "LISTS", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None and holder.stdout.readline()
        waits: list[float] = []

        def pause(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                holder.communicate()

        lists._wait_for_apt(pause)
    assert len(waits) == 3
    lists._wait_for_apt(waits.append)
    assert len(waits) == 3


def test_an_update_that_does_not_end_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LISTS", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        waits: list[float] = []
        lists._wait_for_apt(waits.append)
        holder.communicate()
    assert sum(waits) == pytest.approx(lists.MOST_WAIT)
