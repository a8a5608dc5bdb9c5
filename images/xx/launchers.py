"""Writes one launcher for each xx-* command into a folder, and beside them what xx-info answers without Python.

    launchers.py PYPROJECT BIN HOME [ROOT]    HOME: where the private folder is written to

A launcher is a shell script that starts the image's own Python through the image's own loader, so that it runs in any
root filesystem that has /bin/sh, whatever its C library is. That of xx-info first looks whether the answer is in a
table: one file for each distribution, made here by asking the Python for every platform, so that there is one source of
truth. What the tables do not hold (overrides, other spellings, other distributions) goes on to Python.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HOME = "/usr/lib/xx"

PYTHON = """\
exec {home}/ld.so --library-path {home}/lib {home}/bin/python3 -I -S -c 'import sys
sys.path.append("{home}/app")
sys.argv[0] = sys.argv.pop(1)
from {module} import {function}
sys.exit({function}())' "$0" "$@"
"""

# Reads what it needs with the shell's own words: starting a program takes longer than all of this.
INFO = """\
#!/bin/sh
case $#${{TARGETPLATFORM:+t}}$TARGETPAIR$XX_VENDOR$XX_LIBC$ARM_TARGET_ARCH$RISCV64_TARGET_ARCH$MACOSX_VERSION_MIN in
[01]t)
    case $TARGETPLATFORM in
    */*/*) : ;;
    *) [ -z "$TARGETVARIANT" ] || id=- ;;
    esac
    if [ "$id" != - ] && [ -r {root}/etc/os-release ]; then
        id= version=
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in
            ID=*) id=${{line#ID=}} ;;
            VERSION_ID=*) version=${{line#VERSION_ID=}} ;;
            [!A-Z#]*) id=- && break ;;
            esac
        done <{root}/etc/os-release
        id=${{id#\\"}} version=${{version#\\"}}
        id=${{id%\\"}} version=${{version%\\"}}
        case $id in
        {ids})
            case $version in
            *[!A-Za-z0-9._-]*) ;;
            *) . {tables}/$id ;;
            esac ;;
        esac
    fi ;;
esac
"""

# The distributions whose answers are in tables: those that stages are of.
IDS = ("debian", "ubuntu", "alpine", "fedora", "rhel", "centos", "rocky", "almalinux", "ol", "amzn")
MACHINES = ("x86_64", "aarch64")


def platforms() -> list[str]:
    """Each platform in the spelling that BuildKit gives TARGETPLATFORM."""
    from xxpy.platforms import ARCHITECTURES

    found = []
    for arch in ARCHITECTURES:
        found += [f"linux/{arch}/{variant}" for variant in ("v5", "v6", "v7")] if arch == "arm" else [f"linux/{arch}"]
    found += [f"linux/amd64/{level}" for level in ("v2", "v3", "v4")]
    return [*found, "linux/arm", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/386", "windows/arm64"]


def table(distribution: str) -> str:
    """The shell text that answers for one distribution: a case for each platform, in it one for each query."""
    from xxpy.info.osrelease import OsRelease
    from xxpy.info.queries import LENIENT, STRICT, answer
    from xxpy.info.target import Target

    lines = ["case $TARGETPLATFORM in"]
    for platform in platforms():
        env = {"TARGETPLATFORM": platform}
        release = OsRelease(distribution, "@VERSION@")
        lines += [f"{platform})", "    case ${1:-triple} in"]
        for query in (*LENIENT, *STRICT):
            answers = {machine: answer(query, env, release, machine) for machine in MACHINES}
            if len(set(answers.values())) == 1:
                text = answers[MACHINES[0]]
                assert "'" not in text
                shown = "'" + text.replace("@VERSION@", "'\"$version\"'") + "'"
                lines.append(f"    {query}) printf '%s\\n' {shown}; exit 0 ;;")
                continue
            cases = " ".join(f"{machine}) printf '%s\\n' '{text}'; exit 0 ;;" for machine, text in answers.items())
            lines.append(f"    {query}) case $(uname -m) in {cases} esac ;;")
        codes = {machine: int(not Target.from_env(env, release, machine).is_cross) for machine in MACHINES}
        cases = " ".join(f"{machine}) exit {code} ;;" for machine, code in codes.items())
        lines += [f"    is-cross) case $(uname -m) in {cases} esac ;;", "    esac ;;"]
    return "\n".join([*lines, "esac", ""])


def commands(project: str) -> list[tuple[str, str, str]]:
    """(name, module, function) of each xx-* command. `xx` itself is the builder and stays outside of stages."""
    section = project.partition("[project.scripts]")[2].partition("\n[")[0]
    found = re.findall(r'^"?([\w+-]+)"? = "([\w.]+):(\w+)"$', section, re.MULTILINE)
    return [each for each in found if each[0].startswith("xx-")]


def write(project: str, folder: Path, private: Path, root: str = "") -> None:
    """Write the launchers into ``folder`` and the tables below ``private``. ``root`` is for tests: another root."""
    tables = private / "info"
    tables.mkdir(parents=True, exist_ok=True)
    for each in IDS:
        (tables / each).write_text(table(each))
    for name, module, function in commands(project):
        text = PYTHON.format(home=f"{root}{HOME}", module=module, function=function)
        begin = "#!/bin/sh\n"
        if name == "xx-info":
            begin = INFO.format(root=root, ids=" | ".join(IDS), tables=f"{root}{HOME}/info")
        path = folder / name
        path.write_text(begin + text)
        path.chmod(0o755)


def main() -> None:
    project, folder, private = (Path(each) for each in sys.argv[1:4])
    write(project.read_text(), folder, private)


if __name__ == "__main__":
    main()
