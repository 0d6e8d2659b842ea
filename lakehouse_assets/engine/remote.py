"""A Spark Connect server that others run: a cluster, Kubernetes, Databricks."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse_assets.errors import EngineError

ADDRESS = re.compile(r"sc://(?P<host>[^:/;@]+|\[[^\]]+\]):(?P<port>\d{1,5})(?P<options>/.*)?")
"""`sc://host:port`, and behind `/;` the options that PySpark knows, such as `use_ssl=true`."""


class RemoteServer:
    """The server at an address. A token belongs into `SPARK_CONNECT_AUTHENTICATE_TOKEN`, not into the address."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def connecting(self) -> Iterator[str]:
        """What PySpark connects to.

        Raises:
            EngineError: nobody listens there.
        """
        found = ADDRESS.fullmatch(self._url)
        assert found is not None, "settings take no other address"
        host, port = found["host"].strip("[]"), int(found["port"])
        try:
            socket.create_connection((host, port), timeout=10).close()
        except OSError as error:
            raise EngineError(
                f"LAKEHOUSE_ENGINE: no Spark Connect server answers at {host}:{port} ({error.strerror or error}). "
                "Is it up, and may this machine reach it?"
            ) from None
        yield self._url

    def answers(self) -> bool:
        """Whoever asks it will hear; PySpark tries again by itself."""
        return True
