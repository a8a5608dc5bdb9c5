"""Twins: programs of this machine that stand in for emulated ones whose result does not depend on what runs them."""
