"""Upkeep: fewer files, the same rows, and nothing for the next pass to do."""

import os
import shutil
import time
from datetime import date, timedelta
from itertools import count

import obstore
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.table import TableOptimizer

from lakehouse_assets.books.quarantine import Quarantine, quarantine_schema
from lakehouse_assets.delta import tables as delta
from lakehouse_assets.errors import UpkeepError
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.orders import DAY1, DAY2, DAY3, ORDERS, csv

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


@pytest.fixture
def one_day(make_lakehouse):
    """A date with two files, so its raw partition has two data files. One row of each is in quarantine."""
    shop = make_lakehouse(ORDERS)
    for name in ("a", "b"):
        shop.land("shop/orders", DAY1, f"{name}.csv", csv((name, 1, 1), ("bad", 1, -1)))
        assert shop.build() == {}
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


def test_a_late_file_after_upkeep_gives_the_tables_of_a_fresh_build(shop, make_lakehouse):
    list(maintain(shop.settings.root, timedelta(0)))
    shop.land("shop/orders", DAY1, "late.csv", csv(("A", 9, 9)))
    shop.remove("shop/orders", DAY3, "a.csv")
    assert shop.build() == {}
    fresh = make_lakehouse(ORDERS)
    fresh.copy_landing(shop)
    assert fresh.build() == {}
    assert shop.rows("silver.shop_orders") == fresh.rows("silver.shop_orders")


class Killed(BaseException):
    """Simulates a kill of the process."""


def kill_at(write, monkeypatch):
    """Kill upkeep right after its write or delete with the given number."""
    writes_left = write

    def dying(function):
        def call(*args, **kwargs):
            nonlocal writes_left
            result = function(*args, **kwargs)
            writes_left -= 1
            if writes_left == 0:
                raise Killed
            return result

        return call

    monkeypatch.setattr(delta, "write_deltalake", dying(delta.write_deltalake))
    monkeypatch.setattr(TableOptimizer, "compact", dying(TableOptimizer.compact))
    monkeypatch.setattr(obstore, "delete", dying(obstore.delete))
    monkeypatch.setattr(DeltaTable, "create_checkpoint", dying(DeltaTable.create_checkpoint))
    monkeypatch.setattr(DeltaTable, "cleanup_metadata", dying(DeltaTable.cleanup_metadata))


@pytest.mark.worlds("sail-folder")
def test_a_kill_after_any_of_its_writes_costs_no_row_and_the_next_pass_settles_what_it_left(one_day, make_lakehouse, monkeypatch):
    tables = ("raw.shop_orders", "silver.shop_orders", "(SELECT * EXCLUDE (run_id) FROM quarantine.rows)")
    before = {table: one_day.rows(table) for table in tables}
    accounts = one_day.accounts("raw", "shop_orders"), one_day.accounts("silver", "shop_orders")
    unverified = 0
    for write in count(1):
        killed = make_lakehouse(ORDERS)
        # By hard links, so that landing files keep their etags.
        shutil.copytree(one_day.settings.root.uri, killed.settings.root.uri, copy_function=os.link)
        with monkeypatch.context() as patch:
            kill_at(write, patch)
            try:
                list(maintain(killed.settings.root, timedelta(0)))
                ended = True
            except Killed:
                ended = False
        assert {table: killed.rows(table) for table in tables} == before
        if not killed.plan().is_empty:
            unverified += 1
            assert killed.build() == {}
            assert {table: killed.rows(table) for table in tables} == before
        assert (killed.accounts("raw", "shop_orders"), killed.accounts("silver", "shop_orders")) == accounts
        assert killed.plan().is_empty
        if ended:
            break
    assert write > 15
    assert unverified > 0


def test_a_table_that_somebody_commits_to_meanwhile_is_kept_up_all_the_same(one_day, monkeypatch):
    compact, root = TableOptimizer.compact, one_day.settings.root
    others = [1]

    def overtaken(*args, **kwargs):
        if others:
            others.pop()
            DeltaTable(root.table("raw", "shop_orders")).alter.set_table_description("somebody else's")
        return compact(*args, **kwargs)

    monkeypatch.setattr(TableOptimizer, "compact", overtaken)
    done = {kept.name: kept for kept in maintain(root, timedelta(0))}
    assert (done["raw.shop_orders"].files_before, done["raw.shop_orders"].files_after) == (2, 1)
    assert "ops.partitions" in done
    assert one_day.plan().is_empty


def test_a_table_that_can_t_be_read_is_named_and_the_others_are_kept_up(one_day):
    root = one_day.settings.root
    version = DeltaTable(root.table("raw", "shop_orders")).version()
    obstore.put(root.store, f"raw/shop_orders/_delta_log/{version + 1:020}.json", b"no JSON")
    kept = []
    with pytest.raises(UpkeepError, match=r"Not maintained:\nraw\.shop_orders: ") as error:
        kept.extend(table.name for table in maintain(root, timedelta(0)))
    assert "silver" not in str(error.value)
    assert kept == ["silver.shop_orders", "quarantine.rows", "ops.partitions"]


def test_what_compaction_can_t_vouch_for_stays_to_be_built(one_day):
    root = one_day.settings.root
    DeltaTable(root.table("raw", "shop_orders")).delete("id = 'a'")
    list(maintain(root, timedelta(0)))
    assert not one_day.plan().is_empty
    assert one_day.build() == {}
    assert [row["id"] for row in one_day.rows("raw.shop_orders")] == ["a", "b", "bad", "bad"]
    assert one_day.plan().is_empty


def test_rows_in_quarantine_that_no_record_names_go_after_a_while(one_day):
    root = one_day.settings.root
    named = one_day.rows("quarantine.rows", "run_id")
    for age in (0, 8 * 86_400):
        batch = f"{int((time.time() - age) * 1000):012x}-cafe"
        row = {
            "layer": "raw",
            "table_name": "shop_orders",
            "date": date(2026, 1, 1),
            "payload": f"{age}",
            "run_id": "killed",
            "batch": batch,
        }
        Quarantine(root).add(pa.Table.from_pylist([{**row, "run_id": "killed"}], schema=quarantine_schema()), "killed")

    def killed_payloads():
        table = DeltaTable(Quarantine(root).uri).to_pyarrow_table(columns=["payload", "run_id"]).to_pylist()
        return sorted(row["payload"] for row in table if row["run_id"] == "killed")

    assert killed_payloads() == ["0", str(8 * 86_400)]
    list(maintain(root, timedelta(days=7)))
    assert killed_payloads() == ["0"]
    assert one_day.rows("quarantine.rows", "run_id") == named
