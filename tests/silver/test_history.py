"""Histories and deletes under arrivals in any order: each time the table equals that of a lakehouse built at once from what landed."""

from dataclasses import replace

import pytest

from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.errors import ContractError
from tests.support.declare import one_feed

pytestmark = pytest.mark.worlds("sail-folder", "spark-folder")

DAY1, DAY2, DAY3 = "2026-01-01", "2026-01-02", "2026-01-03"


def take(raw):
    return raw.selectExpr("*", "id AS customer_id", "changed AS at", "NULLIF(town, '') AS city")


HISTORY = one_feed(
    landing="shop/customers",
    columns=tuple(SourceColumn(name, "") for name in ("id", "changed", "town", "note", "op")),
    contract=Contract(
        table="shop_customers",
        description="Customers",
        owner="team:shop",
        key=("customer_id",),
        mode="history",
        sequence="at",
        deleted="op = 'd'",
        tracked=("city",),
        columns=(
            Column("customer_id", "string", ""),
            Column("at", "timestamp", ""),
            Column("city", "string", ""),
            Column("note", "string", ""),
        ),
    ),
    function=take,
)
UPSERT = replace(HISTORY, contract=replace(HISTORY.contract, mode="upsert", tracked=None))


def rows(*found: tuple[str, int, str]) -> str:
    """A file: key, hour of the change, and city; `-` deletes."""
    lines = [
        f"{key},2026-01-01T{at:02}:00:00,{'' if city == '-' else city},{at},{'d' if city == '-' else 'u'}"
        for key, at, city in found
    ]
    return "\n".join(["id,changed,town,note,op", *lines]) + "\n"


@pytest.fixture
def shop(make_lakehouse):
    return make_lakehouse(HISTORY)


@pytest.fixture
def expect(make_lakehouse):
    """Builds, and asserts that tables and accounts are those of a fresh build of the same landing; the versions that stand."""

    def check(shop) -> list[tuple[object, ...]]:
        assert shop.build() == {}
        fresh = make_lakehouse(*shop.tables)
        fresh.copy_landing(shop)
        assert fresh.build() == {}
        assert shop.rows("silver.shop_customers") == fresh.rows("silver.shop_customers")
        ours = {day: account for day, account in shop.accounts("silver", "shop_customers").items() if any(account)}
        assert ours == fresh.accounts("silver", "shop_customers")
        assert all(record.adds_up for record in shop.records("silver", "shop_customers").values())
        if shop.tables == [UPSERT]:
            found = shop.rows("silver.shop_customers", 'customer_id, city, "at"', "ALL")
            return [(r["customer_id"], r["city"], r["at"].hour) for r in found]
        found = shop.rows(
            "silver.shop_customers", "customer_id, city, valid_from, valid_to, is_current", "customer_id, valid_from"
        )
        assert all(r["is_current"] == (r["valid_to"] is None) for r in found)
        return [(r["customer_id"], r["city"], r["valid_from"].hour, r["valid_to"] and r["valid_to"].hour) for r in found]

    return check


def test_a_change_closes_the_version_before_it(shop, expect):
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn"), ("B", 1, "Ulm")))
    assert expect(shop) == [("A", "Bonn", 1, None), ("B", "Ulm", 1, None)]
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 5, "Kiel")))
    assert expect(shop) == [("A", "Bonn", 1, 5), ("A", "Kiel", 5, None), ("B", "Ulm", 1, None)]


def test_what_does_not_change_opens_no_version_and_null_is_a_value_like_any_other(shop, expect):
    shop.land(
        "shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn"), ("A", 2, "Bonn"), ("A", 3, ""), ("A", 4, ""), ("A", 5, "Bonn"))
    )
    assert expect(shop) == [("A", "Bonn", 1, 3), ("A", None, 3, 5), ("A", "Bonn", 5, None)]
    assert shop.accounts("silver", "shop_customers") == {DAY1: (5, 3, 0, 2)}


def test_a_late_version_goes_where_it_belongs(shop, expect):
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 1, "Bonn"), ("A", 9, "Kiel")))
    expect(shop)
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 5, "Ulm")))
    assert expect(shop) == [("A", "Bonn", 1, 5), ("A", "Ulm", 5, 9), ("A", "Kiel", 9, None)]


