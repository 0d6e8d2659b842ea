"""The Spark session of this process: dagster-pyspark's resource, connected to whatever engine the settings name."""

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from lakehouse_assets.engine.server import Server, ServerConfig, answers, connect
from lakehouse_assets.errors import EngineError

if TYPE_CHECKING:
    from dagster_pyspark import PySparkResource
    from pyspark.sql import SparkSession

RETRIES_OF_A_LOST_SERVER = 4
"""PySpark's default goes on for ten minutes, at exit too."""


class Engine:
    """Hands out the one session of this process. Nothing is started or imported before it is asked for."""

    def __init__(self, config: ServerConfig, log: Callable[[str], None] = lambda text: print(text, file=sys.stderr)) -> None:
        self._config = config
        self._log = log
        self._lock = threading.Lock()
        self._resource: PySparkResource | None = None
        self._server: Server | None = None

    def session(self) -> "SparkSession":
        """The session, connected on first use.

        Raises:
            EngineError: the engine can't be started or reached.
        """
        with self._lock:
            if self._server is not None and not answers(self._server):
                self._resource = None  # it has died or was stopped: the next one is found or started
            if self._resource is None:
                self._resource = self._connected()
            session: SparkSession = self._resource.spark_session
            return session

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
            if self._resource is not None:
                self._resource.spark_session.stop()
                self._resource = None

    def _connected(self) -> "PySparkResource":
        self._server = server = connect(self._config, self._log)
        # Imported after the server was started, so that both go on at once.
        import dagster as dg
        from dagster_pyspark import PySparkResource
        from pyspark.sql.connect.client.retries import DefaultPolicy

        resource = PySparkResource(spark_config={"spark.remote": server.url})
        resource.setup_for_execution(dg.build_init_resource_context())
        resource.spark_session.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES_OF_A_LOST_SERVER)])
        return resource
