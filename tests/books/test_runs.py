"""The history of runs stays in few files, however many runs there were."""

from datetime import UTC, date, datetime

from lakehouse_assets.books import runs
from lakehouse_assets.books.runs import Runs, TableRun
from lakehouse_assets.delta.tables import live_files, open_table
from lakehouse_assets.serving.query import query
from lakehouse_assets.store.root import Root


def test_many_runs_are_kept_in_few_files(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_MAX_FILES", 3)
    root = Root.parse(str(tmp_path))
    assert query(root, "FROM ops.runs").fetchall() == []
    for n in range(7):
        noted = TableRun(f"run{n}", "raw", "shop_orders", "built", datetime(2026, 1, 1, n, tzinfo=UTC), seconds=n, rows_in=n)
        noted.covers([date(2026, 1, 3), date(2026, 1, 1)])
        Runs(root).add([noted])
    opened = open_table(Runs(root).uri)
    assert len(live_files(opened)) <= 3
    found = query(
        root, "SELECT run_id, rows_in, first_date, last_date, dates, hour(started) FROM ops.runs ORDER BY ALL"
    ).fetchall()
    assert found == [(f"run{n}", n, date(2026, 1, 1), date(2026, 1, 3), 2, n) for n in range(7)]
