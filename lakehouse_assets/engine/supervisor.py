"""The process that owns a Spark server: it starts Java, waits until nobody has used it for a while, and stops it.

Run as `python -m lakehouse_assets.engine.supervisor FOLDER`, with the request as JSON on standard input. It imports no more than it
must, because it stays in memory as long as the server.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lakehouse_assets.engine.server import Server, read_state, server_environment, write_state

_POLL_SECONDS = 1.0
_STOP_SECONDS = 15


def main(folder: Path) -> int:
    """Keep one server until it is idle, ends by itself, or this process is told to end."""
    request = json.load(sys.stdin)
    java = subprocess.Popen(
        request["command"],
        env=server_environment(request["token"]),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_stop(folder, java)))
    write_state(folder, Server(request["port"], request["token"], os.getpid(), java.pid))
    unused_since = time.monotonic()
    with (folder / "clients.lock").open("w") as clients:
        while java.poll() is None:
            time.sleep(_POLL_SECONDS)
            try:
                fcntl.flock(clients, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                unused_since = time.monotonic()
                continue
            if time.monotonic() - unused_since >= request["idle_seconds"]:
                # Held exclusively: whoever comes now waits, then finds no server and starts another.
                return _stop(folder, java)
            fcntl.flock(clients, fcntl.LOCK_UN)
    _take_down(folder)
    return java.returncode


def _stop(folder: Path, java: "subprocess.Popen[bytes]") -> int:
    _take_down(folder)
    java.terminate()
    try:
        java.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()
    return 0


def _take_down(folder: Path) -> None:
    """Tell nobody of this server any more. Where Java has died, somebody may have started another one already: that stays."""
    state = read_state(folder)
    if state is not None and state.supervisor_pid == os.getpid():
        (folder / "server.json").unlink(missing_ok=True)


def _die_with_parent() -> None:
    """So that a killed supervisor leaves no server behind that nobody would ever stop. Linux only; elsewhere nothing happens."""
    set_parent_death_signal = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
