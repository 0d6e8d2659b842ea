"""The storefront's tables are the same in whatever files it sends them, and in whatever order they come."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import obstore
import pytest
from deltalake import DeltaTable
from python_calamine import CalamineWorkbook

from lakehouse_assets.bundled import bundled
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta.tables import live_files
from lakehouse_assets.materialization.row_accounts import row_accounts_result
from lakehouse_assets.systems.storefront import ORDER_ITEMS, ORDERS, PRODUCTS
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.lakehouse import Lakehouse
from tests.support.workbooks import workbook

pytestmark = pytest.mark.worlds("sail-folder")

SAMPLES = bundled("sample_data") / "storefront"
WORKBOOKS = {
    ORDERS.name: SAMPLES / "orders/2026-01-31/orders_apr_2025.xlsx",
    ORDER_ITEMS.name: SAMPLES / "order_items/2026-01-31/order_items_apr_2025.xlsx",
}

File = tuple[str, str, bytes]
"""A landing date, a file's name, its bytes."""


def one_workbook(table: str) -> Iterator[File]:
    yield "2026-01-31", "all.xlsx", WORKBOOKS[table].read_bytes()


def a_csv_file_a_sheet(table: str) -> Iterator[File]:
    for name, rows in _sheets(table):
        buffer = io.StringIO()
        csv.writer(buffer).writerows(rows)
        yield "2026-01-31", f"{name}.csv", buffer.getvalue().encode()


def a_workbook_a_day(table: str) -> Iterator[File]:
    """As another program writes it than the sample's: with times and days for texts, and a workbook a landing date."""
    kinds: dict[str, Callable[[str], Any]] = {"order_timestamp": datetime.fromisoformat, "date": date.fromisoformat}
    for name, (header, *rows) in _sheets(table):
        written = [[kinds.get(column, _same)(value) for column, value in zip(header, row, strict=True)] for row in rows]
        yield name.replace("2025-04", "2026-01"), "day.xlsx", workbook({name: [header, *written]})


def _same(value: Any) -> Any:
    return value


def _sheets(table: str) -> Iterator[tuple[str, list[list[Any]]]]:
    book = CalamineWorkbook.from_path(str(WORKBOOKS[table]))
    for name in book.sheet_names:
        yield name, book.get_sheet_by_name(name).to_python()


def summary(lakehouse: Lakehouse, table: SilverTable) -> tuple[int, int]:
    """How many rows there are, and a hash of them without what says how they came."""
    columns = ", ".join(name for name in table.contract.column_names if name != "sheet_name")
    [row] = lakehouse.rows(f"silver.{table.name}", f"count(*) AS n, bit_xor(hash({columns})) AS h")
    return row["n"], row["h"]


def test_orders_and_items_are_the_same_in_whatever_files_they_come(make_lakehouse):
    results = []
    for files in (one_workbook, a_csv_file_a_sheet, a_workbook_a_day):
        lakehouse = make_lakehouse(PRODUCTS, ORDERS, ORDER_ITEMS)
        lakehouse.land("storefront/products", "2026-01-31", "p.csv", (SAMPLES / "products/2026-01-31/products.csv").read_bytes())
        for table in (ORDERS, ORDER_ITEMS):
            for day, name, data in files(table.name):
                lakehouse.land(table.feeds[0].landing, day, name, data)
        assert lakehouse.build() == {}
        results.append([summary(lakehouse, table) for table in (PRODUCTS, ORDERS, ORDER_ITEMS)])
        assert lakehouse.rows("quarantine.rows", "rule", "rule") == []
    first, *others = results
    assert [count for count, _ in first] == [1_000, 7_500, 40_803]
    assert all(other == first for other in others)


P1, P2 = "1,4,Books,A Book", "2,6,Sports,A Ball"
O1, O2 = "1,101,7,2025-04-16T09:15:00,20.00,2025-04-16", "2,102,,2025-04-16T09:15:00,30.00,2025-04-16"
ITEMS = ("1,101,7,3,1,1,0", "2,101,7,3,1,2,1", "3,101,7,3,2,3,0", "4,102,7,3,1,1,0", "5,,7,3,2,2,0")
FILES = {
    "products": ["product_id,department_id,department,product_name", P1, P2],
    "orders": ["order_num,order_id,user_id,order_timestamp,total_amount,date", O1, O2],
    "order_items": [
        "id,order_id,user_id,days_since_prior_order,product_id,add_to_cart_order,reordered,order_timestamp,date",
        *(f"{item},2025-04-16T09:15:00,2025-04-16" for item in ITEMS),
    ],
}
DATES = {"order_items": "2026-01-30", "products": "2026-01-31", "orders": "2026-02-01"}


