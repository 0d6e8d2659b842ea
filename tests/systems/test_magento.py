"""Each cleaning rule of the web shop, on a row or two; and its three ways into one table."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from lakehouse_assets.contracts.system import Input
from lakehouse_assets.systems import magento

CHANGES = "magento_orders_cdc"


def product(**given):
    usual = {"sku": "BELL-2", "name": "Bell", "product_type": "simple", "price": "12.50", "updated_at": "1/5/26, 2:05 PM"}
    return usual | given


def order(**given):
    usual = {"entity_id": "7", "increment_id": "000000007", "state": "new", "status": "pending", "order_currency_code": "EUR"}
    usual |= {"subtotal": "10.0000", "discount_amount": "-1.0000", "shipping_amount": "5.0000", "tax_amount": "1.2000"}
    usual |= {
        "grand_total": "15.2000",
        "base_grand_total": "16.52",
        "customer_email": "Ann@Example.com",
        "customer_is_guest": "0",
    }
    return usual | {"created_at": "2026-01-05 10:00:00", "updated_at": "2026-01-05 11:00:00"} | given


def item(**given):
    usual = {"item_id": "31", "order_id": "7", "product_type": "simple", "sku": "BELL-2", "name": "bell", "qty_ordered": "2.0000"}
    return usual | {"price": "5.0000", "row_total": "10.0000", "updated_at": "2026-01-05 10:00:00"} | given


def event(op, row, *, at=datetime(2026, 1, 6, tzinfo=UTC), pos=4, before=None):
    source = {"connector": "mysql", "ts_ms": int(at.timestamp() * 1000), "file": "bin.000003", "pos": pos, "row": 0}
    return {
        "op": op,
        "before": json.dumps(before) if before else None,
        "after": json.dumps(row) if row else None,
        "source": json.dumps(source),
        "ts_ms": "1767657600000",
    }


class TestProducts:
    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("  ridge BELL xl", "Ridge Bell Xl"),
            ("Saddle\u2011bag", "Saddle-bag"),
            ("T-SHIRT o'neill", "T-shirt O'neill"),
            ("été  léger", "Été  Léger"),
        ],
    )
    def test_a_name_has_initial_capitals(self, clean, given, name):
        [row] = clean(magento.PRODUCTS, product(name=given))
        assert (row["name"], row["_verdict"]) == (name, "ok")

    @pytest.mark.parametrize(
        ("attributes", "brand"),
        [
            ("has_options=0,brand=Norrsken,color=Red", "NORRSKEN"),
            ("brand=Straße", "STRASSE"),
            ('has_options=0,"brand=Bell, ""Sons"" & Co",color=Red', 'BELL, "SONS" & CO'),
            ("has_options=0,own_brand=no", None),
            (None, None),
            ('[{"attribute_code":"color","value":"Red"},{"attribute_code":"brand","value":"Norrsken"}]', "NORRSKEN"),
            ("[]", None),
            ('"note=see,brand=Other",brand=Bell', "BELL"),
            ('color=Red,"note=no,brand=Other,",size=M', None),
            ('"note=a ""b"",brand=Other","size=S,M",brand=Bell,x=1', "BELL"),
            ('[{"attribute_code":"note","value":"see,brand=Other"}]', None),
        ],
    )
    def test_the_brand_is_an_attribute_and_in_capitals(self, clean, attributes, brand):
        [row] = clean(magento.PRODUCTS, product(additional_attributes=attributes))
        assert row["brand"] == brand
        assert row["_broken_rules"] == (None if brand else "brand_present")

    @pytest.mark.parametrize("price", ["0", "0.00", None, "", "-1", "12,50"])
    def test_a_price_is_above_nought(self, clean, price):
        [row] = clean(magento.PRODUCTS, product(price=price))
        assert (row["_verdict"], "price_positive" in row["_broken_rules"]) == ("dropped", True)

    def test_of_a_sku_the_last_changed_row_stays(self, clean):
        rows = clean(
            magento.PRODUCTS,
            product(price="1"),
            product(price="2", updated_at="2026-01-06 00:00:00"),
            product(price="3", updated_at=None),
            product(price="0", updated_at="2026-01-07 00:00:00"),
        )
        assert [row["_verdict"] for row in rows] == ["superseded", "ok", "superseded", "dropped"]

    def test_a_row_of_a_store_view_is_not_the_product(self, clean):
        [row] = clean(magento.PRODUCTS, product(store_view_code="de", updated_at="2026-02-01 00:00:00"))
        assert (row["_verdict"], row["_broken_rules"].split(",")[0]) == ("dropped", "row_of_all_store_views")

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("1/5/26, 2:05 PM", datetime(2026, 1, 5, 14, 5)),
            ("12/31/25, 12:00 AM", datetime(2025, 12, 31)),
            ("12/31/25, 12:30 PM", datetime(2025, 12, 31, 12, 30)),
            ("1/5/26, 2:05\u202fPM", datetime(2026, 1, 5, 14, 5)),
            ("2026-01-05 14:05:09", datetime(2026, 1, 5, 14, 5, 9)),
            (None, None),
        ],
    )
    def test_moments_of_an_export_and_of_the_api(self, clean, text, moment):
        [row] = clean(magento.PRODUCTS, product(updated_at=text))
        assert row["updated_at"] == moment

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("1/5/26, 2:05 PM", datetime(2026, 1, 5, 19, 5)),
            ("7/5/26, 9:05 PM", datetime(2026, 7, 6, 1, 5)),
            ("2026-01-05 14:05:09", datetime(2026, 1, 5, 14, 5, 9)),
            ("2026-01-05T14:05:09Z", datetime(2026, 1, 5, 14, 5, 9)),
        ],
    )
    def test_an_export_is_in_the_zone_of_the_shop_and_the_api_in_utc(self, clean, text, moment):
        feed = replace(magento.PRODUCTS_FEED, zone="America/New_York")
        contract = replace(magento.PRODUCTS.contract, table="magento_products_of_new_york")
        in_new_york = replace(magento.PRODUCTS, contract=contract, inputs=(Input(feed, magento.clean_products),))
        [row] = clean(in_new_york, product(updated_at=text))
        assert (row["updated_at"], row["_verdict"]) == (moment, "ok")

    def test_within_a_minute_a_page_is_later_than_an_export(self, clean):
        rows = clean(magento.PRODUCTS, product(updated_at="2026-01-05 14:05:09"), product(updated_at="1/5/26, 2:05 PM"))
        assert [row["_verdict"] for row in rows] == ["ok", "superseded"]

    def test_a_moment_that_is_none_is_refused(self, clean):
        [row] = clean(magento.PRODUCTS, product(updated_at="2/30/26, 2:05 PM"))
        assert (row["_verdict"], row["updated_at"]) == ("dropped", None)

    def test_category_visibility_and_flags(self, clean):
        paths = "Default Category/Gear/Bags,Default Category/Sale"
        [row] = clean(magento.PRODUCTS, product(categories=paths, visibility="4", product_online="2", is_in_stock="1"))
        assert (row["category_path"], row["visibility"], row["is_active"]) == (
            "Default Category/Gear/Bags",
            "Catalog, Search",
            False,
        )
        assert (row["is_in_stock"], row["currency"], row["category_id"]) == (True, "USD", None)
        [row] = clean(magento.PRODUCTS, product(category_links='[{"position":0,"category_id":"8"},{"category_id":"9"}]'))
        assert (row["category_id"], row["category_path"], row["visibility"]) == (8, None, "n/a")

    def test_a_reduced_price_that_is_none_is_counted(self, clean):
        [row] = clean(magento.PRODUCTS, product(special_price="12.50", additional_attributes="brand=A"))
        assert (row["_verdict"], row["_broken_rules"]) == ("ok", "special_price_below_price")


def test_a_category_knows_its_path(clean):
    [good, bad] = clean(
        magento.CATEGORIES,
        {"entity_id": "20", "parent_id": "2", "name": "Bags", "path": "1/2/20", "level": "2", "is_active": "0"},
        {"entity_id": "21", "parent_id": "2", "name": "Locks", "path": "1/2/20", "level": "2", "is_active": None},
    )
    assert (good["is_active"], good["level"], good["_broken_rules"]) == (False, 2, None)
    assert (bad["is_active"], bad["_broken_rules"]) == (True, "path_ends_in_category_id")


class TestCustomers:
    def test_words_and_letters(self, clean):
        [row] = clean(
            magento.CUSTOMERS,
            {"entity_id": "1", "email": " Ann@X.org", "group_id": "2", "gender": "2", "dob": "1980-05-01", "country_id": "us"},
            feed="magento_customers",
        )
        assert (row["email"], row["customer_group"], row["gender"], row["birth_date"], row["country"], row["is_active"]) == (
            *("ann@x.org", "Wholesale", "Female", date(1980, 5, 1)),
            *("US", True),
        )
        assert (row["_verdict"], row["_broken_rules"], row["log_position"]) == ("ok", None, None)

    @pytest.mark.parametrize(
        ("addresses", "country"),
        [
            ('[{"country_id":"NL"},{"country_id":"DE","default_billing":true}]', "DE"),
            ('[{"country_id":"NL"},{"country_id":"DE"}]', "NL"),
            ("[]", None),
            (None, None),
        ],
    )
    def test_the_country_is_that_of_the_billing_address(self, clean, addresses, country):
        [row] = clean(magento.CUSTOMERS, {"entity_id": "1", "email": "a@b", "addresses": addresses}, feed="magento_customers")
        assert (row["country"], row["_broken_rules"]) == (country, None if country else "country_present")

    def test_a_change_has_days_since_1970_and_a_delete_its_key_alone(self, clean):
        row = {"entity_id": 1, "email": "A@b", "dob": 3773, "is_active": 0, "gender": 1, "updated_at": "2026-01-05T10:00:00Z"}
        [changed, gone] = clean(
            magento.CUSTOMERS,
            event("u", row | {"country_id": "FR"}, before=row),
            event("d", None, before={"entity_id": 1}, pos=9),
            feed="magento_customers_cdc",
        )
        assert (changed["birth_date"], changed["is_active"], changed["gender"], changed["country"]) == (
            date(1980, 5, 1),
            False,
            "Male",
            "FR",
        )
        assert (changed["_verdict"], gone["_verdict"], gone["updated_at"]) == ("superseded", "superseded", datetime(2026, 1, 6))


class TestOrders:
    def test_a_good_order(self, clean):
        [row] = clean(magento.ORDERS, order(), feed="magento_orders")
        assert (row["_verdict"], row["_broken_rules"]) == ("ok", None)
        assert (row["email"], row["currency"], row["base_currency"], row["is_guest"]) == ("ann@example.com", "EUR", "USD", False)
        assert (row["grand_total"], row["total_paid"], row["total_refunded"]) == (Decimal("15.2"), 0, 0)

    @pytest.mark.parametrize(("given", "currency"), [(None, "USD"), ("", "USD"), ("gbp", "GBP")])
    def test_an_order_without_a_currency_is_in_the_shop_s(self, clean, given, currency):
        [row] = clean(magento.ORDERS, order(order_currency_code=given), feed="magento_orders")
        assert (row["currency"], row["_verdict"]) == (currency, "ok")

    @pytest.mark.parametrize(
        ("given", "verdict", "rule"),
        [
            ({"state": "on_its_way"}, "ok", "state_known"),
            ({"grand_total": "15.30"}, "ok", "grand_total_is_the_sum"),
            ({"state": "complete", "total_paid": "15.19"}, "ok", "paid_in_full_when_complete"),
            ({"customer_email": "nobody"}, "ok", "email_has_at"),
            ({"grand_total": "-15.20"}, "dropped", "grand_total_not_negative"),
            ({"grand_total": None}, "dropped", "grand_total_not_negative"),
            ({"created_at": None}, "dropped", "created_at_present"),
            ({"order_currency_code": "Euro"}, "dropped", "currency_is_a_code"),
            ({"subtotal": "10,00"}, "dropped", "subtotal_is_decimal_16_4"),
        ],
    )
    def test_what_is_wrong_is_named(self, clean, given, verdict, rule):
        [row] = clean(magento.ORDERS, order(**given), feed="magento_orders")
        assert row["_verdict"] == verdict
        assert rule in row["_broken_rules"].split(",")

    def test_the_life_of_an_order_ends_where_it_was_last_changed(self, clean):
        rows = clean(
            magento.ORDERS,
            order(state="processing", updated_at="2026-01-06 09:00:00"),
            order(state="complete", total_paid="15.20", updated_at="2026-01-08 09:00:00"),
            order(),
            feed="magento_orders",
        )
        assert [row["_verdict"] for row in rows] == ["superseded", "ok", "superseded"]

    def test_two_changes_within_a_second_go_by_the_log(self, clean):
        row = {"entity_id": 7, "grand_total": "1", "created_at": "2026-01-05T10:00:00Z", "updated_at": "2026-01-05T11:00:00Z"}
        rows = clean(magento.ORDERS, event("u", row, pos=11), event("c", row, pos=4), feed=CHANGES)
        assert [row["_verdict"] for row in rows] == ["ok", "superseded"]

    def test_a_delete_counts_from_when_it_was_committed(self, clean):
        row = {"entity_id": 7, "grand_total": "1", "created_at": "2026-01-05T10:00:00Z", "updated_at": "2026-01-05T11:00:00Z"}
        again = row | {"updated_at": "2026-01-06T00:00:01Z"}
        rows = clean(magento.ORDERS, event("d", None, before=row, pos=9), event("u", row, pos=10), feed=CHANGES)
        assert [row["_verdict"] for row in rows] == ["superseded", "superseded"]
        rows = clean(magento.ORDERS, event("d", None, before=row, pos=9), event("c", again, pos=10), feed=CHANGES)
        assert [row["_verdict"] for row in rows] == ["superseded", "ok"]

    def test_a_truncate_is_no_order(self, clean):
        [row] = clean(magento.ORDERS, event("t", None), feed=CHANGES)
        assert (row["_verdict"], "op_changes_a_row" in row["_broken_rules"]) == ("dropped", True)


class TestOrderItems:
    def test_a_file_of_their_own_and_the_lines_of_an_order_are_the_same_rows(self, clean):
        own = clean(magento.ORDER_ITEMS, item(), item(item_id="32", parent_item_id="31"), feed="magento_order_items")
        lines = [
            item(qty_ordered=2, price=5, row_total=10.0, parent_item_id=None),
            {k: v for k, v in item(item_id=32, parent_item_id=31).items() if k not in ("order_id", "updated_at")},
        ]
        given = order(items=json.dumps(lines), entity_id="7", updated_at="2026-01-05 10:00:00")
        nested = clean(magento.ORDER_ITEMS, given, feed="magento_orders")
        columns = magento.ORDER_ITEMS.contract.column_names
        assert [[row[c] for c in columns] for row in own] == [[row[c] for c in columns] for row in nested]
        assert [(row["_verdict"], row["parent_item_id"], row["quantity"]) for row in own] == [("ok", None, 2), ("ok", 31, 2)]

    @pytest.mark.parametrize(
        ("given", "verdict", "rule"),
        [
            ({"sku": " "}, "dropped", "sku_present"),
            ({"qty_ordered": "0"}, "dropped", "quantity_positive"),
            ({"price": "-1"}, "dropped", "price_not_negative"),
            ({"price": None}, "dropped", "price_not_negative"),
            ({"row_total": "10.03"}, "ok", "row_total_is_quantity_times_price"),
            ({"item_id": None}, "dropped", "item_id_present"),
        ],
    )
    def test_what_is_wrong_is_named(self, clean, given, verdict, rule):
        [row] = clean(magento.ORDER_ITEMS, item(**given), feed="magento_order_items")
        assert (row["_verdict"], rule in row["_broken_rules"].split(",")) == (verdict, True)

    def test_a_line_waits_for_its_order(self):
        assert [r.to_table for r in magento.ORDER_ITEMS.contract.waits_for] == ["magento_orders"]


def test_stock_is_by_landing_date_source_and_sku(clean):
    rows = clean(
        magento.INVENTORY,
        {"source_code": " Main", "sku": "A\u20111", "quantity": "4.0000", "status": "1"},
        {"source_code": "main", "sku": "A-1", "quantity": "3", "status": "0"},
        {"source_code": "east", "sku": "A-1", "quantity": "-2", "status": "0"},
        {"source_code": "west", "sku": "A-1", "quantity": None, "status": "0"},
        day=date(2026, 1, 12),
    )
    assert [(row["_verdict"], row["quantity"], row["date"]) for row in rows] == [
        ("superseded", 4, date(2026, 1, 12)),
        ("ok", 3, date(2026, 1, 12)),
        ("ok", -2, date(2026, 1, 12)),
        ("dropped", None, date(2026, 1, 12)),
    ]
    assert [row["_broken_rules"] for row in rows] == [
        None,
        None,
        "quantity_not_negative",
        "quantity_present,quantity_not_negative",
    ]


RECORD = {
    "entity_id": 7,
    "increment_id": "000000007",
    "state": "complete",
    "status": "complete",
    "store_id": 1,
    "customer_id": 3,
    "customer_email": "Ann@example.com",
    "customer_is_guest": 0,
    "order_currency_code": "EUR",
    "base_currency_code": "USD",
    "subtotal": 49.9,
    "discount_amount": 0,
    "shipping_amount": 5,
    "tax_amount": 4.39,
    "grand_total": 59.29,
    "base_grand_total": 64.45,
    "total_paid": 59.29,
    "total_qty_ordered": 2,
    "created_at": "2026-01-05 10:00:00",
    "updated_at": "2026-01-07 11:00:00",
}
PERSON = {
    "group_id": 1,
    "email": "Ann@example.com",
    "firstname": "Ann",
    "lastname": "Bell",
    "gender": 2,
    "dob": "1980-05-01",
    "created_at": "2026-01-02 08:00:00",
    "updated_at": "2026-01-03 08:00:00",
}
ITEM = {"item_id": 31, "order_id": 7, "product_type": "simple", "sku": "BELL-2", "name": "Bell", "qty_ordered": 2, "price": 24.95}
ITEM |= {"base_price": 27.12, "row_total": 49.9, "base_row_total": 54.24, "tax_amount": 4.39, "updated_at": "2026-01-07 11:00:00"}
TAGS = {"brand": "Norrsken", "color": "Rust", "size": "M"}


def csv_of(feed, row):
    names = [c.name for c in feed.columns if c.name in row or c.required]
    return ",".join(names) + "\n" + ",".join(str(row.get(name, "")) for name in names) + "\n"


def page_of(row):
    return json.dumps({"items": [row], "search_criteria": {"current_page": 1}, "total_count": 1})


def change_of(row, table):
    moments = {name: row[name].replace(" ", "T") + "Z" for name in ("created_at", "updated_at")}
    decimals = {name: f"{value:.4f}" for name, value in row.items() if isinstance(value, float)}
    source = {"connector": "mysql", "table": table, "ts_ms": 1767783600000, "file": "bin.000003", "pos": 4, "row": 0}
    return (
        json.dumps({"before": None, "after": row | moments | decimals, "source": source, "op": "c", "ts_ms": 1767783600100})
        + "\n"
    )


def by_exports(land):
    beside = {"country_id": "DE", "payment_method": "checkmo"}
    land("magento/orders", "o.csv", csv_of(magento.ORDERS_FEED, RECORD | beside))
    land("magento/customers", "c.csv", csv_of(magento.CUSTOMERS_FEED, PERSON | {"entity_id": 3, "country_id": "DE"}))
    land("magento/order_items", "i.csv", csv_of(magento.ORDER_ITEMS_FEED, ITEM))
    tags = f'"{",".join(f"{k}={v}" for k, v in TAGS.items())}"'
    moments = {"created_at": '"1/2/26, 8:00 AM"', "updated_at": '"1/3/26, 5:30 PM"'}
    row = {"sku": "BELL-2", "name": "Bell", "product_type": "simple", "price": "24.95", "product_online": "1", "qty": "4.0000"}
    row |= {"visibility": '"Catalog, Search"', "description": '"<p>Loud.</p>\n<ul>\n<li>Red</li></ul>"', "is_in_stock": "1"}
    land("magento/products", "p.csv", csv_of(magento.PRODUCTS_FEED, row | {"additional_attributes": tags} | moments))


def by_the_api(land):
    billing = {"billing_address": {"country_id": "DE", "city": "Ulm"}, "payment": {"method": "checkmo"}}
    land("magento/orders", "o.json", page_of(RECORD | billing | {"items": [ITEM]}))
    addresses = {"addresses": [{"country_id": "NL"}, {"country_id": "DE", "default_billing": True}]}
    land("magento/customers", "c.json", page_of(PERSON | {"id": 3} | addresses))
    more = TAGS | {"description": "<p>Loud.</p>\n<ul>\n<li>Red</li></ul>"}
    stock = {"stock_item": {"qty": 4, "is_in_stock": True}}
    row = {"id": 12, "sku": "BELL-2", "name": "Bell", "type_id": "simple", "price": 24.95, "status": 1, "visibility": 4}
    row |= {"custom_attributes": [{"attribute_code": k, "value": v} for k, v in more.items()], "extension_attributes": stock}
    land("magento/products", "p.json", page_of(row | {"created_at": "2026-01-02 08:00:00", "updated_at": "2026-01-03 17:30:00"}))


def by_changes(land):
    land("magento/orders_cdc", "o.jsonl", change_of(RECORD | {"country_id": "DE", "payment_method": "checkmo"}, "sales_order"))
    row = PERSON | {"entity_id": 3, "is_active": 1, "country_id": "DE", "dob": 3773}
    land("magento/customers_cdc", "c.jsonl", change_of(row, "customer_entity"))
    land("magento/order_items", "i.csv", csv_of(magento.ORDER_ITEMS_FEED, ITEM))


@pytest.mark.worlds("sail-folder")
def test_exports_the_api_and_change_events_make_the_same_rows(make_lakehouse):
    tables = (magento.CUSTOMERS, magento.ORDERS, magento.ORDER_ITEMS, magento.PRODUCTS)
    results = []
    for way in (by_exports, by_the_api, by_changes):
        shop = make_lakehouse(*tables)
        way(lambda feed, name, text, shop=shop: shop.land(feed, "2026-01-12", name, text))
        assert shop.build() == {}
        assert shop.rows("quarantine.rows", "*") == []
        results.append(
            {
                table.name: shop.rows(
                    f"silver.{table.name}", ", ".join(set(table.contract.column_names) - {"log_position", "product_id"})
                )
                for table in tables
                if shop.records("silver", table.name)
            }
        )
    exports, api, changes = results
    assert {name: len(rows) for name, rows in exports.items()} == {table.name: 1 for table in tables}
    assert api == exports
    assert changes == {name: rows for name, rows in exports.items() if name != "magento_products"}
    assert exports["magento_orders"][0]["country"] == exports["magento_customers"][0]["country"] == "DE"
