"""Upkeep: fewer files, the same rows, and nothing for the next pass to do."""

from datetime import timedelta

import obstore
import pyarrow as pa
import pytest

from lakehouse_assets.automation.upkeep import maintain
from lakehouse_assets.storage.quarantine import Quarantine, new_batch, quarantine_schema
from lakehouse_assets.storage.tables import open_table, table_facts
from tests.silver.test_upsert import DAY1, DAY2, DAY3, ORDERS, csv

pytestmark = pytest.mark.worlds("sail-folder", "sail-minio")
STRAY = "silver/shop_orders/data-killed/audited/_verdict=ok/_date=2026-01-01/part-0.parquet"


@pytest.fixture
def shop(make_lakehouse):
    shop = make_lakehouse(ORDERS)
    for number, day in enumerate((DAY1, DAY2, DAY3)):
        shop.land("shop/orders", day, "a.csv", csv(("A", number, number), (f"only {day}", 1, 1)))
        shop.build()
    # A second file of a date makes a second data file of the raw partition.
    shop.land("shop/orders", DAY1, "b.csv", csv(("B", 1, 1)))
    shop.build()
    return shop


def test_rows_stay_files_become_fewer_and_a_pass_has_nothing_to_do(shop):
    tables = ("raw.shop_orders", "silver.shop_orders", "ops.row_accounts")
    before = {table: shop.rows(table) for table in tables}
    done = {kept.name: kept for kept in maintain(shop.settings.root, timedelta(0))}
    assert done["raw.shop_orders"].files_before == 4
    assert done["raw.shop_orders"].files_after == 3
    assert done["silver.shop_orders"].deleted > 0
    assert {table: shop.rows(table) for table in tables} == before
    assert shop.plan().is_empty


def test_what_a_killed_step_left_behind_is_deleted_after_a_while(shop):
    root = shop.settings.root
    obstore.put(root.store, STRAY, b"left behind")
    list(maintain(root, timedelta(days=7)))
    assert STRAY in {path for path, _ in root.files("silver")}
    list(maintain(root, timedelta(0)))
    assert STRAY not in {path for path, _ in root.files("silver")}


def test_rows_that_a_killed_step_put_into_quarantine_are_taken_out_after_a_while(shop):
    root = shop.settings.root
    row = dict.fromkeys(quarantine_schema().names) | {"layer": "raw", "table_name": "shop_orders", "batch": new_batch()}
    Quarantine(root).add(pa.Table.from_pylist([row], schema=quarantine_schema()), "run-1")

    def lying() -> int:
        table = open_table(Quarantine(root).uri)
        return table_facts(table).rows

    list(maintain(root, timedelta(days=7)))
    assert lying() == 1
    list(maintain(root, timedelta(0)))
    assert lying() == 0


def test_a_late_file_after_upkeep_gives_the_tables_of_a_fresh_build(shop, make_lakehouse):
    list(maintain(shop.settings.root, timedelta(0)))
    shop.land("shop/orders", DAY1, "late.csv", csv(("A", 9, 9)))
    shop.remove("shop/orders", DAY3, "a.csv")
    assert shop.build() == {}
    fresh = make_lakehouse(ORDERS)
    fresh.copy_landing(shop)
    assert fresh.build() == {}
    assert shop.rows("silver.shop_orders") == fresh.rows("silver.shop_orders")
