"""Writes one launcher for each xx-* command into a folder, and beside them what they answer without Python.

    launchers.py PYPROJECT BIN HOME PLATFORM [ROOT]    HOME: where the private folder is written to

A launcher is a shell script that starts the image's own Python through the image's own loader, so that it runs in any
root filesystem that has /bin/sh, whatever its C library is. Those of xx-info and of the compilers first look for the
answer in a table: one file for each platform, made here by asking the Python, so that there is one source of truth.
What the tables do not hold (other spellings, names with odd characters, errors) goes on to Python.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TYPE_CHECKING = False

SHELL = Path(__file__).with_name("sh")
HOME = "/usr/lib/xx"
COMPILERS = ("xx-cc", "xx-c++", "xx-clang", "xx-clang++")

FAMILIES = ("debian", "alpine", "rpm", "other")
# In answers, what stands for the stage's own; all of characters that are printed without quotes.
MARKS = {
    "@VENDOR@": "${_xx_vendor}",
    "@LIBC@": "${_xx_libc}",
    "@VERSION@": "${_xx_version}",
    "@ARCH@": "${_xx_arch}",
    "@MACOS@": "${_xx_macos}",
}
# Variables that replace one part: the mark, and the shell variable that holds it or what is meant without it.
REPLACING = {"XX_LIBC": ("@LIBC@", "_xx_libc"), "MACOSX_VERSION_MIN": ("@MACOS@", "_xx_macos")}
ARCH_VARIABLES = {"arm": "ARM_TARGET_ARCH", "riscv64": "RISCV64_TARGET_ARCH"}


def platforms() -> list[str]:
    """Each platform in the spelling that BuildKit gives TARGETPLATFORM, and a few that say the same."""
    from xxpy.platforms import ARCHITECTURES, VARIANTS

    found = []
    for arch in ARCHITECTURES:
        found += [f"linux/{arch}", *(f"linux/{arch}/{variant}" for variant in VARIANTS.get(arch, ()))]
    for system in ("freebsd", "netbsd", "openbsd"):
        found += [f"{system}/{arch}" for arch in ("amd64", "386", "arm64")]
    return [*found, *(f"darwin/{arch}" for arch in ("amd64", "arm64")),
            *(f"windows/{arch}" for arch in ("amd64", "386", "arm", "arm64"))]  # fmt: skip


@contextmanager
def vendor_of(family: str) -> Iterator[None]:
    """While the block runs the vendor ``@VENDOR@`` is of ``family``, and each of `FAMILIES` has a distribution."""
    from xxpy.info import osrelease

    names = osrelease._FAMILIES
    added = {"@VENDOR@": family, **{f"of-{each}": each for each in FAMILIES}}
    names.update({name: each for name, each in added.items() if each != "other"})  # type: ignore[misc]
    try:
        yield
    finally:
        for name in added:
            names.pop(name, None)


if TYPE_CHECKING:
    from xxpy.info.osrelease import OsRelease

    # The answer to one query, for variables beside TARGETPLATFORM in a stage of a distribution.
    Ask = Callable[[Mapping[str, str], OsRelease], str]


def by_naming(ask: Ask, env: Mapping[str, str]) -> dict[str, str]:
    """What ``ask`` says for each way of naming: ``debian`` for a Debian stage, ``debian alpine`` with an XX_VENDOR."""
    from xxpy.info.osrelease import OsRelease

    found = {}
    for family in FAMILIES:
        with vendor_of(family):
            found[family] = ask(env, OsRelease("@VENDOR@", "@VERSION@"))
        for naming in FAMILIES:
            with vendor_of(naming):
                given = {**env, "XX_VENDOR": "@VENDOR@"}
                found[f"{family} {naming}"] = ask(given, OsRelease(f"of-{family}", "@VERSION@"))
    return found


def shell_text(text: str) -> str:
    """``text`` in double quotes, its marks replaced by variables."""
    assert not set(text) & set('$`"\\'), text
    for mark, variable in MARKS.items():
        text = text.replace(mark, variable)
    return f'"{text}"'


def chosen(begin: str, texts: Mapping[str, str]) -> str:
    """Shell that sets ``begin`` (``_xx_r=``) to the one of ``texts`` that $_xx_who names."""
    (most, _), *others = Counter(texts.values()).most_common()
    if not others:
        return begin + shell_text(most)
    cases = []
    for text, _ in others:
        names = " | ".join(f'"{name}"' if " " in name else name for name, each in texts.items() if each == text)
        cases.append(f"{names}) {begin}{shell_text(text)} ;; ")
    return f"case $_xx_who in {''.join(cases)}*) {begin}{shell_text(most)} ;; esac"


def default_in(text: str, marked: str, mark: str) -> str:
    """What stands in ``text`` where ``marked`` has ``mark``; empty if it has none."""
    before, found, after = marked.partition(mark)
    return text[len(before) : len(text) - len(after.partition(mark)[0])] if found and "\n" not in text else ""


def machines() -> list[str]:
    """Each ``uname -m`` that a stage may run on."""
    from xxpy.platforms import UNAME

    return [*dict.fromkeys(UNAME.values())]


def table(platform: str) -> str:
    """The shell text for one platform: sets _xx_r to the answer to the query $_xx_q; not, where Python must answer."""
    from xxpy.cc.toolchain import clang_triple
    from xxpy.info.osrelease import OsRelease
    from xxpy.info.queries import LENIENT, STRICT, answer
    from xxpy.info.target import Target
    from xxpy.platforms import Platform

    base = {"TARGETPLATFORM": platform}

    def asking(query: str, machine: str = "x86_64") -> Ask:
        def ask(env: Mapping[str, str], release: OsRelease) -> str:
            if query == "clang":
                return clang_triple(Target.from_env({**base, **env}, release, machine))
            return answer(query, {**base, **env}, release, machine)

        return ask

    replaced, lines = {}, []
    arch = ARCH_VARIABLES.get(platform.split("/")[1], "")
    for variable, (mark, name) in {**REPLACING, **({arch: ("@ARCH@", "_xx_arch")} if arch else {})}.items():
        for query in ("libc", "triple"):
            plain, marked = by_naming(asking(query), {}), by_naming(asking(query), {variable: mark})
            defaults = {who: default_in(text, marked[who], mark) for who, text in plain.items()}
            if any(defaults.values()):
                replaced[variable] = mark
                lines += [chosen(f"{name}=", defaults), f'[ -z "${{{variable}-}}" ] || {name}=${variable}']
                break
    lines.append("unset _xx_r")
    lines.append("case $_xx_q in")
    for query in (*LENIENT, *STRICT):
        texts = {machine: by_naming(asking(query, machine), replaced) for machine in machines()}
        lines.append(f"{query}) {by_machine(texts)} ;;")
    crossing = {machine: int(not Target.from_env(base, OsRelease(), machine).is_cross) for machine in machines()}
    codes = {code: " | ".join(each for each in machines() if crossing[each] == code) for code in (0, 1)}
    cases = " ".join(f"{names}) exit {code} ;;" for code, names in codes.items() if names)
    lines.append(f"is-cross) case $(uname -m 2>&-) in {cases} esac ;;")
    if platform.partition("/")[0] in ("linux", "windows"):
        # clang's names know nothing of what RISCV64_TARGET_ARCH and its kin say: those calls are Python's.
        triple = chosen("_xx_r=", by_naming(asking("clang"), {"XX_LIBC": "@LIBC@"}))
        lines.append(f"clang) _xx_n={Platform.parse(platform)}; {triple} ;;")
    return "\n".join([*lines, "esac", ""])


def by_machine(texts: Mapping[str, Mapping[str, str]]) -> str:
    """Shell that sets _xx_r by machine where it depends on it, which takes a `uname`."""
    kinds: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for machine, answers in texts.items():
        kinds.setdefault(tuple(answers.items()), []).append(machine)
    if len(kinds) == 1:
        return chosen("_xx_r=", next(iter(texts.values())))
    cases = " ".join(f"{' | '.join(names)}) {chosen('_xx_r=', dict(kind))} ;;" for kind, names in kinds.items())
    # Only where a machine makes a difference is it asked for.
    same = {who for who in next(iter(texts.values())) if len({answers[who] for answers in texts.values()}) == 1}
    inner = f"case $(uname -m 2>&-) in {cases} esac"
    if not same:
        return inner
    first = next(iter(texts.values()))
    patterns = " | ".join(f'"{who}"' if " " in who else who for who in sorted(same))
    return f"case $_xx_who in {patterns}) {chosen('_xx_r=', {who: first[who] for who in same})} ;; *) {inner} ;; esac"


def commands(project: str) -> list[tuple[str, str, str]]:
    """(name, module, function) of each xx-* command. `xx` itself is the builder and stays outside of stages."""
    section = project.partition("[project.scripts]")[2].partition("\n[")[0]
    found = re.findall(r'^"?([\w+-]+)"? = "([\w.]+):(\w+)"$', section, re.MULTILINE)
    return [each for each in found if each[0].startswith("xx-")]


def rows(cases: Mapping[str, str]) -> str:
    """Lines of a shell's ``case``: pattern and what is done."""
    return "\n".join(f"{pattern}) {text} ;;" for pattern, text in cases.items())