def test_a_late_version_may_part_what_was_one(shop, expect):
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn")))
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 9, "Bonn")))
    assert expect(shop) == [("A", "Bonn", 1, None)]
    shop.land("shop/customers", DAY3, "c.csv", rows(("A", 5, "Ulm")))
    assert expect(shop) == [("A", "Bonn", 1, 5), ("A", "Ulm", 5, 9), ("A", "Bonn", 9, None)]
    shop.remove("shop/customers", DAY3, "c.csv")
    assert expect(shop) == [("A", "Bonn", 1, None)]


def test_a_delete_ends_the_last_version_and_a_return_opens_another(shop, expect):
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn")))
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 4, "-")))
    assert expect(shop) == [("A", "Bonn", 1, 4)]
    assert shop.accounts("silver", "shop_customers") == {DAY1: (1, 1, 0, 0), DAY2: (1, 0, 0, 1)}
    shop.land("shop/customers", DAY3, "c.csv", rows(("A", 7, "Bonn")))
    assert expect(shop) == [("A", "Bonn", 1, 4), ("A", "Bonn", 7, None)]


def test_a_version_is_current_again_once_the_change_that_closed_it_is_taken_out(shop, expect):
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn"), ("B", 1, "Ulm")))
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 5, "Kiel"), ("B", 5, "-")))
    expect(shop)
    shop.remove("shop/customers", DAY2, "b.csv")
    assert expect(shop) == [("A", "Bonn", 1, None), ("B", "Ulm", 1, None)]


def test_of_versions_from_one_moment_the_last_to_land_stands(shop, expect):
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn")))
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 1, "Ulm")))
    assert expect(shop) == [("A", "Ulm", 1, None)]


def test_without_a_sequence_a_version_holds_from_the_date_on_which_it_landed(make_lakehouse, expect):
    contract = replace(HISTORY.contract, sequence=None, tracked=("city",))
    shop = make_lakehouse(replace(HISTORY, contract=contract))
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 1, "Kiel")))
    shop.build()
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 9, "Bonn")))
    assert shop.build() == {}
    found = shop.rows("silver.shop_customers", "city, valid_from::VARCHAR AS f, valid_to::VARCHAR AS t, is_current", "valid_from")
    assert [tuple(r.values()) for r in found] == [("Bonn", DAY1, DAY2, False), ("Kiel", DAY2, None, True)]


def test_an_upsert_honours_deletes_in_whatever_order_they_come(make_lakehouse, expect):
    shop = make_lakehouse(UPSERT)
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 5, "-"), ("B", 1, "Ulm")))
    assert expect(shop) == [("B", "Ulm", 1)]
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn")))
    assert expect(shop) == [("B", "Ulm", 1)]
    assert shop.accounts("silver", "shop_customers") == {DAY1: (1, 0, 0, 1), DAY2: (2, 1, 0, 1)}
    shop.land("shop/customers", DAY3, "c.csv", rows(("A", 7, "Kiel")))
    assert expect(shop) == [("A", "Kiel", 7), ("B", "Ulm", 1)]
    shop.remove("shop/customers", DAY3, "c.csv")
    assert expect(shop) == [("B", "Ulm", 1)]
    shop.remove("shop/customers", DAY2, "b.csv")
    assert expect(shop) == [("A", "Bonn", 1)]


def test_superseded_rows_that_somebody_else_has_deleted_are_made_again(make_lakehouse, expect):
    shop = make_lakehouse(UPSERT)
    shop.land("shop/customers", DAY1, "a.csv", rows(("A", 1, "Bonn")))
    shop.land("shop/customers", DAY2, "b.csv", rows(("A", 5, "Kiel")))
    expect(shop)
    root = shop.settings.root
    files = [path for path, _ in root.files("silver/shop_customers") if "superseded/" in path and path.endswith(".parquet")]
    assert files
    root.delete(files)
    shop.remove("shop/customers", DAY2, "b.csv")
    assert expect(shop) == [("A", "Bonn", 1)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tracked": ("nowhere",)}, "tracked 'nowhere' is not a column"),
        ({"sequence": ("at", "nowhere")}, "sequence 'nowhere' is not a column"),
        ({"mode": "upsert"}, "only a history tracks columns"),
        ({"mode": "snapshot", "tracked": None}, "a snapshot has no deletes"),
        ({"columns": (*HISTORY.contract.columns, Column("valid_to", "date", ""))}, "'valid_to' is added by the history itself"),
    ],
)
def test_a_contract_that_can_not_be_kept_is_refused(changes, told):
    with pytest.raises(ContractError, match=told):
        replace(HISTORY.contract, **changes)
