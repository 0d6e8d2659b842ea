"""The Spark Connect session of this process, connected to whatever engine the settings name."""

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lakehouse_assets.engine.remote import RemoteServer
from lakehouse_assets.engine.sail import Sail
from lakehouse_assets.engine.server import LocalSpark, ServerConfig
from lakehouse_assets.errors import EngineError, EngineLostError
from lakehouse_assets.hooks.spark_client import watch_errors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RETRIES_OF_A_LOST_SERVER = 4
"""PySpark's default goes on for ten minutes, at exit too."""


_SESSION_GONE = ("INVALID_HANDLE.SESSION", "INVALID_HANDLE.OPERATION", "server side session identifier")
"""What a server says that was started again at the same address, and knows nothing of the session."""


@dataclass(frozen=True)
class EngineConfig:
    """Which engine: `spark` (a local server as `server` says), `sail`, or the address of a remote server, `sc://host:port`."""

    kind: str
    server: ServerConfig


class Connectable(Protocol):
    """A server of Spark's protocol, wherever it runs."""

    def connecting(self) -> AbstractContextManager[str]:
        """What PySpark connects to within the block; starts the server where that is ours to do."""

    def answers(self) -> bool:
        """Whether the server that was connected to is still there."""


class Engine:
    """Hands out the one session of this process. Nothing is started or imported before it is asked for."""

    def __init__(self, config: EngineConfig, log: Callable[[str], None] = lambda text: print(text, file=sys.stderr)) -> None:
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
        """The session, connected on first use, and anew where the server has gone. Its frames end with it: ask each time.

        Whatever is asked of it raises EngineLostError where the server goes away meanwhile.

        Raises:
            EngineError: the engine can't be started or reached.
        """
        with self._lock:
            if self._lost or not self._server.answers():
                self._leave(tell_server=False)  # the next server is found or started
            if self._session is None:
                self._session = self._connected()
            return self._session

    def start_in_background(self) -> None:
        """Begin to start the engine while this process does something else. What goes wrong is told by `session`."""

        def attempt() -> None:
            try:
                self.session()
            except EngineError:
                return  # `session` will try again, and raise it to whoever needs the engine

        threading.Thread(target=attempt, name="engine-start", daemon=True).start()

    def stop_session(self) -> None:
        """Take leave of the server, which goes on running. A session left open would keep its state there for an hour."""
        with self._lock:
            self._leave(tell_server=not self._lost)

    def _leave(self, *, tell_server: bool) -> None:
        """Stop the session. One that is not stopped is what PySpark goes on giving to whoever asks for a new one."""
        if self._session is not None:
            session: Any = self._session  # the type is that of a classic session
            session.release_session_on_close = tell_server
            session.stop()
        self._session, self._lost = None, False

    def _connected(self) -> "SparkSession":
        with self._server.connecting() as url:
            # Imported after the server was started, so that both go on at once.
            from pyspark.sql import SparkSession
            from pyspark.sql.connect.client.retries import DefaultPolicy

            # Every error that it logs is raised as well, and told by whoever catches it.
            for logger in ("pyspark.sql.connect.logging", "SQLQueryContextLogger"):
                logging.getLogger(logger).setLevel(logging.CRITICAL)
            session: SparkSession = SparkSession.builder.remote(url).getOrCreate()
            client = session.client
            client.set_retry_policies([DefaultPolicy(max_retries=RETRIES_OF_A_LOST_SERVER)])
            watch_errors(client, self._notice_loss)
            return session

    def _notice_loss(self, error: Exception) -> None:
        """Tell of a server that went away by an error of its own."""
        if engine_was_lost(error):
            self._lost = True
            raise EngineLostError(
                "The Spark server went away while it computed. Run this again: the server is started anew, or found."
            ) from error


def engine_was_lost(error: Exception) -> bool:
    """Whether an error of a call to the server says that it, or the session, is not there any more."""
    import grpc  # type: ignore[import-untyped]  # its stubs are a package of their own

    # A server that was started again wants another token.
    gone = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
    is_gone = isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call) and error.code() in gone
    return is_gone or any(words in str(error) for words in _SESSION_GONE)