def filled(name: str, values: Mapping[str, str]) -> str:
    """A shell text of this folder without its comments, each ``@NAME@`` replaced, as far in as it stands."""
    made = []
    for line in (SHELL / f"{name}.sh").read_text().splitlines():
        if line.lstrip().startswith("#"):
            continue
        indent = line[: len(line) - len(line.lstrip())]
        for key, value in values.items():
            line = line.replace(f"@{key}@", value.replace("\n", f"\n{indent}"))
        made.append(line)
    return "\n".join(made) + "\n"


def vendor_names() -> dict[str, str]:
    """By family, the pattern of the names that are of it."""
    from xxpy.info.osrelease import _FAMILIES

    families = [family for family in FAMILIES if family in _FAMILIES.values()]
    return {family: " | ".join(name for name, each in _FAMILIES.items() if each == family) for family in families}


def target_values(root: str) -> dict[str, str]:
    """What target.sh is filled with."""
    from xxpy.platforms import Platform, uname_platform_parts

    hosts = {}
    for machine in machines():
        if not machine.startswith("mips"):  # whose names do not say which byte order they have
            arch, variant = uname_platform_parts(machine)
            host = Platform.of("linux", arch, variant)
            hosts[machine] = f"_xx_p={host.arch}" + (f" _xx_v=${{_xx_v:-{host.variant}}}" if host.variant else "")
    return {
        "MACHINES": rows(hosts),
        "PLATFORMS": " | ".join(platforms()),
        "FAMILIES": rows({names: f"_xx_who={family} && break" for family, names in vendor_names().items()}),
        "NAMINGS": rows({names: f'_xx_who="$_xx_who {family}"' for family, names in vendor_names().items()}),
        "ROOT": root,
    }


