"""Each cleaning rule of the ERP, on a row or two."""

from datetime import date

import pytest

from lakehouse_assets.systems import erp


@pytest.mark.parametrize(("given", "number"), [("NASAW00011000", "AW00011000"), ("AW00011000", "AW00011000")])
def test_demographics_lose_the_prefix_of_the_id(clean, given, number):
    [row] = clean(erp.CUSTOMER_DEMOGRAPHICS, {"cid": given})
    assert row["customer_number"] == number


@pytest.mark.parametrize(
    ("born", "kept", "broken"),
    [
        ("1971-10-06", date(1971, 10, 6), None),
        ("2026-01-31", date(2026, 1, 31), None),
        ("2026-02-01", None, "birth_date_not_in_future"),
        ("2980-03-02", None, "birth_date_not_in_future"),
    ],
)
def test_nobody_is_born_after_the_landing_date(clean, born, kept, broken):
    [row] = clean(erp.CUSTOMER_DEMOGRAPHICS, {"cid": "A", "bdate": born, "gen": "F"}, day=date(2026, 1, 31))
    assert (row["birth_date"], row["_broken_rules"]) == (kept, broken)


def test_a_birth_date_that_is_no_date_goes_to_quarantine(clean):
    [row] = clean(erp.CUSTOMER_DEMOGRAPHICS, {"cid": "A", "bdate": "06/10/1971", "gen": "F"})
    assert (row["_verdict"], row["_broken_rules"]) == ("dropped", "birth_date_is_date")


@pytest.mark.parametrize(
    ("code", "word"),
    [("Male", "Male"), ("M ", "Male"), ("F", "Female"), ("Female", "Female"), ("  ", "n/a"), (None, "n/a")],
)
def test_gender_in_words(clean, code, word):
    [row] = clean(erp.CUSTOMER_DEMOGRAPHICS, {"cid": "A", "gen": code})
    assert row["gender"] == word


def test_locations_lose_the_dash_of_the_id(clean):
    [row] = clean(erp.CUSTOMER_LOCATIONS, {"cid": "AW-00011000", "cntry": "Australia"})
    assert row["customer_number"] == "AW00011000"


@pytest.mark.parametrize(
    ("given", "country"),
    [
        ("US", "United States"),
        ("USA", "United States"),
        ("United States", "United States"),
        ("DE", "Germany"),
        ("Germany", "Germany"),
        (" France ", "France"),
        ("  ", "n/a"),
        (None, "n/a"),
    ],
)
def test_countries_by_one_name_each(clean, given, country):
    [row] = clean(erp.CUSTOMER_LOCATIONS, {"cid": "A", "cntry": given})
    assert row["country"] == country


@pytest.mark.parametrize(("given", "needs"), [("Yes", True), ("No", False), (None, None)])
def test_maintenance_is_yes_or_no(clean, given, needs):
    [row] = clean(erp.PRODUCT_CATEGORIES, {"id": "AC_BR", "cat": "Accessories", "maintenance": given})
    assert row["needs_maintenance"] is needs
