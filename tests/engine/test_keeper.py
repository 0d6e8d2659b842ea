"""The keeper of a server, with `sleep` in place of Java."""

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


class Keeper:
    """A keeper that has started its server."""

    def __init__(self, folder, command=("sleep", "1000"), idle_seconds=1):
        folder.mkdir()
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lakehouse_assets.engine.keeper", str(folder)], stdin=subprocess.PIPE, text=True
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
    """Starts keepers, each in a folder of its own."""
    keepers = []

    def start(**asked):
        keepers.append(Keeper(tmp_path / str(len(keepers)), **asked))
        return keepers[-1]

    yield start
    for keeper in keepers:
        keeper.clean_up()


@pytest.fixture
def client():
    """Starts processes that use a keeper's server."""
    clients = []

    def start(keeper):
        lock = keeper.folder / "clients.lock"
        clients.append(
            subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        clients[-1].stdout.readline()
        return clients[-1]

    yield start
    for process in clients:
        process.kill()
        process.communicate()


def test_the_state_names_the_keeper_and_its_server(keep):
    keeper = keep(idle_seconds=60).started()
    assert (keeper.state.keeper_pid, keeper.state.port, runs(keeper.state.java_pid)) == (keeper.process.pid, 15002, True)


def test_an_idle_server_is_ended(keep):
    keeper = keep().started()
    assert (keeper.ended(), runs(keeper.state.java_pid)) == (0, False)


def test_an_idle_server_leaves_no_state_behind(keep):
    keeper = keep().started()
    keeper.ended()
    assert read_state(keeper.folder) is None


def test_a_server_stays_while_another_process_uses_it(keep, client):
    used = keep()
    client(used)
    used.started()
    # One that starts later and that nobody uses tells when the first would have been ended.
    keep().started().ended()
    assert (read_state(used.folder), runs(used.state.java_pid)) == (used.state, True)


def test_a_server_is_ended_when_the_last_of_its_users_was_killed(keep, client):
    keeper = keep()
    user = client(keeper)
    keeper.started()
    user.kill()
    assert keeper.ended() == 0


def test_a_keeper_that_is_told_to_end_ends_its_server(keep):
    keeper = keep(idle_seconds=60).started()
    keeper.process.terminate()
    keeper.ended()
    assert not runs(keeper.state.java_pid)


def test_a_keeper_that_is_told_to_end_leaves_no_state_behind(keep):
    keeper = keep(idle_seconds=60).started()
    keeper.process.terminate()
    keeper.ended()
    assert read_state(keeper.folder) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_the_server_of_a_killed_keeper_ends(keep):
    keeper = keep(idle_seconds=60).started()
    keeper.process.kill()
    wait_until(lambda: not runs(keeper.state.java_pid))


def test_a_server_that_ends_by_itself_leaves_no_state_behind(keep):
    keeper = keep(command=("sh", "-c", "exit 3"), idle_seconds=60)
    keeper.ended()
    assert read_state(keeper.folder) is None


def test_a_keeper_ends_with_the_code_of_a_server_that_ended_by_itself(keep):
    assert keep(command=("sh", "-c", "exit 3"), idle_seconds=60).ended() == 3


def test_whoever_comes_while_an_idle_server_is_ended_finds_no_state_afterwards(keep):
    slow_to_end = "trap 'touch told; sleep 1; exit' TERM; while :; do sleep 0.1; done"
    keeper = keep(command=("sh", "-c", slow_to_end)).started()
    wait_until((keeper.folder / "told").exists)
    with (keeper.folder / "clients.lock").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert read_state(keeper.folder) is None


def test_the_server_gets_its_token_by_the_environment(keep, tmp_path):
    told = tmp_path / "token"
    keep(command=("sh", "-c", f'printf %s "$SPARK_CONNECT_AUTHENTICATE_TOKEN" > {told}'), idle_seconds=60).ended()
    assert told.read_text() == "a token"
