"""The Dockerfile as it is handed to BuildKit: with what BuildKit lacks written out in its own language.

``--host-ca`` becomes mounts of secrets at each RUN, which are in no layer, and ARGs in each stage for the variables
that point to them; `without_host_ca` takes these out of the image's history again. An image of the store whose name is
that of a stage too gets another name in FROM, because BuildKit would take it in place of that stage.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from xxpy.build.dockerfile.instructions import Dockerfile, Stage
from xxpy.build.hostca import APT_CONFIG, BUNDLE, TARGET, HostCa
from xxpy.errors import DockerfileError

CA_SECRET, APT_SECRET = "xx-host-ca", "xx-host-ca-apt"
MOUNTS = " ".join(
    f"--mount=type=secret,id={name},target={TARGET}/{file},mode=0444"
    for name, file in ((CA_SECRET, BUNDLE), (APT_SECRET, APT_CONFIG))
)
"""The flags that each RUN is given."""
_WORD = re.compile(r"^(\s*[A-Za-z]+)(?=\s|\\|$)")
_RAN = re.compile(r"RUN \|(?P<count>[0-9]+) (?P<rest>.*)", re.DOTALL)


def handed_text(text: str, file: Dockerfile, host_ca: HostCa, renamed: Mapping[str, str]) -> str:
    """``text``, which ``file`` is parsed from, for BuildKit; the same text where nothing has to be written out.

    ``renamed`` has other names for images in FROM. Raises DockerfileError (``name-taken``) where such a name stands in
    a variable.
    """
    lines = text.split("\n")
    after: dict[int, str] = {}
    for stage in file.stages:
        name = renamed.get(stage.base) if _is_image(stage, file) else None
        if name is not None:
            _rename(lines, stage, name)
        if host_ca.bundle is not None:
            after[stage.source.range.end] = f"ARG {' '.join(host_ca.environment(()))}"
            for each in stage.instructions:
                if each.name == "RUN":
                    at = each.range.start - 1
                    lines[at] = _WORD.sub(rf"\1 {MOUNTS}", lines[at], count=1)
    written = ((line, after.get(number)) for number, line in enumerate(lines, 1))
    return "\n".join(part for pair in written for part in pair if part is not None)


def _is_image(stage: Stage, file: Dockerfile) -> bool:
    """Whether a FROM means an image, not a stage above it."""
    return all(above.name != stage.base.lower() for above in file.stages[: stage.index])


def taken_names(file: Dockerfile, images: Iterable[str]) -> dict[str, str]:
    """For each of ``images`` (as FROM names them) that is a stage's name as well, another name.

    A stage that is that image and nothing else is left alone. Raises DockerfileError (``name-taken``).
    """
    found = {}
    for number, name in enumerate(images):
        stage = next((each for each in file.stages if each.name == name), None)
        if stage is None or (stage.base == name and not stage.instructions):
            continue
        users = [each for each in file.stages if _is_image(each, file) and each.base == name]
        if not users:
            raise DockerfileError(
                f"the stage {name} has the name of an image that is handed to BuildKit",
                remedy="give the stage another name, or write the image's name out in FROM",
                reason="name-taken",
                place=f"{file.path}:{stage.source.range.start}",
            )
        found[name] = f"xx-handed-{number}"
    return found


def _rename(lines: list[str], stage: Stage, name: str) -> None:
    base = re.compile(rf"(?<=\s){re.escape(stage.base)}(?=\s|$)")
    for at in range(stage.source.range.start - 1, stage.source.range.end):
        lines[at], count = base.subn(name, lines[at], count=1)
        if count:
            return


def without_host_ca(config: Mapping[str, Any], host_ca: HostCa) -> dict[str, Any]:
    """An image's config with no word of the host's certificates in its history."""
    made: dict[str, Any] = copy.deepcopy(dict(config))
    pairs = host_ca.environment(())
    history = made.get("history")
    if not pairs or not isinstance(history, list):
        return made
    kept = []
    for entry in history:
        said = entry.get("created_by") if isinstance(entry, dict) else None
        if isinstance(said, str):
            if said.startswith(f"ARG {pairs[0]}"):
                continue
            entry["created_by"] = _without(said, pairs)
        kept.append(entry)
    made["history"] = kept
    return made


def _without(said: str, pairs: Iterable[str]) -> str:
    """``RUN |2 A=1 SSL_CERT_FILE=… /bin/sh -c x`` is ``RUN |1 A=1 /bin/sh -c x``; without ARGs there is no count."""
    match = _RAN.fullmatch(said)
    if match is None:
        return said
    count, rest = int(match["count"]), match["rest"]
    for pair in pairs:
        if f"{pair} " in rest:
            rest, count = rest.replace(f"{pair} ", "", 1), count - 1
    return f"RUN |{count} {rest}" if count > 0 else f"RUN {rest}"
