"""A program that runs in the background below a folder: started, found again, asked for its health, stopped."""

import json
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse_assets.errors import ServiceError

START_SECONDS = 60
STOP_SECONDS = 20
_POLL_SECONDS = 0.1

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Process:
    """A process and when it began, so that another one that was given its number later is not taken for it."""

    pid: int
    began: str

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return _began(self.pid) == self.began


@dataclass(frozen=True)
class Status:
    """How a service is: `running`, `not answering` (it runs, but its health check fails), or `stopped`."""

    name: str
    state: str
    address: str
    pid: int | None
    log: Path


class Service(ABC):
    """One service. Its data, log and process id lie in a folder of its own; `port` stays the same from start to start."""

    name: str

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    @abstractmethod
    def prepare(self, tell: Tell) -> None:
        """Get the program, and make the data folder ready; does nothing where that is done."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The program and its arguments. Secrets go by `environment`, because every user can read a command line."""

    @abstractmethod
    def is_healthy(self) -> bool:
        """Whether it answers as its protocol wants."""

    def environment(self) -> Mapping[str, str]:
        """What is added to the environment of the process."""
        return {}

    def user(self) -> str | None:
        """The user as whom it runs, where root must not."""
        return None

    def settle(self) -> None:  # noqa: B027 - most services have nothing to do here
        """What is to be done once it runs, such as making a bucket; does nothing where that is done."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"

    def up(self, tell: Tell) -> None:
        """Start it and wait until it answers; nothing where it runs already.

        Raises:
            ServiceError: it can't be had, or does not answer in time; the text names the log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.process() is None:
            self.prepare(tell)
            if not _is_free(self.port):
                raise ServiceError(
                    f"{self.name}: port {self.port} of 127.0.0.1 is taken. Stop whoever has it, or remove {self.folder}."
                )
            self._start()
        self._wait_until_healthy()
        self.settle()
        tell(f"{self.name} answers at {self.address}")

    def down(self, tell: Tell) -> None:
        """Stop it as it wants to be stopped; nothing where it does not run."""
        running = self.process()
        if running is None:
            return
        os.kill(running.pid, signal.SIGTERM)
        if not _within(STOP_SECONDS, lambda: not running.is_alive()):
            os.kill(running.pid, signal.SIGKILL)
            _within(STOP_SECONDS, lambda: not running.is_alive())
        self._state.unlink(missing_ok=True)
        tell(f"{self.name} is stopped")

    def status(self) -> Status:
        """How it is now."""
        running = self.process()
        state = "stopped" if running is None else "running" if self.is_healthy() else "not answering"
        return Status(self.name, state, self.address, running.pid if running else None, self.log)

    def process(self) -> Process | None:
        """The process, where it runs."""
        try:
            found = Process(**json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None
        return found if found.is_alive() else None

    @property
    def _state(self) -> Path:
        return self.folder / "process.json"

    def _start(self) -> None:
        with self.log.open("a") as out:
            started = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment()},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                user=self.user(),
            )
        self._state.write_text(json.dumps({"pid": started.pid, "began": _began(started.pid)}))

    def _wait_until_healthy(self) -> None:
        running = self.process()
        if (
            running is not None
            and _within(START_SECONDS, lambda: self.is_healthy() or not running.is_alive())
            and self.is_healthy()
        ):
            return
        told = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        raise ServiceError(
            f"{self.name} does not answer at {self.address} ({' / '.join(told) or 'it said nothing'}). Its log is {self.log}."
        )


def free_port(preferred: int) -> int:
    """The preferred port of 127.0.0.1 where it is free, else (or where 0 is preferred) any free one."""
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
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _began(pid: int) -> str:
    """When a process began, in the system's own words; empty where there is none, or it has ended and nobody has asked how."""
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    state, _, began = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()
