"""Each cleaning rule of the ERP of warehouses, on a row or two; and its dialects."""

import json
from datetime import date, datetime
from decimal import Decimal

import pytest

from lakehouse_assets.systems import odoo


def product(**given):
    return {"id": "31", "name": "bell", "default_code": "BELL-2", "category": "All / Parts", "list_price": "5.0", **given}


def quant(**given):
    usual = {"id": "9", "product_id": "31", "product": "[BELL-2] Bell", "location": "WH/Stock/Shelf 1", "quantity": "7.0"}
    return usual | {"reserved_quantity": "2.0", "lot": "false"} | given


def move(**given):
    usual = {"id": "5", "product_id": "31", "product": "[BELL-2] Bell", "product_uom_qty": "4.0", "state": "done"}
    usual |= {"from_location": "WH/Stock", "to_location": "Partners/Customers", "date": "2026-01-12 10:00:00"}
    return usual | given


def sale(**given):
    usual = {"id": "42", "name": "S00042", "state": "sale", "amount_untaxed": "10.0", "amount_tax": "0.8", "amount_total": "10.8"}
    return usual | {"date_order": "2026-01-12 10:00:00", "currency": "false"} | given


class TestProducts:
    @pytest.mark.parametrize(
        ("given", "code", "name"),
        [
            ({}, "BELL-2", "Bell"),
            ({"default_code": " BELL\u20112 ", "name": "fast\u2011BELL xl"}, "BELL-2", "Fast-bell Xl"),
            ({"default_code": "false", "name": "Fitting  by Hand"}, "id:31", "Fitting  By Hand"),
            ({"default_code": None, "name": "Été", "id": "false"}, "name:été", "Été"),
            ({"default_code": None, "name": "Été", "id": "stock.item_7"}, "id:stock.item_7", "Été"),
            ({"name": "false"}, "BELL-2", None),
        ],
    )
    def test_a_product_goes_by_its_reference_or_else_by_its_number_or_name(self, clean, given, code, name):
        [row] = clean(odoo.PRODUCTS, product(**given))
        assert (row["product_code"], row["product_name"], row["_verdict"]) == (code, name, "ok")
        broken = {"default_code_present": row["default_code"] is None, "product_name_present": name is None}
        assert row["_broken_rules"] == (",".join(rule for rule, is_broken in broken.items() if is_broken) or None)

    def test_variants_of_one_name_without_a_reference_are_products_of_their_own(self, clean):
        rows = clean(
            odoo.PRODUCTS,
            product(default_code="false", write_date="2026-01-06 00:00:00"),
            product(default_code="false", write_date="2026-01-07 00:00:00", id="32"),
            product(default_code="false", write_date="2026-01-08 00:00:00", id="32", name="bell, renamed"),
        )
        assert [(row["product_code"], row["_verdict"]) for row in rows] == [
            ("id:31", "ok"),
            ("id:32", "superseded"),
            ("id:32", "ok"),
        ]

    def test_a_product_with_none_of_them_is_dropped(self, clean):
        [row] = clean(odoo.PRODUCTS, product(id="", name="", default_code="false"))
        assert (row["_verdict"], row["_broken_rules"].split(",")[0]) == ("dropped", "product_code_present")

    @pytest.mark.parametrize("nothing", [None, "", "false"])
    def test_what_is_missing_is_uncategorized_or_nought(self, clean, nothing):
        [row] = clean(odoo.PRODUCTS, product(category=nothing, list_price=nothing, standard_price=nothing, barcode=nothing))
        assert (row["category"], row["category_path"]) == ("Uncategorized", "Uncategorized")
        assert (row["list_price"], row["standard_price"], row["barcode"], row["_verdict"]) == (0, 0, None, "ok")

    def test_the_category_is_the_last_name_of_the_path(self, clean):
        [row] = clean(odoo.PRODUCTS, product(category="All / Saleable / Audio/Video"))
        assert (row["category"], row["category_path"]) == ("Audio/Video", "All / Saleable / Audio/Video")

    @pytest.mark.parametrize(
        ("kind", "word"),
        [("product", "Stockable"), ("consu", "Consumable"), ("service", "Service"), (None, "n/a"), ("kit", "n/a")],
    )
    def test_types_in_words(self, clean, kind, word):
        [row] = clean(odoo.PRODUCTS, product(type=kind))
        assert row["product_type"] == word

    def test_of_a_repeated_reference_the_last_changed_stays(self, clean):
        rows = clean(
            odoo.PRODUCTS,
            product(write_date="2026-01-06 00:00:00"),
            product(id="32", write_date="2026-01-07 00:00:00", active="false"),
            product(id="stock.item_1", write_date=None),
        )
        assert [row["_verdict"] for row in rows] == ["superseded", "ok", "superseded"]
        assert [row["is_active"] for row in rows] == [True, False, True]

    def test_a_cost_below_nought_is_dropped(self, clean):
        [row] = clean(odoo.PRODUCTS, product(standard_price="-0.01"))
        assert (row["_verdict"], row["_broken_rules"]) == ("dropped", "prices_not_negative")


