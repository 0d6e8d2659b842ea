"""Each cleaning rule of retail, on a row or two."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from lakehouse_assets.systems import retail

UCI = {
    "_dialect": "uci",
    "invoice_no": "536365",
    "stock_code": "85123A",
    "description": "WHITE HANGING HEART T-LIGHT HOLDER",
    "quantity": "6",
    "invoice_date": "2010-12-01 08:26:00",
    "unit_price": "2.55",
    "customer_id": "17850.0",
    "country": "United Kingdom",
}
TILL = UCI | {
    "_dialect": "till",
    "invoice_no": "S01-000101",
    "line_number": "1",
    "store_id": "S01",
    "promotion_id": "XMAS10",
    "discount": "1.53",
    "payment_method": "card",
    "country": None,
}


def line(clean, **changes):
    [row] = clean(retail.TRANSACTIONS, UCI | changes)
    return row


def till_line(clean, **changes):
    [row] = clean(retail.TRANSACTIONS, TILL | changes)
    return row


def test_a_line_of_the_web_shop(clean):
    row = line(clean)
    assert (row["invoice_number"], row["stock_code"], row["quantity"]) == ("536365", "85123A", 6)
    assert (row["unit_price"], row["discount"], row["amount"]) == (Decimal("2.550"), Decimal("0.00"), Decimal("15.30"))
    assert (row["currency"], row["country"], row["channel"]) == ("GBP", "United Kingdom", "online")
    assert (row["line_kind"], row["transaction_type"], row["is_cancellation"]) == ("product", "sale", False)
    assert (row["store_id"], row["promotion_id"], row["line_number"], row["payment_method"]) == (None, None, None, None)
    assert (row["_verdict"], row["_broken_rules"]) == ("ok", None)


def test_a_line_of_a_till_has_store_promotion_and_discount(clean):
    row = till_line(clean, store_id=" s01 ", promotion_id="xmas10", payment_method="Card")
    assert (row["store_id"], row["promotion_id"], row["payment_method"]) == ("S01", "XMAS10", "card")
    assert (row["line_number"], row["channel"], row["country"]) == (1, "store", None)
    assert (row["discount"], row["amount"]) == (Decimal("1.53"), Decimal("13.77"))
    assert row["_broken_rules"] is None


@pytest.mark.parametrize(("given", "number"), [("17850.0", 17850), (" 17850 ", 17850), ("17850", 17850)])
def test_a_customer_is_a_whole_number(clean, given, number):
    assert line(clean, customer_id=given)["customer_id"] == number


@pytest.mark.parametrize("given", [None, "", "  "])
def test_a_line_without_a_customer_stays(clean, given):
    row = line(clean, customer_id=given)
    assert (row["customer_id"], row["_verdict"], row["_broken_rules"]) == (None, "ok", "customer_known")


def test_a_customer_that_is_no_number_goes_to_quarantine(clean):
    row = line(clean, customer_id="17850.5")
    assert (row["_verdict"], row["_broken_rules"]) == ("dropped", "customer_id_is_int,customer_known")


@pytest.mark.parametrize(
    ("sold", "moment"),
    [
        ("2010-12-01 08:26:00", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("2011-07-01 08:26:00", datetime(2011, 7, 1, 7, 26, tzinfo=UTC)),
    ],
)
def test_times_are_those_of_the_uk(clean, sold, moment):
    assert line(clean, invoice_date=sold)["invoiced_at"].astimezone(UTC) == moment


def test_a_line_without_a_time_stays(clean):
    row = line(clean, invoice_date="")
    assert (row["invoiced_at"], row["_verdict"], row["_broken_rules"]) == (None, "ok", "invoiced_at_present")


def test_a_cancellation_takes_back(clean):
    row = line(clean, invoice_no="c536379", quantity="-1")
    assert (row["invoice_number"], row["is_cancellation"], row["transaction_type"]) == ("C536379", True, "cancellation")
    assert (row["amount"], row["_broken_rules"]) == (Decimal("-2.55"), None)


def test_a_cancellation_of_pieces_above_0_is_counted(clean):
    assert line(clean, invoice_no="C536379")["_broken_rules"] == "cancellation_is_negative"


def test_a_till_takes_back_at_a_negative_quantity(clean):
    row = till_line(clean, quantity="-1", discount="")
    assert (row["is_cancellation"], row["transaction_type"], row["amount"]) == (True, "cancellation", Decimal("-2.55"))
    assert row["_broken_rules"] is None


def test_the_number_of_a_receipt_may_begin_with_c(clean):
    row = till_line(clean, invoice_no="C01-000101")
    assert (row["is_cancellation"], row["_broken_rules"]) == (False, None)


def test_pieces_that_are_written_off_are_an_adjustment(clean):
    row = line(clean, quantity="-10", unit_price="0.0", customer_id="", description="damages")
    assert (row["transaction_type"], row["is_cancellation"], row["amount"]) == ("adjustment", False, Decimal("0.00"))
    assert set(row["_broken_rules"].split(",")) == {"unit_price_above_0", "quantity_positive_in_a_sale", "customer_known"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("POST", "postage"),
        ("DOT", "postage"),
        ("C2", "postage"),
        ("m", "manual"),
        ("D", "discount"),
        ("S", "sample"),
        ("BANK CHARGES", "fee"),
        ("AMAZONFEE", "fee"),
        ("CRUK", "fee"),
        ("gift_0001_20", "voucher"),
    ],
)
def test_a_code_that_is_no_product_s_stays_and_says_what_it_is(clean, code, kind):
    row = line(clean, stock_code=code)
    assert (row["stock_code"], row["line_kind"], row["_verdict"]) == (code.upper(), kind, "ok")
    assert row["_broken_rules"] == "line_is_a_product"


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        ("85123a", None),
        ("22423", None),
        ("DCGSSGIRL", None),
        ("PADS", None),
        ("TEST001", "stock_code_known"),
        ("", "stock_code_known"),
    ],
)
def test_the_code_of_a_product(clean, code, broken):
    row = line(clean, stock_code=code)
    assert (row["line_kind"], row["_broken_rules"]) == ("product", broken)


def test_a_debt_that_is_written_off_is_an_adjustment(clean):
    row = line(clean, invoice_no="A563185", stock_code="B", quantity="1", unit_price="11062.06")
    assert (row["line_kind"], row["transaction_type"], row["_verdict"]) == ("bad debt", "adjustment", "ok")


@pytest.mark.parametrize(
    ("price", "verdict", "broken"),
    [
        ("0.001", "ok", None),
        ("0.0", "ok", "unit_price_above_0"),
        ("-11062.06", "dropped", "unit_price_not_negative"),
        ("", "dropped", "unit_price_present"),
        ("2,55", "dropped", "unit_price_is_decimal_12_3"),
    ],
)
def test_a_price_of_0_stays_and_one_below_does_not(clean, price, verdict, broken):
    row = line(clean, unit_price=price)
    assert row["_verdict"] == verdict
    assert broken is None or broken in row["_broken_rules"].split(",")
    assert (broken is None) == (row["_broken_rules"] is None)


@pytest.mark.parametrize(("pieces", "amount"), [("5", "0.01"), ("4", "0.00")])
def test_an_amount_is_rounded_half_up_to_the_penny(clean, pieces, amount):
    assert line(clean, unit_price="0.001", quantity=pieces)["amount"] == Decimal(amount)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"invoice_no": " "}, "invoice_number_present"),
        ({"quantity": ""}, "quantity_present"),
        ({"quantity": "two"}, "quantity_is_int"),
        ({"discount": "much"}, "discount_is_decimal_12_2"),
    ],
)
def test_a_line_that_says_not_enough_goes_to_quarantine(clean, changes, broken):
    row = line(clean, **changes)
    assert row["_verdict"] == "dropped"
    assert broken in row["_broken_rules"].split(",")


@pytest.mark.parametrize(
    ("given", "country"),
    [("EIRE", "Ireland"), ("USA", "United States"), ("RSA", "South Africa"), (" France ", "France"), ("", None)],
)
def test_countries_by_one_name_each(clean, given, country):
    row = line(clean, country=given)
    assert (row["country"], row["_broken_rules"]) == (country, None)


def test_a_country_that_is_not_specified_is_counted(clean):
    row = line(clean, country="Unspecified")
    assert (row["country"], row["_broken_rules"]) == ("n/a", "country_specified")


@pytest.mark.parametrize(
    ("changes", "broken"), [({"quantity": "0"}, "quantity_not_0"), ({"description": " "}, "description_present")]
)
def test_a_line_without_pieces_or_a_name_is_counted(clean, changes, broken):
    row = line(clean, **changes)
    assert (row["_verdict"], row["_broken_rules"]) == ("ok", broken)


def test_a_till_that_does_not_name_its_store_is_counted(clean):
    row = till_line(clean, store_id="")
    assert (row["channel"], row["_broken_rules"]) == ("store", "store_known_at_a_till")


def test_of_lines_that_are_equal_in_everything_one_counts(clean):
    again = UCI | {"description": f" {UCI['description']} ", "stock_code": "85123a", "quantity": "6.0", "unit_price": "2.550"}
    rows = clean(retail.TRANSACTIONS, UCI, again)
    assert sorted(row["_verdict"] for row in rows) == ["ok", "superseded"]


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "7"},
        {"unit_price": "2.56"},
        {"invoice_date": "2010-12-01 08:27:00"},
        {"description": "WHITE HEART"},
        {"description": None},
        {"customer_id": "17851"},
        {"customer_id": None},
        {"country": "France"},
        {"invoice_no": "536366"},
        {"stock_code": "85123B"},
    ],
)
def test_lines_of_an_invoice_that_differ_in_anything_both_count(clean, change):
    rows = clean(retail.TRANSACTIONS, UCI, UCI | change)
    assert [row["_verdict"] for row in rows] == ["ok", "ok"]


@pytest.mark.parametrize(
    "change",
    [{"line_number": "2"}, {"store_id": "S02"}, {"promotion_id": None}, {"discount": "1.54"}, {"payment_method": "cash"}],
)
def test_lines_of_a_receipt_that_differ_in_anything_both_count(clean, change):
    rows = clean(retail.TRANSACTIONS, TILL, TILL | change)
    assert [row["_verdict"] for row in rows] == ["ok", "ok"]


def test_a_store(clean):
    given = {
        "store_id": "s04",
        "store_name": " The Shambles ",
        "store_type": "High Street",
        "city": "York",
        "postcode": "yo1 7lz",
        "opened_on": "2005-02-01",
        "closed_on": "2010-06-30",
        "updated_at": "2010-07-01 09:00:00",
    }
    wrong = {"store_id": "S05", "closed_on": "2005-01-31", "city": "", "store_name": ""}
    row, *others = clean(
        retail.STORES,
        given,
        given | {"store_id": ""},
        given | wrong,
    )
    assert (row["store_id"], row["store_name"], row["store_type"], row["postcode"]) == (
        "S04",
        "The Shambles",
        "high street",
        "YO1 7LZ",
    )
    assert row["closed_on"] == date(2010, 6, 30)
    assert row["updated_at"].astimezone(UTC) == datetime(2010, 7, 1, 8, tzinfo=UTC)
    assert [(r["_verdict"], r["_broken_rules"]) for r in others] == [
        ("dropped", "store_id_present"),
        ("ok", "store_name_present,city_present,closed_on_not_before_opened_on"),
    ]


def test_the_latest_record_of_a_store_counts(clean):
    new = {"store_id": "S01", "store_name": "Piazza", "city": "London", "updated_at": "2010-12-20 08:30:00"}
    rows = clean(retail.STORES, new, new | {"store_name": "Covent Garden", "updated_at": "2010-11-01 09:00:00"})
    assert [row["_verdict"] for row in rows] == ["ok", "superseded"]


@pytest.mark.parametrize(
    ("changes", "verdict", "broken"),
    [
        ({}, "ok", None),
        ({"discount_percent": "10 %"}, "ok", None),
        ({"discount_percent": "0"}, "ok", None),
        ({"discount_percent": "100"}, "ok", None),
        ({"discount_percent": "100.01"}, "dropped", "discount_percent_up_to_100"),
        ({"discount_percent": "-1"}, "dropped", "discount_percent_up_to_100"),
        ({"discount_percent": "ten"}, "dropped", "discount_percent_is_decimal_5_2,discount_percent_present"),
        ({"discount_percent": ""}, "ok", "discount_percent_present"),
        ({"ends_on": ""}, "ok", None),
        ({"ends_on": "2010-11-30"}, "ok", "ends_on_not_before_starts_on"),
    ],
)
def test_a_promotion(clean, changes, verdict, broken):
    given = {"promotion_id": "xmas10", "discount_percent": "10", "starts_on": "2010-12-01", "ends_on": "2010-12-24"}
    [row] = clean(retail.PROMOTIONS, given | changes)
    assert (row["promotion_id"], row["channel"]) == ("XMAS10", "all")
    assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)


@pytest.mark.parametrize(
    ("changes", "verdict", "broken"),
    [
        ({}, "ok", None),
        ({"contact_id": "C-49"}, "dropped", "contact_id_is_int,contact_id_present"),
        ({"customer_id": ""}, "ok", "customer_id_present"),
        ({"last_name": ""}, "ok", "last_name_present"),
        ({"email": "no address"}, "ok", "email_is_an_address"),
        ({"email": ""}, "ok", None),
        ({"updated_at": "2009-01-01 09:00:00"}, "ok", "updated_at_not_before_created_at"),
    ],
)
def test_a_contact(clean, changes, verdict, broken):
    given = {
        "contact_id": "1",
        "customer_id": "17850.0",
        "first_name": "Harry",
        "last_name": "Lawson",
        "email": "Harry.Lawson@EXAMPLE.com",
        "created_at": "2009-09-02 15:48:00",
        "updated_at": "2009-10-30 15:48:00",
    }
    [row] = clean(retail.CONTACTS, given | changes)
    assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)
    if not changes:
        assert (row["contact_id"], row["customer_id"], row["email"]) == (1, 17850, "harry.lawson@example.com")
