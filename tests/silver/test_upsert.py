"""Upserts under arrivals in any order: after each, the table equals that of a lakehouse built at once from what lies in landing."""

from datetime import date

import pytest

from lakehouse_assets.contracts.contract import Column, Contract, RawContract, Rule, SourceColumn
from lakehouse_assets.contracts.system import Entity


def take(raw):
    return raw.selectExpr("*", "id AS order_id", "at AS changed_at", "amount AS total")


ORDERS = Entity(
    landing="shop/orders",
    raw=RawContract(columns=(SourceColumn("id", ""), SourceColumn("at", ""), SourceColumn("amount", ""))),
    contract=Contract(
        table="shop_orders",
        description="Orders",
        owner="team:shop",
        key=("order_id",),
        sequence="changed_at",
        columns=(Column("order_id", "string", ""), Column("changed_at", "int", ""), Column("total", "int", "")),
        rules=(
            Rule("total_not_negative", "total >= 0", "drop", "A total is not negative."),
            Rule("total_below_a_million", "total < 1000000", "fail", "A total is below a million."),
        ),
    ),
    silver=take,
)

DAY1, DAY2, DAY3 = "2026-01-01", "2026-01-02", "2026-01-03"


def csv(*rows: tuple[object, ...]) -> str:
    return "id,at,amount\n" + "".join(",".join("" if v is None else str(v) for v in row) + "\n" for row in rows)


@pytest.fixture
def shop(make_lakehouse):
    return make_lakehouse(ORDERS)


@pytest.fixture
def expect(shop, make_lakehouse):
    """Builds, and asserts that tables and accounts are those of a fresh build of the same landing."""
    import shutil

    def check() -> dict[str, tuple[int, int]]:
        assert shop.build() == {}
        fresh = make_lakehouse(ORDERS)
        shutil.copytree(shop.settings.root.path("landing"), fresh.settings.root.path("landing"))
        assert fresh.build() == {}
        for table in ("raw.shop_orders", "silver.shop_orders"):
            assert shop.rows(table) == fresh.rows(table)
        for layer in ("raw", "silver"):
            ours = {day: account for day, account in shop.accounts(layer, "shop_orders").items() if any(account)}
            assert ours == fresh.accounts(layer, "shop_orders")
            assert all(r.adds_up for r in shop.records(layer, "shop_orders").values())
        return {r["order_id"]: (r["changed_at"], r["total"]) for r in shop.rows("silver.shop_orders")}

    return check


def test_a_newer_row_supersedes_one_of_an_earlier_date(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    assert expect() == {"A": (2, 20), "B": (1, 10)}
    assert shop.accounts("silver", "shop_orders") == {DAY1: (2, 1, 0, 1), DAY2: (1, 1, 0, 0)}


def test_a_late_older_row_changes_nothing(shop, expect):
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    shop.build()
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    assert expect() == {"A": (2, 20)}
    assert shop.accounts("silver", "shop_orders") == {DAY1: (1, 0, 0, 1), DAY2: (1, 1, 0, 0)}


def test_an_earlier_date_may_hold_the_higher_sequence(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 9, 90)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    assert expect() == {"A": (9, 90)}


def test_a_file_sent_again_with_fewer_rows_takes_them_back_out(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY1, "a.csv", csv(("B", 1, 10)))
    assert expect() == {"B": (1, 10)}


def test_an_older_version_comes_back_when_the_newer_is_taken_out(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 11)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    shop.build()
    shop.land("shop/orders", DAY3, "c.csv", csv(("A", 3, 30), ("B", 3, 31)))
    shop.build()
    shop.remove("shop/orders", DAY3, "c.csv")
    assert expect() == {"A": (2, 20), "B": (1, 11)}
    assert shop.accounts("silver", "shop_orders")[DAY1] == (2, 1, 0, 1)


def test_a_corrected_row_may_lower_its_sequence(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 5, 50)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 9, 90)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    assert expect() == {"A": (5, 50)}


def test_a_missing_sequence_is_below_any_other(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", None, 20), ("B", None, 21)))
    assert expect() == {"A": (1, 10), "B": (None, 21)}
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", None, 22), ("B", None, 23)))
    assert expect() == {"A": (1, 10), "B": (None, 23)}


def test_equal_sequences_are_settled_by_landing_date_file_and_row(shop, expect):
    shop.land("shop/orders", DAY1, "b.csv", csv(("A", 1, 10), ("A", 1, 11)))
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 12)))
    shop.build()
    assert expect() == {"A": (1, 11)}
    shop.land("shop/orders", DAY2, "a.csv", csv(("A", 1, 13)))
    assert expect() == {"A": (1, 13)}


def test_dropped_rows_do_not_compete(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("A", 2, -5), (None, 1, 1)))
    assert expect() == {"A": (1, 10)}
    assert shop.accounts("silver", "shop_orders") == {DAY1: (3, 1, 2, 0)}
    reasons = shop.rows("quarantine.rows", "rule, row_number, payload", "row_number")
    assert reasons == [
        {"rule": "total_not_negative", "row_number": 3, "payload": '{"id":"A","at":"2","amount":"-5"}'},
        {"rule": "order_id_present", "row_number": 4, "payload": '{"id":null,"at":"1","amount":"1"}'},
    ]


def test_a_broken_fail_rule_keeps_its_partition_only_from_being_published(shop):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("B", 1, 2_000_000), ("C", 1, 5)))
    errors = shop.build()
    assert "nothing was published of 2026-01-02" in errors["silver__shop_orders"]
    assert "total_below_a_million" in errors["silver__shop_orders"]
    assert [r["order_id"] for r in shop.rows("silver.shop_orders")] == ["A"]
    shop.land("shop/orders", DAY2, "b.csv", csv(("B", 1, 200), ("C", 1, 5)))
    assert shop.build() == {}
    assert [r["order_id"] for r in shop.rows("silver.shop_orders")] == ["A", "B", "C"]


def test_a_repeated_pass_commits_nothing(shop):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    before = shop.versions()
    assert shop.plan().of_layers("raw", "silver") == []
    assert shop.build() == {}
    assert shop.versions() == before


def test_a_step_killed_before_its_ledger_row_is_healed_without_a_second_commit(shop):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    shop.build()
    before, accounts = shop.versions(), shop.accounts("silver", "shop_orders")
    _forget_newest_ledger_rows(shop, date(2026, 1, 2))
    assert shop.build() == {}
    assert (shop.versions(), shop.accounts("silver", "shop_orders")) == (before, accounts)


def test_a_step_killed_before_its_ledger_row_is_healed_though_other_files_came_meanwhile(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    shop.build()
    _forget_newest_ledger_rows(shop, date(2026, 1, 2))
    shop.land("shop/orders", DAY3, "c.csv", csv(("B", 3, 30)))
    assert expect() == {"A": (2, 20), "B": (3, 30)}


def _forget_newest_ledger_rows(shop, day):
    """Put the ledger back to what it was before the newest silver commit, as a kill right after that commit leaves it."""
    from dataclasses import replace

    from lakehouse_assets.storage.ledger import Ledger

    ledger = Ledger(shop.settings.root)
    records = {key[2]: r for key, r in ledger.read("silver", "shop_orders").items()}
    first = replace(records[date(2026, 1, 1)], rows_out=2, rows_superseded=0, delta_version=1)
    ledger.replace("silver", "shop_orders", [date(2026, 1, 1), day], [first], "killed")
