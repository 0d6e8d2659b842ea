"""A program that runs in the background below a folder: started, found again, asked for its health, stopped."""

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

START_SECONDS = 60
STOP_SECONDS = 20
_POLL_SECONDS = 0.1
_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""On Linux, another text after each start of the machine."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Process:
    """A process and when it began, so that another one that was given its number later is not taken for it."""

    pid: int
    began: str

    def is_alive(self) -> bool:
        """Whether it still runs."""
        # One that ended before it was asked has no beginning, and neither has a number that nobody has.
        return bool(self.began) and _began(self.pid) == self.began


class PortTakenError(ServiceError):
    """Somebody else listens on the service's port."""


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
    stop_signal = signal.SIGTERM

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

    def ports(self) -> Sequence[int]:
        """All ports on which it listens."""
        return [self.port]

    def identity(self) -> dict[str, Any]:
        """What `subprocess` is told so that a program runs as `user`, without root's groups."""
        user = self.user()
        return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"

    def make_ready(self, tell: Tell) -> None:
        """Get all that it needs; nothing where it runs already.

        Raises:
            ServiceError: it can't be had.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.process() is None:
            self.prepare(tell)

    def up(self, tell: Tell) -> None:
        """Start it and wait until it answers; nothing where it runs already.

        Raises:
            ServiceError: it can't be had, or does not answer in time; the text names the log.
        """
        self.make_ready(tell)
        said_before = 0
        if self.process() is None:
            for port in self.ports():
                if not _is_free(port):
                    raise PortTakenError(f"{self.name}: port {port} of 127.0.0.1 is taken. Stop whoever has it.")
            said_before = self.log.stat().st_size if self.log.exists() else 0
            self._start()
        self._wait_until_healthy(said_before)
        self.settle()
        tell(f"{self.name} answers at {self.address}")

    def down(self, tell: Tell) -> None:
        """Stop it as it wants to be stopped; nothing where it does not run.

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

    def _ends(self, running: Process, by: signal.Signals) -> bool:
        try:
            os.kill(running.pid, by)
        except ProcessLookupError:
            return True
        except PermissionError:
            raise ServiceError(f"{self.name}: process {running.pid} is another user's. Stop it as that user.") from None
        return _within(STOP_SECONDS, lambda: not running.is_alive())

    @property
    def _state(self) -> Path:
        return self.folder / "process.json"

    def _start(self) -> None:
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
        write_whole(self._state, json.dumps({"pid": started.pid, "began": _began(started.pid)}))

    def _wait_until_healthy(self, said_before: int) -> None:
        running = self.process()
        if (
            running is not None
            and _within(START_SECONDS, lambda: self.is_healthy() or not running.is_alive())
            and self.is_healthy()
        ):
            return
        does = "does not answer" if running is not None and running.is_alive() else "ended and does not answer"
        with self.log.open("rb") as log:
            log.seek(said_before)
            told = log.read().decode(errors="replace").strip().splitlines()[-3:]
        raise ServiceError(
            f"{self.name} {does} at {self.address} ({' / '.join(told) or 'it said nothing'}). Its log is {self.log}."
        )


def write_whole(file: Path, text: str) -> None:
    """Put a file in place in one step, so that a reader never sees half of it; only the user can read it."""
    unfinished = file.with_name(f".{file.name}-{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    unfinished.replace(file)


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
    """When a process began; empty where there is none, or it has ended and nobody has asked how."""
    try:
        process = psutil.Process(pid)
        # The first thread may have ended before the others, which hold on to ports and files for a moment.
        if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
            return ""
        began = process.create_time()
    except psutil.NoSuchProcess:
        return ""
    # On Linux both are times of day that move alike when somebody sets the clock; what lies between them does not.
    return f"{_BOOT.read_text().strip()} {began - psutil.boot_time():.2f}" if _BOOT.exists() else f"{began:.2f}"
