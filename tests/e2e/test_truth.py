"""Images that are wrong as published ones were: each is told before it has a name; and those that only look so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support import BOTH, Done, Xx

from xxpy.platforms import Platform

HOST = str(Platform.host())
OTHER = "linux/arm64" if HOST != "linux/arm64" else "linux/amd64"
NAMES = {"linux/amd64": "x86-64", "linux/arm64": "aarch64"}
TRIPLE = {"linux/amd64": "x86_64-linux-gnu", "linux/arm64": "aarch64-linux-gnu"}.get(HOST, "")

NATIVE = "FROM --platform=$BUILDPLATFORM debian:trixie AS native\n"
WRONG = f"is {NAMES.get(HOST)} ELF, expected {NAMES[OTHER]} ELF ({OTHER})"


def blob(xx: Xx, digest: str) -> Any:
    return json.loads((xx.store / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())


def refused(done: Done, *lines: str) -> None:
    assert done.code == 8, done
    for line in lines:
        assert line in done.err, done


def test_a_download_with_the_architecture_written_out(xx: Xx) -> None:
    done = xx.build(
        f"FROM --platform={HOST} busybox AS release\nFROM busybox\nRUN true\n"
        "COPY --from=release /bin/busybox /usr/local/bin/tool\n",
        "--platform", BOTH, "-t", "download", "-o", "type=oci,dest=out.tar",
    )  # fmt: skip
    refused(done, f"ERROR: Dockerfile:4: /usr/local/bin/tool {WRONG}\n", "--verify-allow /usr/local/bin/tool")
    assert "download" not in (xx.store / "index.json").read_text()
    assert not (xx.folder / "out.tar").exists()


def test_a_shadowed_argument_gets_the_true_value(xx: Xx) -> None:
    done = xx.build(
        "FROM --platform=linux/amd64 busybox AS amd64\nFROM --platform=linux/arm64 busybox AS arm64\n"
        "FROM --platform=$BUILDPLATFORM busybox AS fetch\nARG TARGETARCH=amd64\n"
        "COPY --from=amd64 /bin/busybox /amd64/tool\nCOPY --from=arm64 /bin/busybox /arm64/tool\n"
        "RUN cp /$TARGETARCH/tool /tool\nFROM busybox\nCOPY --from=fetch /tool /tool\n",
        "--platform", BOTH,
    )  # fmt: skip
    assert done.code == 0 and "NOTICE" not in done.err, done


def test_a_native_program_copied_out_of_the_build_stage(xx: Xx) -> None:
    done = xx.build(f"{NATIVE}FROM busybox\nCOPY --from=native /usr/bin/grep /usr/bin/\n", "--platform", OTHER)
    refused(done, f"ERROR: Dockerfile:3: /usr/bin/grep {WRONG}\n")


def test_uname_in_a_build_stage_chooses_the_file(xx: Xx) -> None:
    done = xx.build(
        "FROM --platform=linux/amd64 busybox AS amd64\nFROM --platform=linux/arm64 busybox AS arm64\n"
        "FROM --platform=$BUILDPLATFORM busybox AS fetch\n"
        "COPY --from=amd64 /bin/busybox /x86_64/tool\nCOPY --from=arm64 /bin/busybox /aarch64/tool\n"
        "RUN cp /$(uname -m)/tool /tool\nFROM busybox\nCOPY --from=fetch /tool /opt/tool\n",
        "--platform", BOTH,
    )  # fmt: skip
    refused(done, f"ERROR: Dockerfile:8: /opt/tool {WRONG}\n")


def test_a_final_stage_pinned_to_another_platform(xx: Xx) -> None:
    text = f"FROM --platform={HOST} busybox AS first\nRUN echo began\nFROM --platform={HOST} busybox\n"
    text += "COPY --from=first /etc /e\n"
    done = xx.build(text, "--platform", OTHER, "-t", "pinned", "--no-cache")
    refused(done, f"ERROR: Dockerfile:3: the image for {OTHER} is made on a base of {HOST}\n")
    assert "began" not in done.err
    # Nothing is said of an image that nobody keeps, but for a word.
    done = xx.build(text, "--platform", OTHER)
    assert done.code == 0 and f"NOTICE: Dockerfile:3: the image for {OTHER}" in done.err, done
    assert xx.build(text, "--platform", OTHER, "-t", "pinned", "--verify=warn").code == 0


def test_a_native_part_of_a_package_fetched_on_the_wrong_side(xx: Xx) -> None:
    done = xx.build(
        f"{NATIVE}RUN mkdir -p /out/site-packages/fast && cp /lib/{TRIPLE}/libz.so.1 /out/site-packages/fast/_fast.so"
        " && echo 'import fast' >/out/site-packages/use.py\n"
        "FROM busybox\nCOPY --from=native /out/ /usr/lib/python3/\n",
        "--platform", OTHER,
    )  # fmt: skip
    refused(done, f"ERROR: Dockerfile:4: /usr/lib/python3/site-packages/fast/_fast.so {WRONG}\n")


def test_a_program_whose_loader_the_image_does_not_have(xx: Xx) -> None:
    text = f"{NATIVE}FROM busybox\nCOPY --from=native /usr/bin/grep /usr/bin/\n"
    done = xx.build(text, "-t", "loader")
    assert done.code == 0, done
    said = "Dockerfile:3: /usr/bin/grep cannot start: its dynamic linker /lib"
    assert f"NOTICE: {said}" in done.err and "libc.so.6 is not in the image" in done.err, done
    refused(xx.build(text, "--verify=error"), f"ERROR: {said}")
    assert "NOTICE" not in xx.build(text, "--verify=off").err
    assert "NOTICE" not in xx.build(text, "--verify-allow", "/usr/bin/gr*").err


def test_a_dynamic_program_in_scratch(xx: Xx) -> None:
    done = xx.build(f"{NATIVE}FROM scratch\nCOPY --from=native /usr/bin/env /\n")
    assert done.code == 0 and "Dockerfile:3: /env cannot start: its dynamic linker /lib" in done.err, done


def test_a_library_that_is_missing(xx: Xx) -> None:
    done = xx.build(
        f"FROM debian:trixie\nCOPY --from=debian:trixie /usr/bin/grep /opt/search\n"
        f"RUN rm /usr/lib/{TRIPLE}/libpcre2-8.so.0*\n",
        "--verify=error",
    )  # fmt: skip
    refused(done, f"ERROR: Dockerfile:2: /opt/search cannot start: libpcre2-8.so.0 is not in the image ({HOST})\n")


def test_a_foreign_library_beside_a_right_program(xx: Xx) -> None:
    done = xx.build(
        f"FROM --platform={OTHER} busybox AS other\nFROM debian:trixie\n"
        "COPY --from=debian:trixie /usr/bin/grep /opt/search\n"
        f"COPY --from=other /bin/busybox /usr/lib/{TRIPLE}/libpcre2-8.so.0\n",
    )
    library = f"/usr/lib/{TRIPLE}/libpcre2-8.so.0"
    # That name is a link, through which the COPY goes: the file has the library's whole version.
    refused(
        done,
        f"ERROR: Dockerfile:4: {library}",
        f" is {NAMES[OTHER]} ELF, expected {NAMES[HOST]} ELF ({HOST})\n",
        "Dockerfile:3: /opt/search cannot start: libpcre2-8.so.0 is there for another architecture alone",
    )


# -- what is right, and what it costs ----------------------------------------------------------------------------


def test_only_what_the_image_shows_in_the_end_counts(xx: Xx) -> None:
    """A foreign file that a later step removes, replaces, or hides behind a link."""
    done = xx.build(
        f"FROM --platform={HOST} busybox AS native\nFROM busybox\n"
        "COPY --from=native /bin/busybox /removed\nCOPY --from=native /bin/busybox /replaced\n"
        "COPY --from=native /bin/busybox /folder/busybox\n"
        "RUN rm /removed && cp /bin/busybox /replaced && rm -r /folder && ln -s /bin /folder\n",
        "--platform", OTHER, "--verify=error",
    )  # fmt: skip
    assert done.code == 0 and "ERROR" not in done.err, done


def test_an_unchanged_build_reads_no_file_and_a_failed_one_fails_again(xx: Xx) -> None:
    text = f"{NATIVE}RUN cp /usr/bin/head /unchanged\nFROM busybox\nCOPY --from=native /unchanged /unchanged\n"
    first = xx.build(text, "--platform", OTHER, "-t", "unchanged")
    refused(first)
    for path in xx.store.glob("snapshots/*/unchanged"):
        path.write_bytes(b"no ELF file any more")
    again = xx.build("# A comment moves the lines.\n" + text, "--platform", OTHER, "-t", "unchanged")
    refused(again, f"ERROR: Dockerfile:5: /unchanged {WRONG}\n")
    # A change above it has the new snapshot read, and the others not.
    more = xx.build(f"{text}COPY --from=native /usr/bin/tail /more\n", "--platform", OTHER)
    refused(more, f"ERROR: Dockerfile:5: /more {WRONG}\n")
    done = xx.build(text, "--platform", OTHER, "-t", "unchanged", "--verify-allow", "unch*")
    assert done.code == 0, done


def test_an_image_built_unchecked_is_checked_when_it_is_asked_for(xx: Xx) -> None:
    text = f"{NATIVE}FROM busybox\nCOPY --from=native /usr/bin/wc /later\n"
    assert xx.build(text, "--platform", OTHER, "--verify=off").code == 0
    refused(xx.build(text, "--platform", OTHER), f"/later {WRONG}")


def test_a_package_for_several_platforms_is_right(xx: Xx) -> None:
    """As .NET and Node publish them: a folder for each, of which the right one is loaded."""
    text = "FROM --platform=linux/amd64 busybox AS a\nFROM --platform=linux/arm64 busybox AS b\nFROM busybox\n"
    text += "COPY --from=a /bin/busybox /app/runtimes/linux-x64/native/one.so\n"
    alone = xx.build(text, "--platform", "linux/arm64")
    refused(alone, "/app/runtimes/linux-x64/native/one.so is x86-64 ELF")
    done = xx.build(f"{text}COPY --from=b /bin/busybox /app/runtimes/linux-arm64/native/one.so\n", "--platform", BOTH)
    assert done.code == 0 and "NOTICE" not in done.err, done


@pytest.mark.parametrize("platform", ["linux/arm/v7", "linux/arm/v5", "linux/riscv64", "linux/amd64/v3"])
def test_the_config_says_the_platform(xx: Xx, platform: str) -> None:
    (xx.folder / "f").write_text("x")
    done = xx.build("FROM scratch\nCOPY f /\n", "-t", "f", "--platform", platform)
    assert done.code == 0, done
    wanted = Platform.parse(platform)
    described = blob(xx, re.findall(r"sha256:[0-9a-f]{64}", done.err)[-1])["manifests"][0]
    config = blob(xx, blob(xx, described["digest"])["config"]["digest"])
    assert (config["os"], config["architecture"], config.get("variant", "")) == (
        wanted.os,
        wanted.arch,
        wanted.variant,
    )
    said = described["platform"]
    assert (said["architecture"], said.get("variant", "")) == (wanted.arch, wanted.variant)


# -- emulation ---------------------------------------------------------------------------------------------------


TWO_STAGES = "FROM busybox AS build\nRUN uname -m >/on\nFROM busybox AS base\nRUN true\nFROM base\n"
TWO_STAGES += "COPY --from=build /on /on\nRUN cat /on\n"


def test_emulation_for_the_final_stage_alone(xx: Xx) -> None:
    done = xx.build(TWO_STAGES, "--platform", BOTH, "--emulation=final", "--no-cache")
    assert done.code == 3, done
    assert f"ERROR: Dockerfile:2: this RUN outside the final stage would be emulated for {OTHER}" in done.err
    assert "FROM --platform=$BUILDPLATFORM" in done.err and "#1 " not in done.err
    native = TWO_STAGES.replace("FROM busybox AS build", "FROM --platform=$BUILDPLATFORM busybox AS build")
    assert xx.build(native, "--platform", BOTH, "--emulation=final").code == 0
    done = xx.build(native, "--platform", BOTH, "--emulation=never")
    assert done.code == 3 and "ERROR: Dockerfile:4: this RUN would be emulated" in done.err, done
    assert xx.build(TWO_STAGES, "--emulation=never").code == 0


def test_what_it_took_is_in_the_metadata(xx: Xx) -> None:
    native = TWO_STAGES.replace("FROM busybox AS build", "FROM --platform=$BUILDPLATFORM busybox AS build")
    for again in (False, True):
        flags = [] if again else ["--no-cache"]
        done = xx.build(native, "--platform", BOTH, "--metadata-file", "out.json", *flags)
        assert done.code == 0, done
        report: Any = json.loads(Path(xx.folder, "out.json").read_text())["xx.report"]
        bills = {row["platform"]: row for row in report["platforms"]}
        if not again:
            assert bills[OTHER]["emulated"] > 0 and bills[HOST]["native"] > 0 and bills[OTHER]["saved"] == 0
            assert {row["line"] for row in report["dearest"]} <= {4, 7} and report["dearest"][0]["native"]
            assert "\n" not in report["dearest"][0]["native"]
        else:
            assert bills[OTHER]["emulated"] == 0 and bills[OTHER]["saved"] > 0 and report["dearest"] == []
