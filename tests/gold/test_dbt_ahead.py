"""A dbt loaded ahead does what dbt does; if none is loaded, `lakehouse-dbt` runs dbt."""

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress

import psutil
import pytest

from lakehouse_assets.gold.dbt_ahead import PLACE, executable, listening, loaded_ahead
from lakehouse_assets.settings import Settings

PROJECT = Settings().gold_project.folder


LIST = ("--quiet", "--no-version-check", "list", "--resource-type", "model", "--output", "name")


def start_dbt(*arguments, folder=PROJECT, **environment):
    return subprocess.Popen(
        [executable("lakehouse-dbt"), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def dbt(*arguments, folder=PROJECT, **environment):
    process = start_dbt(*arguments, folder=folder, **environment)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not (result := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return result


def loaders(parent):
    """The children of a process that have loaded dbt, or load it."""
    results = []
    for child in parent.children():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            results += [child] if "dbt_ahead" in " ".join(child.cmdline()) else []
    return results


def ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def loaded():
    """The process that has loaded dbt, which nobody else has done before."""
    before = loaders(psutil.Process())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(PLACE, raising=False)
        with loaded_ahead([PROJECT]):
            [process] = wait_until(lambda: set(loaders(psutil.Process())) - set(before))
            yield process


def test_it_gives_the_output_and_the_exit_code_of_dbt(loaded, tmp_path):
    own = dbt(*LIST, "--target-path", str(tmp_path / "own"), **{PLACE: "/nobody"})
    for number in range(2):
        ahead = dbt(*LIST, "--target-path", str(tmp_path / str(number)))
        assert (ahead.returncode, ahead.stdout.split()) == (0, own.stdout.split())
        assert "fact_sales" in ahead.stdout
    wait_until(lambda: not loaders(loaded))


def test_it_runs_the_command_itself(loaded):
    loaded.suspend()
    waits = start_dbt("--quiet", "no-such-command")
    with pytest.raises(subprocess.TimeoutExpired):
        waits.wait(5)
    loaded.resume()
    assert waits.wait(30) == 2
    waits.communicate()


def test_a_model_that_is_new_is_found(tmp_path, monkeypatch):
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.delenv(PLACE, raising=False)
    with loaded_ahead([project]):
        assert "added" not in dbt(*LIST, folder=project).stdout
        (project / "models" / "marts" / "added.sql").write_text("select * from {{ ref('dim_date') }}")
        assert "added" in dbt(*LIST, folder=project).stdout


def test_the_environment_is_that_of_the_caller(loaded, tmp_path):
    done = dbt("--no-version-check", "list", "--target-path", str(tmp_path), DBT_LOG_FORMAT="json")
    assert json.loads(done.stdout.splitlines()[0])["info"]["name"] == "MainReportVersion"


def test_a_command_ends_with_its_caller(loaded, tmp_path):
    caller = start_dbt("--no-version-check", "parse", "--no-partial-parse", "--target-path", str(tmp_path))
    [command] = wait_until(lambda: loaders(loaded))
    command.suspend()
    caller.kill()
    caller.wait()
    command.resume()
    wait_until(lambda: ended(command))


def test_a_process_that_ends_before_it_begins_is_done_without(tmp_path):
    with listening(str(tmp_path / "s")) as listener:
        caller = start_dbt("--quiet", "no-such-command", **{PLACE: str(tmp_path / "s")})
        connection, _ = listener.accept()
        connection.close()
        assert caller.wait(30) == 2
        caller.communicate()


def test_a_folder_for_temporary_files_may_have_a_long_path(tmp_path, monkeypatch):
    monkeypatch.delenv(PLACE, raising=False)
    (folder := tmp_path / ("long" * 30)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with loaded_ahead([PROJECT]):
        assert os.environ[PLACE]


def test_whoever_finds_a_loaded_dbt_loads_none(loaded):
    before = loaders(psutil.Process())
    with loaded_ahead([PROJECT]):
        assert loaders(psutil.Process()) == before
    assert os.environ[PLACE]


def test_the_cpu_time_of_a_command_counts_for_the_caller(tmp_path, monkeypatch):
    monkeypatch.delenv(PLACE, raising=False)
    others = loaders(psutil.Process())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with loaded_ahead([tmp_path]):
        [process] = wait_until(lambda: set(loaders(psutil.Process())) - set(others))
        dbt("--quiet", "parse", "--no-partial-parse", "--target-path", str(tmp_path))
        wait_until(lambda: not process.children())
        used = process.cpu_times()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert used.children_user > 0.2
    assert after.ru_utime - before.ru_utime > used.user + used.children_user - 0.05


def test_the_process_ends_with_the_block_though_nobody_has_used_it(monkeypatch):
    monkeypatch.delenv(PLACE, raising=False)
    before = loaders(psutil.Process())
    with loaded_ahead([PROJECT]):
        [process] = wait_until(lambda: set(loaders(psutil.Process())) - set(before))
    assert PLACE not in os.environ
    assert ended(process)
