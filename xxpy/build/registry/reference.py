"""Where an image's name leads: host, repository, and a tag or a digest.

Source: OCI distribution-spec, "Pulling manifests"; Docker Hub's host is registry-1.docker.io, whatever names say.
"""

from __future__ import annotations

from dataclasses import dataclass

from xxpy.build.names import normalize_name, short_name

HUB, HUB_SERVER = "docker.io", "registry-1.docker.io"


@dataclass(frozen=True)
class Reference:
    """A full name taken apart. ``tag`` is empty where there is a digest alone, ``digest`` where there is none."""

    host: str
    repository: str
    tag: str
    digest: str

    @property
    def target(self) -> str:
        """What stands behind ``/manifests/``: the digest, else the tag."""
        return self.digest or self.tag

    @property
    def server(self) -> str:
        """The host that serves the images, with its port if it is none of the usual."""
        return HUB_SERVER if self.host == HUB else self.host

    @property
    def full(self) -> str:
        """The name in full, as the store has it."""
        tag, digest = f":{self.tag}" if self.tag else "", f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"

    def __str__(self) -> str:
        return short_name(self.full)


def parse_reference(name: str) -> Reference:
    """Take a name apart, short or full. Raises UsageError (``bad-reference``)."""
    rest, _, digest = normalize_name(name).partition("@")
    host, _, path = rest.partition("/")
    repository, _, tag = path.partition(":")
    return Reference(host, repository, tag, digest)
