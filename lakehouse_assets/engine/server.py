"""One local Spark Connect server for all steps and runs of a user. The first process that needs it starts it, the others find it.

Its state is in one folder: `server.json` (port, token, process ids; only the user can read it), `server.log`, and two lock files.
Each client process holds a shared lock on `clients.lock` for its lifetime; the kernel releases it however the process ends. The
server's supervisor (`supervisor.py`) stops the server when no process has held that lock for a while.
"""

import fcntl
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from lakehouse_assets.engine.jars import engine_jars, spark_home
from lakehouse_assets.engine.java import find_java, server_command
from lakehouse_assets.errors import EngineError
from lakehouse_assets.files import PRIVATE, write_whole
from lakehouse_assets.store.s3 import identity as store_identity
from lakehouse_assets.store.s3 import s3_settings

START_SECONDS = 120
"""How long a start may take before it counts as failed. It usually takes 3 to 9 s."""

AUTHENTICATION = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
"""The environment variable from which Spark's server and PySpark take the token."""

_POLL_SECONDS = 0.05

_STATE_LAYOUT = 2
"""The layout of `server.json`. Another layout means another folder, so programs of different ages never share a server."""


@dataclass(frozen=True)
class ServerConfig:
    """The configuration of a server. Processes with the same configuration share one server."""

    cache: Path
    memory: str
    idle_seconds: int
    port: int
    reads_s3: bool = False

    @property
    def folder(self) -> Path:
        """The folder of the server's state."""
        identity = json.dumps(
            [
                _STATE_LAYOUT,
                str(spark_home()),
                self.memory,
                self.idle_seconds,
                self.port,
                store_identity() if self.reads_s3 else [],
            ]
        )
        return self.cache / "engine" / hashlib.sha256(identity.encode()).hexdigest()[:12]

    @property
    def log(self) -> Path:
        """The output of the server and its supervisor."""
        return self.folder / "server.log"

    @property
    def archive(self) -> Path:
        """The archive of loaded classes, for this machine's Java and these jars."""
        java = find_java()
        identity = json.dumps([str(java.executable), java.version, str(spark_home())])
        return self.cache / "jars" / f"classes-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.jsa"


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    token: str
    supervisor_pid: int
    java_pid: int

    @property
    def url(self) -> str:
        """The URL to which PySpark connects. It omits the token, which PySpark takes from the environment."""
        # Without TLS, PySpark sends a token only to the literal name `localhost`.
        return f"sc://localhost:{self.port}"


class LocalSpark:
    """This process's connection to the local server."""

    def __init__(self, config: ServerConfig, log: Callable[[str], None]) -> None:
        self._config = config
        self._log = log
        self._server: Server | None = None

    @contextmanager
    def connecting(self) -> Iterator[str]:
        """The URL to which PySpark connects in the block. Starts the server if none runs.

        The server keeps running at least as long as this process.

        Raises:
            EngineError: it can't be started; the text names the log.
        """
        self._server = connect(self._config, self._log)
        # Set only while PySpark connects: a child process that uses another server must not send it this server's token.
        before = os.environ.get(AUTHENTICATION)
        os.environ[AUTHENTICATION] = self._server.token
        try:
            yield self._server.url
        finally:
            del os.environ[AUTHENTICATION]
            if before is not None:
                os.environ[AUTHENTICATION] = before

    def answers(self) -> bool:
        """Whether the server is alive and listens."""
        return self._server is not None and answers(self._server)


def connect(config: ServerConfig, log: Callable[[str], None]) -> Server:
    """Find the running server, or start one. It keeps running at least as long as this process.

    Raises:
        EngineError: it can't be started; the text names the log.
    """
    config.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _hold_clients_lock(config.folder)
    from filelock import FileLock

    with FileLock(config.folder / "start.lock"):
        running = read_state(config.folder)
        if running is None or not answers(running):
            running = _start(config, log)
    return running