def settle(lakehouse: Lakehouse) -> None:
    """Build until nothing is due: a table whose partner changes is due after it."""
    for _ in range(4):
        if not lakehouse.plan().of_layers("raw", "silver"):
            return
        assert lakehouse.build() == {}
    raise AssertionError("passes don't end")


def standing(lakehouse: Lakehouse) -> tuple[list[int], dict[int, str]]:
    """The items that are live, and those in quarantine by their line, each with its rule; accounts must add up."""
    for layer in ("raw", "silver"):
        result = row_accounts_result(lakehouse.settings.root, layer, ORDER_ITEMS.name, None)
        assert result.passed, result.description
    refused = lakehouse.rows("quarantine.rows", "row_number, rule, table_name", "row_number")
    live = [row["id"] for row in lakehouse.rows("silver.storefront_order_items", "id", "id")]
    return live, {row["row_number"] - 1: row["rule"] for row in refused if row["table_name"] == ORDER_ITEMS.name}


NO_ORDER, NO_PRODUCT = "order_id_in_storefront_orders", "product_id_in_storefront_products"


@pytest.mark.parametrize(
    "order",
    [("order_items", "orders", "products"), ("products", "order_items", "orders"), ("orders", "order_items", "products")],
    ids="-".join,
)
def test_items_wait_for_their_order_and_product_in_whatever_order_these_come(make_lakehouse, order: Sequence[str]):
    lakehouse = make_lakehouse(PRODUCTS, ORDERS, ORDER_ITEMS)
    for number, entity in enumerate(order, start=1):
        lakehouse.land(f"storefront/{entity}", DATES[entity], "a.csv", "\n".join(FILES[entity]) + "\n")
        settle(lakehouse)
        landed = order[:number]
        if "order_items" in landed:
            live = [1, 2, 3] if number == len(order) else []
            waits = {item: NO_ORDER if item == 4 or "orders" not in landed else NO_PRODUCT for item in range(1, 5)}
            assert standing(lakehouse) == (
                live,
                {i: rule for i, rule in waits.items() if i not in live} | {5: "order_id_present"},
            )
    # The order of item 4 has no customer, so it is no order: the item waits until it is sent again.
    assert standing(lakehouse) == ([1, 2, 3], {4: NO_ORDER, 5: "order_id_present"})
    lakehouse.land(
        "storefront/orders", "2026-02-02", "a.csv", "\n".join([FILES["orders"][0], O2.replace("102,", "102,8")]) + "\n"
    )
    settle(lakehouse)
    assert standing(lakehouse) == ([1, 2, 3, 4], {5: "order_id_present"})
    lakehouse.remove("storefront/orders", DATES["orders"], "a.csv")
    settle(lakehouse)
    assert standing(lakehouse) == ([4], dict.fromkeys((1, 2, 3), NO_ORDER) | {5: "order_id_present"})


def test_the_products_of_a_department_are_read_without_those_of_others(make_lakehouse):
    rows = [(1, 7, "Home & Garden", "Spade"), (2, 7, "", "Nothing"), (3, 8, "Bücher; Hefte", "Diary"), (4, 8, "Toys", "Ball")]

    def csv_of(rows):
        lines = [",".join(map(str, row)) for row in rows]
        return "\n".join(["product_id,department_id,department,product_name", *lines]) + "\n"

    lakehouse = make_lakehouse(PRODUCTS)
    lakehouse.land("storefront/products", "2026-01-30", "a.csv", csv_of(rows))
    lakehouse.land("storefront/products", "2026-01-31", "b.csv", csv_of([(4, 8, "Home & Garden", "Ball"), (5, 9, "Toys", "Top")]))
    assert lakehouse.build() == {}
    list(maintain(lakehouse.settings.root, timedelta(days=7)))
    root, name = lakehouse.settings.root, PRODUCTS.name
    everything = lakehouse.rows(f"silver.{name}", "product_id, department, _date", "product_id")
    files = {f["path"]: f["bounds"].get("department") for f in live_files(DeltaTable(root.table("silver", name)), ["department"])}
    assert len(files) == 5
    assert all(low == high for low, high in filter(None, files.values()))
    for path, bounds in files.items():
        if bounds != ("Home & Garden",) * 2:
            obstore.put(root.store, f"silver/{name}/{path}", b"can't be read")
    wanted = [row for row in everything if row["department"] == "Home & Garden"]
    assert [(row["product_id"], row["_date"].day) for row in wanted] == [(1, 30), (4, 31)]
    assert (
        lakehouse.rows(f"silver.{name} WHERE department = 'Home & Garden'", "product_id, department, _date", "product_id")
        == wanted
    )
    with pytest.raises(duckdb.Error, match="magic bytes"):
        lakehouse.rows(f"silver.{name} WHERE department IS NULL")
