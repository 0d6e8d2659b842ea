"""The commands of alerts, and what a pass tells that can't begin."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from lakehouse_assets import cli
from lakehouse_assets.alerts.incidents import OF_BOOKS, Found, Incident, Kind
from lakehouse_assets.cli import alerts
from lakehouse_assets.errors import SettingsError
from tests.support.receivers import web_hook

SECRET = "S3CR3T"
SINCE = datetime(2026, 3, 2, 6, tzinfo=UTC)
STALE = Found((Incident(Kind.stale, "silver.x", "is stale.", since=SINCE),), OF_BOOKS)


@pytest.fixture
def hook():
    with web_hook() as server:
        yield server


@pytest.fixture
def run(monkeypatch, tmp_path, hook):
    """A function that runs a command in an empty folder, with a channel; the root is its folder `lake`, which does not exist."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lake"))
    monkeypatch.setenv("LAKEHOUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LAKEHOUSE_ALERT_URLS", f"json://{hook.host}/{SECRET}")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


def test_a_test_goes_to_each_channel_and_needs_no_lakehouse(run, hook, tmp_path):
    done = run("alerts", "test")
    assert (done.exit_code, done.stderr) == (0, "json-1: taken\n")
    assert f"Lakehouse: {tmp_path}/lake" in hook.texts[0]
    hook.status = 404
    done = run("alerts", "test", "--channel", "json-1")
    assert (done.exit_code, done.stderr) == (1, "error: json-1: the receiver answers 404.\n")
    assert "'slack-1' is not a channel. Known are: json-1." in str(run("alerts", "test", "--channel", "slack-1").exception)


def test_without_a_channel_one_is_asked_for(run, monkeypatch):
    monkeypatch.setenv("LAKEHOUSE_ALERT_URLS", "")
    for command in ("test", "send"):
        assert "LAKEHOUSE_ALERT_URLS names no receiver" in str(run("alerts", command).exception)


def test_what_is_wrong_is_listed_and_told_once(run, monkeypatch, tmp_path, hook):
    (tmp_path / "lake").mkdir()
    monkeypatch.setattr(alerts, "_found", lambda *_: STALE)
    [shown] = json.loads(run("alerts", "show", "--json").stdout)
    assert (shown["kind"], shown["place"], shown["since"], shown["told"]) == ("stale", "silver.x", SINCE.isoformat(), [])
    assert run("alerts", "send").stderr == "Alert to json-1: [lakehouse] New: A table is stale: silver.x\n"
    assert run("alerts", "send").stderr == "There is nothing to tell.\n"
    assert len(hook.texts) == 1
    done = run("alerts", "show")
    assert done.exit_code == 1
    assert "json-1" in done.stdout


def test_a_pass_that_can_not_begin_tells_that_once(run, hook, tmp_path):
    for _ in range(2):
        assert isinstance(run("sync").exception, SettingsError)
    [text] = hook.texts
    assert f"LAKEHOUSE_ROOT={tmp_path}/lake: there is no such folder." in text
    assert not (tmp_path / "lake").exists()
