"""What steps made, carried from one machine to others: ``--cache-to`` and ``--cache-from`` of ``docker buildx build``.

A cache is one OCI image manifest. Its layers are those of the steps; its config says by cache key which of them are the
result of which step (`entries`). Whoever writes to a cache adds to what is there.
"""
