"""Stock by day: counts, moves and sales of shop and ERP, and how long stock lasts."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DAY = date(2026, 1, 1)
VENDORS, CUSTOMERS, LOSSES = "Partners/Vendors", "Partners/Customers", "Virtual Locations/Inventory adjustment"
TRANSIT = "Inter-company transit"

ROWS = """SELECT warehouse_location, day, opening::INT, moved_in::INT, moved_out::INT, sold::INT, adjustment::INT, closing::INT
          FROM (SELECT warehouse_location, (snapshot_date - DATE '2026-01-01') AS day, opening_stock AS opening, moved_in, moved_out,
                       quantity_sold AS sold, adjustment, closing_stock AS closing, source_system
                FROM run.gold.fact_inventory_snapshot)
          WHERE source_system = '{}' ORDER BY 1, 2"""


def move(number, day, pieces, origin, target, state="done"):
    warehouses = [place.split("/")[0] if place.endswith("/Stock") else None for place in (origin, target)]
    return {
        "move_id": number,
        "product_code": "A",
        "state": state,
        "quantity": pieces,
        "from_location": origin,
        "to_location": target,
        "from_warehouse": warehouses[0],
        "to_warehouse": warehouses[1],
        "moved_at": datetime.combine(DAY + timedelta(day), datetime.min.time(), UTC),
    }


def moves(*rows):
    return [move(number, *row) for number, row in enumerate(rows)]


def quants(*rows):
    """Counts of the ERP: day, pieces, location."""
    return [
        {
            "quant_id": str(number),
            "product_code": "A",
            "date": DAY + timedelta(day),
            "quantity": pieces,
            "location": location,
            "warehouse": location.split("/")[0] if location.endswith("/Stock") else None,
        }
        for number, (day, pieces, location) in enumerate(rows)
    ]


def test_a_day_closes_with_its_count_and_opens_with_the_day_before(warehouse):
    sql = warehouse(
        odoo_inventory=quants((1, 5, "WH/Stock"), (1, 7, "WH/Stock"), (4, 30, "WH/Stock"), (1, 400, CUSTOMERS)),
        odoo_stock_moves=moves(
            (0, 2, "WH/Stock", CUSTOMERS),
            (1, 3, VENDORS, "WH/Stock"),
            (2, 4, "WH/Stock", "EAST/Stock"),
            (2, 1, CUSTOMERS, "WH/Stock"),
            (3, 2, "WH/Stock", LOSSES),
            (3, 9, VENDORS, CUSTOMERS),
            (3, 9, "WH/Stock", "WH/Stock"),
            (3, 9, "WH/Stock", CUSTOMERS, "assigned"),
            (5, 6, "WH/Stock", TRANSIT),
        ),
    )
    assert sql(ROWS.format("odoo")) == [
        ("EAST", 2, 0, 4, 0, 0, 0, 4),
        # Worked out backwards from the first count: 12 pieces on day 1.
        ("WH", 0, 11, 0, 0, 2, 0, 9),
        ("WH", 1, 9, 3, 0, 0, 0, 12),
        ("WH", 2, 12, 0, 4, -1, 0, 9),
        # A correction that the ERP recorded, then one that only the count shows.
        ("WH", 3, 9, 0, 0, 0, -2, 7),
        ("WH", 4, 7, 0, 0, 0, 23, 30),
        ("WH", 5, 30, 0, 6, 0, 0, 24),
        ("unassigned", 5, 0, 6, 0, 0, 0, 6),
    ]


def test_a_sale_of_the_shop_counts_once_in_its_stock_and_once_in_the_erp_s(warehouse):
    item = {"order_id": 1, "sku": "A", "updated_at": datetime(2026, 1, 2, 9, tzinfo=UTC)}
    sql = warehouse(
        magento_products=[{"sku": "A"}],
        odoo_products=[{"product_code": "A", "default_code": "A"}],
        magento_inventory=[
            {"source_code": "wh", "sku": "A", "date": DAY + timedelta(day), "quantity": q} for day, q in ((0, 9), (1, 7))
        ],
        magento_order_items=[
            item | {"item_id": 1, "quantity": 3, "quantity_shipped": 2},
            item | {"item_id": 2, "parent_item_id": 1, "quantity": 3, "quantity_shipped": 2},
            item | {"item_id": 3, "quantity": 5, "quantity_shipped": 0},
        ],
        odoo_inventory=quants((0, 9, "WH/Stock"), (1, 7, "WH/Stock")),
        odoo_stock_moves=moves((1, 2, "WH/Stock", CUSTOMERS)),
    )
    assert sql(ROWS.format("odoo")) == [("WH", 0, 9, 0, 0, 0, 0, 9), ("WH", 1, 9, 0, 0, 2, 0, 7)]
    # The shop doesn't say from which source it ships.
    assert sql(ROWS.format("magento")) == [
        ("WH", 0, 9, 0, 0, 0, 0, 9),
        ("WH", 1, 9, 0, 0, 0, -2, 7),
        ("unassigned", 1, 0, 0, 0, 2, 2, 0),
    ]
    assert sql(
        "SELECT count(DISTINCT product_key), count(*) FILTER (product_key = -1) FROM run.gold.fact_inventory_snapshot"
    ) == [(1, 0)]


def test_the_key_is_that_of_the_version_of_the_day(warehouse):
    sql = warehouse(
        crm_products=[
            {"product_id": 1, "product_number": "A", "start_date": date(2025, 1, 1)},
            {"product_id": 2, "product_number": "A", "start_date": DAY + timedelta(1)},
        ],
        odoo_products=[{"product_code": "A", "default_code": "A"}],
        odoo_inventory=quants((0, 9, "WH/Stock"), (1, 9, "WH/Stock")),
    )
    assert sql(
        "SELECT product_id FROM run.gold.fact_inventory_snapshot JOIN run.gold.dim_product USING (product_key) ORDER BY snapshot_date"
    ) == [("1",), ("2",)]


PLACES = st.sampled_from(["WH/Stock", "EAST/Stock", VENDORS, CUSTOMERS, LOSSES, TRANSIT])
DAYS, PIECES = st.integers(0, 6), st.integers(1, 9)


@settings(max_examples=25, deadline=None)
@given(
    counted=st.dictionaries(st.tuples(st.sampled_from(["WH/Stock", "EAST/Stock"]), DAYS), PIECES, max_size=6),
    moved=st.lists(st.tuples(DAYS, PIECES, PLACES, PLACES), max_size=12),
    shipped=st.lists(st.tuples(DAYS, PIECES), max_size=4),
)
def test_stock_adds_up_for_any_counts_moves_and_sales(warehouse, compiled, counted, moved, shipped):
    sql = warehouse(
        odoo_inventory=quants(*((day, pieces, place) for (place, day), pieces in counted.items())),
        odoo_stock_moves=moves(*moved),
        magento_order_items=[
            {"item_id": n, "sku": "A", "quantity_shipped": pieces, "updated_at": move(0, day, 0, "", "")["moved_at"]}
            for n, (day, pieces) in enumerate(shipped)
        ],
    )
    rows = sql(ROWS.format("odoo"))
    assert sql(compiled["assert_inventory_adds_up"]) == []
    by_place = {place: [row for row in rows if row[0] == place] for place in ("WH", "EAST", "unassigned")}
    for place, result in by_place.items():
        assert all(one[7] == two[2] for one, two in pairwise(result))
        location = TRANSIT if place == "unassigned" else f"{place}/Stock"
        touched = {day for day, _, *places in moved if (location in places) and places[0] != places[1]}
        assert [row[1] for row in result] == sorted(touched | {day for at, day in counted if at == location})
        for _, day, opening, came, went, sold, adjustment, closing in result:
            assert closing == opening + came - went - sold + adjustment
            assert closing == counted.get((location, day), closing)
            if (location, day) not in counted:
                losses = sum(n * ((t == location) - (f == location)) for d, n, f, t in moved if d == day and LOSSES in (f, t))
                assert adjustment == losses
    delivered = sum(n for _, n, origin, target in moved if target == CUSTOMERS and origin not in (VENDORS, CUSTOMERS, LOSSES))
    returned = sum(n for _, n, origin, target in moved if origin == CUSTOMERS and target not in (VENDORS, CUSTOMERS, LOSSES))
    assert sum(row[5] for row in rows) == delivered - returned
    shop = sql(ROWS.format("magento"))
    assert (sum(row[5] for row in shop), {row[7] for row in shop} - {0}) == (sum(n for _, n in shipped), set())


@pytest.mark.parametrize(
    ("stock", "sold", "cover", "level"),
    [
        (0, [(9, 28)], 0, "out"),
        (-1, [(9, 1)], 0, "out"),
        (13, [(9, 28)], 13, "low"),
        (14, [(9, 28)], 14, "ok"),
        (14, [(9, 56), (9, -28)], 14, "ok"),
        (5, [], None, "ok"),
        (5, [(-40, 28)], None, "ok"),
    ],
)
def test_an_alert_says_how_long_stock_lasts(warehouse, stock, sold, cover, level):
    sales = [
        {
            "order_number": str(n),
            "product_number": "A",
            "quantity": pieces,
            "order_date": DAY + timedelta(day),
            "price": 1,
            "sales": pieces,
            "currency": "USD",
        }
        for n, (day, pieces) in enumerate(sold)
    ]
    sql = warehouse(
        crm_products=[{"product_id": 1, "product_number": "A"}],
        odoo_products=[{"product_code": "A", "default_code": "A"}],
        odoo_inventory=quants((10, stock - 4, "WH/Stock"), (8, 4, "EAST/Stock")),
        crm_sales=sales,
    )
    assert sql("SELECT current_stock::INT, days_of_cover::INT, level, warehouses FROM run.gold.stock_alerts") == [
        (stock, cover, level, 2)
    ]


def test_an_alert_is_about_the_shop_s_stock_or_else_the_erp_s(warehouse):
    sql = warehouse(
        magento_products=[{"sku": "A"}, {"sku": "B"}],
        odoo_products=[{"product_code": "A", "default_code": "A"}],
        magento_inventory=[{"source_code": "wh", "sku": sku, "date": DAY, "quantity": 3} for sku in "B"],
        magento_order_items=[
            {"item_id": 1, "sku": "A", "quantity": 1, "quantity_shipped": 1, "updated_at": datetime(2026, 1, 2, tzinfo=UTC)}
        ],
        odoo_inventory=quants((0, 9, "WH/Stock")),
    )
    assert sql("SELECT product_code, source_system, current_stock::INT FROM run.gold.stock_alerts ORDER BY 1") == [
        ("A", "odoo", 9),
        ("B", "magento", 3),
    ]


def test_returns_stand_beside_sales_by_category(warehouse):
    line = {"line_kind": "product", "transaction_type": "sale", "unit_price": 2, "currency": "USD", "channel": "online"}
    lines = [
        line
        | {"line_id": str(n), "invoice_number": invoice, "stock_code": code, "quantity": q, "amount": q * 2, "invoiced_at": at}
        for n, (invoice, code, q, at) in enumerate(
            [("1", "X", 5, DAY), ("1", "Y", 4, DAY), ("2", "X", 3, DAY), ("C3", "X", -2, DAY), ("4", "X", 1, date(2026, 2, 1))]
        )
    ]
    sql = warehouse(retail_transactions=lines)
    columns = "month, category, orders, products, quantity_sold::INT, quantity_returned::INT, usd_returned::INT, usd_amount::INT"
    assert sql(f"SELECT {columns} FROM run.gold.items_category_performance ORDER BY month") == [
        (date(2026, 1, 1), "Uncategorized", 3, 2, 12, 2, 4, 20),
        (date(2026, 2, 1), "Uncategorized", 1, 1, 1, 0, 0, 2),
    ]
