"""Runs a program in the background, with its state in a folder: start, find again, check its health, stop."""

import json
import os
import pwd
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.files import PRIVATE, write_whole

START_SECONDS = 60
STOP_SECONDS = 20
_POLL_SECONDS = 0.1
_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""On Linux, an id that changes with each boot."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Process:
    """A process id and when the process began. The time tells it from a later process with the same id."""

    pid: int
    began: str

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        # `began` is empty if the process had ended before it could be read; `_began` is empty for an unused process id.
        return bool(self.began) and _began(self.pid) == self.began


class PortTakenError(ServiceError):
    """Another process listens on the service's port."""


@dataclass(frozen=True)
class Status:
    """The status of a service. `state` is `running`, `not answering` (its health check fails) or `stopped`."""

    name: str
    state: str
    address: str
    pid: int | None
    log: Path


class Service(ABC):
    """One service. Its own folder holds its data, log and process id. `port` is the same at each start."""

    name: str
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    @abstractmethod
    def prepare(self, tell: Tell) -> None:
        """Get the program and set up the data folder. Does nothing if that is done."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The program and its arguments. Secrets belong in `environment`, because every user can read a command line."""

    @abstractmethod
    def is_healthy(self) -> bool:
        """Whether the service answers a request of its protocol."""

    def environment(self) -> Mapping[str, str]:
        """Variables to add to the environment of the process."""
        return {}

    def user(self) -> str | None:
        """The user to run as, for a service that must not run as root; None means the current user."""
        return None

    def after_start(self) -> None:  # noqa: B027 - most services have nothing to do here
        """Finish the set-up on the running service, for example create a bucket. Does nothing if that is done."""

    def ports(self) -> Sequence[int]:
        """All ports on which the service listens."""
        return [self.port]

    def identity(self) -> dict[str, Any]:
        """The arguments with which `subprocess` runs a program as `user`, without root's groups."""
        user = self.user()
        return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}

    @property
    def address(self) -> str:
        """The host and port on which the service listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The file with the output of the service."""
        return self.folder / "log"

    def make_ready(self, tell: Tell) -> None:
        """Prepare the service for its start. Does nothing if it runs already.

        Raises:
            ServiceError: something that it needs is unavailable.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.process() is None:
            self.prepare(tell)

    def up(self, tell: Tell) -> None:
        """Start the service unless it runs already, and wait until it answers.

        Raises:
            ServiceError: something that it needs is unavailable, or it does not answer in time; then the text names the log.
        """
        self.make_ready(tell)
        log_start = 0
        if self.process() is None:
            for port in self.ports():
                if not _is_free(port):
                    raise PortTakenError(f"{self.name}: port {port} of 127.0.0.1 is in use. Stop the process that uses it.")
            log_start = self.log.stat().st_size if self.log.exists() else 0
            self._start()
        self._wait_until_healthy(log_start)
        self.after_start()
        tell(f"{self.name} answers at {self.address}")

    def down(self, tell: Tell) -> None:
        """Stop the service with its stop signal, or kill it if that fails. Does nothing if it does not run.

        Raises:
            ServiceError: it can't be stopped.
        """
        running = self.process()
        if running is None:
            return
        if not (self._ends(running, self.stop_signal) or self._ends(running, signal.SIGKILL)):
            raise ServiceError(f"{self.name}: process {running.pid} does not end, although it was killed.")
        self._state.unlink(missing_ok=True)
        tell(f"{self.name} is stopped")

    def status(self) -> Status:
        """The current status of the service."""
        running = self.process()
        state = "stopped" if running is None else "running" if self.is_healthy() else "not answering"
        return Status(self.name, state, self.address, running.pid if running else None, self.log)

    def process(self) -> Process | None:
        """The process of the service; None if it does not run."""
        try:
            process = Process(**json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None
        return process if process.is_alive() else None

    def _ends(self, running: Process, by: signal.Signals) -> bool:
        """Send a signal to the process. Returns whether it ends in time."""
        try:
            os.kill(running.pid, by)
        except ProcessLookupError:
            return True
        except PermissionError:
            raise ServiceError(f"{self.name}: process {running.pid} belongs to another user. Stop it as that user.") from None
        return _within(STOP_SECONDS, lambda: not running.is_alive())

    @property
    def _state(self) -> Path:
        return self.folder / "process.json"

    def _start(self) -> None:
        """Start the process and record it in the state file."""
        command = self.command()
        with self.log.open("a") as out:
            try:
                started = subprocess.Popen(
                    command,
                    env={**os.environ, **self.environment()},
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    **self.identity(),
                )
            except OSError as error:
                raise ServiceError(f"{self.name}: {command[0]} can't be run: {error.strerror}.") from None
        write_whole(self._state, json.dumps({"pid": started.pid, "began": _began(started.pid)}), PRIVATE)

    def _wait_until_healthy(self, log_start: int) -> None:
        """Wait until the service answers. The error quotes the log from `log_start` (bytes), where this start's output begins."""
        running = self.process()
        if (
            running is not None
            and _within(START_SECONDS, lambda: self.is_healthy() or not running.is_alive())
            and self.is_healthy()
        ):
            return
        does = "does not answer" if running is not None and running.is_alive() else "ended and does not answer"
        with self.log.open("rb") as log:
            log.seek(log_start)
            last_lines = log.read().decode(errors="replace").strip().splitlines()[-3:]
        raise ServiceError(
            f"{self.name} {does} at {self.address} ({' / '.join(last_lines) or 'it logged nothing'}). Its log is {self.log}."
        )


def free_port(preferred: int) -> int:
    """The preferred port of 127.0.0.1 if it is free; otherwise, or if 0 is preferred, any free port."""
    if preferred and _is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether a condition becomes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _began(pid: int) -> str:
    """When a process began. Empty if there is no such process, or if it has ended and its parent has not collected it yet."""
    try:
        process = psutil.Process(pid)
        # If only the first thread has ended, the others still hold ports and files for a moment: the process counts as running.
        if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
            return ""
        began = process.create_time()
    except psutil.NoSuchProcess:
        return ""
    # On Linux both are wall-clock times and shift together when the clock is set. Their difference does not change.
    return f"{_BOOT.read_text().strip()} {began - psutil.boot_time():.2f}" if _BOOT.exists() else f"{began:.2f}"