def test_a_category_is_its_path(clean):
    rows = clean(odoo.CATEGORIES, *({"id": "1", "complete_name": path} for path in ("All", " All / Parts", "All / Parts / A/B")))
    assert [(row["category_path"], row["category"], row["parent_path"], row["level"]) for row in rows] == [
        ("All", "All", None, 0),
        ("All / Parts", "Parts", "All", 1),
        ("All / Parts / A/B", "A/B", "All / Parts", 2),
    ]


class TestInventory:
    @pytest.mark.parametrize(
        ("location", "warehouse"),
        [
            ("WH/Stock/Shelf 1", "WH"),
            ("EAST/Stock", "EAST"),
            ("Physical Locations / WH / Stock", "WH"),
            ("Partners/Customers", None),
            ("Virtual Locations/Inventory adjustment", None),
            ("Physical Locations/Inter-warehouse transit", None),
            ("false", None),
        ],
    )
    def test_a_warehouse_is_the_first_part_of_the_location(self, clean, location, warehouse):
        [row] = clean(odoo.INVENTORY, quant(location=location), day=date(2026, 1, 12))
        assert (row["warehouse"], row["date"], row["lot"], row["_broken_rules"]) == (warehouse, date(2026, 1, 12), None, None)

    @pytest.mark.parametrize(
        ("shown", "code", "name"),
        [
            ("[BELL-2] Bell [new]", "BELL-2", "Bell [new]"),
            ("[A/1 x]  two  bells", "A/1 x", "Two  Bells"),
            ("Repair", "id:31", "Repair"),
            ("[] Repair", "id:31", "[] Repair"),
        ],
    )
    def test_the_product_is_read_from_its_reference(self, clean, shown, code, name):
        [row] = clean(odoo.INVENTORY, quant(product=shown))
        assert (row["product_id"], row["product_code"], row["product_name"]) == ("31", code, name)

    @pytest.mark.parametrize(
        ("given", "verdict", "broken"),
        [
            ({"quantity": "false"}, "dropped", "quantity_present,quantity_not_negative,reserved_is_there"),
            ({"product_id": "false", "product": None}, "dropped", "product_code_present"),
            ({"quantity": "-3.0", "reserved_quantity": None}, "ok", "quantity_not_negative,reserved_is_there"),
            ({"quantity": "1.0"}, "ok", "reserved_is_there"),
            ({"quantity": "-3.0", "reserved_quantity": "-3", "location": "Partners/Vendors"}, "ok", None),
        ],
    )
    def test_what_is_wrong_is_named(self, clean, given, verdict, broken):
        [row] = clean(odoo.INVENTORY, quant(**given))
        assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)


