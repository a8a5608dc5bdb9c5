"""Registries: images looked up, pulled and pushed by the OCI distribution specification.

`client` speaks to one endpoint, `pull` and `push` move images between it and the store, `images` is what FROM asks.
"""
