"""What a user sees when the files of a source change their shape: each case from landing to silver and quarantine."""

from dataclasses import replace
from decimal import Decimal

import pytest

from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.contracts.formats import Csv
from tests.support.declare import feed_of, one_feed, with_feed
from tests.support.orders import DATED

# What a file's shape does to it is settled before any engine sees it; the cases that silver judges run on both.
pytestmark = pytest.mark.worlds("sail-folder")


def take(raw):
    return raw.selectExpr("*", "TRIM(id) AS order_id", "ordered AS ordered_on", "price AS amount")


ORDERS = one_feed(
    landing="shop/orders",
    columns=(SourceColumn("id", ""), SourceColumn("ordered", ""), SourceColumn("price", "")),
    contract=DATED,
    function=take,
)
DAY, NEXT = "2026-01-31", "2026-02-01"
SOUND = "id,ordered,price\n1,2026-01-30,1.50\n"


@pytest.fixture
def shop(make_lakehouse):
    shop = make_lakehouse(ORDERS)
    shop.land("shop/orders", DAY, "a_sound.csv", SOUND)
    return shop


def arrive(shop, text, name="b.csv"):
    shop.land("shop/orders", DAY, name, text)
    assert shop.build() == {}
    for layer in ("raw", "silver"):
        assert [r.adds_up for r in shop.records(layer, "shop_orders").values()] == [True]


def orders(shop):
    return [tuple(str(v) for v in row.values()) for row in shop.rows("silver.shop_orders", "order_id, ordered_on, amount")]


def quarantined(shop):
    rows = shop.rows("quarantine.rows", "layer, source_file, row_number, rule", "ALL")
    return [tuple(row.values()) for row in rows]


FIRST = ("1", "2026-01-30", "1.50")
SECOND = ("2", "2026-01-31", "2.50")

LOADED = {
    "a new column": "id,ordered,price,shop\n2,2026-01-31,2.50,Ulm\n",
    "columns in another order": "price,id,ordered\n2.50,2,2026-01-31\n",
    "another case": "ID,Ordered,PRICE\n2,2026-01-31,2.50\n",
    "blanks around names": " id , ordered , price \n2,2026-01-31,2.50\n",
    "a column twice": "id,ordered,price,price\n2,2026-01-31,2.50,9\n",
    "a blank header field": "id,ordered,price,\n2,2026-01-31,2.50,\n",
    "a byte order mark": "\ufeffid,ordered,price\n2,2026-01-31,2.50\n",
    "UTF-16 with a mark": "\ufeffid,ordered,price\n2,2026-01-31,2.50\n".encode("utf-16-le"),
    "mixed line ends": "id,ordered,price\r\n2,2026-01-31,2.50\r",
    "blank lines at the end": "id,ordered,price\n2,2026-01-31,2.50\n\n\r\n \n",
}


@pytest.mark.parametrize("text", LOADED.values(), ids=LOADED.keys())
def test_the_rows_are_loaded(shop, text):
    arrive(shop, text)
    assert (orders(shop), quarantined(shop)) == ([FIRST, SECOND], [])


ROWS = {
    "a changed type": ("two,2026-01-31,2.50", "silver", "order_id_is_int"),
    "another date style": ("2,31.01.2026,2.50", "silver", "ordered_on_is_date"),
    "an American date": ("2,01/31/2026,2.50", "silver", "ordered_on_is_date"),
    "a decimal comma within quotes": ('2,2026-01-31,"2,50"', "silver", "amount_is_decimal_12_2"),
    "a decimal comma": ("2,2026-01-31,2,50", "raw", "row_has_all_fields"),
    "too few fields": ("2,2026-01-31", "raw", "row_has_all_fields"),
    "an unclosed quote": ('2,"2026-01-31,2.50', "raw", "row_is_csv"),
    "a NUL": ("2,2026-01-31,2.50\0", "raw", "row_has_no_nul"),
    "another encoding": ("2,2026-01-31,2.50 \xa4".encode("latin-1"), "raw", "row_is_utf8"),
}


@pytest.mark.worlds("sail-folder", "spark-folder")
@pytest.mark.parametrize(("row", "layer", "rule"), ROWS.values(), ids=ROWS.keys())
def test_the_row_goes_to_quarantine_and_its_neighbour_is_loaded(shop, row, layer, rule):
    line = row if isinstance(row, bytes) else row.encode()
    arrive(shop, b"id,ordered,price\n" + line + b"\n3,2026-01-31,3.50\n")
    assert orders(shop) == [FIRST, ("3", "2026-01-31", "3.50")]
    assert quarantined(shop) == [(layer, "b.csv", 2, rule)]


