"""Each cleaning rule of the CRM, on a row or two."""

from datetime import date
from decimal import Decimal
from itertools import product as product_of

import pytest

from lakehouse_assets.systems import crm


def customer(**given):
    return {"cst_id": "11000", "cst_key": "AW00011000", "cst_create_date": "2025-10-06", **given}


def sale(**given):
    usual = {"sls_ord_num": "SO1", "sls_prd_key": "P1", "sls_cust_id": "1", "sls_order_dt": "20101229"}
    usual |= {"sls_ship_dt": "20110105", "sls_due_dt": "20110110"}
    return usual | {"sls_sales": "20", "sls_quantity": "2", "sls_price": "10"} | given


def product(**given):
    usual = {"prd_id": "210", "prd_key": "CO-RF-FR-R92B-58", "prd_nm": "Frame", "prd_cost": "12", "prd_line": "R "}
    return usual | {"prd_start_dt": "2011-07-01", "prd_end_dt": None} | given


class TestCustomers:
    def test_names_are_trimmed(self, clean):
        [row] = clean(crm.CUSTOMERS, customer(cst_firstname=" Jon", cst_lastname="Yang  "))
        assert (row["first_name"], row["last_name"]) == ("Jon", "Yang")

    @pytest.mark.parametrize(
        ("code", "word"), [("S", "Single"), ("M", "Married"), (" m ", "Married"), (None, "n/a"), ("X", "n/a")]
    )
    def test_marital_status_in_words(self, clean, code, word):
        [row] = clean(crm.CUSTOMERS, customer(cst_marital_status=code))
        assert row["marital_status"] == word

    @pytest.mark.parametrize(("code", "word"), [("F", "Female"), ("M", "Male"), ("f", "Female"), (None, "n/a"), ("?", "n/a")])
    def test_gender_in_words(self, clean, code, word):
        [row] = clean(crm.CUSTOMERS, customer(cst_gndr=code))
        assert row["gender"] == word

    @pytest.mark.parametrize("missing", [None, "", "  "])
    def test_a_row_without_id_is_dropped(self, clean, missing):
        [row] = clean(crm.CUSTOMERS, customer(cst_id=missing))
        assert row["_verdict"] == "dropped"
        assert "customer_id_present" in row["_broken_rules"]

    def test_an_id_that_is_no_number_is_dropped(self, clean):
        [row] = clean(crm.CUSTOMERS, customer(cst_id="A01Ass"))
        assert (row["_verdict"], row["_broken_rules"].split(",")[0]) == ("dropped", "customer_id_is_int")

    def test_the_latest_record_of_an_id_wins(self, clean):
        rows = clean(
            crm.CUSTOMERS,
            customer(cst_create_date="2026-01-25"),
            customer(cst_create_date="2026-01-27"),
            customer(cst_create_date=None),
        )
        assert [r["_verdict"] for r in rows] == ["superseded", "ok", "superseded"]

    def test_of_equal_records_the_later_row_wins(self, clean):
        assert [r["_verdict"] for r in clean(crm.CUSTOMERS, customer(), customer())] == ["superseded", "ok"]


class TestProducts:
    def test_the_key_is_split(self, clean):
        [row] = clean(crm.PRODUCTS, product())
        assert (row["category_id"], row["product_number"]) == ("CO_RF", "FR-R92B-58")

    def test_a_missing_cost_is_nought_and_counted(self, clean):
        [row] = clean(crm.PRODUCTS, product(prd_cost=None))
        assert (row["cost"], row["_verdict"], row["_broken_rules"]) == (Decimal("0.00"), "ok", "cost_present")

    @pytest.mark.parametrize(
        ("code", "line"),
        [("M ", "Mountain"), ("R ", "Road"), ("S ", "Other Sales"), ("T", "Touring"), (None, "n/a"), ("Z", "n/a")],
    )
    def test_the_line_in_words(self, clean, code, line):
        [row] = clean(crm.PRODUCTS, product(prd_line=code))
        assert row["product_line"] == line

    def test_an_end_before_its_start_is_dropped_and_counted(self, clean):
        [row] = clean(crm.PRODUCTS, product(prd_start_dt="2011-07-01", prd_end_dt="2007-12-28"))
        assert (row["end_date"], row["_broken_rules"]) == (None, "end_date_not_before_start_date")

    def test_an_end_after_its_start_stays(self, clean):
        [row] = clean(crm.PRODUCTS, product(prd_end_dt="2012-06-30"))
        assert (row["end_date"], row["_broken_rules"]) == (date(2012, 6, 30), None)

    @pytest.mark.parametrize("key", ["CO-RF", "CO-RF-", "", None])
    def test_a_key_without_a_product_number_is_dropped(self, clean, key):
        [row] = clean(crm.PRODUCTS, product(prd_key=key))
        assert (row["_verdict"], row["_broken_rules"]) == ("dropped", "product_number_present")

    @pytest.mark.parametrize("start", [None, "1989-12-31", "9999-12-31"])
    def test_a_version_without_a_usual_start_stays_and_is_counted(self, clean, start):
        [row] = clean(crm.PRODUCTS, product(prd_start_dt=start))
        assert (row["_verdict"], row["_broken_rules"]) == ("ok", "start_date_valid")


