"""dbt by hand: `dbt build --target lakehouse` in the project's folder reads a lakehouse, and builds into a file of its own."""

import json
import os
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError
from deltalake import DeltaTable, write_deltalake

from lakehouse_assets.dbt_by_hand import Plugin
from lakehouse_assets.delta.duck import rows_of_layout
from lakehouse_assets.gold.dbt_ahead import executable
from lakehouse_assets.gold.project import silver_layout
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.root import Root
from lakehouse_assets.systems import catalog

PROJECT = Settings().gold_project.folder
LANDED = {"_date": date(2026, 1, 31)}
SALE = {"product_number": "P1", "customer_id": 1, "quantity": 1, "price": 10, "sales": 10, "currency": "EUR", **LANDED}


def write(root: Root, table: str, rows: list[dict]) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE rows AS {rows_of_layout([], silver_layout(catalog())[table])}")
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


def dbt(tmp_path, lake: Path, *arguments: str) -> Path:
    """Run dbt in the project's folder; returns the folder with what it says of the run."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_GOLD_")},
        "LAKEHOUSE_ROOT": str(lake),
        "LAKEHOUSE_DBT_DATABASE": str(tmp_path / "own.duckdb"),
    }
    paths = ["--target", "lakehouse", "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")]
    command = [executable("dbt"), "--quiet", *arguments, *paths]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "target"


def test_a_build_by_hand_leaves_the_lakehouse_alone_and_runs_the_unit_tests(tmp_path):
    lake = tmp_path / "lake"
    root = Root.parse(str(lake))
    write(root, "crm_sales", [SALE | {"order_number": "SO1", "order_date": date(2026, 1, 6)}])
    write(root, "finance_exchange_rates", [{"date": date(2026, 1, 5), "currency": "EUR", "usd_rate": "1.10", **LANDED}])
    ordered = {"order_timestamp": datetime(2026, 1, 6, 9, 5, tzinfo=UTC), "currency": "USD", "user_id": 1, **LANDED}
    write(root, "storefront_orders", [ordered | {"order_id": 1, "total_amount": 5}])
    before = files(lake)

    results = json.loads((dbt(tmp_path, lake, "build") / "run_results.json").read_text())["results"]
    manifest = json.loads((tmp_path / "target" / "manifest.json").read_text())
    done = {result["unique_id"] for result in results if result["status"] in ("success", "pass")}
    assert manifest["unit_tests"].keys() <= done
    assert {"model.lakehouse.fact_orders", "test.lakehouse.assert_price_quantity_eq_sales"} <= done
    with duckdb.connect(str(tmp_path / "own.duckdb"), read_only=True) as connection:
        sales = "SELECT source_system, usd_amount::VARCHAR FROM gold.fact_sales ORDER BY 1"
        assert connection.execute(sales).fetchall() == [("crm", "11.00"), ("storefront", "5.00")]

    write(root, "crm_sales", [SALE | {"order_number": "SO2", "order_date": date(2026, 1, 6)}])
    described = json.loads((dbt(tmp_path, lake, "docs", "generate") / "catalog.json").read_text())
    assert {f"source.lakehouse.silver.{table.name}" for table in catalog().tables} == described["sources"].keys()
    assert "model.lakehouse.fact_sales" in described["nodes"]
    with duckdb.connect(str(tmp_path / "own.duckdb"), read_only=True) as connection:
        rows = "SELECT (SELECT count(*) FROM silver.crm_sales), (SELECT count(*) FROM gold.fact_sales)"
        assert connection.execute(rows).fetchall() == [(2, 2)]  # silver is that of now, gold what dbt has built
    assert DeltaTable(root.table("silver", "crm_sales")).version() == 1
    assert {name for name in files(lake) - before if not name.startswith("silver/crm_sales/")} == set()


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
