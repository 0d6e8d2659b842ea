"""A wheel in an empty environment: the demo from an empty folder on one Python, a project of one's own on the other."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed, as a user without this checkout would."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "AWS_", "DAGSTER_", "PYTHON"))
    }
    done = subprocess.run(command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=REPOSITORY)
    [built] = folder.glob("*.whl")
    return built


def interpreter(version: str) -> str | None:
    """A Python of this version on this machine, if there is one."""
    if "{}.{}".format(*sys.version_info) == version:
        return sys.executable
    result = [*Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")]
    for python in filter(None, result):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(python)
    return None


@pytest.fixture(scope="module")
def environment(wheel) -> Iterator[Callable[[str], Path]]:
    """By version of Python (or of ours, where it is missing): the programs of an environment with the wheel and what it needs."""
    made: dict[str, Path] = {}

    def programs(version: str) -> Path:
        python = interpreter(version) or sys.executable
        if python not in made:
            # On a disk, where uv links rather than copies.
            made[python] = folder = Path(tempfile.mkdtemp(prefix="environment-", dir="/var/tmp"))
            run(UV, "venv", "-q", "--python", python, folder, cwd=folder)
            own = folder / "bin" / "python"
            run(UV, "pip", "sync", "-q", "--python", own, REPOSITORY / "requirements.lock", cwd=folder)
            run(UV, "pip", "install", "-q", "--python", own, "--no-deps", wheel, cwd=folder)
        return made[python] / "bin"

    yield programs
    for folder in made.values():
        shutil.rmtree(folder)


def test_the_demo_runs_from_an_empty_folder(environment, tmp_path):
    environment = environment("3.12")
    settings = {"LAKEHOUSE_ENGINE": "sail", "LAKEHOUSE_CACHE": str(tmp_path / "cache")}
    (home := tmp_path / "home").mkdir()
    run(environment / "lakehouse", "demo", "--systems", "crm,erp,finance", cwd=home, **settings)
    query = run(
        environment / "lakehouse", "query", "SELECT count(*) n FROM gold.fact_sales", "--format", "json", cwd=home, **settings
    )
    assert json.loads(query.stdout) == [{"n": 60398}]
    installed = next((environment.parent / "lib").glob("python*/site-packages/lakehouse_assets/dbt_project"))
    assert not (installed / "target").exists(), "dbt writes into the installed package"


def test_a_project_of_one_s_own_runs_and_its_test_passes(environment, tmp_path):
    environment = environment("3.11")
    run(environment / "lakehouse", "init", "acme", cwd=tmp_path)
    project = tmp_path / "acme"
    settings = {"PATH": f"{environment}:{os.environ['PATH']}", "LAKEHOUSE_CACHE": str(tmp_path / "cache")}
    assert "orders_by_day" in run("make", "demo", cwd=project, **settings).stdout
    query = run(environment / "lakehouse", "query", "FROM gold.orders_by_day", "--format", "json", cwd=project, **settings)
    assert sorted((row["orders"], row["usd_amount"]) for row in json.loads(query.stdout)) == [(1, 120.5), (2, 61.9)]
    run("make", "check", "test", cwd=project, **settings)