def machine_patterns(platform: str) -> str:
    """The ``uname -m`` of machines that surely run programs of ``platform``, as a shell's pattern."""
    from xxpy.platforms import UNAME, Platform, name_in

    own = name_in(UNAME, Platform.parse(platform))
    return {"linux/386": "i?86 | x86_64", "linux/arm/v7": "armv7l | armv8l"}.get(platform, own)


def write(project: str, folder: Path, private: Path, platform: str, root: str = "") -> None:
    """Write the launchers into ``folder`` and the tables below ``private``. ``root`` is for tests: another root."""
    home = f"{root}{HOME}"
    for each in platforms():
        path = private / "tables" / f"{each}.sh"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table(each))
    trial = private / "try"
    trial.write_text(f"#!{home}/ld.so --version\nexit 126\n")
    trial.chmod(0o755)
    values = {"HOME": home, "TABLES": f"{home}/tables", "ROOT": root, "HERE": f"{root}/usr/bin",
              "PLATFORM": platform, "RUNS": machine_patterns(platform)}  # fmt: skip
    values["TARGET"] = filled("target", target_values(root)).strip()
    for name, module, function in commands(project):
        first = "info" if name == "xx-info" else "cc" if name in COMPILERS else ""
        text = (filled(first, values) if first else "") + filled(
            "python", {**values, "MODULE": module, "FUNCTION": function}
        )
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)


def main() -> None:
    project, folder, private = (Path(each) for each in sys.argv[1:4])
    write(project.read_text(), folder, private, sys.argv[4], *sys.argv[5:])


if __name__ == "__main__":
    main()
