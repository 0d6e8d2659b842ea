"""The truth of generated data: what counts as live, superseded and quarantined, and how tables are held against it."""

from datetime import date

import pytest

from lakehouse_assets.generate.truth import Partner, SilverTruth, Truth, differences


def test_the_highest_sequence_of_a_key_is_live_and_among_equals_the_last():
    table = SilverTruth({"amount": 2})
    for sequence, amount in ((2, 250), (1, 100), (2, 305)):
        table.row("a", amount, sequence=sequence)
    table.row("b", 1000, sequence=1)
    assert (table.live, table.superseded, table.totals()) == (2, 2, {"amount": "13.05"})


def test_a_deletion_is_superseded_and_so_is_what_it_deletes():
    table = SilverTruth({})
    table.row("a", sequence=1)
    table.row("a", sequence=3, deleted=True)
    table.row("a", sequence=2)
    assert (table.live, table.superseded, table.has("a")) == (0, 3, False)


def test_a_row_waits_for_a_partner_that_is_live_at_the_end():
    orders, items = SilverTruth({}), SilverTruth({"pieces": 0})
    for number in (1, 2, 3):
        items.row(number, 5, waits_for=(Partner(orders, number, "order_id_in_orders"),))
    orders.row(1)
    orders.row(2, sequence=1)
    orders.row(2, sequence=2, deleted=True)
    orders.refuse("order_id_present")
    assert items.refused == {"order_id_in_orders": 2}
    assert (items.live, items.superseded, items.totals()) == (1, 0, {"pieces": "5"})


@pytest.mark.parametrize(
    ("amounts", "digits", "text"),
    [
        ((), 2, "0.00"),
        ((5,), 2, "0.05"),
        ((-5, None), 2, "-0.05"),
        ((-1250,), 2, "-12.50"),
        ((7, 8), 0, "15"),
        ((1,), 8, "0.00000001"),
    ],
)
def test_sums_are_written_as_duckdb_writes_decimals(amounts, digits, text):
    table = SilverTruth({"amount": digits})
    for number, amount in enumerate(amounts):
        table.row(number, amount)
    assert table.totals() == {"amount": text}


def tables(rows=1, superseded=0, refused=1, total="3.00", more=()):
    """What a lakehouse answers."""

    def query(sql):
        if "row_accounts" in sql:
            raw = {"name": "raw.shop_orders", "rows": 2, "superseded": 0}
            return [raw, {"name": "silver.shop_orders", "rows": rows, "superseded": superseded}, *more]
        if "quarantine" in sql:
            silver = {"name": "silver.shop_orders", "rule": "total_present", "rows": refused}
            return [{"name": "raw.shop_orders", "rule": "row_is_json", "rows": 1}, silver]
        return [{"sum": total}]

    return query


@pytest.fixture
def shop():
    """The truth of a shop: an order that is live, one in quarantine, and a text that is none."""
    truth = Truth()
    feed, orders = truth.feed("shop_orders"), truth.table("shop_orders", total=2)
    feed.rows = 2
    feed.refused["row_is_json"] += 1
    orders.row(1, 300)
    orders.refuse("total_present")
    return {"shop": truth.to_json()}


def test_tables_as_the_truth_says_have_no_differences(shop):
    assert differences(shop, tables()) == []


@pytest.mark.parametrize(
    ("lakehouse", "difference"),
    [
        (tables(rows=2), "silver.shop_orders: 2 rows, the truth is 1"),
        (tables(superseded=1), "silver.shop_orders: 1 superseded rows, the truth is 0"),
        (tables(refused=2), "silver.shop_orders: 2 quarantined rows of total_present, the truth is 1"),
        (tables(total="3.01"), "SELECT sum(total)::VARCHAR FROM silver.shop_orders: 3.01 as answer, the truth is 3.00"),
        (tables(more=[{"name": "silver.shop_items", "rows": 9, "superseded": 0}]), "silver.shop_items: 9 rows, the truth is 0"),
    ],
)
def test_each_difference_is_a_sentence(shop, lakehouse, difference):
    assert differences(shop, lakehouse) == [difference]


def test_a_table_that_is_not_there_is_a_difference_and_asked_nothing(shop):
    shop["shop"]["rows"]["silver.shop_items"] = 4
    shop["shop"]["answers"] = {"SELECT sum(pieces) FROM silver.shop_items": "1"}
    assert differences(shop, tables()) == ["silver.shop_items: 0 rows, the truth is 4"]


@pytest.mark.parametrize(
    ("gold", "answer", "count"), [([], "", 0), ([{"1": 1}], "2026-01-01 5, 2026-01-02 7", 0), ([{"1": 1}], "", 1)]
)
def test_stock_is_asked_for_where_gold_is_built(gold, answer, count):
    truth = Truth()
    for day, pieces in ((2, 7), (1, 2), (1, 3)):
        truth.count_stock("shop", "WH", date(2026, 1, day), pieces)
    answers = {
        "information_schema": gold,
        "fact_inventory_snapshot WHERE source_system = 'shop' AND warehouse_location = 'WH'": [{"a": answer}],
    }

    def query(sql):
        text = " ".join(sql.split())
        return next((rows for part, rows in answers.items() if part in text), [])

    assert len(differences({"shop": truth.to_json()}, query)) == count


def test_notes_are_those_of_the_live_rows():
    orders, items = SilverTruth({}), SilverTruth({})
    orders.row(1, sequence=1, note="new")
    orders.row(1, sequence=2, note="paid")
    orders.row(2, note="new", deleted=True)
    for number in (1, 2):
        items.row(number, waits_for=(Partner(orders, number, "order_id_in_orders"),), note=f"item {number}")
    assert (orders.notes(), items.notes()) == ({1: "paid"}, {1: "item 1"})


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        ("1 20, 2 none, 10 7", None),
        ("1 20, 2 5, 10 7", "(2 5) as answer, the truth is (2 none)"),
        ("1 20, 10 7", "(none) as answer, the truth is (2 none)"),
        ("2 none, 1 20, 10 7", "2 none, 1 20, 10 7 as answer, the truth is 1 20, 2 none, 10 7"),
        (None, "None as answer, the truth is 1 20, 2 none, 10 7"),
    ],
)
def test_of_first_responses_a_difference_shows_the_tickets_that_differ(actual, said):
    truth = Truth()
    truth.answer_tickets({10: 7, 2: None, 1: 20})

    def query(sql):
        return [{"answer": actual}] if "first_response_minutes" in sql else [{"1": 1}] if "information_schema" in sql else []

    sentences = differences({"desk": truth.to_json()}, query)
    assert [sentence.rpartition(": ")[2] for sentence in sentences] == ([said] if said else [])


def test_of_many_entries_that_differ_a_sentence_shows_some():
    truth = Truth()
    truth.answer_tickets(dict.fromkeys(range(1, 9), 1))
    actual = ", ".join(f"{number} 2" for number in range(1, 9))

    def query(sql):
        return [{"answer": actual}] if "first_response_minutes" in sql else [{"1": 1}] if "information_schema" in sql else []

    [sentence] = differences({"desk": truth.to_json()}, query)
    assert sentence.endswith("(1 2, 2 2, 3 2, 4 2, 5 2 and 3 more) as answer, the truth is (1 1, 2 1, 3 1, 4 1, 5 1 and 3 more)")


def test_tables_of_other_systems_are_left_alone(shop):
    assert differences(shop, tables(more=[{"name": "silver.shopping_carts", "rows": 9, "superseded": 0}])) == []
