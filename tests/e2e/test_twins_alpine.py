"""Twins in a root that looks like Alpine's: musl of both machines is real, the packages are made up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import Done, Xx, installed

PROGRAM = """\
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
const char *word(void);
int main(int count, char **words) {
  const char *name = strrchr(words[0], '/') ? strrchr(words[0], '/') + 1 : words[0];
  for (int at = 1; at < count; at++) {
    FILE *file = fopen(words[at], "a");
    if (!file) return 1;
    fprintf(file, "%s %s %.17g %d\\n", words[0], word(), 1.0 / 3, at);
    fclose(file);
    if (!strcmp(name, "make")) chmod(words[at], 0604);
  }
  return 0;
}
"""
ROOTS = f"""\
FROM --platform=linux/amd64 debian:trixie AS made
RUN dpkg --add-architecture arm64
{installed("gcc", "gcc-aarch64-linux-gnu")}
"""
ROOTS += """\
RUN mkdir /m /debs && cd /debs && \\
    apt-get download -q $(for arch in amd64 arm64; do echo musl:$arch musl-dev:$arch busybox-static:$arch; done) && \\
    for arch in amd64 arm64; do for deb in *_$arch.deb; do dpkg-deb -x $deb /m/$arch; done; done
COPY program.c word.c /src/
RUN <<END
set -eu
for name in amd64:x86_64 arm64:aarch64; do
  arch=${name%:*} machine=${name#*:}
  here=/m/$arch/usr/lib/$machine-linux-musl out=/out/$arch
  compile="$machine-linux-gnu-gcc -O2 -nostdinc -isystem /m/$arch/usr/include/$machine-linux-musl -nostdlib"
  mkdir -p $out/bin $out/usr/bin $out/usr/lib/own $out/lib/apk/db $out/etc
  cp $here/libc.so $out/lib/ld-musl-$machine.so.1
  ln -s ld-musl-$machine.so.1 $out/lib/libc.musl-$machine.so.1
  $compile -shared -fPIC /src/word.c -o $out/usr/lib/own/libword.so
  for program in bin/sed usr/bin/make usr/bin/awk; do
    $compile -pie -fPIE -Wl,-dynamic-linker,/lib/ld-musl-$machine.so.1 -Wl,-rpath,/usr/lib/own $here/Scrt1.o \\
      $here/crti.o /src/program.c -L$out/usr/lib/own -lword -L$out/lib \\
      -l:libc.musl-$machine.so.1 $here/crtn.o -o $out/$program
    touch -d @1700000000 $out/$program
  done
  cp /m/$arch/usr/bin/busybox $out/bin/sh
  echo ID=alpine >$out/etc/os-release
  for file in bin/sed usr/bin/make usr/bin/awk; do
    printf 'P:%s\\nV:1.0-r1\\nA:%s\\nt:1700000000\\nc:%040d\\nF:%s\\nR:%s\\na:0:0:755\\n\\n' \\
      ${file##*/} $machine 7 ${file%/*} ${file##*/}
  done >$out/lib/apk/db/installed
done
END
FROM scratch
ARG TARGETARCH
COPY --from=made /out/$TARGETARCH /
"""
# By their paths: the shell here, Debian's busybox, would be a sed of its own.
STEP = "RUN /bin/sed /a /b && /usr/bin/make /b /c && /usr/bin/awk /d && cd bin && ./sed /a\n"


@pytest.fixture(scope="module")
def alpine(debian: Path) -> Xx:
    """`xx` on a store that the tests here share, with the sources of the programs in its context."""
    context = debian.parent / "context"
    context.mkdir()
    (context / "program.c").write_text(PROGRAM)
    (context / "word.c").write_text('const char *word(void) { return "library"; }\n')
    return Xx(debian, context)


def build(xx: Xx, text: str, *args: str) -> Done:
    done = xx.build(text, "--platform", "linux/arm64", *args)
    assert done.code == 0, done
    return done


def test_musls_programs_make_what_they_make_under_qemu(alpine: Xx) -> None:
    done = build(alpine, f"{ROOTS}{STEP}", "--accelerate", "verify")
    verdicts = re.findall(r"^#\d+ ((?:NOT )?the same with twins.*(?:\n#\d+   .*)*)", done.err, re.MULTILINE)
    assert len(verdicts) == 1 and verdicts[0].startswith("the same"), done.err
    assert "4 files alike" in verdicts[0], verdicts


def test_programs_of_the_rules_are_twins_and_others_are_not(alpine: Xx, tmp_path: Path) -> None:
    text = f"{ROOTS}{STEP}RUN /bin/sed /e && /usr/bin/awk /e && cat /dev/.xx/log/starts\n"
    done = build(alpine, text, "--accelerate", "auto", "-o", f"type=local,dest={tmp_path}/out")
    lines = re.findall(r"^#\d+ \d+\.\d+ ([TE] /.*)$", done.err, re.MULTILINE)
    assert lines[:3] == ["E /bin/sh", "T /bin/sed", "E /usr/bin/awk"]
    assert (tmp_path / "out/a").read_text() == f"/bin/sed library {1 / 3:.17g} 1\n./sed library {1 / 3:.17g} 1\n"
    assert (tmp_path / "out/c").stat().st_mode & 0o777 == 0o604
