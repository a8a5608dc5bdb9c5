"""Dockerfiles for the parser's tests: written ones, one for each turn of the syntax, and generated mixtures of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

WRITTEN = {
    "smallest": "FROM scratch",
    "no-newline-at-end": "FROM a\nRUN true",
    "lower-case": "from a as b\nrun true\ncopy --from=b x y\n",
    "mixed-case": "FrOm a\nrUn true\n",
    "blank-lines": "\n\nFROM a\n\n\nRUN true\n\n",
    "indented": "   FROM a\n\tRUN true\n",
    "comments": "# one\nFROM a\nRUN x # not a comment\n  # two\nRUN true\n#three\n",
    "comment-in-continuation": "FROM a\nRUN a \\\n# gone\n  b \\\n  # gone too\n  c\n",
    "blank-in-continuation": "FROM a\nRUN a \\\n\n  b\n",
    "space-after-backslash": "FROM a\nRUN a \\  \n  b\n",
    "double-backslash": "FROM a\nRUN a \\\\\nRUN b\n",
    "continuation-at-end": "FROM a\nRUN a \\\n",
    "continued-everywhere": "FROM \\\n a \\\n AS b\nENV \\\n x=1 \\\n y=2\n",
    "crlf": "FROM a\r\nRUN a \\\r\n  b\r\nCOPY x y\r\n",
    "escape-backtick": "# escape=`\nFROM a\nRUN a `\n  b\nCOPY c:\\x d:\\y\n",
    "syntax-directive": "# syntax=docker/dockerfile:1\nFROM a\n",
    "directives": "# syntax = docker/dockerfile:1.4\n# escape = \\\nFROM a\n",
    "late-directive": "# a comment\n# escape=`\nFROM a\nRUN x \\\n y\n",
    "json-run": 'FROM a\nRUN ["a", "b c", "d\\"e"]\n',
    "json-spaces": 'FROM a\nRUN  [ "a" , "b" ] \n',
    "json-escapes": 'FROM a\nCMD ["\\u0041", "\\t", "\\\\"]\n',
    "json-empty": "FROM a\nCMD []\n",
    "json-continued": 'FROM a\nENTRYPOINT ["a", \\\n  "b"]\n',
    "not-json-single-quotes": "FROM a\nRUN ['a', 'b']\n",
    "not-json-open": 'FROM a\nCMD ["a", "b"\n',
    "shell-json": 'FROM a\nSHELL ["/bin/bash", "-c"]\n',
    "copy-json": 'FROM a\nCOPY ["a b", "c d", "/e/"]\n',
    "copy-flags": "FROM a\nCOPY --from=b --chown=1:2 --chmod=755 x y /z/\n",
    "run-flags": "FROM a\nRUN --network=none --mount=type=cache,target=/x make\n",
    "flag-after-words": "FROM a\nRUN make --from=x\n",
    "flag-double-dash": "FROM a\nRUN -- --x\n",
    "flag-quoted": 'FROM a\nRUN --mount="type=cache,target=/a b" make\n',
    "from-platform": "FROM --platform=$BUILDPLATFORM a AS b\n",
    "env-old": "FROM a\nENV key a value with spaces\n",
    "env-pairs": "FROM a\nENV a=1 b=\"two words\" c='single $x' d=e\\ f\n",
    "env-empty-value": "FROM a\nENV a= b=\n",
    "env-continued": "FROM a\nENV a=1 \\\n    b=2 \\\n    c=3\n",
    "env-equals-in-value": "FROM a\nENV a=b=c d==\n",
    "env-quoted-name": 'FROM a\nENV "a"=b\n',
    "label": 'FROM a\nLABEL org.x="1" multi="a \\\n b" "quoted name"=v\n',
    "label-old": "FROM a\nLABEL name some value\n",
    "arg": "ARG a\nARG b=1\nFROM x\nARG c='d e'\n",
    "arg-several": 'FROM a\nARG a b=2 c="3 4"\n',
    "args-before-from": "ARG V=1\nARG W=${V:-2}\nFROM a:${W}\n",
    "heredoc": "FROM a\nRUN <<EOF\necho one\necho two\nEOF\nRUN x\n",
    "heredoc-quoted": 'FROM a\nRUN <<"EOF"\necho $x\nEOF\n',
    "heredoc-single-quoted": "FROM a\nRUN <<'EOF'\necho $x\nEOF\n",
    "heredoc-chomp": "FROM a\nRUN <<-EOF\n\techo one\n\tEOF\n",
    "heredoc-command": "FROM a\nRUN cat <<EOF >/x && true\na\nEOF\n",
    "heredoc-two": "FROM a\nRUN cat <<A <<B\na\nA\nb\nB\n",
    "heredoc-copy": "FROM a\nCOPY <<a.txt <<b.txt /x/\none\na.txt\ntwo\nb.txt\n",
    "heredoc-fd": "FROM a\nRUN x 3<<EOF\na\nEOF\n",
    "heredoc-empty": "FROM a\nRUN <<EOF\nEOF\n",
    "heredoc-comments-inside": "FROM a\nRUN <<EOF\n# not a comment of the Dockerfile\n\nx \\\ny\nEOF\n",
    "heredoc-shebang": "FROM a\nRUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF\n",
    "here-string": "FROM a\nRUN cat <<<word\n",
    "shift-is-no-heredoc": "FROM a\nRUN echo $((1<<2))\n",
    "heredoc-in-quotes": 'FROM a\nRUN echo "<<EOF"\n',
    "quotes": "FROM a\nRUN echo \"a 'b' c\" 'd \"e\" f'\n",
    "tabs": "FROM\ta\tAS\tb\nCOPY\tx\ty\n",
    "expose": "FROM a\nEXPOSE 80 443/tcp 53/udp\n",
    "workdir": "FROM a\nWORKDIR /a b/c\nWORKDIR rel\n",
    "user": "FROM a\nUSER me:us\n",
    "volume": 'FROM a\nVOLUME /a /b\nVOLUME ["/c d"]\n',
    "stopsignal": "FROM a\nSTOPSIGNAL SIGTERM\n",
    "healthcheck": "FROM a\nHEALTHCHECK --interval=5s --timeout=3s CMD curl -f x || exit 1\nHEALTHCHECK NONE\n",
    "healthcheck-json": 'FROM a\nHEALTHCHECK CMD ["a", "b c"]\nhealthcheck cmd  x  y\n',
    "healthcheck-continued": "FROM a\nHEALTHCHECK --retries=2 \\\n CMD x\n",
    "onbuild": "FROM a\nONBUILD RUN make\n",
    "onbuild-heredoc": "FROM a\nONBUILD RUN <<EOF\nRUN is text\nEOF\nONBUILD COPY --from=x a b\n",
    "maintainer": "FROM a\nMAINTAINER Some One <x@y>\n",
    "add": "FROM a\nADD --checksum=sha256:0 a.tar b c /d/\n",
    "unicode": "FROM a\nRUN echo äöü 日本\nLABEL x=é\n",
    "variables": "FROM a\nRUN echo ${a:-b} $c ${d#e} \\$f\n",
    "many-stages": "FROM a AS one\nFROM one AS two\nFROM two\nCOPY --from=0 x y\nCOPY --from=one x y\n",
}

BROKEN = {
    "empty": "",
    "only-comments": "# a\n# b\n",
    "no-from": "RUN true\n",
    "from-nothing": "FROM\n",
    "from-too-much": "FROM a b\n",
    "onbuild-nothing": "FROM a\nONBUILD\n",
    "healthcheck-nothing": "FROM a\nHEALTHCHECK --interval=5s\n",
    "unknown": "FROM a\nNOPE x\n",
    "open-heredoc": "FROM a\nRUN <<EOF\nnever\n",
    "env-nothing": "FROM a\nENV\n",
    "env-one": "FROM a\nENV a\n",
    "label-mixed": "FROM a\nLABEL a=b c\n",
    "exec-form-number": 'FROM a\nCMD ["a", 1]\n',
    "exec-form-and-more": 'FROM a\nRUN ["a"] b\n',
    "arg-nothing": "FROM a\nARG\n",
    "workdir-nothing": "FROM a\nWORKDIR\n",
}


def generated(count: int, seed: int = 20240229) -> Iterator[str]:
    """``count`` Dockerfiles put together from the written ones' lines and from words in random forms."""
    chance = random.Random(seed)
    bodies = [
        text.partition("\n")[2] for name, text in WRITTEN.items() if text.startswith("FROM a\n") and "crlf" not in name
    ]
    bodies = [body for body in bodies if body and body.endswith("\n") and not body.endswith("\\\n")]
    for number in range(count):
        parts = [f"FROM base{number}" + chance.choice(["", " AS x", " as y", ":1.0"])]
        parts += [_instruction(chance) if chance.random() < 0.6 else chance.choice(bodies).rstrip("\n")
                  for _ in range(chance.randint(1, 6))]  # fmt: skip
        yield "\n".join(parts) + chance.choice(["\n", "\n\n", ""])


