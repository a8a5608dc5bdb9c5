"""TLS with authorities besides those that a request names: those of a registry, for hosts that it leads to."""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context


class AlsoTrusting(HTTPAdapter):
    """Takes certificates of the authorities in ``ca``, a PEM file, too. Raises OSError where there are none in it."""

    def __init__(self, ca: str, pool_maxsize: int) -> None:
        self._context = create_urllib3_context()
        self._context.load_verify_locations(ca)
        super().__init__(pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See `HTTPAdapter`."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """See `HTTPAdapter`."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
