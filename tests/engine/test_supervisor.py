"""The supervisor of a server, with `sleep` in place of Java."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakehouse_assets.engine.server import read_state

HOLD_LOCK = """
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""


def wait_until(true, seconds=15):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def runs(pid):
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


class Supervisor:
    """A supervisor that has started its server."""

    def __init__(self, folder, command=("sleep", "1000"), idle_seconds=1):
        folder.mkdir()
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lakehouse_assets.engine.supervisor", str(folder)], stdin=subprocess.PIPE, text=True
        )
        self.process.stdin.write(
            json.dumps({"command": command, "port": 15002, "token": "a token", "idle_seconds": idle_seconds})
        )
        self.process.stdin.close()

    def started(self):
        wait_until(lambda: read_state(self.folder) is not None)
        self.state = read_state(self.folder)
        return self

    def ended(self):
        return self.process.wait(15)

    def clean_up(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def keep(tmp_path):
    """Starts supervisors, each in a folder of its own."""
    supervisors = []

    def start(**asked):
        supervisors.append(Supervisor(tmp_path / str(len(supervisors)), **asked))
        return supervisors[-1]

    yield start
    for supervisor in supervisors:
        supervisor.clean_up()


@pytest.fixture
def client():
    """Starts processes that use a supervisor's server."""
    clients = []

    def start(supervisor):
        lock = supervisor.folder / "clients.lock"
        clients.append(
            subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        clients[-1].stdout.readline()
        return clients[-1]

    yield start
    for process in clients:
        process.kill()
        process.communicate()


def test_the_state_names_the_supervisor_and_its_server(keep):
    supervisor = keep(idle_seconds=60).started()
    assert (supervisor.state.supervisor_pid, supervisor.state.port, runs(supervisor.state.java_pid)) == (
        supervisor.process.pid,
        15002,
        True,
    )


def test_an_idle_server_is_ended(keep):
    supervisor = keep().started()
    assert (supervisor.ended(), runs(supervisor.state.java_pid)) == (0, False)


def test_an_idle_server_leaves_no_state_behind(keep):
    supervisor = keep().started()
    supervisor.ended()
    assert read_state(supervisor.folder) is None


def test_a_server_stays_while_another_process_uses_it(keep, client):
    used = keep()
    client(used)
    used.started()
    # One that starts later and that nobody uses tells when the first would have been ended.
    keep().started().ended()
    assert (read_state(used.folder), runs(used.state.java_pid)) == (used.state, True)


def test_a_server_is_ended_when_the_last_of_its_users_was_killed(keep, client):
    supervisor = keep()
    user = client(supervisor)
    supervisor.started()
    user.kill()
    assert supervisor.ended() == 0


def test_a_supervisor_that_is_told_to_end_ends_its_server(keep):
    supervisor = keep(idle_seconds=60).started()
    supervisor.process.terminate()
    supervisor.ended()
    assert not runs(supervisor.state.java_pid)


def test_a_supervisor_that_is_told_to_end_leaves_no_state_behind(keep):
    supervisor = keep(idle_seconds=60).started()
    supervisor.process.terminate()
    supervisor.ended()
    assert read_state(supervisor.folder) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_the_server_of_a_killed_supervisor_ends(keep):
    supervisor = keep(idle_seconds=60).started()
    supervisor.process.kill()
    wait_until(lambda: not runs(supervisor.state.java_pid))


def test_a_server_that_ends_by_itself_leaves_no_state_behind(keep):
    supervisor = keep(command=("sh", "-c", "exit 3"), idle_seconds=60)
    supervisor.ended()
    assert read_state(supervisor.folder) is None


def test_a_supervisor_ends_with_the_code_of_a_server_that_ended_by_itself(keep):
    assert keep(command=("sh", "-c", "exit 3"), idle_seconds=60).ended() == 3


def test_whoever_comes_while_an_idle_server_is_ended_finds_no_state_afterwards(keep):
    slow_to_end = "trap 'touch told; sleep 1; exit' TERM; while :; do sleep 0.1; done"
    supervisor = keep(command=("sh", "-c", slow_to_end)).started()
    wait_until((supervisor.folder / "told").exists)
    with (supervisor.folder / "clients.lock").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert read_state(supervisor.folder) is None


def test_the_server_gets_its_token_by_the_environment(keep, tmp_path):
    message = tmp_path / "token"
    keep(command=("sh", "-c", f'printf %s "$SPARK_CONNECT_AUTHENTICATE_TOKEN" > {message}'), idle_seconds=60).ended()
    assert message.read_text() == "a token"
