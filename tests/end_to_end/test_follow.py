"""`lakehouse sync --follow` as a process: it answers to drops, reads changed code, ends when told to, and loses nothing when killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakehouse_assets.new_project import lay_out

LAKEHOUSE = str(Path(sys.executable).with_name("lakehouse"))
HEADER = "Order No,Ordered At,Customer,Total\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own with one system and one model, so that a pass takes a second."""
    monkeypatch.delenv("LAKEHOUSE_DBT_AHEAD", raising=False)
    lay_out(tmp_path / "acme")
    (tmp_path / "acme" / "dbt_project" / "packages.yml").unlink()
    settings = {
        "LAKEHOUSE_ROOT": "./lake",
        "LAKEHOUSE_ENGINE": "sail",
        "LAKEHOUSE_SYSTEMS": "acme/systems",
        "LAKEHOUSE_DBT_PROJECT": "dbt_project",
    }
    (tmp_path / "acme" / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (tmp_path / "acme" / "lake").mkdir()
    return tmp_path / "acme"


def land(project, number, total):
    folder = project / "lake" / "landing" / "shop" / "orders" / "2026-02-01"
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{number}"
    hidden.write_text(f"{HEADER}{number},2026-02-01 09:12:00,ann@example.org,{total}\n")
    hidden.rename(folder / f"{number}.csv")


def start(project):
    errors = (project / "errors").open("a")
    return subprocess.Popen(
        [LAKEHOUSE, "sync", "--follow", "--json"], cwd=project, stdout=subprocess.PIPE, stderr=errors, text=True
    )


def total(project):
    done = subprocess.run(
        [LAKEHOUSE, "query", "SELECT sum(usd_amount)::INT AS total FROM gold.orders_by_day", "--format", "json"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)[0]["total"]


def test_drops_changed_code_a_kill_and_a_signal(project):
    process = start(project)
    try:
        land(project, 1, 10)
        first = json.loads(process.stdout.readline())
        assert (first["succeeded"], first["pass"], first["files"]) == (True, 1, 1)
        land(project, 2, 20)
        second = json.loads(process.stdout.readline())
        assert (second["succeeded"], second["pass"]) == (True, 2)
        assert total(project) == 30
        # A model that can't be read makes no pass, and ends nothing; once it can, the same process builds it.
        model = project / "dbt_project" / "models" / "marts" / "orders_by_day.sql"
        text = model.read_text()
        model.write_text(text + "{{ ")
        land(project, 3, 30)
        _until(lambda: "It can't be started" in (project / "errors").read_text())
        model.write_text(text.replace("sum(usd_amount)", "2 * sum(usd_amount)"))
        third = json.loads(process.stdout.readline())
        assert (third["succeeded"], third["files"]) == (True, 1)
        assert total(project) == 120
        land(project, 4, 40)
        time.sleep(0.5)
    finally:
        process.kill()
        process.wait()
    process = start(project)
    assert json.loads(process.stdout.readline())["succeeded"]
    assert total(project) == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert "Ending after the step in hand" in (project / "errors").read_text()


def _until(holds):
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
