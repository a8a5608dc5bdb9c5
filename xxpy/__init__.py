"""xxpy: cross-compilation helpers for Dockerfiles, and a builder that emulates only what it must."""

__version__ = "0.1.0"
