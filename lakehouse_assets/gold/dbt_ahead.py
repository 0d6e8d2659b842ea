"""dbt, loaded ahead: a process that has imported dbt and read the project waits for the one command that it will run.

Importing dbt and reading the project take 2.4 s of a build's 4.7. While raw and silver are built, a second core can do that. Whoever
wants dbt starts `lakehouse-dbt` as if it were `dbt`: it hands its arguments, environment, folder and output to the process that waits,
and where none does, it becomes dbt itself.
"""

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
"""The environment variable with the path of the socket at which a loaded dbt waits."""


def executable(name: str) -> str:
    """A program of this environment, whether or not the environment is on the path."""
    return str(Path(sys.executable).with_name(name))


@contextmanager
def loaded_ahead(project: Path) -> Iterator[None]:
    """Have a dbt load itself while the block runs. It ends with the block, used or not, or with this process."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-dbt-") as folder:
        place = f"{folder}/socket"
        waiting = subprocess.Popen(
            [sys.executable, "-m", __name__, place, str(project)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.environ[PLACE] = place
        try:
            yield
        finally:
            del os.environ[PLACE]
            waiting.kill()
            waiting.communicate()


def run() -> int:
    """What `lakehouse-dbt` does: the exit code is dbt's."""
    place = os.environ.get(PLACE, "")
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(place)
        except OSError:  # nobody waits there, or somebody else was quicker
            dbt = executable("dbt")
            os.execv(dbt, [dbt, *sys.argv[1:]])  # noqa: S606 - the same program, started as itself
        request = json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
        socket.send_fds(line, [len(request).to_bytes(4, "big")], [1, 2])
        line.sendall(request)
        process = int.from_bytes(line.recv(4), "big")
        signal.signal(signal.SIGINT, lambda *_: os.kill(process, signal.SIGINT))
        code = line.recv(1)
        return code[0] if code else 1


def _wait(place: str, project: Path) -> NoReturn:
    """The process that waits: one command, then it ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        door.listen(1)
        os.chdir(project)
        from dbt.adapters import duckdb
        from dbt.cli.main import dbtRunner
        from dbt.contracts.graph.manifest import Manifest

        del duckdb  # imported for the time that it takes
        parsed = dbtRunner().invoke(["--quiet", "--no-version-check", "--log-level-file", "none", "parse"])
        line, _ = door.accept()
        Path(place).unlink()
    with line:
        size, descriptors, _, _ = socket.recv_fds(line, 4, 2)
        request = json.loads(_received(line, int.from_bytes(size, "big")))
        for own, theirs in zip((1, 2), descriptors, strict=True):
            os.dup2(theirs, own)
            os.close(theirs)
        line.sendall(os.getpid().to_bytes(4, "big"))
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        manifest = parsed.result if isinstance(parsed.result, Manifest) else None
        done = dbtRunner(manifest=manifest).invoke(request["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
        line.sendall(bytes([0 if done.success else 2 if done.exception else 1]))
        # Not by the interpreter's own end, which frees memory for half a second before it lets go of the output.
        os._exit(0)


def _received(line: socket.socket, size: int) -> bytes:
    with line.makefile("rb") as reader:
        return reader.read(size)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # ends when the other end of the pipe does
    os._exit(0)


if __name__ == "__main__":
    _wait(sys.argv[1], Path(sys.argv[2]))
