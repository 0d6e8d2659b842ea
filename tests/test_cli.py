"""What new users meet first: a wrong root, and a demo that fails."""

from datetime import UTC, date, datetime

import pytest
from typer.testing import CliRunner, Result

from lakehouse_assets import cli
from lakehouse_assets.cli import passes
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.orchestration.in_process import BuiltTable, SyncResult
from lakehouse_assets.raw.arrivals import Arrivals, Outstanding
from lakehouse_assets.reconcile import plan
from lakehouse_assets.reconcile.plan import Plan, PlannedTable


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that runs a command in an empty folder; the root is its folder `lake`, which does not exist."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lake"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli.app, list(arguments))

    return invoke


@pytest.mark.parametrize("command", [["plan"], ["sync"], ["query", "SELECT 1"], ["quarantine"], ["maintain"]], ids=lambda c: c[0])
def test_a_root_that_is_not_there_is_told_and_not_made(run, tmp_path, command):
    error = run(*command).exception
    assert isinstance(error, SettingsError)
    assert str(error).startswith(f"LAKEHOUSE_ROOT={tmp_path}/lake: there is no such folder. ")
    assert "`lakehouse land`" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_who_lands_a_file_makes_the_root(run, tmp_path):
    file = tmp_path / "cust_info.csv"
    file.write_text("cst_id\n1\n")
    assert run("land", "crm/customers", str(file), "--date", "2026-01-05").exit_code == 0
    assert (tmp_path / "lake" / "landing" / "crm" / "customers" / "2026-01-05" / "cust_info.csv").is_file()


@pytest.mark.parametrize("command", ["plan", "sync"])
def test_a_root_without_landing_is_not_called_up_to_date(run, tmp_path, command):
    (tmp_path / "lake").mkdir()
    done = run(command)
    assert done.exit_code == 0
    assert f"Nothing to do: nothing has landed in {tmp_path}/lake/landing." in done.stderr
    assert "up to date" not in done.stderr


def test_a_plan_answers_whether_everything_has_arrived(run, monkeypatch, tmp_path):
    (tmp_path / "lake").mkdir()
    now = datetime(2026, 1, 31, 8, tzinfo=UTC)
    missing = [Outstanding("shop/orders", date(2026, 1, day), "missing", "nothing has landed") for day in range(1, 8)]
    short = Outstanding("shop/items", date(2026, 1, 30), "short", "a.csv has 1 rows; its trailer says 2")

    def shown(*outstanding):
        found = Arrivals(now, ("shop/orders", "shop/items"), outstanding)
        monkeypatch.setattr(plan, "make_plan", lambda *given, **options: plan.Plan((), (), (), arrivals=found))
        return [line for line in run("plan").stderr.splitlines() if "Nothing to do" not in line]

    assert shown() == ["Everything has arrived, as of 2026-01-31 08:00 UTC: shop/orders, shop/items."]
    assert shown(*missing, short) == [
        "short: shop/items, delivery of 2026-01-30: a.csv has 1 rows; its trailer says 2.",
        *(f"missing: shop/orders, delivery of 2026-01-0{day}: nothing has landed." for day in (7, 6, 5, 4, 3)),
        "missing: shop/orders, and 2 earlier ones; `lakehouse plan --json` lists all.",
    ]


@pytest.mark.parametrize(("error", "code"), [("the disk is full", 1), (None, 0)])
def test_only_a_demo_that_succeeds_says_where_to_look_next(run, monkeypatch, error, code):
    planned = Plan((), (PlannedTable("raw", "crm_sales", (date(2026, 1, 5),)),), ())
    result = SyncResult([BuiltTable("raw", "crm_sales", 0, 0, 1.0, error)])
    monkeypatch.setattr(passes, "_plan", lambda settings, declared: planned)
    monkeypatch.setattr(passes, "_sync", lambda settings, declared, plan: result)
    done = run("demo")
    assert done.exit_code == code
    assert ("Where to look next" in done.stderr) is (error is None)
    assert ("The demo failed" in done.stderr) is (error is not None)
