"""Loads dbt ahead of time: a process imports dbt and parses the project, then runs each command in a copy of itself.

Importing dbt and parsing the project take 2.4 s of a build's 4.7 s. A second core can do that while raw and silver are built.
Callers start `lakehouse-dbt` as if it were `dbt`. It passes its arguments, environment, folder and output to the waiting process;
if none waits, it runs dbt itself.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

PLACE = "LAKEHOUSE_DBT_AHEAD"
"""The environment variable that holds the path of the socket on which the waiting process listens."""

_WAITING_CALLERS, _LONGEST_FOLDER = 100, 60


def executable(name: str) -> str:
    """Return the path of a program of this Python environment, which need not be on PATH."""
    return str(Path(sys.executable).with_name(name))


@contextmanager
def loaded_ahead(folders: Sequence[Path]) -> Iterator[None]:
    """Load dbt in another process while the block runs, unless the environment names one already.

    `folders` are the project's own and those of its packages. The process ends with the block or with this process, and so does
    every command that it runs.
    """
    if PLACE in os.environ:
        yield
        return
    # A path that is too long for a socket can't be used.
    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 - with a random name
    with tempfile.TemporaryDirectory(prefix="lakehouse-dbt-", dir=parent) as place:
        address = f"{place}/socket"
        with listening(address) as listener, serving(listener, folders):
            os.environ[PLACE] = address
            try:
                yield
            finally:
                del os.environ[PLACE]


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A socket on which callers wait from now on, at the path that `PLACE` is to name."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(_WAITING_CALLERS)
        yield listener


@contextmanager
def serving(listener: socket.socket, folders: Sequence[Path]) -> Iterator[None]:
    """Have a process run the commands of those who connect, while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(listener.fileno()), *map(str, folders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        start_new_session=True,
    )
    listener.close()  # once that process has ended, nobody waits for callers
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def run() -> int:
    """Run `lakehouse-dbt`; returns dbt's exit code."""
    address = os.environ.get(PLACE, "")
    request = json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
            socket.send_fds(connection, [len(request).to_bytes(4, "big")], [1, 2])
            connection.sendall(request)
            process = int.from_bytes(connection.recv(4), "big")
        except OSError:
            process = 0
        if not process:  # none waits, or it has ended before it began
            dbt = executable("dbt")
            os.execv(dbt, [dbt, *sys.argv[1:]])  # noqa: S606 - the same program under its own name
        signal.signal(signal.SIGINT, lambda *_: os.kill(process, signal.SIGINT))
        code = connection.recv(1)
        return code[0] if code else 1


def _serve(listener: socket.socket, folders: Sequence[Path]) -> NoReturn:
    """Load dbt, then run each command in a fork: it finds all imported and parsed, and leaves nothing behind."""
    gc.disable()  # a fork ends soon, and dbt leaves little garbage to look for
    _end_when(lambda: os.read(0, 1))
    os.chdir(folders[0])
    from dbt.adapters import duckdb
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    from lakehouse_assets.gold.models import project_digest

    del duckdb  # imported now only to save time later
    digest = [*map(project_digest, folders)]
    # dbt's static parser starts threads of its own, which a fork lacks: the parser of a fork would wait for them for ever.
    quietly = ["--quiet", "--no-version-check", "--log-level-file", "none", "--no-write-json", "--no-static-parser"]
    parsed = dbtRunner().invoke([*quietly, "parse"])
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        is_current = Path.cwd() == folders[0] and digest == [*map(project_digest, folders)]
        _run(connection, parsed.result if is_current and isinstance(parsed.result, Manifest) else None)


def _reap(*_: object) -> None:
    """Wait for the forks that have ended. If nobody did, their CPU time would count for nobody."""
    with suppress(ChildProcessError):  # none is left
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _run(connection: socket.socket, manifest: "Manifest | None") -> NoReturn:
    """Run the command that the connection brings, and end the process."""
    from dbt.artifacts.schemas.run import RunExecutionResult
    from dbt.cli.main import dbtRunner

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _end_when(lambda: os.read(0, 1))
    size, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
    request = json.loads(_received(connection, int.from_bytes(size, "big")))
    for number, descriptor in zip((1, 2), descriptors, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    connection.sendall(os.getpid().to_bytes(4, "big"))
    _end_when(lambda: connection.recv(1))
    os.environ.clear()
    os.environ.update(request["environment"])
    is_its_own = Path.cwd() == Path(request["folder"])
    os.chdir(request["folder"])
    arguments, target = request["arguments"], os.environ.get("DBT_TARGET_PATH")
    # Of the files that dbt writes, callers read the results alone. The manifest, which they have, takes half a second to write.
    done = dbtRunner(manifest=manifest if is_its_own else None).invoke([*(["--no-write-json"] if target else []), *arguments])
    if target and isinstance(done.result, RunExecutionResult):
        done.result.write(str(Path(target, "run_results.json")))
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([0 if done.success else 2 if done.exception else 1]))
    # A normal exit would free memory for half a second before it closes the output.
    os._exit(0)


def _received(connection: socket.socket, size: int) -> bytes:
    with connection.makefile("rb") as reader:
        return reader.read(size)


def _end_when(returns: Callable[[], object]) -> None:
    """End the process when a call returns, such as a read from someone who keeps silent until it ends."""

    def wait() -> None:
        try:
            returns()
        finally:  # a broken connection is one that has ended
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        _serve(inherited, [Path(folder) for folder in sys.argv[2:]])
