"""One local Spark Connect server for all steps and runs of a user: found, or started by whoever needs it first.

Its state lies in one folder: `server.json` (port, token, process ids; only the user can read it), `server.log`, and two lock files.
Whoever uses the server holds `clients.lock` shared for as long as it lives; the kernel lets go of it however the process ends. The
server's supervisor (`supervisor.py`) stops it when nobody has held that lock for a while.
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
from lakehouse_assets.store.s3 import identity as store_identity
from lakehouse_assets.store.s3 import s3_settings

START_SECONDS = 120
"""How long a start may take before it counts as failed. Usual are 3 to 9 s."""

AUTHENTICATION = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
"""The environment variable by which Spark's server learns its token, and PySpark what to send."""

_POLL_SECONDS = 0.05

_STATE_LAYOUT = 2
"""The layout of `server.json`. Another layout means another folder, so programs of different ages never share a server."""


@dataclass(frozen=True)
class ServerConfig:
    """What decides which server it is: two processes with the same share one."""

    cache: Path
    memory: str
    idle_seconds: int
    port: int
    reads_s3: bool = False

    @property
    def folder(self) -> Path:
        """Where the state lies."""
        facts = json.dumps(
            [
                _STATE_LAYOUT,
                str(spark_home()),
                self.memory,
                self.idle_seconds,
                self.port,
                store_identity() if self.reads_s3 else [],
            ]
        )
        return self.cache / "engine" / hashlib.sha256(facts.encode()).hexdigest()[:12]

    @property
    def log(self) -> Path:
        """What the server and its supervisor print."""
        return self.folder / "server.log"

    @property
    def archive(self) -> Path:
        """The archive of loaded classes, for this machine's Java and these jars."""
        java = find_java()
        facts = json.dumps([str(java.executable), java.version, str(spark_home())])
        return self.cache / "jars" / f"classes-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.jsa"


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    token: str
    supervisor_pid: int
    java_pid: int

    @property
    def url(self) -> str:
        """What PySpark connects to. The token stays out of it: PySpark takes it from the environment."""
        # PySpark sends a token without TLS to the literal name `localhost` only.
        return f"sc://localhost:{self.port}"


class LocalSpark:
    """The local server as this process sees it."""

    def __init__(self, config: ServerConfig, log: Callable[[str], None]) -> None:
        self._config = config
        self._log = log
        self._server: Server | None = None

    @contextmanager
    def connecting(self) -> Iterator[str]:
        """What PySpark connects to within the block: the running server, started if there is none.

        It stays at least as long as this process.

        Raises:
            EngineError: it can't be started; the text names the log.
        """
        self._server = connect(self._config, self._log)
        # Only while PySpark connects: a child of this process that uses another server must not show it this one's token.
        before = os.environ.get(AUTHENTICATION)
        os.environ[AUTHENTICATION] = self._server.token
        try:
            yield self._server.url
        finally:
            del os.environ[AUTHENTICATION]
            if before is not None:
                os.environ[AUTHENTICATION] = before

    def answers(self) -> bool:
        """Whether the server lives and listens."""
        return self._server is not None and answers(self._server)


def connect(config: ServerConfig, log: Callable[[str], None]) -> Server:
    """The running server, started if there is none; it keeps running at least as long as this process lives.

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
        # The defaults, 200 and 50, are for tables of another size; both cost a task each.
        "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
        "spark.databricks.delta.snapshotPartitions": "1",
        # Delta, DuckDB and delta-rs all expect this, not Spark's old INT96.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.session.timeZone": "UTC",
        # A task's files are put in their place when it ends, not once more when the job does: nobody reads them before a commit.
        "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
    }
    if config.reads_s3:
        conf |= s3_conf()
    else:
        # Without a checksum file beside each file: many partitions take a sixth less. S3A can't buffer its uploads by it.
        conf["spark.hadoop.fs.file.impl"] = "org.apache.hadoop.fs.RawLocalFileSystem"
    return server_command(java, jars=jars, conf=conf, memory=config.memory, archive=config.archive, dump_archive=dump_archive)


def s3_conf() -> dict[str, str]:
    """What makes Spark read and write `s3://`. The keys stay in the environment, where AWS's SDK looks for them."""
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
    """The environment of the server: the token goes this way because a command line can be read by every user."""
    return {
        **os.environ,
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        AUTHENTICATION: token,
    }


def read_state(folder: Path) -> Server | None:
    """What `server.json` says; None where no server was started or its supervisor has ended it."""
    try:
        return Server(**json.loads((folder / "server.json").read_text()))
    except FileNotFoundError:
        return None


def write_state(folder: Path, server: Server) -> None:
    """Tell others of a server; only the user can read it."""
    file = folder / "server.json"
    unfinished = file.with_suffix(".tmp")
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        json.dump(asdict(server), out)
    unfinished.rename(file)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_answers(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start(config: ServerConfig, log: Callable[[str], None]) -> Server:
    (config.folder / "server.json").unlink(missing_ok=True)
    log(f"Starting the Spark server; its log is {config.log}")
    # Jars are fetched here, not in the supervisor, so that what goes wrong is told to whoever asked.
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
    supervisor.terminate()
    told = config.log.read_text(errors="replace").strip().splitlines()
    raise EngineError(
        f"The Spark server did not start within {START_SECONDS} s"
        if supervisor.poll() is None
        else "The Spark server ended at once" + (f" ({told[-1].strip()})" if told else "") + f". Its log is {config.log}."
    )


def answers(server: Server) -> bool:
    """Whether the server's process lives and listens."""
    import psutil

    return psutil.pid_exists(server.java_pid) and port_answers(server.port)


_held: dict[Path, IO[str]] = {}


def _hold_clients_lock(folder: Path) -> None:
    if folder not in _held:
        lock = (folder / "clients.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_SH)
        _held[folder] = lock
