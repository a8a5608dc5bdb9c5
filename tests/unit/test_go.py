"""xx-go: the variables for each platform, cgo's compiler, and what is said of CGO_ENABLED."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xxpy.go import environment
from xxpy.platforms import Platform

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("platform", "expected"), [
    ("linux/amd64", {}), ("linux/amd64/v3", {"GOAMD64": "v3"}), ("linux/arm/v5", {"GOARM": "5"}),
    ("linux/arm", {"GOARM": "7"}), ("linux/arm/v8", {"GOARM": "7"}), ("linux/arm64", {}),
    ("linux/arm64/v8.2", {"GOARM64": "v8.2"}), ("linux/arm64/v9", {"GOARM64": "v9.0"}),
    ("linux/mips/softfloat", {"GOMIPS": "softfloat"}), ("linux/mips64le/hardfloat", {"GOMIPS64": "hardfloat"}),
    ("linux/386/sse2", {"GO386": "sse2"}), ("linux/riscv64/rva22u64", {"GORISCV64": "rva22u64"}),
    ("linux/ppc64le/power9", {"GOPPC64": "power9"}), ("darwin/arm64", {}), ("windows/amd64", {}),
])  # fmt: skip
def test_variables(platform: str, expected: dict[str, str]) -> None:
    parsed = Platform.parse(platform)
    assert environment.platform_variables(parsed, {}) == {"GOOS": parsed.os, "GOARCH": parsed.arch, **expected}
    for name in expected:
        assert name not in environment.platform_variables(parsed, {name: "mine"})


GO = """\
#!/bin/sh
case $* in
    "env GOENV") echo "$GOENVFILE" ;;
    "env -w "*) shift 2; for pair; do sed -i "/^${pair%%=*}=/d" "$GOENVFILE"; echo "$pair" >>"$GOENVFILE"; done ;;
    "env -u "*) shift 2; for name; do sed -i "/^$name=/d" "$GOENVFILE"; done ;;
    *) echo "go $*"; env | grep -E "^(GO|CC|CXX|AR|PKG|PATH)" | grep -v GOENVFILE | sort ;;
esac
"""


class Stage:
    def __init__(self, folder: Path, compiler: bool = True) -> None:
        self.folder = folder
        self.env_file = folder / "goenv"
        self.env_file.write_text("GOPRIVATE=mine\nGOARCH=riscv64\n")
        programs = {"go": GO}
        if compiler:
            programs |= dict.fromkeys(("clang", "clang++", "llvm-ar", "xx-clang", "zig"), "#!/bin/sh\n")
            programs["ld.lld"] = "#!/bin/sh\necho LLD 19\n"
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def run(self, *args: str, target: str = "linux/arm64", **env: str) -> tuple[int, dict[str, str], str]:
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from xxpy.cli.xx_go import main; sys.exit(main())", *args],
            env={
                "PATH": f"{self.folder}:/usr/bin:/bin", "GOENVFILE": str(self.env_file), "TARGETPLATFORM": target,
                "XX_VENDOR": "debian", "XX_STATE": str(self.folder / "state"), "PYTHONPATH": str(ROOT), **env,
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        rows = [line.partition("=") for line in done.stdout.splitlines()]
        return done.returncode, {name: value for name, _, value in rows}, done.stderr


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    if os.uname().machine != "x86_64":
        pytest.skip("arm64 is this machine's own")
    return Stage(tmp_path)


def test_cgos_compiler(stage: Stage) -> None:
    _, told, _ = stage.run("build", "./...", CGO_ENABLED="1")
    assert told["go build ./..."] == "" and told["GOARCH"] == "arm64"
    assert told["CC"] == f"{stage.folder}/aarch64-linux-gnu-clang" and told["CXX"].endswith("-clang++")
    assert told["AR"].endswith("aarch64-linux-gnu-ar")
    _, told, _ = stage.run("build", CGO_ENABLED="1", XX_GO_PREFER_C_COMPILER="zig")
    assert told["CC"] == f"{stage.folder}/aarch64-linux-gnu-cc"
    assert "zig cc -target aarch64-linux-gnu" in Path(told["CC"]).read_text()
    _, told, _ = stage.run("build", CGO_ENABLED="0")
    assert "CC" not in told


def test_what_is_said_of_cgo(stage: Stage, tmp_path: Path) -> None:
    assert "CGO_ENABLED is not set" in stage.run("build")[2]
    assert stage.run("build", target="linux/amd64")[2] == ""
    assert stage.run("version")[2] == "" and stage.run("build", CGO_ENABLED="0")[2] == ""
    (tmp_path / "bare").mkdir()
    bare = Stage(tmp_path / "bare", compiler=False)
    code, _, err = bare.run("build", CGO_ENABLED="1", PATH=f"{tmp_path}/bare")
    assert (code == 1 and "no C compiler" in err) or "not in this stage" in err
    assert len(err.splitlines()) == 2


def test_gobin_and_path(stage: Stage) -> None:
    _, told, err = stage.run("install", CGO_ENABLED="0", GOPATH="/go", GOBIN="/b")
    assert "GOBIN set" in err and not told["PATH"].startswith("/go")
    _, told, _ = stage.run("install", CGO_ENABLED="0", GOPATH="/go")
    assert told["PATH"].startswith("/go/bin/linux_arm64:")


def test_wasi(stage: Stage) -> None:
    for env in ({"target": "wasi/wasm"}, {"target": "", "TARGETOS": "wasip1", "TARGETARCH": "wasm"}):
        _, told, _ = stage.run("build", **env)
        assert (told["GOOS"], told["GOARCH"]) == ("wasip1", "wasm")


def test_wrap_keeps_what_the_user_had(stage: Stage) -> None:
    for _ in range(2):
        assert stage.run("--wrap", CGO_ENABLED="0", target="linux/arm/v6")[0] == 0
        assert sorted(stage.env_file.read_text().split()) == ["GOARCH=arm", "GOARM=6", "GOOS=linux", "GOPRIVATE=mine"]
    assert stage.run("--unwrap")[0] == 0
    assert sorted(stage.env_file.read_text().split()) == ["GOARCH=riscv64", "GOPRIVATE=mine"]
    assert stage.run("--unwrap")[0] == 0


def test_print_env_and_help(stage: Stage) -> None:
    assert "export GOARCH" in stage.run("--print-env", CGO_ENABLED="0")[1]
    assert stage.run("--help")[0] == 0