class TestStockMoves:
    def test_a_move_leaves_a_warehouse_and_reaches_another_or_none(self, clean):
        [out, within] = clean(odoo.STOCK_MOVES, move(), move(id="6", to_location="EAST/Stock", quantity="3.0"))
        assert (out["from_warehouse"], out["to_warehouse"], out["quantity"], out["quantity_asked"]) == ("WH", None, 4, 4)
        assert (within["from_warehouse"], within["to_warehouse"], within["quantity"]) == ("WH", "EAST", 3)
        assert (out["moved_at"], out["updated_at"]) == (datetime(2026, 1, 12, 10), None)

    @pytest.mark.parametrize("state", ["draft", "assigned", "cancel"])
    def test_nothing_has_moved_until_it_is_done(self, clean, state):
        [row] = clean(odoo.STOCK_MOVES, move(state=state, quantity="4.0"))
        assert (row["quantity"], row["quantity_asked"], row["_verdict"]) == (0, 4, "ok")

    def test_a_move_is_as_it_was_last_written(self, clean):
        rows = clean(
            odoo.STOCK_MOVES, move(write_date="2026-01-13 00:00:00"), move(state="assigned", write_date="2026-01-12 00:00:00")
        )
        assert [row["_verdict"] for row in rows] == ["ok", "superseded"]

    def test_a_move_that_is_done_earlier_than_planned_is_done(self, clean):
        planned, done = move(state="assigned", date="2026-01-20 08:00:00"), move(date="2026-01-12 10:00:00", write_date="false")
        rows = clean(odoo.STOCK_MOVES, planned, done)
        assert [(row["_verdict"], row["quantity"]) for row in rows] == [("superseded", 0), ("ok", 4)]

    @pytest.mark.parametrize(
        ("given", "rule"),
        [
            ({"state": "lost"}, "state_known"),
            ({"date": "false"}, "moved_at_present"),
            ({"product": "false", "product_id": "false"}, "product_code_present"),
            ({"product_uom_qty": None}, "quantity_not_negative"),
        ],
    )
    def test_what_is_wrong_is_dropped(self, clean, given, rule):
        [row] = clean(odoo.STOCK_MOVES, move(**given))
        assert (row["_verdict"], rule in row["_broken_rules"].split(",")) == ("dropped", True)


class TestSaleOrders:
    @pytest.mark.parametrize(
        ("given", "verdict", "broken"),
        [
            ({}, "ok", None),
            ({"amount_total": "11.0"}, "ok", "amount_total_is_the_sum"),
            ({"state": "won"}, "dropped", "state_known"),
            ({"date_order": "false"}, "dropped", "ordered_at_present"),
            ({"currency": "Euro"}, "dropped", "currency_is_a_code"),
        ],
    )
    def test_what_is_wrong_is_named(self, clean, given, verdict, broken):
        [row] = clean(odoo.SALE_ORDERS, sale(**given))
        assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)

    def test_an_order_without_a_currency_is_in_dollars(self, clean):
        [row] = clean(odoo.SALE_ORDERS, sale(email="Office@X.com"))
        assert (row["currency"], row["email"], row["amount_total"]) == ("USD", "office@x.com", Decimal("10.8"))

    def test_lines_come_within_their_order(self, clean):
        shown = {"id": 31, "display_name": "[BELL-2] Bell"}
        line = {"id": 1, "product_id": shown, "product_uom_qty": 2.0, "price_unit": 5.0, "discount": 10.0, "price_subtotal": 9.0}
        wrong = ({"product_id": None}, {"product_uom_qty": None}, {"price_unit": False}, {"price_subtotal": 9.5})
        lines = [line, *(line | {"id": number} | given for number, given in enumerate(wrong, start=2))]
        good, *rows = clean(odoo.SALE_ORDER_LINES, sale(lines=json.dumps(lines)))
        assert (good["order_id"], good["product_code"], good["quantity"], good["subtotal"]) == (42, "BELL-2", 2, 9)
        assert (good["_verdict"], good["_broken_rules"], good["updated_at"]) == ("ok", None, datetime(2026, 1, 12, 10))
        assert [(row["_verdict"], row["_broken_rules"].split(",")[0]) for row in rows] == [
            ("dropped", "product_code_present"),
            ("dropped", "quantity_present"),
            ("dropped", "price_present"),
            ("ok", "subtotal_is_quantity_times_price"),
        ]

    @pytest.mark.parametrize(
        ("pieces", "price", "subtotal", "broken"),
        [
            (1, -12.5, -12.5, False),
            (0, 5, 0, False),
            (-2, 5, -10, False),
            (-2, 5, -9.98, False),
            (-2, 5, -9.97, True),
            (0.1, 3.33, 0.33, False),
            (0.1, 3.33, 0.35, True),
            (0, 5, 5, True),
        ],
    )
    def test_discounts_returns_and_canceled_lines_are_good_rows(self, clean, pieces, price, subtotal, broken):
        line = {"id": 1, "product_id": {"id": 31, "display_name": "[BELL-2] Bell"}, "product_uom_qty": pieces}
        line |= {"price_unit": price, "price_subtotal": subtotal}
        [row] = clean(odoo.SALE_ORDER_LINES, sale(lines=json.dumps([line])))
        assert (row["_verdict"], row["quantity"]) == ("ok", Decimal(str(pieces)))
        assert row["_broken_rules"] == ("subtotal_is_quantity_times_price" if broken else None)


