"""What was mended comes in: a relaxed rule or a corrected file takes rows out of quarantine with the next pass, and accounts add up."""

from dataclasses import replace
from datetime import date

import pytest

from lakehouse_assets.contracts.contract import Rule
from lakehouse_assets.materialization.row_accounts import row_accounts_result
from lakehouse_assets.serving.quarantine import Choice, quarantined
from tests.support.orders import ORDERS, csv

pytestmark = pytest.mark.worlds("sail-folder")

DAY1, DAY2 = "2026-01-01", "2026-01-02"
HEADER = "id,at,amount\n"
RELAXED = Rule("total_not_negative", "total >= -100", "drop", "A total is a refund of a hundred at most.")


@pytest.fixture
def shop(make_lakehouse):
    """Two dates; on the first two negative totals, on the second a row that is no CSV."""
    shop = make_lakehouse(ORDERS)
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, -50), ("C", 1, -500)))
    shop.land("shop/orders", DAY2, "b.csv", HEADER + 'D,1,10\nE,1,"20" too\nF,1\n')
    assert shop.build() == {}
    return shop


def held(shop):
    """What lies in quarantine: layer, date, rule and how many rows."""
    found = quarantined(shop.settings.root, shop.catalog, Choice(), samples=0)
    return {(g["layer"], g["date"].isoformat(), g["rule"]): g["rows"] for g in found}


def standing(shop):
    for layer in ("raw", "silver"):
        assert row_accounts_result(shop.settings.root, layer, "shop_orders", None).passed
    return {row["order_id"]: row["total"] for row in shop.rows("silver.shop_orders")}


def test_what_breaks_a_rule_waits_in_quarantine(shop):
    assert held(shop) == {
        ("raw", DAY2, "row_is_csv"): 1,
        ("raw", DAY2, "row_has_all_fields"): 1,
        ("silver", DAY1, "total_not_negative"): 2,
    }
    assert standing(shop) == {"A": 10, "D": 10}
    assert shop.accounts("silver", "shop_orders") == {DAY1: (3, 1, 2, 0), DAY2: (1, 1, 0, 0)}


def relax(shop):
    rules = (RELAXED, *(r for r in ORDERS.contract.rules if r.name != RELAXED.name))
    shop.tables[:] = [replace(ORDERS, contract=replace(ORDERS.contract, rules=rules))]


@pytest.mark.worlds("sail-folder", "spark-folder")
def test_a_relaxed_rule_brings_rows_in_with_the_next_pass(shop):
    relax(shop)
    planned = [(t.layer, t.dates) for t in shop.plan().of_layers("raw", "silver")]
    assert planned == [("silver", (date(2026, 1, 1), date(2026, 1, 2)))]
    assert shop.build() == {}
    assert held(shop)["silver", DAY1, "total_not_negative"] == 1
    assert standing(shop) == {"A": 10, "B": -50, "D": 10}
    assert shop.accounts("silver", "shop_orders")[DAY1] == (3, 2, 1, 0)
    assert shop.plan().of_layers("raw", "silver") == []


def test_a_rule_that_is_made_strict_again_puts_them_back(shop):
    relax(shop)
    shop.build()
    shop.tables[:] = [ORDERS]
    assert shop.build() == {}
    assert held(shop)["silver", DAY1, "total_not_negative"] == 2
    assert standing(shop) == {"A": 10, "D": 10}


def test_a_corrected_file_brings_its_rows_in_with_the_next_pass(shop):
    shop.land("shop/orders", DAY2, "b.csv", csv(("D", 1, 10), ("E", 1, 20), ("F", 1, 30)))
    assert shop.build() == {}
    assert held(shop) == {("silver", DAY1, "total_not_negative"): 2}
    assert standing(shop) == {"A": 10, "D": 10, "E": 20, "F": 30}
    assert shop.accounts("raw", "shop_orders")[DAY2] == (3, 3, 0, 0)
    assert shop.accounts("silver", "shop_orders")[DAY2] == (3, 3, 0, 0)


def test_a_correction_in_a_later_file_supersedes_nothing_that_never_stood(shop):
    shop.land("shop/orders", "2026-01-03", "c.csv", csv(("B", 2, 50)))
    assert shop.build() == {}
    assert held(shop)["silver", DAY1, "total_not_negative"] == 2
    assert standing(shop) == {"A": 10, "B": 50, "D": 10}
    relax(shop)
    assert shop.build() == {}
    assert standing(shop) == {"A": 10, "B": 50, "D": 10}
    assert shop.accounts("silver", "shop_orders")[DAY1] == (3, 1, 1, 1)


def test_a_file_that_is_taken_away_takes_its_rows_out_of_quarantine(shop):
    shop.remove("shop/orders", DAY1, "a.csv")
    shop.remove("shop/orders", DAY2, "b.csv")
    assert shop.build() == {}
    assert held(shop) == {}
    assert standing(shop) == {}
