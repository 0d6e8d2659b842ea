"""Books and tables stay together: whoever writes when, whatever reply is lost, and whatever somebody does to a table by hand."""

import logging
import shutil
from dataclasses import replace
from datetime import date
from uuid import uuid4

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.books.set_aside import read_set_aside
from lakehouse_assets.contracts.contract import Column, Rule
from lakehouse_assets.delta.data_files import DataFolder
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.raw import write
from lakehouse_assets.raw.load import land
from lakehouse_assets.silver import stage
from tests.support.declare import feed_of, with_function
from tests.support.orders import DAY1, DAY2, DAY3, ORDERS, csv, take

pytestmark = pytest.mark.worlds("sail-folder")

D1 = date.fromisoformat(DAY1)
LOG = logging.getLogger("tests")


@pytest.fixture
def shop(make_lakehouse):
    return make_lakehouse(ORDERS)


class Writer:
    """One who builds the raw partition of the first day, in steps of its own."""

    def __init__(self, shop):
        self.shop, root = shop, shop.settings.root
        self.target = Target(root, "raw", "shop_orders", [D1], "run", LOG)

    def read(self):
        folder = DataFolder(self.target.root, "raw", "shop_orders", f"data-{uuid4().hex}")
        self.landed = land(feed_of(ORDERS), self.target, self.shop.settings.lakehouse_start_date, folder)
        return self

    def write(self):
        """Go on with what was read."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "land", lambda *given: (patch.undo(), self.landed)[1])
            write.load_partitions(feed_of(ORDERS), self.target, self.shop.settings.lakehouse_start_date)


def as_it_lies(shop, make_lakehouse):
    """Asserts that another pass leaves what a fresh build of the same landing makes, in tables and books, and nothing to do."""
    assert shop.build() == {}
    assert shop.plan().is_empty
    fresh = make_lakehouse(*shop.tables)
    fresh.copy_landing(shop)
    assert fresh.build() == {}
    for table in ("raw.shop_orders", "silver.shop_orders"):
        assert shop.rows(table) == fresh.rows(table)
    for layer in ("raw", "silver"):
        ours = {day: account for day, account in shop.accounts(layer, "shop_orders").items() if any(account)}
        assert ours == fresh.accounts(layer, "shop_orders")


def test_a_raw_writer_that_read_before_another_and_writes_after_it_leaves_what_lies_in_landing(shop, make_lakehouse):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.land("shop/orders", DAY1, "b.csv", csv(("B", 1, 10)))
    first = Writer(shop).read()
    shop.remove("shop/orders", DAY1, "b.csv")
    Writer(shop).read().write()
    first.write()
    as_it_lies(shop, make_lakehouse)


def test_a_raw_writer_that_wrote_before_another_which_had_read_less_leaves_what_lies_in_landing(shop, make_lakehouse):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.land("shop/orders", DAY1, "b.csv", csv(("B", 1, 10)))
    first = Writer(shop).read()
    shop.remove("shop/orders", DAY1, "b.csv")
    second = Writer(shop).read()
    first.write()
    second.write()
    assert [row["_source_file"] for row in shop.rows("raw.shop_orders")] == ["a.csv"]
    as_it_lies(shop, make_lakehouse)


def test_a_raw_writer_that_is_overtaken_between_its_commit_and_its_record_leaves_what_lies_in_landing(
    shop, make_lakehouse, monkeypatch
):
    record_partitions = write.record_partitions

    def overtaken(*args):
        monkeypatch.setattr(write, "record_partitions", record_partitions)
        slow.write()  # it read the old bytes
        return record_partitions(*args)

    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    slow = Writer(shop).read()
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 2, 20)))
    quick = Writer(shop).read()
    monkeypatch.setattr(write, "record_partitions", overtaken)
    quick.write()
    as_it_lies(shop, make_lakehouse)


@pytest.mark.parametrize("layers", [("raw",), ("silver",), ("raw", "silver")], ids=" and ".join)
def test_a_table_that_was_deleted_is_built_again(layers, shop, make_lakehouse):
    for day in (DAY1, DAY2):
        shop.land("shop/orders", day, "a.csv", csv((day, 1, 10), ("A", int(day[-1]), 10)))
    shop.build()
    for layer in layers:
        shutil.rmtree(shop.settings.root.table(layer, "shop_orders"))
    assert not shop.plan().is_empty
    as_it_lies(shop, make_lakehouse)


@pytest.mark.parametrize("layer", ["raw", "silver"])
def test_a_table_that_was_restored_is_built_again(layer, shop, make_lakehouse):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    table = open_table(shop.settings.root.table(layer, "shop_orders"))
    shop.land("shop/orders", DAY2, "a.csv", csv(("A", 2, 20), ("B", 1, 10)))
    shop.build()
    DeltaTable(table.table_uri).restore(table.version())
    assert not shop.plan().is_empty
    as_it_lies(shop, make_lakehouse)


@pytest.mark.parametrize("layer", ["raw", "silver"])
def test_a_table_of_which_an_older_copy_was_put_back_is_built_again(layer, shop, make_lakehouse, tmp_path):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    place = shop.settings.root.table(layer, "shop_orders")
    shutil.copytree(place, tmp_path / "copy")
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 2, 20), ("B", 1, 10)))
    shop.build()
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "copy", place)
    assert not shop.plan().is_empty
    as_it_lies(shop, make_lakehouse)


def test_rows_that_somebody_deleted_from_a_table_come_back(shop, make_lakehouse):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    DeltaTable(shop.settings.root.table("silver", "shop_orders")).delete("order_id = 'A'")
    as_it_lies(shop, make_lakehouse)


def test_a_quarantine_that_was_deleted_is_filled_again(shop, make_lakehouse):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, -10)))
    shop.build()
    shutil.rmtree(shop.settings.root.table("quarantine", "rows"))
    assert not shop.plan().is_empty
    as_it_lies(shop, make_lakehouse)
    assert len(shop.rows("quarantine.rows")) == 1


def test_a_ledger_that_was_deleted_is_written_again(shop, make_lakehouse):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, -10)))
    shop.build()
    shutil.rmtree(shop.settings.root.table("ops", "partitions"))
    as_it_lies(shop, make_lakehouse)


@pytest.mark.parametrize("error", [CommitFailedError("a conflict"), OSError("the reply is lost")], ids=["conflict", "lost reply"])
def test_a_commit_that_is_made_though_the_writer_hears_that_it_failed_stands(error, shop, make_lakehouse, monkeypatch):
    commit = DeltaTable.create_write_transaction
    failures = [error]

    def failing(self, *args, **kwargs):
        commit(self, *args, **kwargs)
        if failures:
            raise failures.pop()

    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "a.csv", csv(("A", 2, 20), ("B", 1, 10)))
    monkeypatch.setattr(DeltaTable, "create_write_transaction", failing)
    assert shop.build() == {}
    assert not failures
    versions = shop.versions()
    as_it_lies(shop, make_lakehouse)
    assert shop.versions() == versions


def with_channel(raw):
    return take(raw).selectExpr("*", "'web' AS channel")


def test_dates_stay_published_where_a_contract_gains_a_column_and_they_break_a_fail_rule_of_it(shop, make_lakehouse):
    for day, number in ((DAY1, 1), (DAY2, 2), (DAY3, 3)):
        shop.land("shop/orders", day, "a.csv", csv((f"O{number}", 1, number)))
    shop.build()
    contract = ORDERS.contract
    columns = (*contract.columns, Column("channel", "string", ""))
    rules = (*contract.rules, Rule("total_above_two", "total > 2", "fail", "A total is above two."))
    shop.tables = [
        replace(
            ORDERS, contract=replace(contract, columns=columns, rules=rules), inputs=with_function(ORDERS, with_channel).inputs
        )
    ]
    [error] = shop.build().values()
    assert f"nothing was built of {DAY1}, {DAY2}" in error
    standing = {row["order_id"]: row["channel"] for row in shop.rows("silver.shop_orders")}
    assert standing == {"O1": None, "O2": None, "O3": "web"}


def test_nothing_is_published_where_a_column_changes_its_type_and_a_published_date_breaks_a_fail_rule(shop):
    for day, number in ((DAY1, 1), (DAY2, 2)):
        shop.land("shop/orders", day, "a.csv", csv((f"O{number}", 1, number)))
    shop.build()
    before = shop.rows("silver.shop_orders")
    contract = ORDERS.contract
    columns = tuple(replace(c, type="double") if c.name == "total" else c for c in contract.columns)
    rules = (*contract.rules, Rule("total_above_one", "total > 1", "fail", "A total is above one."))
    shop.tables = [replace(ORDERS, contract=replace(contract, columns=columns, rules=rules))]
    [error] = shop.build().values()
    assert "nothing was built" in error
    assert shop.rows("silver.shop_orders") == before


def test_a_later_start_date_leaves_the_dates_before_it_as_they_are(shop):
    for day in (DAY1, DAY2):
        shop.land("shop/orders", day, "a.csv", csv((day, 1, 10), ("all", int(day[-1]), 10)))
    shop.build()
    shop.settings = shop.settings.model_copy(update={"lakehouse_start_date": date.fromisoformat(DAY2)})
    shop.land("shop/orders", DAY3, "a.csv", csv((DAY3, 1, 10), ("all", 3, 10)))
    assert shop.build() == {}
    assert shop.plan().is_empty
    assert len(shop.rows("raw.shop_orders")) == 6
    assert [row["order_id"] for row in shop.rows("silver.shop_orders")] == [DAY1, DAY2, DAY3, "all"]


def test_superseded_rows_come_to_lie_in_few_batches(shop, make_lakehouse, monkeypatch):
    monkeypatch.setattr(stage, "_MOST_BATCHES", 3)
    for number in range(1, 10):
        shop.land("shop/orders", f"2026-01-0{number}", "a.csv", csv(("A", number, 10), (number, 1, 10)))
        assert shop.build() == {}
    superseded = read_set_aside(
        shop.settings.root, "silver", "shop_orders", open_table(shop.settings.root.table("silver", "shop_orders"))
    )
    assert len(superseded.batches) <= 3
    shop.remove("shop/orders", "2026-01-09", "a.csv")
    as_it_lies(shop, make_lakehouse)
    assert {"order_id": "A", "changed_at": 8} in shop.rows("silver.shop_orders", "order_id, changed_at")