def refer(number, name, as_pair):
    return [number, name] if as_pair else {"id": number, "display_name": name}


def answers(as_pair):
    """A record of each feed as `search_read` answers, or as `web_search_read` does."""
    nothing = False if as_pair else None
    bell, stock = refer(31, "[BELL-2] Bell", as_pair), refer(8, "WH/Stock", as_pair)
    product = {
        "id": 31,
        "name": "Bell",
        "default_code": "BELL-2",
        "categ_id": refer(4, "All / Parts", as_pair),
        "barcode": nothing,
    }
    product |= {"type": "consu", "uom_id": refer(1, "Units", as_pair), "list_price": 5.0, "active": True}
    move = {"id": 5, "product_id": bell, "product_uom_qty": 4.0, "quantity": 4.0, "location_id": stock, "state": "done"}
    move |= {"location_dest_id": refer(5, "Partners/Customers", as_pair), "date": "2026-01-12 10:00:00", "origin": nothing}
    sale = {"id": 42, "name": "S00042", "state": "sale", "partner_id": refer(7, "Ann", as_pair), "amount_total": 10.8}
    sale |= {"currency_id": refer(2, "EUR", as_pair), "amount_untaxed": 10.0, "amount_tax": 0.8, "order_line": [1]}
    line = {"id": 1, "product_id": bell, "product_uom_qty": 2.0, "price_unit": 5.0, "price_subtotal": 10.0}
    sale |= {"date_order": "2026-01-12 10:00:00", **({} if as_pair else {"order_line": [line]})}
    return {
        "products": product,
        "inventory": {"id": 9, "product_id": bell, "location_id": stock, "lot_id": nothing, "quantity": 7.0},
        "stock_moves": move,
        "sale_orders": sale,
    }


@pytest.mark.worlds("sail-folder")
def test_both_ways_in_which_odoo_answers_make_the_same_rows(make_lakehouse):
    tables = (odoo.PRODUCTS, odoo.INVENTORY, odoo.STOCK_MOVES, odoo.SALE_ORDERS, odoo.SALE_ORDER_LINES)
    results = []
    for as_pair in (True, False):
        erp = make_lakehouse(*tables)
        for entity, record in answers(as_pair).items():
            text = json.dumps([record] if as_pair else {"length": 1, "records": [record]})
            erp.land(f"odoo/{entity}", "2026-01-12", "a.json", text)
        assert erp.build() == {}
        assert erp.rows("quarantine.rows") == []
        results.append({t.name: erp.rows(f"silver.{t.name}", ", ".join(t.contract.column_names)) for t in tables})
    pairs, records = results
    assert (pairs.pop("odoo_sale_order_lines"), len(records.pop("odoo_sale_order_lines"))) == ([], 1)
    assert {name: len(rows) for name, rows in pairs.items()} == dict.fromkeys(pairs, 1)
    assert pairs == records
