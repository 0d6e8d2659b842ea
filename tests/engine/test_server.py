import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse_assets.engine import server
from lakehouse_assets.engine.java import Java
from lakehouse_assets.engine.server import (
    Server,
    ServerConfig,
    free_port,
    port_answers,
    read_state,
    server_environment,
    write_state,
)
from lakehouse_assets.errors import EngineError

SERVER = Server(port=15002, token="a token", supervisor_pid=1, java_pid=2)
CONFIG = ServerConfig(cache=Path("/cache"), memory="2g", idle_seconds=300, port=0)


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(("reads_s3", "looked_up"), [(False, "threshold=100000"), (True, f"parallelism={os.cpu_count()}")])
def test_files_are_not_looked_up_by_a_task_for_each(reads_s3, looked_up, monkeypatch):
    monkeypatch.setattr(server, "find_java", lambda: Java(Path("/jdk/bin/java"), 21))
    monkeypatch.setattr(server, "engine_jars", lambda *given, **more: [])
    config = replace(CONFIG, reads_s3=reads_s3)
    monkeypatch.setattr(ServerConfig, "archive", Path("/cache/classes.jsa"))
    result = [part for part in server.command_for(config, 15002) if "parallelPartitionDiscovery" in part]
    assert result == [f"-Dspark.sql.sources.parallelPartitionDiscovery.{looked_up}"]


def test_there_is_no_state_before_a_server_was_started(tmp_path):
    assert read_state(tmp_path) is None


def test_the_state_that_was_written_is_read_back(tmp_path):
    write_state(tmp_path, SERVER)
    assert read_state(tmp_path) == SERVER


def test_only_the_user_can_read_the_state(tmp_path, open_umask):
    write_state(tmp_path, SERVER)
    assert (tmp_path / "server.json").stat().st_mode & 0o777 == 0o600


def test_a_newer_state_takes_the_place_of_the_older(tmp_path):
    write_state(tmp_path, SERVER)
    write_state(tmp_path, replace(SERVER, port=15003))
    assert read_state(tmp_path).port == 15003


def test_nothing_unfinished_stays_behind(tmp_path):
    write_state(tmp_path, SERVER)
    assert [f.name for f in tmp_path.iterdir()] == ["server.json"]


def test_the_token_is_no_part_of_the_address():
    assert SERVER.url == "sc://localhost:15002"


def test_a_free_port_can_be_bound():
    port = free_port()
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        assert server.getsockname()[1] == port


def test_a_port_that_is_listened_on_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert port_answers(server.getsockname()[1])


def test_a_free_port_does_not_answer():
    assert not port_answers(free_port())


def test_the_same_settings_mean_the_same_server():
    code = f"from pathlib import *; from lakehouse_assets.engine.server import ServerConfig; print({CONFIG!r}.folder)"
    for seed in ("7", "8"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == str(CONFIG.folder)


@pytest.mark.parametrize("change", [{"memory": "4g"}, {"idle_seconds": 1}, {"port": 15002}, {"cache": Path("/other")}], ids=str)
def test_other_settings_mean_another_server(change):
    assert replace(CONFIG, **change).folder != CONFIG.folder


def test_the_token_goes_to_the_server_by_the_environment():
    assert server_environment("a token")["SPARK_CONNECT_AUTHENTICATE_TOKEN"] == "a token"


@pytest.mark.parametrize(
    ("command", "seconds", "fault"),
    [
        (["sh", "-c", "echo loading; exec sleep 60"], 1, r"did not start within 1 s \(loading\)"),
        (["sh", "-c", "echo no memory; exit 1"], 30, r"ended at once \(no memory\)"),
    ],
)
def test_a_server_that_does_not_start_is_reported_with_the_last_line_of_its_log(command, seconds, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "START_SECONDS", seconds)
    monkeypatch.setattr(server, "command_for", lambda config, port: command)
    config = replace(CONFIG, cache=tmp_path)
    with pytest.raises(EngineError, match=rf"The Spark server {fault}\. Its log is {config.log}\."):
        server.connect(config, lambda line: None)
