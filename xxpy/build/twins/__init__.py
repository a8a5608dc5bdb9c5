"""Twins: programs of this machine that stand in for emulated ones whose result does not depend on what runs them."""

LOADERS = {"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
"""The loader (ld.so(8)) of the machines that twins can be of, by architecture."""

FETCHED = "/.xx-fetched"
"""Where a step that fetches cross packages has the folder for them."""
