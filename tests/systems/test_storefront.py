"""Each cleaning rule of the storefront, on a row or two."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from lakehouse_assets.systems import storefront

PRODUCT = {"product_id": "4", "department_id": "6", "department": "Sports", "product_name": "Product_4_Tv"}
ORDER = {
    "order_num": "90",
    "order_id": "10000",
    "user_id": "1990",
    "order_timestamp": "2025-04-01T11:27:00",
    "total_amount": "229.53",
    "date": "2025-04-01",
    "_sheet": "2025-04-01",
}
ITEM = {
    "id": "1",
    "order_id": "10000",
    "user_id": "1990",
    "days_since_prior_order": "10",
    "product_id": "988",
    "add_to_cart_order": "1",
    "reordered": "0",
    "order_timestamp": "2025-04-01T11:27:00",
    "date": "2025-04-01",
}
NO_DATE = "order_date_is_day_of_timestamp"


def test_a_product_is_trimmed(clean):
    [row] = clean(
        storefront.PRODUCTS, {"product_id": " 4 ", "department_id": "6.0", "department": " Sports ", "product_name": "Tv "}
    )
    assert [row[name] for name in storefront.PRODUCTS.contract.column_names] == [4, "Tv", 6, "Sports"]


@pytest.mark.parametrize(
    ("changed", "verdict", "broken"),
    [
        ({}, "ok", None),
        ({"product_id": None}, "dropped", "product_id_present"),
        ({"product_id": "12x"}, "dropped", "product_id_is_bigint,product_id_present"),
        ({"product_name": " "}, "dropped", "product_name_present"),
        ({"department": None}, "ok", "department_present"),
    ],
)
def test_a_product_has_a_number_and_a_name(clean, changed, verdict, broken):
    [row] = clean(storefront.PRODUCTS, PRODUCT | changed)
    assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)


@pytest.mark.parametrize("number", ["10000", " 10000 ", "10000.0"])
@pytest.mark.parametrize("moment", ["2025-04-01T11:27:00", "2025-04-01 11:27:00", "2025-04-01T11:27"])
@pytest.mark.parametrize("amount", ["229.53", "229.530 "])
def test_an_order_is_the_same_whoever_wrote_the_file(clean, number, moment, amount):
    [row] = clean(storefront.ORDERS, ORDER | {"order_id": number, "order_timestamp": moment, "total_amount": amount})
    placed = datetime(2025, 4, 1, 11, 27, tzinfo=UTC)
    assert row["order_timestamp"].astimezone(UTC) == placed
    assert [row[name] for name in storefront.ORDERS.contract.column_names if name != "order_timestamp"] == [
        10000, 90, 1990, date(2025, 4, 1), Decimal("229.53"), "USD", "2025-04-01",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "verdict", "broken"),
    [
        ({}, "ok", None),
        ({"order_id": None}, "dropped", "order_id_present"),
        ({"user_id": ""}, "dropped", "user_id_present"),
        ({"user_id": "u7"}, "dropped", "user_id_is_bigint"),
        ({"order_timestamp": None}, "dropped", f"order_timestamp_present,{NO_DATE}"),
        ({"order_timestamp": "2025-04-01T25:10:00"}, "dropped", f"order_timestamp_is_timestamp,{NO_DATE}"),
        ({"date": "2025-04-31"}, "dropped", f"order_date_is_date,{NO_DATE}"),
        ({"date": "2025-04-02"}, "ok", NO_DATE),
        ({"date": "2025-03-31"}, "ok", NO_DATE),
        ({"date": None}, "ok", NO_DATE),
        ({"total_amount": "-0.01"}, "ok", "total_amount_not_negative"),
        ({"total_amount": None}, "ok", "total_amount_not_negative"),
        ({"total_amount": "much"}, "dropped", "total_amount_is_decimal_12_2,total_amount_not_negative"),
        ({"_sheet": None}, "ok", None),
    ],
)
def test_an_order_has_a_number_a_customer_and_a_time(clean, changed, verdict, broken):
    [row] = clean(storefront.ORDERS, ORDER | changed)
    assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)


@pytest.mark.parametrize(
    ("changed", "verdict", "broken"),
    [
        ({}, "ok", None),
        ({"id": None}, "dropped", "id_present"),
        ({"order_id": None}, "dropped", "order_id_present"),
        ({"user_id": None}, "dropped", "user_id_present"),
        ({"product_id": " "}, "dropped", "product_id_present"),
        ({"order_timestamp": None}, "dropped", f"order_timestamp_present,{NO_DATE}"),
        ({"order_timestamp": "yesterday"}, "dropped", f"order_timestamp_is_timestamp,{NO_DATE}"),
        ({"date": "2025-04-02"}, "ok", NO_DATE),
        ({"date": "2025-03-31"}, "ok", NO_DATE),
        ({"reordered": "2"}, "ok", "reordered_known"),
        ({"days_since_prior_order": None}, "ok", None),
    ],
)
def test_an_item_has_all_its_numbers_and_a_time(clean, changed, verdict, broken):
    [row] = clean(storefront.ORDER_ITEMS, ITEM | changed)
    assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)


@pytest.mark.parametrize(("given", "reordered"), [("0", False), ("1", True), ("1.0", True), (None, None)])
def test_reordered_is_true_or_false(clean, given, reordered):
    [row] = clean(storefront.ORDER_ITEMS, ITEM | {"reordered": given, "days_since_prior_order": "7.0"})
    assert (row["reordered"], row["days_since_prior_order"]) == (reordered, 7)
