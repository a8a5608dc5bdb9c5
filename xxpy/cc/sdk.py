"""The macOS SDK of a stage, and the small ``xcrun`` by which build systems ask for it."""

from __future__ import annotations

import os

from xxpy.errors import HostError

SDK_FOLDER = "/xx-sdk"
"""Where a Dockerfile mounts or copies ``MacOSX<version>.sdk``."""


def find_sdk(folder: str = SDK_FOLDER) -> str:
    """The path of the newest ``MacOSX*.sdk``. Raises HostError (``no-sdk``)."""
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    found = [name for name in names if name.startswith("MacOSX") and name.endswith(".sdk")]
    if not found:
        raise HostError(
            f"there is no macOS SDK in {folder}",
            remedy=f"RUN --mount=from=IMAGE,target={folder},src={folder}, an image with MacOSX<version>.sdk in it; "
            "C without frameworks needs none: XX_CC_PREFER_COMPILER=zig",
            reason="no-sdk",
        )
    return os.path.join(folder, max(found, key=_version))


def _version(name: str) -> tuple[int, ...]:
    parts = name.removeprefix("MacOSX").removesuffix(".sdk").split(".")
    return tuple(int(part) for part in parts if part.isdecimal())


XCRUN = f"""\
#!/bin/sh
# What build systems ask of Apple's xcrun: the SDK's path and version, or to run a tool.
sdk=
for each in {SDK_FOLDER}/MacOSX*.sdk; do [ -d "$each" ] && sdk=$each; done
version=${{sdk##*/MacOSX}}
version=${{version%.sdk}}
find=
while [ $# -gt 0 ]; do
    case $1 in
        --sdk | -sdk)
            case ${{2-}} in
                macosx*) shift ;;
                *) echo "xcrun: there is no SDK ${{2-}}, only macosx" >&2; exit 1 ;;
            esac ;;
        --show-sdk-path | -show-sdk-path | --show-sdk-version | -show-sdk-version)
            [ -n "$sdk" ] || {{ echo "xcrun: there is no macOS SDK in {SDK_FOLDER}" >&2; exit 1; }}
            case $1 in *path) echo "$sdk" ;; *) echo "$version" ;; esac
            exit 0 ;;
        --find | -find | -f) find=1 ;;
        -*) echo "xcrun: option $1 is not known" >&2; exit 64 ;;
        *) break ;;
    esac
    shift
done
if [ $# = 0 ]; then
    echo "usage: xcrun [--sdk macosx] --show-sdk-path | --show-sdk-version | [--find] TOOL" >&2
    exit 64
fi
[ -z "$find" ] || exec command -v "$1"
exec "$@"
"""
"""A shell script: it is asked by configure scripts, in stages that have no Python."""
