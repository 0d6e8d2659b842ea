"""A dbt loaded ahead does what dbt does; if none is loaded, `lakehouse-dbt` runs dbt."""

import json
import os
import subprocess
import time

import pytest

from lakehouse_assets.gold.dbt_ahead import PLACE, executable, loaded_ahead
from lakehouse_assets.settings import Settings

PROJECT = Settings().gold_project.folder


LIST = ("--quiet", "--no-version-check", "list", "--resource-type", "model", "--output", "name")


def dbt(*arguments, **environment):
    return subprocess.run(
        [executable("lakehouse-dbt"), *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def loaded():
    with loaded_ahead(PROJECT):
        wait_until(lambda: os.path.exists(os.environ[PLACE]))  # noqa: PTH110
        yield


def test_it_gives_the_output_and_the_exit_code_of_dbt(loaded, tmp_path):
    ahead = dbt(*LIST, "--target-path", str(tmp_path))
    assert not os.path.exists(os.environ[PLACE])  # noqa: PTH110 - it has been used
    assert (ahead.returncode, ahead.stdout.split()) == (0, dbt(*LIST).stdout.split())
    assert "fact_sales" in ahead.stdout


def test_the_environment_is_that_of_the_caller(loaded, tmp_path):
    done = dbt("--no-version-check", "list", "--target-path", str(tmp_path), DBT_LOG_FORMAT="json")
    assert json.loads(done.stdout.splitlines()[0])["info"]["name"] == "MainReportVersion"


def test_a_command_that_fails_fails(loaded):
    assert dbt("--quiet", "no-such-command").returncode == 2
    assert not os.path.exists(os.environ[PLACE])  # noqa: PTH110 - it has been used


def test_a_second_command_finds_dbt_itself(loaded, tmp_path):
    for _ in range(2):
        assert dbt(*LIST, "--target-path", str(tmp_path)).returncode == 0


def test_the_process_ends_with_the_block_though_nobody_has_used_it():
    with loaded_ahead(PROJECT):
        address = os.environ[PLACE]
        running = subprocess.run(["pgrep", "-f", address], capture_output=True, text=True, check=True).stdout.split()
    assert PLACE not in os.environ
    assert subprocess.run(["pgrep", "-f", address], capture_output=True, check=False).returncode == 1, running
