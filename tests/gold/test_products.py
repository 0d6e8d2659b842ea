"""Products of all systems: which records are the same product, and what the dimension says of it."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MOMENT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def records(crm=(), magento=(), odoo=(), orders=(), retail=(), storefront=()):
    """Silver rows of products: CRM and order stream by code, shop by code and name, ERP by key, code and name."""
    return {
        "crm_products": [{"product_id": n, "product_number": code, "product_name": "x"} for n, code in enumerate(crm)],
        "magento_products": [{"sku": sku, "name": name, "is_active": True} for sku, name in magento],
        "odoo_products": [
            {"product_code": key, "default_code": code, "product_name": name, "is_active": False} for key, code, name in odoo
        ],
        "orders_products": [{"product_id": code, "product_name": "x"} for code in orders],
        "retail_transactions": [
            {"line_id": code, "stock_code": code, "description": "x", "transaction_type": "sale", "line_kind": "product"}
            for code in retail
        ],
        "storefront_products": [{"product_id": number, "product_name": "x"} for number in storefront],
    }


def products_of(sql):
    """The bridge: which records each product has, with how they came to it."""
    results = {}
    for system, number, item, rule in sql(
        "SELECT source_system, source_product_id, item_key, matched_by FROM run.gold.bridge_product"
    ):
        results.setdefault(item, {})[system, number] = rule
    return sorted(results.values(), key=lambda product: sorted(product))


def test_products_match_by_id_and_then_by_name(warehouse):
    sql = warehouse(
        **records(
            magento=[("A", "Bell"), ("B", "Horn"), ("C", "Lamp")],
            odoo=[("A", "A", "Gong"), ("id:7", None, "hORN"), ("D", "D", "Lock")],
            crm=["A", "Z"],
            orders=["D"],
            retail=["A", "1"],
            storefront=[1],
        )
    )
    assert products_of(sql) == [
        {("crm", "A"): "itself", ("magento", "A"): "id", ("odoo", "A"): "id"},
        {("crm", "Z"): "itself"},
        {("magento", "B"): "itself", ("odoo", "id:7"): "name"},
        {("magento", "C"): "itself"},
        {("odoo", "D"): "itself", ("orders", "D"): "id"},
        {("retail", "1"): "itself"},
        {("retail", "A"): "itself"},
        {("storefront", "1"): "itself"},
    ]
    flags = "SELECT product_code, is_active_magento, is_active_odoo, is_active FROM run.gold.dim_product"
    assert sql(f"{flags} WHERE product_code IN ('B', 'C', 'D') ORDER BY 1") == [
        ("B", True, False, True),
        ("C", True, None, True),
        ("D", None, False, False),
    ]


@pytest.mark.parametrize(
    ("silver", "together", "ambiguous"),
    [
        # The id beats the name, though the name would fit another.
        ({"magento": [("A", "Bell")], "odoo": [("A", "A", "Gong"), ("B", "B", "Bell")]}, [("A", "A")], {"A"}),
        # Of several of a name, the smallest; the others stay alone.
        (
            {"magento": [("A", "Bell"), ("B", "Bell")], "odoo": [("Y", "Y", "Bell"), ("X", "X", "Bell")]},
            [("A", "X")],
            set("ABXY"),
        ),
        # Who has a partner by id needs none by name.
        (
            {"magento": [("A", "Bell"), ("B", "Bell")], "odoo": [("A", "A", "Bell"), ("X", "X", "Bell")]},
            [("A", "A"), ("B", "X")],
            set("ABX"),
        ),
        # The CRM knows that they are two.
        ({"magento": [("A", "Bell")], "odoo": [("B", "B", "Bell")], "crm": ["A", "B"]}, [], set()),
        # A key that stands in for a reference is no code, and nothing is no name.
        ({"magento": [("id:1", None)], "odoo": [("id:1", None, None)]}, [], set()),
    ],
)
def test_what_could_be_several_products_is_one_by_rule(warehouse, silver, together, ambiguous):
    sql = warehouse(**records(**silver))
    pairs = [tuple(number for system, number in sorted(product) if system in ("magento", "odoo")) for product in products_of(sql)]
    assert sorted(pair for pair in pairs if len(pair) == 2) == together
    assert {row[0] for row in sql("SELECT source_product_id FROM run.gold.bridge_product WHERE candidates > 1")} == ambiguous


CODES, NAMES = st.sampled_from("ABCD"), st.sampled_from(["Bell", "bell", "Horn", None])


def by_rule(crm, magento, odoo, orders):
    """The products of systems that share codes, worked out by hand: sets of records."""
    product = {
        code: {(s, code) for s, ids in (("crm", crm), ("magento", magento), ("odoo", odoo), ("orders", orders)) if code in ids}
        for code in {*crm, *magento, *odoo, *orders}
    }
    alone = [sorted(set(magento) - set(odoo)), sorted(set(odoo) - set(magento))]
    for name in ("bell", "horn"):
        of_name = [
            [code for code in codes if (side[code] or "").lower() == name]
            for codes, side in zip(alone, (magento, odoo), strict=True)
        ]
        if all(of_name):
            shop, erp = (codes[0] for codes in of_name)
            if not {system for system, _ in product[shop]} & {system for system, _ in product[erp]}:
                product[shop] |= product.pop(erp)
    return sorted(product.values(), key=sorted)


@settings(max_examples=25, deadline=None)
@given(
    crm=st.sets(CODES),
    magento=st.dictionaries(CODES, NAMES),
    odoo=st.dictionaries(CODES | st.sampled_from(["id:1", "id:2"]), NAMES),
    orders=st.sets(CODES),
)
def test_records_are_products_by_the_rule_and_none_is_lost(warehouse, crm, magento, odoo, orders):
    silver = records(
        crm=sorted(crm),
        magento=sorted(magento.items(), key=lambda item: item[0]),
        odoo=[(key, None if ":" in key else key, name) for key, name in odoo.items()],
        orders=sorted(orders),
    )
    sql = warehouse(**silver)
    products = products_of(sql)
    assert [set(product) for product in products] == by_rule(crm, magento, odoo, orders)
    assert all(product[min(product)] == "itself" for product in products)
    assert sql("SELECT count(*) FROM run.gold.dim_product WHERE product_key <> -1") == [(len(products),)]


def test_versions_of_the_crm_hold_what_the_shop_says_beside_what_they_say(warehouse):
    versions = [
        {
            "product_id": 1,
            "product_number": "A",
            "product_name": "Old",
            "cost": 5,
            "category_id": "X",
            "start_date": date(2025, 1, 1),
        },
        {
            "product_id": 2,
            "product_number": "A",
            "product_name": "New",
            "cost": 0,
            "category_id": "Y",
            "start_date": date(2026, 1, 1),
        },
    ]
    sql = warehouse(
        crm_products=versions,
        erp_product_categories=[{"category_id": "X", "category": "Parts", "subcategory": "Bells"}],
        magento_products=[
            {"sku": "A", "name": "Bell", "brand": "DING", "price": 9, "currency": "EUR", "category_path": "Default Category/Gear"}
        ],
        odoo_products=[
            {"product_code": "A", "default_code": "A", "standard_price": 4, "currency": "GBP", "product_type": "Consumable"}
        ],
    )
    columns = """product_id, product_name, category, subcategory_id, brand, product_type, current_price::INT, currency,
                 cost::INT, cost_currency"""
    assert sql(f"SELECT {columns}, valid_to FROM run.gold.dim_product WHERE product_key <> -1 ORDER BY valid_from") == [
        ("1", "Old", "Parts", "X", "DING", "Consumable", 9, "EUR", 5, "USD", date(2025, 12, 31)),
        ("2", "New", "Gear", None, "DING", "Consumable", 9, "EUR", 4, "GBP", None),
    ]
    # As before the shop had it: nothing that reads the keys of the CRM's products changes.
    assert sql(
        "SELECT count(DISTINCT item_key), count(*) FILTER (product_key = item_key) FROM run.gold.dim_product WHERE product_key <> -1"
    ) == [(1, 1)]


@pytest.mark.parametrize(
    ("shop", "erp", "price"),
    [
        ({"price": 3}, {"standard_price": 2, "list_price": 4}, 3),
        ({}, {"standard_price": 2, "list_price": 4}, 2),
        ({}, {"standard_price": 0, "list_price": 4}, 4),
        ({}, {"standard_price": 0, "list_price": 0}, 0),
    ],
)
def test_the_price_is_the_shop_s_then_the_cost_then_the_list_price_then_none(warehouse, shop, erp, price):
    sql = warehouse(magento_products=[{"sku": "A", **shop}], odoo_products=[{"product_code": "A", "default_code": "A", **erp}])
    columns = "current_price::INT, product_name, category, brand, product_type, is_active"
    assert sql(f"SELECT {columns} FROM run.gold.dim_product WHERE product_key <> -1") == [
        (price, "Unknown", "Uncategorized", "Uncategorized", "Stockable", True)
    ]


TREE = [
    {"category_id": number, "path": path, "name": name}
    for number, path, name in [(1, "1", "Root"), (2, "1/2", "Shop"), (7, "1/2/7", "Gear"), (8, "1/2/7/8", "Bags")]
]


@pytest.mark.parametrize(
    ("product", "placed"),
    [
        ({"category_path": "Shop/Gear/Bags"}, ("7", "Gear", "8", "Bags")),
        ({"category_id": 8}, ("7", "Gear", "8", "Bags")),
        ({"category_id": 7}, ("7", "Gear", None, None)),
        ({"category_path": "Shop/Gear/Sacks"}, ("7", "Gear", None, "Sacks")),
        ({"category_path": "Shop"}, (None, "Uncategorized", None, None)),
        ({"category_id": 99}, (None, "Uncategorized", None, None)),
    ],
)
def test_a_category_of_the_shop_is_known_by_its_number_and_by_its_path(warehouse, product, placed):
    sql = warehouse(magento_products=[{"sku": "A", **product}], magento_categories=TREE)
    assert sql("SELECT category_id, category, subcategory_id, subcategory FROM run.gold.dim_product WHERE product_key <> -1") == [
        placed
    ]


def test_a_category_of_the_erp_is_below_its_own_top_categories(warehouse):
    paths = ["All / Saleable / Gear / Bags", "All / Services", "All", "Uncategorized", "Allsorts / Red"]
    sql = warehouse(odoo_products=[{"product_code": str(n), "category_path": path} for n, path in enumerate(paths)])
    assert sql("SELECT category, subcategory FROM run.gold.dim_product WHERE product_key <> -1 ORDER BY product_code") == [
        ("Gear", "Bags"),
        ("Services", None),
        ("Uncategorized", None),
        ("Uncategorized", None),
        ("Allsorts", "Red"),
    ]


def test_a_stock_code_has_the_name_and_price_of_its_latest_sale(warehouse):
    line = {"stock_code": "85123A", "line_kind": "product", "transaction_type": "sale", "unit_price": 2, "currency": "GBP"}
    lines = [
        line | {"line_id": "1", "description": "WHITE MUG", "invoiced_at": MOMENT.replace(day=1)},
        line | {"line_id": "2", "description": "WHITE  MUG", "unit_price": 3, "invoiced_at": MOMENT.replace(day=2)},
        line
        | {"line_id": "3", "description": "damaged", "transaction_type": "adjustment", "unit_price": 0, "invoiced_at": MOMENT},
        line | {"line_id": "4", "description": None, "unit_price": 4, "invoiced_at": MOMENT.replace(day=3)},
        line | {"line_id": "6", "description": "of no day", "unit_price": 5},
        line | {"line_id": "5", "stock_code": "POST", "description": "POSTAGE", "line_kind": "postage"},
    ]
    sql = warehouse(retail_transactions=lines)
    columns = "product_number, product_name, category, product_type, current_price::INT"
    assert sql(f"SELECT {columns} FROM run.gold.dim_product WHERE product_key <> -1 ORDER BY 1") == [
        ("85123A", "WHITE  MUG", "Uncategorized", "Stockable", 4),
        ("POST", "POSTAGE", "postage", "Service", 2),
    ]


CHANGES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 23), st.integers(1, 3)), max_size=5, unique_by=lambda change: change[:2]
)


@settings(max_examples=30, deadline=None)
@given(changes=CHANGES, starts=st.lists(st.none() | st.integers(0, 6), max_size=4))
def test_a_day_has_the_shop_s_price_and_the_crm_s_version_of_that_day(warehouse, changes, starts):
    first = date(2026, 1, 1)
    moments = sorted((datetime(2026, 1, 1 + day, hour, tzinfo=UTC), price) for day, hour, price in changes)
    sql = warehouse(
        magento_products=[{"sku": "A", "price": 9, "currency": "USD"}],
        magento_product_versions=[{"sku": "A", "price": price, "currency": "USD", "valid_from": at} for at, price in moments],
        crm_products=[
            {"product_id": n, "product_number": "A", "start_date": None if day is None else first + timedelta(day)}
            for n, day in enumerate(starts, 1)
        ],
    )
    rows = sql(
        """SELECT valid_from, coalesce(valid_to, DATE '9999-12-31'), current_price::INT, product_id, product_key = item_key, is_current
           FROM run.gold.dim_product WHERE product_key <> -1"""
    )
    assert sql("SELECT count(*) - count(DISTINCT product_key) FROM run.gold.dim_product") == [(0,)]
    assert [sum(row[4] for row in rows), sum(row[5] for row in rows)] == [1, 1]
    crm = sorted((date(1990, 1, 1) if day is None else first + timedelta(day), n) for n, day in enumerate(starts, 1))
    for day in (first + timedelta(n) for n in range(8)):
        result = [row for row in rows if row[0] <= day <= row[1]]
        assert len(result) == (not crm or crm[0][0] <= day)
        for _, _, price, product_id, _, _ in result:
            # Before its first change, the shop's product was as it was then.
            known = (
                [p for at, p in moments if at.date() <= day] or [p for _, p in moments if _.date() == moments[0][0].date()] or [9]
            )
            assert price == known[-1]
            assert product_id == ([str(n) for start, n in crm if start <= day] or ["A"])[-1]


def test_brand_and_category_of_a_version_are_those_of_its_time(warehouse):
    state = {"sku": "A", "price": 1, "currency": "USD"}
    sql = warehouse(
        magento_products=[{"sku": "A", "price": 1, "brand": "NEW", "category_id": 8}],
        magento_categories=TREE,
        magento_product_versions=[
            state | {"category_path": "Shop/Gear", "valid_from": None},
            state | {"category_id": 7, "valid_from": datetime(2026, 1, 2, tzinfo=UTC)},  # the same, by its number
            state | {"category_id": 8, "brand": "OLD", "valid_from": datetime(2026, 1, 3, tzinfo=UTC)},
            state | {"category_path": "Shop/Gear/Bags", "brand": "NEW", "valid_from": datetime(2026, 1, 4, tzinfo=UTC)},
        ],
    )
    assert sql(
        "SELECT valid_from, brand, category, subcategory FROM run.gold.dim_product WHERE product_key <> -1 ORDER BY 1"
    ) == [
        (date(1990, 1, 1), "Uncategorized", "Gear", None),
        (date(2026, 1, 3), "OLD", "Gear", "Bags"),
        (date(2026, 1, 4), "NEW", "Gear", "Bags"),
    ]
