"""The supervisor process of a Spark server: starts Java, waits until it has been idle for a while, and stops it.

Run as `python -m lakehouse_assets.engine.supervisor FOLDER`, with the request as JSON on standard input. It imports as little as
possible, because it stays in memory as long as the server.
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
    """Run one server until it has been idle long enough, ends, or this process gets SIGTERM. Returns the exit code."""
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
                # The lock is held exclusively: a new client waits for it, then finds no server and starts another.
                return _stop(folder, java)
            fcntl.flock(clients, fcntl.LOCK_UN)
    _remove_state(folder)
    return java.returncode


def _stop(folder: Path, java: "subprocess.Popen[bytes]") -> int:
    """Remove the server's state and end Java, by force if it takes too long."""
    _remove_state(folder)
    java.terminate()
    try:
        java.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()
    return 0


def _remove_state(folder: Path) -> None:
    """Remove `server.json`, unless it belongs to another server: if Java has died, a client may have started one already."""
    state = read_state(folder)
    if state is not None and state.supervisor_pid == os.getpid():
        (folder / "server.json").unlink(missing_ok=True)


def _die_with_parent() -> None:
    """Have the kernel end the server if the supervisor is killed, since nothing else would stop it. Works on Linux only."""
    set_parent_death_signal = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