def command_for(config: ServerConfig, port: int, *, dump_archive: bool = False) -> list[str]:
    """The command line of the server on the given port. Fetches jars on first use."""
    java = find_java()
    jars = engine_jars(java, config.cache / "jars", reads_s3=config.reads_s3)
    conf = {
        "spark.app.name": "lakehouse",
        "spark.master": "local[*]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.warehouse.dir": str(config.folder / "warehouse"),
        "spark.local.dir": str(config.folder / "scratch"),
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        # The defaults, 200 and 50, are meant for much larger tables, and each partition costs a task.
        "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
        "spark.databricks.delta.snapshotPartitions": "1",
        # Delta, DuckDB and delta-rs all expect this, not Spark's old INT96.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.session.timeZone": "UTC",
        # A task's files are moved to their final path when the task ends, not again when the job ends. Nothing reads them before
        # a Delta commit names them.
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
    }
    if config.reads_s3:
        conf |= s3_conf()
        # Each request that names more than 32 files looks them up in a Spark job: with so many tasks, not with one for each file.
        conf["spark.sql.sources.parallelPartitionDiscovery.parallelism"] = str(os.cpu_count() or 2)
    else:
        # Files of a folder are looked up faster one by one than in a Spark job, which would take a second or two.
        conf["spark.sql.sources.parallelPartitionDiscovery.threshold"] = "100000"
        # Writes no checksum files: many partitions take a sixth less time. Not with S3, because S3A can't buffer uploads with it.
        conf["spark.hadoop.fs.file.impl"] = "org.apache.hadoop.fs.RawLocalFileSystem"
    return server_command(java, jars=jars, conf=conf, memory=config.memory, archive=config.archive, dump_archive=dump_archive)


def s3_conf() -> dict[str, str]:
    """The settings with which Spark reads and writes `s3://`. The keys stay in the environment, where the AWS SDK finds them."""
    store = s3_settings()
    conf = {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
        "spark.hadoop.fs.s3a.endpoint.region": store.region,
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",  # as in a folder
    }
    if store.endpoint:
        conf |= {"spark.hadoop.fs.s3a.endpoint": store.endpoint, "spark.hadoop.fs.s3a.path.style.access": "true"}
    return conf


def server_environment(token: str) -> dict[str, str]:
    """The environment of the server. It contains the token, because every user can read a command line."""
    return {
        **os.environ,
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        AUTHENTICATION: token,
    }


def read_state(folder: Path) -> Server | None:
    """The contents of `server.json`; None if no server was started or its supervisor has stopped it."""
    try:
        return Server(**json.loads((folder / "server.json").read_text()))
    except FileNotFoundError:
        return None


def write_state(folder: Path, server: Server) -> None:
    """Publish a server to other processes in `server.json`, which only the user can read."""
    write_whole(folder / "server.json", json.dumps(asdict(server)), PRIVATE)


def free_port() -> int:
    """A free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_answers(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start(config: ServerConfig, log: Callable[[str], None]) -> Server:
    """Start a supervisor with its server, and wait until the server listens."""
    (config.folder / "server.json").unlink(missing_ok=True)
    log(f"Starting the Spark server; its log is {config.log}")
    # Jars are fetched here, not in the supervisor, so that the caller gets the errors.
    port = config.port or free_port()
    command = command_for(config, port)
    request = {"command": command, "port": port, "token": secrets.token_urlsafe(24), "idle_seconds": config.idle_seconds}
    with config.log.open("w") as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "lakehouse_assets.engine.supervisor", str(config.folder)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            text=True,
            start_new_session=True,
        )
    assert supervisor.stdin is not None
    supervisor.stdin.write(json.dumps(request))
    supervisor.stdin.close()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = read_state(config.folder)
        if state is not None and port_answers(state.port):
            return state
        if supervisor.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    fault = f"did not start within {START_SECONDS} s" if supervisor.poll() is None else "ended at once"
    supervisor.terminate()
    log_lines = config.log.read_text(errors="replace").strip().splitlines()
    last_line = f" ({log_lines[-1].strip()})" if log_lines else ""
    raise EngineError(f"The Spark server {fault}{last_line}. Its log is {config.log}.")


def answers(server: Server) -> bool:
    """Whether the server's process is alive and listens."""
    import psutil

    return psutil.pid_exists(server.java_pid) and port_answers(server.port)


_held_locks: dict[Path, IO[str]] = {}
"""The locked files, by folder. Kept open, because closing a file would release its lock."""


def _hold_clients_lock(folder: Path) -> None:
    """Hold the shared clients' lock of a server until this process ends."""
    if folder not in _held_locks:
        lock = (folder / "clients.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_SH)
        _held_locks[folder] = lock
