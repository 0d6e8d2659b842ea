"""Order lines of all systems: what they add up to, what returns and cancellations take back, and that nothing counts twice."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse_assets.settings import Settings
from tests.support.warehouse import LANDED

CENT = Decimal("0.01")
DAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])

[GRAIN] = [model.grain_of for model in Settings().gold_project.models() if model.name == "fact_sales"]
STATES = st.sampled_from(["new", "processing", "complete", "closed", "canceled"])
PIECES = st.integers(0, 40_000).map(lambda n: Decimal(n) / 4)
PRICE = st.integers(0, 10**9).map(lambda n: Decimal(n) / 10_000)


@st.composite
def shop_lines(draw):
    """A line of the shop, whose amount may contradict its price, and which may say that more went than there was."""
    quantity, price = draw(PIECES.filter(bool)), draw(PRICE)
    wrong = draw(st.sampled_from([0, 0, 0, Decimal("-3.5"), 20]))
    return {
        "quantity": quantity,
        "price": price,
        "row_total": (quantity * price).quantize(CENT) + wrong,
        "discount_amount": draw(st.none() | PRICE),
        "quantity_canceled": draw(st.just(0) | st.just(quantity) | PIECES),
        "quantity_refunded": draw(st.just(0) | PIECES),
        "parent_item_id": draw(st.sampled_from([None, None, 1])),
    }


@st.composite
def shops(draw):
    orders = draw(st.lists(st.tuples(STATES, st.lists(shop_lines(), min_size=1, max_size=3)), max_size=8))
    numbers = range(1, len(orders) + 1)
    return {
        "magento_orders": [
            {"order_id": n, "order_number": f"{n:09d}", "state": state, "currency": "USD", "created_at": DAY}
            for n, (state, _) in zip(numbers, orders, strict=True)
        ],
        "magento_order_items": [
            {"item_id": 10 * n + i, "order_id": n, "sku": "A", **line}
            for n, (_, lines) in zip(numbers, orders, strict=True)
            for i, line in enumerate(lines)
        ],
    }


@st.composite
def erps(draw):
    orders = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["draft", "sent", "sale", "done", "cancel"]),
                st.sampled_from([None, "000000001", "000000009", "000000009, 000000002", "S1"]),
                st.lists(st.tuples(PIECES, PRICE, st.sampled_from([0, 10]), st.booleans(), st.booleans()), max_size=3),
            ),
            max_size=4,
        )
    )
    rows = list(enumerate(orders, 1))
    return {
        "odoo_sale_orders": [
            {"order_id": n, "order_number": f"S{n}", "state": state, "origin": origin, "currency": "EUR", "ordered_at": DAY}
            for n, (state, origin, _) in rows
        ],
        "odoo_sale_order_lines": [
            {
                "line_id": 10 * n + i,
                "order_id": n,
                "product_code": "A",
                "quantity": -quantity if returned else quantity,
                "price_unit": -price if taken_off else price,
                "discount": percent,
                "subtotal": ((-1) ** (returned + taken_off) * quantity * price * (100 - percent) / 100).quantize(CENT),
            }
            for n, (_, _, lines) in rows
            for i, (quantity, price, percent, returned, taken_off) in enumerate(lines)
        ],
    }


TOTALS = st.none() | st.integers(-500, 10**6).map(lambda n: Decimal(n) / 100)


@st.composite
def storefronts(draw):
    orders = list(enumerate(draw(st.lists(st.tuples(TOTALS, st.integers(0, 12)), max_size=5)), 1))
    places = st.sampled_from([None, 1, 1, 2, 3])
    return {
        "storefront_orders": [
            {"order_id": n, "user_id": 7, "order_timestamp": DAY, "total_amount": total, "currency": "USD"}
            for n, (total, _) in orders
        ],
        "storefront_order_items": [
            {"id": 100 * n + i, "order_id": n, "user_id": 7, "product_id": i, "add_to_cart_order": draw(places)}
            for n, (_, items) in orders
            for i in range(items)
        ],
    }


@st.composite
def tills(draw):
    kinds = st.sampled_from(["product", "postage", "voucher", "sample", "manual", "discount", "fee", "bad debt"])
    types = st.sampled_from(["sale", "cancellation", "adjustment"])
    prices = st.integers(0, 10**6).map(lambda n: Decimal(n) / 1000)
    lines = draw(st.lists(st.tuples(kinds, types, st.integers(0, 500), prices, st.sampled_from(["online", "store"])), max_size=6))
    return {
        "retail_transactions": [
            {
                "line_id": str(n),
                "invoice_number": str(n % 3),
                "stock_code": "A",
                "line_kind": kind,
                "transaction_type": type_,
                "quantity": pieces if type_ == "sale" else -pieces,
                "unit_price": price,
                "discount": n,
                "amount": ((pieces if type_ == "sale" else -pieces) * price).quantize(CENT) - n,
                "currency": "GBP",
                "invoiced_at": DAY,
                "channel": channel,
            }
            for n, (kind, type_, pieces, price, channel) in enumerate(lines)
        ]
    }


@st.composite
def streams(draw):
    lines = draw(st.lists(st.tuples(st.integers(1, 9), PRICE, st.sampled_from([0, 0, 1])), max_size=4))
    return {
        "orders_events": [
            {
                "event_id": str(n // 2),
                "line_id": str(n),
                "product_id": "A",
                "quantity": pieces,
                "net_price": price,
                "total": (pieces * price).quantize(CENT) + wrong,
                "currency": "USD",
                "ordered_at": DAY,
            }
            for n, (pieces, price, wrong) in enumerate(lines)
        ]
    }


@quick
@given(shop=shops(), erp=erps(), storefront=storefronts(), till=tills(), stream=streams())
def test_sales_are_silver_s_and_keep_their_rules_whatever_silver_has(warehouse, compiled, shop, erp, storefront, till, stream):
    crm = {
        "crm_sales": [{"order_number": "SO1", "product_number": "P", "quantity": 3, "price": 3, "sales": 10, "currency": "USD"}]
    }
    silver = {**shop, **erp, **storefront, **till, **stream, **crm}
    sql = warehouse(**silver)
    assert sql("SELECT count(*) - count(DISTINCT sales_key) FROM run.gold.fact_sales") == [(0,)]
    counted = [f"SELECT sum({made or 1}) AS made FROM silver.{table}" for table, made in GRAIN]
    assert sql(f"SELECT sum(made) = (SELECT count(*) FROM run.gold.fact_sales) FROM ({' UNION ALL '.join(counted)})") == [(True,)]
    sql("SELECT 1 FROM run.gold.fact_orders, run.gold.sales_performance LIMIT 1")
    for name, test in compiled.items():
        if name.startswith(
            (
                "sales_equal_silver",
                "orders_add_up_to_",
                "sales_performance_adds_up",
                "assert_",
                "never_null_fact_",
                "never_null_sales_performance",
            )
        ):
            assert sql(test) == [], name


def lines(warehouse, compiled, columns, **silver):
    """Order lines before they have keys: nothing else need be built."""
    return warehouse(**silver)(f"WITH l AS ({compiled['int_sale_lines']}) SELECT {columns} FROM l")


@settings(max_examples=20, deadline=None)
@given(storefront=storefronts())
def test_a_storefront_order_s_total_is_spread_to_the_cent(warehouse, compiled, storefront):
    found = lines(warehouse, compiled, "order_id, source_amount, quantity, unit_price, amount_is_allocated", **storefront)
    items = {}
    for item in storefront["storefront_order_items"]:
        items[item["order_id"]] = items.get(item["order_id"], 0) + 1
    for order in storefront["storefront_orders"]:
        number, total = order["order_id"], order["total_amount"]
        shares = [row[1] for row in found if row[0] == str(number)]
        assert len(shares) == max(items.get(number, 0), 1)
        if total is None:
            assert set(shares) == {None}
        else:
            assert sum(shares) == total
            assert max(shares) - min(shares) <= CENT
            assert all(share == share.quantize(CENT) for share in shares)
    assert all(row[2] * row[3] == row[1] and row[4] for row in found if row[1] is not None)


def test_the_cents_left_over_go_to_the_first_items_in_the_cart(warehouse, compiled):
    order = {"order_id": 1, "user_id": 1, "order_timestamp": DAY, "total_amount": Decimal("0.05"), "currency": "USD"}
    items = [{"id": n, "order_id": 1, "product_id": n, "add_to_cart_order": place} for n, place in enumerate([2, None, 1, 2])]
    found = lines(warehouse, compiled, "line_id, source_amount::VARCHAR", storefront_orders=[order], storefront_order_items=items)
    assert sorted(found) == [("0", "0.0100"), ("1", "0.0100"), ("2", "0.0200"), ("3", "0.0100")]


def test_fees_postage_bad_debts_and_adjustments_are_no_sales_of_retail(warehouse, compiled):
    line = {"invoice_number": "1", "stock_code": "A", "quantity": 1, "unit_price": 5, "amount": 5, "currency": "GBP"}
    kinds = ("product", "postage", "voucher", "sample", "manual", "discount", "fee", "bad debt")
    rows = [
        line
        | {"line_id": f"{kind} {type_}", "line_kind": kind, "transaction_type": type_, "invoiced_at": DAY, "channel": "online"}
        for kind in kinds
        for type_ in ("sale", "cancellation", "adjustment")
    ]
    sold = lines(warehouse, compiled, "line_id", retail_transactions=rows)
    kinds_sold = {"product", "voucher", "sample", "manual", "discount"}
    assert {row[0] for row in sold} == {f"{kind} {type_}" for kind in kinds_sold for type_ in ("sale", "cancellation")}


def test_of_the_two_lines_of_a_variant_the_one_without_a_parent_is_sold(warehouse, compiled):
    line = {"order_id": 7, "sku": "A-red", "quantity": 1, "quantity_refunded": 0, "quantity_canceled": 0}
    rows = [
        line | {"item_id": 1, "price": 5, "row_total": 5},
        line | {"item_id": 2, "parent_item_id": 1, "price": 0, "row_total": 0},
    ]
    sold = lines(warehouse, compiled, "line_id, source_amount::INT", magento_orders=[SHOP_ORDER], magento_order_items=rows)
    assert sold == [("1", 5)]


# How much is left of an amount, by exact fractions: a share is in whole cents, unless it is all.
def left(amount, gone, quantity):
    share = Fraction(amount) * Fraction(gone) / Fraction(quantity)
    return Fraction(0) if gone == quantity else Fraction(amount) - share


@settings(max_examples=20, deadline=None)
@given(shop=shops())
def test_what_is_canceled_and_refunded_takes_back_its_share(warehouse, compiled, shop):
    columns = "split_part(line_id, ':', 1), split_part(line_id, ':', 2), quantity, unit_price, discount_amount, source_amount"
    found = lines(warehouse, compiled, columns, **shop)
    states = {order["order_id"]: order["state"] for order in shop["magento_orders"]}
    sold = {str(item["item_id"]): item for item in shop["magento_order_items"] if item["parent_item_id"] is None}
    assert {row[0] for row in found} == sold.keys()
    for number, item in sold.items():
        own = [row for row in found if row[0] == number]
        ordered, refunded = item["quantity"], min(item["quantity_refunded"], item["quantity"])
        canceled = ordered if states[item["order_id"]] == "canceled" else item["quantity_canceled"]
        gone = min(refunded + canceled, ordered)
        pieces = {"": ordered, "refunded": -refunded, "canceled": refunded - gone}
        assert {row[1]: row[2] for row in own} == {part: n for part, n in pieces.items() if n or not part}
        amount = item["row_total"] - (item["discount_amount"] or 0)
        net = sum(row[5] for row in own)
        assert abs(Fraction(net) - left(amount, gone, ordered)) <= Fraction(CENT)
        assert net == 0 or gone < ordered
        assert all(row[3] == item["price"] for row in own)
        assert all(abs(row[2] * row[3] - row[4] - row[5]) <= CENT for row in own)


def odoo(**order):
    return {
        "odoo_sale_orders": [
            {"order_id": 1, "order_number": "S1", "state": "sale", "currency": "EUR", "ordered_at": DAY} | order
        ],
        "odoo_sale_order_lines": [
            {"line_id": n, "order_id": 1, "product_code": "A", "quantity": pieces, "price_unit": price, "subtotal": amount}
            for n, (pieces, price, amount) in enumerate([(2, 10, 18), (-1, 10, -9), (1, -5, -5), (0, 10, 0), (-1, -5, 5)])
        ],
    }


def test_returns_and_discounts_of_the_erp_are_pieces_below_0(warehouse, compiled):
    columns = "line_id, quantity::INT, unit_price::INT, discount_amount::INT, source_amount::INT"
    assert sorted(lines(warehouse, compiled, columns, **odoo())) == [
        ("0", 2, 10, 2, 18),
        ("1", -1, 10, -1, -9),
        ("2", -1, 5, 0, -5),
        ("3", 0, 10, 0, 0),
        ("4", 1, 5, 0, 5),
    ]


SHOP_ORDER = {"order_id": 7, "order_number": "000000007", "state": "complete", "currency": "USD", "created_at": DAY}


@pytest.mark.parametrize(
    ("order", "sold"),
    [
        ({"origin": "000000007"}, False),
        ({"origin": "000000006, 000000007"}, False),
        ({"origin": "000000006"}, True),  # the shop's order hasn't arrived
        ({"origin": "00000000"}, True),
        ({"state": "done"}, True),
        ({"state": "draft"}, False),
        ({"state": "cancel"}, False),
    ],
)
def test_an_order_of_the_erp_that_the_shop_has_is_the_shop_s_sale(warehouse, compiled, order, sold):
    found = lines(warehouse, compiled, "DISTINCT source_system", **odoo(**order), magento_orders=[SHOP_ORDER])
    assert found == ([("odoo",)] if sold else [])


def test_prices_that_contradict_the_amount_leave_a_discount(warehouse, compiled):
    event = {
        "event_id": "1",
        "product_id": "A",
        "currency": "USD",
        "ordered_at": DAY,
        "quantity": 3,
        "net_price": Decimal("3.335"),
    }
    totals = {"rounded": "10.01", "wrong": "9.00", "huge": "9999999999.99"}
    events = [event | {"line_id": name, "total": Decimal(total)} for name, total in totals.items()]
    found = lines(warehouse, compiled, "line_id, discount_amount::VARCHAR", orders_events=events)
    assert dict(found) == {"rounded": "0.0000", "wrong": "1.0050", "huge": "-9999999989.9850"}


def test_an_order_is_its_lines_and_those_of_an_order_number_of_another_system_are_not(warehouse):
    sale = {"product_number": "P", "currency": "USD", "quantity": 1, "price": 5, "sales": 5}
    crm = [
        sale | {"order_number": "1", "order_date": day, "product_number": str(n), "customer_id": customer}
        for n, (day, customer) in enumerate([(None, 1), (date(2026, 1, 3), None), (date(2026, 1, 2), None)])
    ]
    event = {"event_id": "1", "line_id": "a", "product_id": "A", "currency": "USD", "ordered_at": DAY, "quantity": 1}
    sql = warehouse(
        crm_sales=crm, crm_customers=[{"customer_id": 1}], orders_events=[event | {"net_price": 2, "total": 2}], **odoo()
    )
    assert sql(
        """SELECT source_system, order_id, lines, quantity::INT, source_amount::INT, order_date, order_date_key, time_key,
                  customer_key <> -1, source_currency, o._date FROM run.gold.fact_orders o ORDER BY 1"""
    ) == [
        ("crm", "1", 3, 3, 15, date(2026, 1, 2), 20260102, -1, True, "USD", LANDED),
        ("odoo", "S1", 5, 1, 9, DAY.date(), 20260105, 1200, False, "EUR", LANDED),
        ("orders", "1", 1, 1, 2, DAY.date(), 20260105, 1200, False, "USD", LANDED),
    ]
    found = sql(
        "SELECT month, orders, customers, quantity, usd_amount::INT FROM run.gold.sales_performance ORDER BY 1 NULLS LAST"
    )
    assert [row[1:3] for row in found] == [(3, 0), (1, 1)]


SAID = {
    "crm": {
        "crm_customers": [{"customer_id": 1}],
        "crm_sales": [
            {
                "order_number": "O",
                "product_number": "A",
                "customer_id": 1,
                "quantity": 1,
                "price": 5,
                "sales": 5,
                "currency": "USD",
            }
            | {"order_date": date(2026, 1, 4), "ship_date": date(2026, 1, 6), "due_date": date(2026, 1, 9)}
        ],
    },
    "magento": {
        "magento_customers": [{"customer_id": 1}],
        "magento_orders": [
            {"order_id": 9, "order_number": "O", "customer_id": 1, "state": "complete", "payment_method": "checkmo"}
            | {"currency": "USD", "created_at": DAY}
        ],
        "magento_order_items": [{"item_id": 1, "order_id": 9, "sku": "A", "quantity": 1, "price": 5, "row_total": 5}],
    },
    "odoo": {
        "odoo_sale_orders": [
            {"order_id": 9, "order_number": "O", "partner_id": 1, "state": "sale", "currency": "USD", "ordered_at": DAY}
        ],
        "odoo_sale_order_lines": [
            {"line_id": 1, "order_id": 9, "product_code": "A", "quantity": 1, "price_unit": 5, "subtotal": 5}
        ],
        "odoo_products": [{"product_code": "A", "default_code": "A"}],
    },
    "storefront": {
        "storefront_orders": [{"order_id": 1, "user_id": 1, "order_timestamp": DAY, "total_amount": 5, "currency": "USD"}],
        "storefront_order_items": [{"id": 1, "order_id": 1, "user_id": 1, "product_id": 7, "add_to_cart_order": 1}],
        "storefront_products": [{"product_id": 7}],
    },
    "retail": {
        "retail_transactions": [
            {"line_id": "1", "invoice_number": "O", "stock_code": "A", "line_kind": "product", "transaction_type": "sale"}
            | {"quantity": 1, "unit_price": 5, "amount": 5, "currency": "USD", "invoiced_at": DAY, "channel": "store"}
            | {"customer_id": 1, "store_id": "S01", "promotion_id": "HALF", "payment_method": "card"}
        ],
        "retail_stores": [{"store_id": "S01"}],
        "retail_promotions": [{"promotion_id": "HALF"}],
    },
    "orders": {
        "orders_events": [
            {"event_id": "O", "line_id": "1", "product_id": "A", "quantity": 1, "net_price": 5, "total": 5, "currency": "USD"}
            | {"ordered_at": DAY}
        ],
        "orders_products": [{"product_id": "A"}],
    },
}
"""One sale in each system that says all that the system can say, and its partners."""


@pytest.mark.parametrize(
    ("system", "said", "days"),
    [
        ("crm", ("1", "A", "Sales force", "n/a", "n/a", "n/a", "n/a"), (20260104, 20260106, 20260109, -1)),
        ("magento", ("1", "A", "Web shop", "n/a", "n/a", "complete", "checkmo"), (20260105, -1, -1, 1200)),
        ("odoo", ("1", "A", "ERP", "n/a", "n/a", "n/a", "n/a"), (20260105, -1, -1, 1200)),
        ("storefront", ("1", "7", "Storefront", "n/a", "n/a", "n/a", "n/a"), (20260105, -1, -1, 1200)),
        ("retail", ("1", "A", "Store", "S01", "HALF", "n/a", "card"), (20260105, -1, -1, 1200)),
        ("orders", ("n/a", "A", "Order stream", "n/a", "n/a", "n/a", "n/a"), (20260105, -1, -1, 1200)),
    ],
)
def test_a_sale_has_all_that_its_system_says_of_it(warehouse, system, said, days):
    silver = {**SAID[system], "magento_products": [{"sku": "A"}]}
    if system == "crm":
        silver["crm_products"] = [{"product_id": 1, "product_number": "A"}]
    keys = "customer_id, product_number, channel_name, store_id"
    joins = " ".join(f"JOIN run.gold.dim_{name} USING ({name}_key)" for name in ("customer", "product", "channel", "store"))
    sql = warehouse(**silver)
    sale = f"SELECT {keys}, promotion_id, f.order_status, f.payment_method, {{}} FROM run.gold.fact_sales f {joins}"
    sale += " JOIN run.gold.dim_promotion USING (promotion_key)"
    assert sql(sale.format("order_date_key, ship_date_key, due_date_key, time_key")) == [(*said, *days)]
    order = (
        "SELECT customer_id, channel_name, store_id, order_status, payment_method, order_date_key, time_key FROM run.gold.fact_orders"
        " JOIN run.gold.dim_customer USING (customer_key) JOIN run.gold.dim_channel USING (channel_key)"
        " JOIN run.gold.dim_store USING (store_key)"
    )
    assert sql(order) == [(said[0], *said[2:4], *said[5:], days[0], days[3])]
    assert sql("SELECT amount_is_allocated FROM run.gold.fact_sales") == [(system == "storefront",)]


def test_a_sale_has_the_product_as_it_was_on_its_day_or_else_as_it_is_now(warehouse):
    products = [
        {"product_id": n, "product_number": "A", "start_date": date(2026, n, 1), "cost": n, "category_id": "AC_HE"}
        for n in (1, 2)
    ]
    sale = {"product_number": "A", "quantity": 1, "price": 5, "sales": 5, "currency": "USD"}
    days = [date(2025, 6, 1), date(2026, 1, 31), date(2026, 2, 1), None]
    sales = [sale | {"order_number": str(n), "order_date": day} for n, day in enumerate(days)]
    sql = warehouse(crm_products=products, crm_sales=sales)
    found = sql("SELECT product_id FROM run.gold.fact_sales JOIN run.gold.dim_product USING (product_key) ORDER BY order_id")
    assert found == [("2",), ("1",), ("2",), ("2",)]


def test_an_order_has_a_day_if_one_of_its_lines_has_and_no_currency_if_they_have_two(warehouse):
    sale = {"order_number": "O", "quantity": 1, "price": 5, "sales": 5}
    lines = [("A", None, "USD"), ("B", date(2026, 1, 6), "USD"), ("C", date(2026, 1, 5), "EUR")]
    sales = [sale | {"product_number": product, "order_date": day, "currency": currency} for product, day, currency in lines]
    sql = warehouse(crm_sales=sales)
    assert sql("SELECT order_date_key, source_currency, lines, usd_amount::INT FROM run.gold.fact_orders") == [
        (20260105, None, 3, 10)
    ]


def test_orders_from_files_and_from_the_stream_add_up_on_one_business_day(warehouse):
    event = {"product_id": "A", "currency": "USD", "quantity": 2, "net_price": 3, "total": 6, "ordered_at": DAY}
    stream = {"topic": "orders", "topic_partition": 0, "message_key": "7"}
    sql = warehouse(
        storefront_orders=[{"order_id": 1, "user_id": 7, "order_timestamp": DAY, "total_amount": 10, "currency": "USD"}],
        storefront_order_items=[{"id": 1, "order_id": 1, "user_id": 7, "product_id": 3, "add_to_cart_order": 1}],
        orders_events=[
            event | {"event_id": "1", "line_id": "a", "transaction_id": "1"},  # from a file
            event | stream | {"event_id": "2", "line_id": "b", "transaction_id": "2", "topic_offset": 0},
            event | stream | {"event_id": "2", "line_id": "c", "transaction_id": "2", "topic_offset": 1},
            event | stream | {"event_id": "orders@id/0/2", "line_id": "d", "topic_offset": 2},  # of the older schema
        ],
    )
    day = "order_date_key = 20260105"
    assert sql(f"SELECT count(*), sum(lines)::INT, sum(usd_amount)::INT FROM run.gold.fact_orders WHERE {day}") == [(4, 5, 34)]
    assert sql(f"SELECT count(*), sum(usd_amount)::INT FROM run.gold.fact_sales WHERE {day}") == [(5, 34)]
    assert sql("SELECT sum(orders)::INT, sum(usd_amount)::INT FROM run.gold.sales_performance") == [(4, 34)]