FILES = {
    "a missing column": ("id,price\n2,2.50\n", "file_has_required_columns", "lacks the required column ordered"),
    "a renamed column": ("id,order day,price\n2,2026-01-31,2.50\n", "file_has_required_columns", "and has instead: order day"),
    "semicolons": ("id;ordered;price\n2;2026-01-31;2,50\n", "file_has_required_columns", "put format=Csv(delimiter=';')"),
    "tabs": ("id\tordered\tprice\n2\t2026-01-31\t2.50\n", "file_has_required_columns", "put format=Csv(delimiter='\\t')"),
    "UTF-16 without a mark": (SOUND.encode("utf-16-le"), "file_has_header", "format=Csv(encoding='utf-16-le')"),
    "an empty file": ("", "file_has_header", "the file is empty: it has no header"),
}


@pytest.mark.parametrize(("text", "rule", "message"), FILES.values(), ids=FILES.keys())
def test_the_file_goes_to_quarantine_as_a_whole_and_its_neighbour_is_loaded(shop, text, rule, message):
    arrive(shop, text)
    assert orders(shop) == [FIRST]
    rows = shop.rows("quarantine.rows", "layer, source_file, rule, reason", "row_number")
    assert {(r["layer"], r["source_file"], r["rule"]) for r in rows} == {("raw", "b.csv", rule)}
    assert all(message in r["reason"] for r in rows)


def test_a_header_alone_is_a_file_without_rows(shop):
    arrive(shop, "id,ordered,price\n")
    assert (orders(shop), quarantined(shop)) == ([FIRST], [])


def test_the_same_file_under_another_name_is_loaded_once(shop):
    arrive(shop, SOUND)
    assert (orders(shop), quarantined(shop)) == ([FIRST], [])
    assert shop.accounts("raw", "shop_orders") == {DAY: (2, 1, 0, 1)}
    assert shop.accounts("silver", "shop_orders") == {DAY: (1, 1, 0, 0)}


def mended(shop, **raw):
    """The same lakehouse after somebody changed what the contract says of the files."""
    return replace(shop, tables=[with_feed(ORDERS, **raw)])


def test_a_rename_is_mended_by_a_word_in_the_contract(shop):
    arrive(shop, FILES["a renamed column"][0])
    id_, ordered, price = feed_of(ORDERS).columns
    shop = mended(shop, columns=(id_, replace(ordered, also=("Order Day",)), price))
    assert shop.build() == {}
    assert (orders(shop), quarantined(shop)) == ([FIRST, SECOND], [])
    assert shop.accounts("raw", "shop_orders") == {DAY: (2, 2, 0, 0)}
    assert shop.plan().of_layers("raw", "silver") == []


def test_a_new_delimiter_is_mended_by_a_word_in_the_contract(shop):
    shop.remove("shop/orders", DAY, "a_sound.csv")
    arrive(shop, "id;ordered;price\n2;2026-01-31;2.50\n")
    shop = mended(shop, format=Csv(delimiter=";"))
    assert shop.build() == {}
    assert (orders(shop), quarantined(shop)) == ([SECOND], [])


def test_a_mended_file_leaves_quarantine(shop):
    arrive(shop, FILES["a missing column"][0])
    arrive(shop, "id,ordered,price\n2,2026-01-31,2.50\n")
    assert (orders(shop), quarantined(shop)) == ([FIRST, SECOND], [])


def test_a_new_column_is_in_the_raw_table_and_null_in_older_rows(shop):
    assert shop.build() == {}
    arrive(shop, LOADED["a new column"])
    assert [r["shop"] for r in shop.rows("raw.shop_orders", "id, shop", "id")] == [None, "Ulm"]


def test_the_second_of_two_columns_of_one_name_is_kept_beside_the_first(shop):
    arrive(shop, LOADED["a column twice"])
    [row] = shop.rows("(FROM raw.shop_orders WHERE id = '2')", "price, price_2")
    assert tuple(row.values()) == ("2.50", "9")


def test_a_file_in_the_encoding_that_the_contract_names_is_loaded(make_lakehouse):
    shop = mended(make_lakehouse(ORDERS), format=Csv(encoding="latin-1"))
    arrive(shop, "id,ordered,price,straße\n2,2026-01-31,2.50,Müller\n".encode("latin-1"))
    assert [r["straße"] for r in shop.rows("raw.shop_orders", '"straße"')] == ["Müller"]
    assert Decimal(orders(shop)[0][2]) == Decimal("2.50")
