"""A remote Spark Connect server, managed elsewhere: a cluster, Kubernetes, Databricks."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse_assets.errors import EngineError

ADDRESS = re.compile(r"sc://(?P<host>[^:/;@]+|\[[^\]]+\]):(?P<port>\d{1,5})(?P<options>/.*)?")
"""`sc://host:port`, and after `/;` the options that PySpark knows, such as `use_ssl=true`."""


class RemoteServer:
    """The server at an address. A token belongs in `SPARK_CONNECT_AUTHENTICATE_TOKEN`, not in the address."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def connecting(self) -> Iterator[str]:
        """The URL to which PySpark connects.

        Raises:
            EngineError: nothing listens at the address.
        """
        match = ADDRESS.fullmatch(self._url)
        assert match is not None, "settings accept no other address"
        host, port = match["host"].strip("[]"), int(match["port"])
        try:
            socket.create_connection((host, port), timeout=10).close()
        except OSError as error:
            raise EngineError(
                f"LAKEHOUSE_ENGINE: no Spark Connect server answers at {host}:{port} ({error.strerror or error}). "
                "Is it up, and reachable from this machine?"
            ) from None
        yield self._url

    def answers(self) -> bool:
        """Always true: a lost server shows at the next request, and PySpark retries automatically."""
        return True
