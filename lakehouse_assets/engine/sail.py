"""Sail, a Rust server that speaks Spark's protocol. It runs inside this process and starts in a tenth of a second."""

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
        """The URL to which PySpark connects. Starts the server on first use.

        Raises:
            EngineError: the package is not installed.
        """
        host, port = _server().listening_address
        del host  # for a server without TLS, PySpark and gRPC expect the name `localhost`
        yield f"sc://localhost:{port}"

    def answers(self) -> bool:
        """Always true: the server lives as long as this process."""
        return True


@cache
def _server() -> Any:
    """The server of this process, started on first call."""
    # Otherwise it logs a line per session to stderr. A level that the user has set is kept.
    os.environ.setdefault("RUST_LOG", "error")
    # Files are as small as with its default, zstd(3), for half of the time that compression takes.
    os.environ.setdefault("SAIL_PARQUET__COMPRESSION", "zstd(1)")
    try:
        from pysail.spark import SparkConnectServer
    except ImportError:
        raise EngineError("LAKEHOUSE_ENGINE=sail needs the package pysail: install the project with its extra `sail`.") from None
    server = SparkConnectServer()
    server.start(background=True)
    return server
