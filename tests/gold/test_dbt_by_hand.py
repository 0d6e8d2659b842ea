"""dbt by hand: `dbt build --target lakehouse` in the project's folder reads a lakehouse, and builds into a file of its own."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError
from deltalake import write_deltalake

from lakehouse_assets.dbt_by_hand import Plugin, fill_by_hand
from lakehouse_assets.delta.duck import rows_of_layout
from lakehouse_assets.gold.project import (
    RUN_CACHE,
    RUN_COUNTRIES,
    RUN_DATABASE,
    RUN_ROOT,
    RUN_START,
    RUN_TIMEZONE,
    silver_layout,
)
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.root import Root
from lakehouse_assets.systems import catalog

PROJECT = Settings().gold_project.folder
LANDED = {"_date": date(2026, 1, 31)}
SALE = {"product_number": "P1", "customer_id": 1, "quantity": 1, "price": 10, "sales": 10, "currency": "EUR", **LANDED}


@pytest.fixture(autouse=True)
def outside_of_runs(monkeypatch):
    """What a run of gold in this process has left in the environment, a shell does not have."""
    for name in (RUN_DATABASE, RUN_ROOT, RUN_TIMEZONE, RUN_START, RUN_COUNTRIES, RUN_CACHE):
        monkeypatch.delenv(name, raising=False)


def write(root: Root, table: str, rows: list[dict]) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE rows AS {rows_of_layout([], silver_layout(catalog())['silver', table])}")
        for row in rows:
            connection.execute(
                f"INSERT INTO rows ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                list(row.values()),
            )
        write_deltalake(
            root.table("silver", table), connection.table("rows").to_arrow_table(), mode="append", partition_by="_date"
        )


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


BY_HAND = """
import sys
from dbt.cli.main import dbtRunner
paths = ["--quiet", "--target", "lakehouse", "--target-path", sys.argv[1], "--log-path", sys.argv[1]]
runner = dbtRunner()  # loads dbt and parses the project once
for command in (["parse"], ["build"], ["docs", "generate", "--no-compile"]):
    done = runner.invoke([*command, *paths])
    if not done.success:
        sys.exit(str(done.exception or command))
    runner.manifest = runner.manifest or done.result
"""


def test_a_build_by_hand_leaves_the_lakehouse_alone_and_runs_the_unit_tests(tmp_path):
    lake = tmp_path / "lake"
    root = Root.parse(str(lake))
    write(root, "crm_sales", [SALE | {"order_number": "SO1", "order_date": date(2026, 1, 6)}])
    write(root, "finance_exchange_rates", [{"date": date(2026, 1, 5), "currency": "EUR", "usd_rate": "1.10", **LANDED}])
    ordered = {"order_timestamp": datetime(2026, 1, 6, 9, 5, tzinfo=UTC), "currency": "USD", "user_id": 1, **LANDED}
    write(root, "storefront_orders", [ordered | {"order_id": 1, "total_amount": 5}])
    before = files(lake)

    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_GOLD_")},
        "LAKEHOUSE_ROOT": str(lake),
        "LAKEHOUSE_DBT_DATABASE": str(tmp_path / "own.duckdb"),
    }
    target = tmp_path / "target"
    command = [sys.executable, "-c", BY_HAND, str(target)]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr

    results, manifest, described = (
        json.loads((target / f"{name}.json").read_text()) for name in ("run_results", "manifest", "catalog")
    )
    done = {result["unique_id"] for result in results["results"] if result["status"] in ("success", "pass")}
    assert manifest["unit_tests"].keys() <= done
    assert {"model.lakehouse.fact_orders", "test.lakehouse.assert_price_quantity_eq_sales"} <= done
    with duckdb.connect(str(tmp_path / "own.duckdb"), read_only=True) as connection:
        sales = "SELECT source_system, usd_amount::VARCHAR FROM gold.fact_sales ORDER BY 1"
        assert connection.execute(sales).fetchall() == [("crm", "11.00"), ("storefront", "5.00")]

    assert {f"source.lakehouse.silver.{table.name}" for table in catalog().tables} == described["sources"].keys()
    assert "model.lakehouse.fact_sales" in described["nodes"]
    assert files(lake) == before

    # The next time, silver is that of then, and gold what dbt has built.
    write(root, "crm_sales", [SALE | {"order_number": "SO2", "order_date": date(2026, 1, 6)}])
    fill_by_hand(Settings(lakehouse_root=str(lake)), tmp_path / "own.duckdb")
    with duckdb.connect(str(tmp_path / "own.duckdb"), read_only=True) as connection:
        rows = "SELECT (SELECT count(*) FROM silver.crm_sales), (SELECT count(*) FROM gold.fact_sales)"
        assert connection.execute(rows).fetchall() == [(2, 2)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({}, "There are no silver tables below {lake}. Set LAKEHOUSE_ROOT to a lakehouse that has some."),
        ({"LAKEHOUSE_GOLD_TIMEZONE": "Asia/Tokyo"}, "dbt reads the environment, not .env: export LAKEHOUSE_TIMEZONE=UTC first."),
        ({"LAKEHOUSE_ENGINE": "oxen"}, "LAKEHOUSE_ENGINE: an engine is"),
    ],
)
def test_what_can_t_work_is_said_in_a_sentence(monkeypatch, tmp_path, wrong, sentence):
    monkeypatch.chdir(PROJECT)
    for name, value in {"LAKEHOUSE_ROOT": str(tmp_path), **wrong}.items():
        monkeypatch.setenv(name, value)
    plugin = Plugin("by hand", {"database": str(tmp_path / "own.duckdb")})
    with duckdb.connect() as connection, pytest.raises(DbtRuntimeError) as refused:
        plugin.configure_connection(connection)
    assert sentence.format(lake=tmp_path) in str(refused.value)
