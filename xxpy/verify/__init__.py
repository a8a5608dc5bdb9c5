"""Reads binaries and says whether they are for the target, so that a build fails where a wrong program is made."""
