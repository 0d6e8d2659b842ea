"""Loads dbt ahead of time: a process imports dbt, parses the project, then waits for the one command that it will run.

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

PLACE = "LAKEHOUSE_DBT_AHEAD"
"""The environment variable that holds the path of the socket on which the waiting process listens."""


def executable(name: str) -> str:
    """Return the path of a program of this Python environment, which need not be on PATH."""
    return str(Path(sys.executable).with_name(name))


@contextmanager
def loaded_ahead(project: Path) -> Iterator[None]:
    """Load dbt in another process while the block runs. That process ends with the block, used or not, or with this process."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-dbt-") as folder:
        address = f"{folder}/socket"
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, address, str(project)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.environ[PLACE] = address
        try:
            yield
        finally:
            del os.environ[PLACE]
            process.kill()
            process.communicate()


def run() -> int:
    """Run `lakehouse-dbt`; returns dbt's exit code."""
    address = os.environ.get(PLACE, "")
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:  # no process waits, or another caller already uses it
            dbt = executable("dbt")
            os.execv(dbt, [dbt, *sys.argv[1:]])  # noqa: S606 - the same program under its own name
        request = json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
        socket.send_fds(connection, [len(request).to_bytes(4, "big")], [1, 2])
        connection.sendall(request)
        process = int.from_bytes(connection.recv(4), "big")
        signal.signal(signal.SIGINT, lambda *_: os.kill(process, signal.SIGINT))
        code = connection.recv(1)
        return code[0] if code else 1


def _wait(address: str, project: Path) -> NoReturn:
    """Load dbt, wait for one command, run it, and end the process."""
    gc.disable()  # the process ends soon, and dbt leaves little garbage to look for
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(1)
        os.chdir(project)
        from dbt.adapters import duckdb
        from dbt.cli.main import dbtRunner
        from dbt.contracts.graph.manifest import Manifest

        del duckdb  # imported now only to save time later
        parsed = dbtRunner().invoke(["--quiet", "--no-version-check", "--log-level-file", "none", "--no-write-json", "parse"])
        connection, _ = listener.accept()
        Path(address).unlink()
    with connection:
        size, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
        request = json.loads(_received(connection, int.from_bytes(size, "big")))
        for number, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        connection.sendall(os.getpid().to_bytes(4, "big"))
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        manifest = parsed.result if isinstance(parsed.result, Manifest) else None
        done = dbtRunner(manifest=manifest).invoke(request["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([0 if done.success else 2 if done.exception else 1]))
        # A normal exit would free memory for half a second before it closes the output.
        os._exit(0)


def _received(connection: socket.socket, size: int) -> bytes:
    with connection.makefile("rb") as reader:
        return reader.read(size)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # ends when the other end of the pipe does
    os._exit(0)


if __name__ == "__main__":
    _wait(sys.argv[1], Path(sys.argv[2]))
