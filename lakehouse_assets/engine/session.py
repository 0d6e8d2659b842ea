"""The Spark Connect session of this process, connected to the engine in the settings."""

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakSet

from lakehouse_assets.engine.remote import RemoteServer
from lakehouse_assets.engine.sail import Sail
from lakehouse_assets.engine.server import LocalSpark, ServerConfig
from lakehouse_assets.errors import EngineError, EngineLostError
from lakehouse_assets.hooks.spark_client import watch_errors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RETRIES_OF_A_LOST_SERVER = 4
"""PySpark's default retries for ten minutes, at exit too."""


_SESSION_LOST = ("INVALID_HANDLE.SESSION", "INVALID_HANDLE.OPERATION", "server side session identifier")
"""Error texts of a server that was restarted at the same address and does not know the session."""


@dataclass(frozen=True)
class EngineConfig:
    """The engine: `spark` (a local server, configured by `server`), `sail`, or a remote server's address, `sc://host:port`."""

    kind: str
    server: ServerConfig


class Connectable(Protocol):
    """A server that speaks Spark's protocol, local or remote."""

    def connecting(self) -> AbstractContextManager[str]:
        """The URL to which PySpark connects in the block. Starts the server if this process manages it."""

    def answers(self) -> bool:
        """Whether the connected server still runs."""


class Engine:
    """Provides the one session of this process. Starts and imports nothing before the session is requested."""

    def __init__(self, config: EngineConfig, log: Callable[[str], None] = lambda text: print(text, file=sys.stderr)) -> None:
        self.name = config.kind if config.kind in ("spark", "sail") else "remote"
        """For people: without the address, which may hold a token."""
        self._server: Connectable
        if config.kind == "spark":
            self._server = LocalSpark(config.server, log)
        elif config.kind == "sail":
            self._server = Sail()
        else:
            self._server = RemoteServer(config.kind)
        self._lock = threading.Lock()
        self._session: SparkSession | None = None
        self._lost = False

    def session(self) -> "SparkSession":
        """The session, connected on first use, and again if it was stopped or the server was lost.

        Its DataFrames end with it: call this each time. Requests of the session raise EngineLostError if the server is lost.

        Raises:
            EngineError: the engine can't be started or reached.
        """
        with self._lock:
            # PySpark has one session for a server and a process: another engine of this process may have stopped it.
            is_stopped = self._session is not None and cast("Any", self._session).is_stopped
            if self._lost or is_stopped or not self._server.answers():
                self._leave(tell_server=False)  # the next server is found or started
            if self._session is None:
                self._session = self._connected()
            return self._session

    def start_in_background(self) -> None:
        """Start the engine in a background thread. Errors are raised by the next call of `session`."""

        def attempt() -> None:
            try:
                self.session()
            except EngineError:
                return  # the next call of `session` tries again and raises the error

        threading.Thread(target=attempt, name="engine-start", daemon=True).start()

    def stop_session(self) -> None:
        """Close the session; the server keeps running. It would keep the state of an open session for an hour."""
        with self._lock:
            self._leave(tell_server=not self._lost)

    def _leave(self, *, tell_server: bool) -> None:
        """Stop the session. Otherwise PySpark would return it again when a new one is requested."""
        if self._session is not None:
            session: Any = self._session  # typed as a classic session, which lacks the attributes
            session.release_session_on_close = tell_server
            session.stop()
        self._session, self._lost = None, False

    def _connected(self) -> "SparkSession":
        """Connect a new session."""
        with self._server.connecting() as url:
            # Imported only now, so that PySpark loads while a server that was just started gets ready.
            from pyspark.sql import SparkSession
            from pyspark.sql.connect.client.retries import DefaultPolicy

            # It logs only errors that it also raises; the code that catches them reports them.
            for logger in ("pyspark.sql.connect.logging", "SQLQueryContextLogger"):
                logging.getLogger(logger).setLevel(logging.CRITICAL)
            session: SparkSession = SparkSession.builder.remote(url).getOrCreate()
            client = session.client
            client.set_retry_policies([DefaultPolicy(max_retries=RETRIES_OF_A_LOST_SERVER)])
            watch_errors(client, self._notice_loss)
            if isinstance(self._server, RemoteServer):
                _remote.add(session)
            return session

    def _notice_loss(self, error: Exception) -> None:
        """Raise EngineLostError if an error means that the server was lost."""
        if engine_was_lost(error):
            self._lost = True
            raise EngineLostError(
                "The Spark server was lost while it computed. Run this again: the server is restarted automatically."
            ) from error


_remote: "WeakSet[SparkSession]" = WeakSet()


def is_remote(session: "SparkSession") -> bool:
    """Whether the session is one with a server at an address, such as a cluster: it may compute more than this machine can."""
    return session in _remote


def engine_was_lost(error: Exception) -> bool:
    """Whether an error of a call to the server means that the server or the session no longer exists."""
    import grpc  # type: ignore[import-untyped]  # its stubs are a package of their own

    # UNAUTHENTICATED: a restarted server expects another token.
    lost_codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
    is_lost = isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call) and error.code() in lost_codes
    return is_lost or any(text in str(error) for text in _SESSION_LOST)
