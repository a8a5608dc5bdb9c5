"""The host's certificate authorities for steps that use HTTPS behind a proxy with an authority of its own.

The bundle is shown read-only under /run while a step runs, and environment variables point the common programs to it.
Neither enters a cache key, a layer or the image's config.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xxpy.errors import SourceError, UsageError

TARGET = "/run/xx-host-ca"
BUNDLE, APT_CONFIG = "ca-certificates.crt", "apt.conf"
VARIABLE = "XX_HOST_CA"

_PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",
)
_POINTERS = (
    "SSL_CERT_FILE",  # OpenSSL, Go, Python
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
)


@dataclass(frozen=True)
class HostCa:
    """``bundle`` is a PEM file of this machine, or None for none."""

    bundle: Path | None = None

    def environment(self, present: Sequence[str]) -> list[str]:
        """``NAME=value`` for what is not in ``present`` already; empty without a bundle."""
        if self.bundle is None:
            return []
        taken = {pair.partition("=")[0] for pair in present}
        values = {name: f"{TARGET}/{BUNDLE}" for name in _POINTERS} | {"APT_CONFIG": f"{TARGET}/{APT_CONFIG}"}
        return [f"{name}={value}" for name, value in values.items() if name not in taken]

    def write_to(self, folder: Path) -> None:
        """Fill ``folder`` with what a step sees at `TARGET`. Raises SourceError (``host-ca-unreadable``)."""
        assert self.bundle is not None
        try:
            data = self.bundle.read_bytes()
        except OSError as error:
            raise SourceError(
                f"cannot read the host's certificates: {error.strerror}",
                remedy="name a readable PEM file: --host-ca=FILE, or turn it off: --host-ca=off",
                reason="host-ca-unreadable",
                place=str(self.bundle),
            ) from error
        (folder / BUNDLE).write_bytes(data)
        (folder / APT_CONFIG).write_text(f'Acquire::https::CAInfo "{TARGET}/{BUNDLE}";\n')


def parse_host_ca(text: str) -> HostCa:
    """Read ``--host-ca``: ``off``, ``auto`` (where distributions keep the bundle) or a PEM file; XX_HOST_CA if empty.

    Raises UsageError (``host-ca-missing``).
    """
    text = text or os.environ.get(VARIABLE, "") or "off"
    if text == "off":
        return HostCa()
    if text == "auto":
        found = next((Path(place) for place in _PLACES if Path(place).is_file()), None)
        if found is None:
            raise UsageError(
                "this machine has no certificate bundle where distributions keep it",
                remedy="install ca-certificates, or name the file: --host-ca=FILE",
                reason="host-ca-missing",
            )
        return HostCa(found)
    path = Path(text)
    if not path.is_file():
        raise UsageError(
            f"--host-ca: there is no file {text}",
            remedy="write auto, off, or the path of a PEM file",
            reason="host-ca-missing",
        )
    return HostCa(path.absolute())
