"""A service as a process of this machine, with small Python programs in place of databases."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.files import PRIVATE, write_whole
from lakehouse_assets.services import service as service_module
from lakehouse_assets.services.service import PortTakenError, Process, Service, free_port

WEB = "import http.server; http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WEB
SLOW_TO_END = (
    """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(0.5)
    pathlib.Path("said goodbye").touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
"""
    + WEB
)
DIES = "import sys; print('opening the books'); print('the shelf is missing', file=sys.stderr); sys.exit(3)"
DIES_IN_SILENCE = "raise SystemExit(3)"
MUTE = "import time; print('thinking', flush=True); time.sleep(1000)"
TELLS_ITS_ENVIRONMENT = "import os, pathlib; pathlib.Path('token').write_text(os.environ['TOKEN']); " + WEB


class Web(Service):
    """A program that listens, or does not."""

    name = "web"

    def __init__(self, folder, port, program=WEB):
        super().__init__(folder, port)
        self.program = program
        self.prepared = self.settled = 0

    def prepare(self, tell):
        self.prepared += 1

    def after_start(self):
        self.settled += 1

    def command(self):
        return [sys.executable, "-c", self.program.format(port=self.port)]

    def environment(self):
        return {"TOKEN": "a-token-of-the-test"}

    def is_healthy(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=3).close()
        except OSError:
            return False
        return True


def quiet(_text):
    """Where a test does not ask what was told."""


@pytest.fixture
def make_web(tmp_path):
    """Makes services over one folder, and ends what they left."""
    made = []

    def make(program=WEB, kind=Web):
        port = made[0].port if made else free_port(0)
        made.append(kind(tmp_path / "web", port, program))
        return made[-1]

    yield make
    for web in made:
        if (running := web.process()) is not None:
            os.kill(running.pid, signal.SIGKILL)


@pytest.fixture
def web(make_web):
    return make_web()


@pytest.fixture
def sleeper():
    """A process that has nothing to do with any service."""
    process = subprocess.Popen(["sleep", "1000"])
    time.sleep(0.05)  # the kernel counts beginnings in hundredths of a second
    yield process
    process.kill()
    process.wait()


def wait_until(true, seconds=15):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def kill(web):
    running = web.process()
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: not running.is_alive())


def fault_of(web):
    with pytest.raises(ServiceError) as raised:
        web.up(quiet)
    return str(raised.value)


def test_a_service_that_is_up_answers(web):
    web.up(quiet)
    assert web.is_healthy()


def test_up_tells_where_it_answers(web):
    messages = []
    web.up(messages.append)
    assert messages == [f"web answers at 127.0.0.1:{web.port}"]


def test_up_once_more_is_the_same_process(web):
    web.up(quiet)
    first = web.process()
    web.up(quiet)
    assert web.process() == first


def test_another_object_over_the_same_folder_finds_the_process(web, make_web):
    web.up(quiet)
    assert make_web().process() == web.process()


def test_nothing_is_prepared_for_a_service_that_runs(web):
    web.up(quiet)
    web.up(quiet)
    assert (web.prepared, web.settled) == (1, 2)


def test_a_service_that_was_never_started_is_stopped(web):
    assert (web.status().state, web.status().pid) == ("stopped", None)


def test_a_service_that_answers_is_running(web):
    web.up(quiet)
    assert (web.status().state, web.status().pid) == ("running", web.process().pid)


def test_a_service_that_runs_and_does_not_answer_is_told_apart(make_web, monkeypatch):
    monkeypatch.setattr(service_module, "START_SECONDS", 0.3)
    mute = make_web(MUTE)
    fault_of(mute)
    assert mute.status().state == "not answering"


def test_a_service_that_does_not_answer_in_time_is_an_error_with_what_it_said_and_where(make_web, monkeypatch):
    monkeypatch.setattr(service_module, "START_SECONDS", 1)
    mute = make_web(MUTE)
    assert fault_of(mute) == f"web does not answer at {mute.address} (thinking). Its log is {mute.log}."


def test_a_service_that_starts_slowly_is_waited_for_by_the_next_up_too(make_web, monkeypatch):
    monkeypatch.setattr(service_module, "START_SECONDS", 0.2)
    slow = make_web("import time; time.sleep(1); " + WEB)
    fault_of(slow)
    first = slow.process()
    monkeypatch.setattr(service_module, "START_SECONDS", 60)
    slow.up(quiet)
    assert slow.process() == first


def test_a_killed_service_is_stopped(web):
    web.up(quiet)
    kill(web)
    assert web.status().state == "stopped"


def test_up_starts_a_killed_service_again(web):
    web.up(quiet)
    first = web.process()
    kill(web)
    web.up(quiet)
    assert (web.process().pid != first.pid, web.is_healthy()) == (True, True)


def test_another_process_with_the_number_is_not_taken_for_the_service(web, sleeper):
    web.up(quiet)
    earlier = web.process()
    kill(web)
    (web.folder / "process.json").write_text(json.dumps({"pid": sleeper.pid, "began": earlier.began}))
    assert web.status().state == "stopped"


def test_another_process_with_the_number_is_not_ended_by_down(web, sleeper):
    web.up(quiet)
    earlier = web.process()
    kill(web)
    (web.folder / "process.json").write_text(json.dumps({"pid": sleeper.pid, "began": earlier.began}))
    web.down(quiet)
    assert sleeper.poll() is None


def test_another_process_with_the_number_does_not_keep_a_service_from_its_start(web, sleeper):
    web.folder.mkdir()
    (web.folder / "process.json").write_text(json.dumps({"pid": sleeper.pid, "began": "at another time"}))
    web.up(quiet)
    assert (web.status().state, sleeper.poll()) == ("running", None)


@pytest.mark.parametrize("boot", [service_module._BOOT, Path("/nowhere")], ids=["on Linux", "elsewhere"])
class TestHowAProcessIsFoundAgain:
    @pytest.fixture(autouse=True)
    def _by(self, boot, monkeypatch):
        monkeypatch.setattr(service_module, "_BOOT", boot)

    def test_it_is_found_by_somebody_in_another_time_zone(self, web, monkeypatch):
        monkeypatch.setenv("TZ", "UTC")
        web.up(quiet)
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        assert web.process() is not None

    def test_it_is_not_found_once_it_has_ended_even_where_nobody_asked_how(self, web):
        web.up(quiet)
        kill(web)
        assert web.process() is None

    def test_it_is_not_found_once_it_has_ended_even_where_somebody_else_started_it_and_did_not_ask(self):
        starts = "import subprocess, time; print(subprocess.Popen(['sleep', '0.5']).pid, flush=True); time.sleep(1000)"
        with subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True) as parent:
            pid = int(parent.stdout.readline())
            process = Process(pid, service_module._began(pid))
            try:
                assert process.is_alive()
                wait_until(lambda: not process.is_alive())
            finally:
                parent.kill()

    def test_a_number_that_nobody_has_is_nobody(self, web, sleeper):
        sleeper.kill()
        sleeper.wait()
        web.folder.mkdir()
        for began in ("", "at another time"):
            (web.folder / "process.json").write_text(json.dumps({"pid": sleeper.pid, "began": began}))
            assert web.process() is None


def test_down_ends_it(web):
    web.up(quiet)
    web.down(quiet)
    assert (web.status().state, web.is_healthy()) == ("stopped", False)


def test_down_says_so_once(web):
    web.up(quiet)
    messages = []
    web.down(messages.append)
    web.down(messages.append)
    assert messages == ["web is stopped"]


def test_down_of_a_service_that_was_never_started_is_fine(web):
    web.down(quiet)
    assert not web.folder.exists()


def test_a_service_gets_its_time_to_end(make_web):
    slow = make_web(SLOW_TO_END)
    slow.up(quiet)
    slow.down(quiet)
    assert (slow.folder / "said goodbye").exists()


def test_a_service_that_does_not_end_is_killed(make_web, monkeypatch):
    monkeypatch.setattr(service_module, "STOP_SECONDS", 0.5)
    deaf = make_web(DEAF)
    deaf.up(quiet)
    running = deaf.process()
    deaf.down(quiet)
    assert (running.is_alive(), deaf.status().state) == (False, "stopped")


def test_a_service_that_ends_between_the_look_and_the_signal_is_stopped(web, monkeypatch):
    web.up(quiet)
    running = web.process()
    kill(web)
    monkeypatch.setattr(web, "process", lambda: running)
    os.waitpid(running.pid, 0)  # its number is nobody's now
    messages = []
    web.down(messages.append)
    assert messages == ["web is stopped"]


def test_the_way_to_end_is_the_service_s_own(make_web):
    class Interrupted(Web):
        stop_signal = signal.SIGINT

    program = "import pathlib\ntry:\n    " + WEB + "\nfinally:\n    pathlib.Path('interrupted').touch()"
    web = make_web(program, Interrupted)
    web.up(quiet)
    web.down(quiet)
    assert (web.folder / "interrupted").exists()


def test_a_taken_port_is_told_and_nothing_is_started(web):
    with socket.create_server(("127.0.0.1", web.port)):
        assert fault_of(web) == f"web: port {web.port} of 127.0.0.1 is in use. Stop the process that uses it."
    assert (web.process(), web.log.exists()) == (None, False)


def test_every_port_of_a_service_must_be_free(make_web):
    class TwoPorts(Web):
        def ports(self):
            return [self.port, second.getsockname()[1]]

    with socket.create_server(("127.0.0.1", 0)) as second:
        web = make_web(kind=TwoPorts)
        with pytest.raises(PortTakenError, match=f"port {second.getsockname()[1]} "):
            web.up(quiet)


def test_a_port_that_a_moment_ago_was_in_use_is_free(web):
    for _ in range(3):
        web.up(quiet)
        assert web.is_healthy()
        web.down(quiet)
    assert web.status().state == "stopped"


def test_the_preferred_port_is_taken_where_it_is_free_and_another_one_else():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) != taken
    assert free_port(taken) == taken


def test_a_program_that_dies_at_once_is_an_error_with_its_last_words_and_its_log(make_web):
    dying = make_web(DIES)
    began = time.monotonic()
    assert fault_of(dying) == (
        f"web ended and does not answer at {dying.address} (opening the books / the shelf is missing). Its log is {dying.log}."
    )
    assert time.monotonic() - began < service_module.START_SECONDS / 2


def test_a_program_that_died_at_once_is_stopped_and_started_again_by_the_next_up(make_web):
    dying = make_web(DIES)
    fault_of(dying)
    assert dying.status().state == "stopped"
    make_web().up(quiet)


def test_a_program_that_dies_in_silence_is_not_blamed_for_the_words_of_an_earlier_one(make_web):
    fault_of(make_web(DIES))
    assert "(it logged nothing)" in fault_of(make_web(DIES_IN_SILENCE))


def test_a_program_that_is_none_is_an_error(web, monkeypatch):
    monkeypatch.setattr(web, "command", lambda: ["/nowhere/web"])
    assert fault_of(web) == "web: /nowhere/web can't be run: No such file or directory."


def test_the_log_keeps_what_earlier_processes_said(make_web):
    first, second = make_web(DIES), make_web(DIES)
    fault_of(first)
    fault_of(second)
    assert first.log.read_text().count("opening the books") == 2


def test_secrets_reach_the_program_by_its_environment(make_web):
    web = make_web(TELLS_ITS_ENVIRONMENT)
    web.up(quiet)
    assert (web.folder / "token").read_text() == "a-token-of-the-test"


def test_secrets_do_not_stand_in_the_command_line(web):
    web.up(quiet)
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(web.process().pid)], capture_output=True, text=True, check=True)
    assert "http.server" in shown.stdout
    assert "a-token-of-the-test" not in shown.stdout


def test_it_outlives_the_terminal_of_whoever_started_it(web):
    web.up(quiet)
    assert os.getsid(web.process().pid) == web.process().pid


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/self/status").exists(), reason="only root runs as others, Linux tells")
def test_a_service_of_another_user_has_none_of_root_s_rights(make_web):
    class Nobodys(Web):
        def user(self):
            return "nobody"

        def is_healthy(self):
            return True

    web = make_web(MUTE, Nobodys)
    # The interpreter of this environment may lie where nobody may enter.
    web.command = lambda: ["sleep", "1000"]
    groups = os.getgroups()
    os.setgroups([*groups, 0])
    try:
        web.up(quiet)
    finally:
        os.setgroups(groups)
    facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{web.process().pid}/status").read_text().splitlines())
    assert ("0" in facts["Uid"].split(), "0" in facts["Gid"].split(), facts["Groups"].split()) == (False, False, [])


def test_a_file_is_put_in_place_whole_and_for_the_user_alone(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text("of an earlier time, longer than what follows")
    file.chmod(0o644)
    write_whole(file, "new", PRIVATE)
    assert (file.read_text(), oct(file.stat().st_mode & 0o777), list(tmp_path.iterdir())) == ("new", "0o600", [file])
