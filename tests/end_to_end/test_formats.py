"""One feed that sends CSV, then workbooks with a sheet a day, then JSON: one silver table, and what is wrong says where it stands."""

import json

import pytest

from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json, Xlsx
from lakehouse_assets.contracts.provenance import ROWS_PER_SHEET
from tests.support.declare import one_feed
from tests.support.orders import DATED
from tests.support.workbooks import workbook

pytestmark = pytest.mark.worlds("sail-folder", "spark-folder")


def take(raw):
    return raw.selectExpr("*", "TRIM(id) AS order_id", "COALESCE(ordered, _sheet) AS ordered_on", "price AS amount")


ORDERS = one_feed(
    landing="shop/orders",
    columns=(SourceColumn("id", ""), SourceColumn("ordered", "", required=False), SourceColumn("price", "")),
    contract=DATED,
    function=take,
    format=(Csv(), Json(records="orders"), Xlsx()),
)


def test_the_format_of_a_file_makes_no_difference_to_its_rows(make_lakehouse):
    shop = make_lakehouse(ORDERS)
    shop.land("shop/orders", "2026-01-29", "orders", "id,ordered,price\n1,2026-01-29,1.50\n")
    sheets = {"2026-01-30": [["id", "price"], [2, 2.5], [3, "dear"]], "2026-01-31": [["id", "price"], [4, 4.25], ["x", 5]]}
    shop.land("shop/orders", "2026-01-31", "orders", workbook(sheets))
    document = {"total": 1, "orders": [{"id": 5, "ordered": "2026-02-01", "price": 5.10}]}
    shop.land("shop/orders", "2026-02-01", "orders", json.dumps(document).replace("5.1}", "5.10}").encode())
    assert shop.build_by_dagster() == {}
    rows = shop.rows("silver.shop_orders", "order_id, ordered_on, amount, _row_number", "order_id")
    assert [tuple(str(value) for value in row.values()) for row in rows] == [
        ("1", "2026-01-29", "1.50", "2"),
        ("2", "2026-01-30", "2.50", "2"),
        ("4", "2026-01-31", "4.25", str(ROWS_PER_SHEET + 2)),
        ("5", "2026-02-01", "5.10", "1"),
    ]
    refused = shop.rows("quarantine.rows", "row_number, rule, place", "row_number")
    assert [(row["row_number"], row["rule"]) for row in refused] == [
        (3, "amount_is_decimal_12_2"),
        (ROWS_PER_SHEET + 3, "order_id_is_int"),
    ]
    assert [row["place"] for row in refused] == ["2026-01-30", "2026-01-31"]
    assert all(record.adds_up for record in shop.records("silver", "shop_orders").values())
