"""A feed of several formats, from landing to the raw table and quarantine."""

import gzip
import json

import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json, Parquet, Xlsx
from lakehouse_assets.contracts.provenance import ROWS_PER_SHEET
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.serving.query import query
from tests.raw.test_duplicates import D1, D2, ONE, Shop
from tests.support.workbooks import workbook

FEED = Feed("shop/orders", (SourceColumn("id", ""), SourceColumn("total", "")), format=(Csv(), Json(), Xlsx(), Parquet()))
TABLE = [["id", "total"], [1, 10], [2, 20]]


@pytest.fixture
def shop(root):
    return Shop(root)


def sheets(shop):
    rows = open_table(shop.root.table("raw", "shop_orders")).to_pyarrow_table().to_pylist()
    return sorted((row["_source_file"], row["_sheet"] or "", row["_row_number"], row["id"]) for row in rows)


def test_a_feed_takes_csv_today_and_a_workbook_tomorrow(shop):
    shop.drop(D1, "a", ONE)
    shop.build(FEED)
    shop.drop(D1, "b", workbook({"x": TABLE, "y": TABLE}))
    shop.drop(D2, "a", gzip.compress(workbook({"x": TABLE})))
    shop.drop(D2, "b", json.dumps([{"id": 1, "total": 10}]).encode())
    shop.build(FEED)
    assert [row[:5] for row in shop.rows() if row[0] == D2] == [
        (D2, "a", 2, "1", "10"),
        (D2, "a", 3, "2", "20"),
        (D2, "b", 1, "1", "10"),
    ]
    assert [row for row in sheets(shop) if row[0] == "b"] == [
        ("b", "", 1, "1"),
        ("b", "x", 2, "1"),
        ("b", "x", 3, "2"),
        ("b", "y", ROWS_PER_SHEET + 2, "1"),
        ("b", "y", ROWS_PER_SHEET + 3, "2"),
    ]
    # Rows beside a changed file are written again, with their sheet.
    shop.drop(D1, "a", b"id,total\n7,70\n")
    shop.build(FEED)
    assert ("b", "y", ROWS_PER_SHEET + 3, "2") in sheets(shop)
    assert shop.accounts() == {D1: (5, 5, 0, 0), D2: (3, 3, 0, 0)}


def test_a_feed_that_takes_workbooks_from_now_on_gets_the_column_of_their_sheets(shop):
    shop.drop(D1, "a", ONE)
    shop.build()
    names = [field.name for field in open_table(shop.root.table("raw", "shop_orders")).schema().fields]
    assert "_sheet" not in names
    shop.drop(D2, "a", workbook({"x": TABLE}))
    shop.build(FEED)
    assert [(sheet, number) for _, sheet, number, _ in sheets(shop)] == [("", 2), ("", 3), ("x", 2), ("x", 3)]


def test_quarantine_names_the_sheet_or_the_path_and_the_accounts_add_up(shop):
    shop.drop(D1, "a", workbook({"x": [*TABLE, [3, ("=1/0", "#DIV/0!")]], "notes": [["hello"], ["x"], ["y"]]}))
    shop.drop(D1, "b", b'[{"id": 1, "total": 2}, {"id": NaN}, {"id": 3')
    shop.build(FEED)
    entries = query(shop.root, "SELECT source_file, place, row_number, rule, rows FROM quarantine.rows").fetchall()
    assert sorted(entries, key=repr) == [
        ("a", "notes", None, "sheet_has_required_columns", 2),
        ("a", "x", 4, "row_has_values", 1),
        ("b", "$[1]", 2, "row_is_json", 1),
        ("b", "$[2]", 3, "document_is_complete", 1),
    ]
    assert shop.accounts() == {D1: (8, 3, 5, 0)}
    assert all(record.adds_up for record in shop.records().values())