def _instruction(chance: random.Random) -> str:
    words = [
        "a",
        "b=c",
        "$x",
        "${y:-z}",
        '"q r"',
        "'s t'",
        "u\\ v",
        "/path/",
        "-flag",
        "--long=1",
        "&&",
        "|",
        "[x]",
        "#h",
        "é",
    ]
    picked = [chance.choice(words) for _ in range(chance.randint(1, 6))]
    gap = chance.choice([" ", "  ", "\t", " \\\n  ", " \\\n# note\n  ", " \\\n\n "])
    name = chance.choice(
        ["RUN", "run", "CMD", "ENTRYPOINT", "COPY", "ENV", "LABEL", "ARG", "WORKDIR", "USER", "EXPOSE"]
    )
    if name == "COPY":
        return f"COPY {gap.join(['--chown=1', 'x', *[w for w in picked if not w.startswith('-')], '/to/'])}"
    if name in ("ENV", "LABEL"):
        values = ["v", '"q r"', "'s t'", "a\\ b", "$x", '"${y:-z w}"', '"a\\"b"', "", "=", "x#y"]
        return f"{name} " + gap.join(f"k{index}={chance.choice(values)}" for index in range(chance.randint(1, 4)))
    if name == "ARG":
        return f"ARG n{chance.randint(0, 9)}" + chance.choice(["", "=1", "='a b'", '="c d"', "=$x"])
    if name in ("WORKDIR", "USER", "EXPOSE"):
        return f"{name} {chance.choice(['/a', 'b', '$x', '80', '1:2'])}"
    if chance.random() < 0.3:
        return f'{name} ["{chance.choice(["a", "/b c", "-x"])}", "{chance.choice(["y", "$z", ""])}"]'
    return f"{name} {gap.join(['cmd', *picked])}"
