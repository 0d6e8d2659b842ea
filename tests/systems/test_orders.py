"""Each cleaning rule of the order stream, on a row or two."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from lakehouse_assets.systems import orders

OLD = {
    "_dialect": "plain",
    "transaction_time": "2022-09-14 04:36:08.334683",
    "product_id": "SF05",
    "price": "5.99",
    "quantity": "2",
    "is_member": "true",
    "member_discount": "0.1",
    "add_supplements": "true",
    "supplement_price": "1.99",
    "total_purchase": "14.36",
}
EVENT = OLD | {"transaction_id": "3982651906569181497"}
PLACE = {
    "_dialect": "kafka",
    "topic": "orders",
    "partition": "0",
    "offset": "17",
    "key": "3982651906569181497",
    "timestamp": "1663130168334",
}


def event(clean, **changes):
    [row] = clean(orders.EVENTS, EVENT | changes)
    return row


def test_an_event_has_its_price_and_the_net_price(clean):
    row = event(clean)
    assert (row["event_id"], row["transaction_id"]) == ("3982651906569181497", "3982651906569181497")
    assert row["ordered_at"].astimezone(UTC) == datetime(2022, 9, 14, 4, 36, 8, 334683, tzinfo=UTC)
    assert (row["price"], row["supplement_price"], row["member_discount"]) == (
        Decimal("5.99"),
        Decimal("1.99"),
        Decimal("0.1000"),
    )
    assert (row["net_price"], row["total"], row["currency"]) == (Decimal("7.1820"), Decimal("14.36"), "USD")
    assert (row["is_member"], row["has_supplements"], row["quantity"]) == (True, True, 2)
    assert (row["topic"], row["topic_partition"], row["topic_offset"], row["sent_at"]) == (None, None, None, None)
    assert (row["_verdict"], row["_broken_rules"]) == ("ok", None)


@pytest.mark.parametrize(
    ("place", "identity"),
    [
        ({"transaction_id": "17"}, "17"),
        (PLACE | {"transaction_id": "17"}, "17"),
        (PLACE, "orders/0/17"),
        ({"partition": "0", "offset": "17"}, "2026-01-31/0/2"),
        ({}, "2026-01-31/0/2"),
    ],
)
def test_an_event_is_told_by_its_purchase_or_else_by_its_place(clean, place, identity):
    [row] = clean(orders.EVENTS, OLD | place, day=date(2026, 1, 31))
    file = row["_source_file"]
    assert row["event_id"] == identity.replace("/0/2", f"/{file}/2")


def test_a_record_of_kafka_keeps_its_place(clean):
    row = event(clean, **PLACE)
    assert (row["topic"], row["topic_partition"], row["topic_offset"]) == ("orders", 0, 17)
    assert (row["message_key"], row["_broken_rules"]) == ("3982651906569181497", None)
    assert row["sent_at"].astimezone(UTC) == datetime(2022, 9, 14, 4, 36, 8, 334000, tzinfo=UTC)


def test_an_event_from_a_file_and_from_kafka_is_one(clean):
    rows = clean(orders.EVENTS, EVENT, EVENT | PLACE, EVENT | PLACE | {"offset": "18"})
    assert sorted(row["_verdict"] for row in rows) == ["ok", "superseded", "superseded"]


def test_events_without_a_number_in_two_places_are_two(clean):
    rows = clean(orders.EVENTS, OLD | PLACE, OLD | PLACE | {"offset": "18"}, OLD, OLD)
    assert [row["_verdict"] for row in rows] == ["ok"] * 4
    assert {row["_broken_rules"] for row in rows} == {"transaction_id_present"}


@pytest.mark.parametrize(
    "change",
    [
        {"product_id": "SF06"},
        {"quantity": "1", "total_purchase": "7.18"},
        {"add_supplements": "false", "supplement_price": "0.0", "total_purchase": "10.78"},
        {"member_discount": "0.0", "total_purchase": "15.96"},
        {"price": "4.99", "total_purchase": "12.56"},
        {"total_purchase": "14.37"},
        {"is_member": "false"},
        {"transaction_time": "2022-09-14 04:36:08.334684"},
    ],
)
def test_lines_of_a_purchase_that_differ_in_anything_all_count(clean, change):
    rows = clean(orders.EVENTS, EVENT, EVENT | change)
    assert [row["_verdict"] for row in rows] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("sent", "total", "broken"),
    [
        ("14.36", "14.36", None),
        ("14.360000000000001", "14.36", None),
        ("14.359999999999999", "14.36", None),
        ("14.364", "14.36", "total_in_cents"),
        ("14.365", "14.37", "total_in_cents"),
        ("14.37", "14.37", None),
        ("14.38", "14.38", "total_is_pieces_times_net_price"),
        ("11.98", "11.98", "total_is_pieces_times_net_price"),
        (None, "14.36", "total_given"),
    ],
)
def test_a_total_is_rounded_to_the_cent(clean, sent, total, broken):
    row = event(clean, total_purchase=sent)
    assert (row["total"], row["_verdict"], row["_broken_rules"]) == (Decimal(total), "ok", broken)


def test_prices_lose_their_noise(clean):
    row = event(clean, price="5.989999999999999", supplement_price="1.9900000000000002", member_discount="0.10000000000000009")
    assert (row["price"], row["supplement_price"], row["net_price"]) == (Decimal("5.99"), Decimal("1.99"), Decimal("7.1820"))
    assert row["_broken_rules"] is None


def test_noise_makes_no_other_event(clean):
    rows = clean(orders.EVENTS, EVENT, EVENT | {"total_purchase": "14.360000000000001", "price": "5.989999999999999"})
    assert sorted(row["_verdict"] for row in rows) == ["ok", "superseded"]


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"product_id": " "}, "product_id_present"),
        ({"quantity": "0"}, "quantity_positive"),
        ({"quantity": "-1"}, "quantity_positive"),
        ({"quantity": "1.5"}, "quantity_is_int"),
        ({"price": None}, "price_not_negative"),
        ({"price": "-1"}, "price_not_negative"),
        ({"supplement_price": "-1.99"}, "supplement_price_not_negative"),
        ({"member_discount": "1.1"}, "member_discount_is_a_fraction"),
        ({"total_purchase": "much"}, "total_is_decimal_12_2"),
        ({"transaction_time": "yesterday"}, "ordered_at_is_timestamp"),
    ],
)
def test_an_event_that_can_not_be_a_purchase_goes_to_quarantine(clean, changes, broken):
    row = event(clean, **changes)
    assert row["_verdict"] == "dropped"
    assert broken in row["_broken_rules"].split(",")


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"transaction_time": None}, "ordered_at_present"),
        ({"is_member": "false"}, "discount_for_members_only"),
        ({"add_supplements": "false"}, "supplements_are_paid_if_added"),
    ],
)
def test_what_is_odd_about_an_event_is_counted(clean, changes, broken):
    row = event(clean, **changes)
    assert (row["_verdict"], row["_broken_rules"]) == ("ok", broken)


def test_an_event_without_supplements_and_discount(clean):
    row = event(
        clean, add_supplements="false", supplement_price=None, is_member="false", member_discount=None, total_purchase="11.98"
    )
    assert (row["supplement_price"], row["member_discount"], row["net_price"]) == (Decimal(0), Decimal(0), Decimal("5.99"))
    assert row["_broken_rules"] is None


def test_a_time_may_have_an_offset(clean):
    assert event(clean, transaction_time="2022-09-14T06:36:08+0200")["ordered_at"].astimezone(UTC) == datetime(
        2022, 9, 14, 4, 36, 8, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("changes", "verdict", "broken"),
    [
        ({}, "ok", None),
        ({"price": "0"}, "dropped", "price_positive,price_above_cost"),
        ({"price": "1.50"}, "ok", "price_above_cost"),
        ({"inventory": "-1"}, "ok", "units_in_stock_not_negative"),
        ({"item": ""}, "ok", "product_name_present"),
        ({"contains_nuts": "perhaps"}, "dropped", "contains_nuts_is_boolean"),
        ({"id": ""}, "dropped", "product_id_present"),
    ],
)
def test_a_product(clean, changes, verdict, broken):
    given = {
        "id": "cs08",
        "category": "Classic Smoothies",
        "item": " Rockin’ Raspberry ",
        "size": "24 oz.",
        "cogs": "1.50",
        "price": "4.99",
        "inventory": "75",
        "contains_fruit": "TRUE",
        "contains_veggies": "FALSE",
        "contains_nuts": "FALSE",
        "contains_caffeine": "FALSE",
    }
    [row] = clean(orders.PRODUCTS, given | changes)
    assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)
    if not changes:
        assert (row["product_id"], row["product_name"], row["price"]) == ("CS08", "Rockin’ Raspberry", Decimal("4.99"))
        assert (row["units_in_stock"], row["contains_fruit"], row["contains_vegetables"]) == (75, True, False)
