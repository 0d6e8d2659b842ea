"""Each cleaning rule of exchange rates, on a row or two."""

from datetime import date
from decimal import Decimal

import pytest

from lakehouse_assets.systems import finance


def rate(**given):
    return {"date": "2026-01-05", "currency": "EUR", "usd_rate": "1.0843", **given}


def test_values_are_trimmed_and_the_currency_is_in_upper_case(clean):
    [row] = clean(finance.EXCHANGE_RATES, rate(date=" 2026-01-05", currency=" eur ", usd_rate="1.0843 "))
    assert (row["date"], row["currency"], row["usd_rate"]) == (date(2026, 1, 5), "EUR", Decimal("1.08430000"))
    assert row["_verdict"] == "ok"


def test_a_rate_that_is_sent_again_replaces_the_one_before(clean):
    rows = clean(finance.EXCHANGE_RATES, rate(), rate(usd_rate="1.09"), rate(currency="CHF"))
    assert [row["_verdict"] for row in rows] == ["superseded", "ok", "ok"]


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"date": "05.01.2026"}, "date_is_date"),
        ({"date": None}, "date_present"),
        ({"currency": "Euro"}, "currency_is_a_code"),
        ({"currency": ""}, "currency_is_a_code"),
        ({"usd_rate": "1,0843"}, "usd_rate_is_decimal_18_8"),
        ({"usd_rate": ""}, "usd_rate_is_decimal_18_8"),
        ({"usd_rate": "0"}, "usd_rate_positive"),
        ({"currency": "USD"}, "usd_rate_of_the_dollar_is_1"),
    ],
)
def test_a_rate_that_can_not_be_one_is_dropped(clean, given, rule):
    [row] = clean(finance.EXCHANGE_RATES, rate(**given))
    assert row["_verdict"] == "dropped"
    assert rule in row["_broken_rules"].split(",")
