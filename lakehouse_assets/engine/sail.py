"""Sail, the Rust server that speaks Spark's protocol: it runs within this process, and starts in a tenth of a second."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from lakehouse_assets.errors import EngineError


class Sail:
    """The Sail server of this process, on a free port of 127.0.0.1. It ends with the process."""

    @contextmanager
    def connecting(self) -> Iterator[str]:
        """What PySpark connects to; the server is started on first use.

        Raises:
            EngineError: the package is not installed.
        """
        host, port = _server().listening_address
        del host  # PySpark and gRPC agree on the name `localhost` for a server without TLS
        yield f"sc://localhost:{port}"

    def answers(self) -> bool:
        """Always: it lives as long as this process."""
        return True


@cache
def _server() -> Any:
    # Its log goes to stderr, each session a line, unless somebody has asked for more.
    os.environ.setdefault("RUST_LOG", "error")
    try:
        from pysail.spark import SparkConnectServer
    except ImportError:
        raise EngineError("LAKEHOUSE_ENGINE=sail needs the package pysail: install the project with its extra `sail`.") from None
    server = SparkConnectServer()
    server.start(background=True)
    return server