class TestSales:
    def test_dates_come_from_eight_digits(self, clean):
        [row] = clean(crm.SALES, sale())
        assert (row["order_date"], row["ship_date"], row["due_date"]) == (date(2010, 12, 29), date(2011, 1, 5), date(2011, 1, 10))

    @pytest.mark.parametrize("bad", ["0", "5489", "201012290", None, "20101340", "2010-12-29"])
    def test_anything_else_is_no_date_and_counted(self, clean, bad):
        [row] = clean(crm.SALES, sale(sls_order_dt=bad))
        assert (row["order_date"], row["_verdict"], row["_broken_rules"]) == (None, "ok", "order_date_valid")

    @pytest.mark.parametrize("bad", [None, "0", "-20", "21"])
    def test_wrong_sales_become_quantity_times_price(self, clean, bad):
        [row] = clean(crm.SALES, sale(sls_sales=bad))
        assert (row["sales"], row["_broken_rules"]) == (Decimal("20.00"), "sales_is_quantity_times_price")

    def test_a_negative_price_counts_by_its_amount(self, clean):
        [row] = clean(crm.SALES, sale(sls_price="-10"))
        assert (row["sales"], row["price"], row["_broken_rules"]) == (Decimal("20.00"), Decimal("10.00"), "price_positive")

    @pytest.mark.parametrize("bad", [None, "0"])
    def test_a_missing_price_becomes_sales_by_quantity(self, clean, bad):
        [row] = clean(crm.SALES, sale(sls_price=bad))
        assert (row["sales"], row["price"]) == (Decimal("20.00"), Decimal("10.00"))

    def test_where_neither_sales_nor_price_tell_the_amount_stays_unknown(self, clean):
        [row] = clean(crm.SALES, sale(sls_price=None, sls_sales="-20"))
        assert (row["sales"], row["price"], row["_verdict"]) == (None, None, "ok")

    def test_good_rows_break_no_rule(self, clean):
        [row] = clean(crm.SALES, sale())
        assert (row["_verdict"], row["_broken_rules"], row["sales"], row["price"]) == (
            "ok",
            None,
            Decimal("20.00"),
            Decimal("10.00"),
        )

    @pytest.mark.parametrize(
        ("given", "rule"),
        [
            ({"sls_ship_dt": "20101228"}, "ship_date_not_before_order_date"),
            ({"sls_quantity": "-2", "sls_price": None, "sls_sales": "100"}, "price_not_negative"),
        ],
    )
    def test_what_gold_asks_of_single_rows_is_asked_here_first(self, clean, given, rule):
        [row] = clean(crm.SALES, sale(**given))
        assert row["_verdict"] == "dropped"
        assert rule in row["_broken_rules"].split(",")

    @pytest.mark.parametrize("far", ["99991231", "19000101", "21010101", "19891231"])
    def test_a_day_outside_the_calendar_stays_and_is_counted(self, clean, far):
        [row] = clean(crm.SALES, sale(sls_due_dt=far))
        assert (row["due_date"].strftime("%Y%m%d"), row["_verdict"], row["_broken_rules"]) == (far, "ok", "due_date_valid")

    @pytest.mark.parametrize("edge", ["19900101", "21001231"])
    def test_the_edges_of_the_calendar_are_within_it(self, clean, edge):
        [row] = clean(crm.SALES, sale(sls_due_dt=edge))
        assert row["_broken_rules"] is None

    def test_no_row_that_stands_breaks_a_test_of_gold(self, clean):
        quantities = ("-2147483648", "2147483647", "-3", "3", "7", "0", None)
        prices = (None, "0", "-0.01", "0.01", "3.33", "99999.99")
        amounts = (None, "0.01", "10", "-10", "9999999999.99")
        rows = [
            sale(sls_ord_num=f"SO{number}", sls_quantity=quantity, sls_price=price, sls_sales=amount)
            for number, (quantity, price, amount) in enumerate(product_of(quantities, prices, amounts))
        ]
        standing = [row for row in clean(crm.SALES, *rows) if row["_verdict"] == "ok"]
        messages = [row for row in standing if None not in (row["quantity"], row["price"], row["sales"])]
        assert len(messages) > len(rows) / 4
        for row in messages:
            assert row["price"] >= 0
            assert abs(row["sales"] - row["quantity"] * row["price"]) <= Decimal("0.01") * abs(row["quantity"])


WRONG_DATES = ["10:00", "2026", "12026-01-05", "2026-01-05T10:00:00", "2026-1-5", "２０２６-01-05", "2026-02-29"]


@pytest.mark.parametrize("text", WRONG_DATES)
def test_what_is_no_date_is_none_in_whatever_way_it_is_read(clean, text):
    [row] = clean(crm.CUSTOMERS, customer(cst_create_date=text))
    assert (row["_verdict"], row["_broken_rules"].split(",")[0]) == ("dropped", "create_date_is_date")
    [row] = clean(crm.PRODUCTS, product(prd_start_dt="2026-01-06", prd_end_dt=text))
    assert (row["_verdict"], row["_broken_rules"]) == ("dropped", "end_date_is_date")


@pytest.mark.parametrize("text", ["1e1", "１０", "10d", "10.", "12.345", "0x0a"])
def test_what_is_no_amount_is_taken_from_the_other_amounts(clean, text):
    [row] = clean(crm.SALES, sale(sls_sales=text))
    assert (row["sales"], row["_broken_rules"]) == (Decimal(20), "sales_is_quantity_times_price")
