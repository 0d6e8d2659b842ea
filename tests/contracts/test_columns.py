import pytest

from lakehouse_assets.contracts.columns import column_names, snake_case


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("id", "id"),
        ("CustomerID", "customer_id"),
        ("Customer ID", "customer_id"),
        ("customerId", "customer_id"),
        ("CID", "cid"),
        ("HTTPResponseCode", "http_response_code"),
        (" Unit-Price (EUR) ", "unit_price_eur"),
        ("cst_id", "cst_id"),
        ("Address1", "address1"),
        ("Größe", "größe"),
        ("007", "007"),
        ("a.b/c", "a_b_c"),
    ],
)
def test_a_source_name_becomes_snake_case(source, name):
    assert snake_case(source) == name


@pytest.mark.parametrize("source", ["", "   ", "!?", "_", "___"])
def test_a_name_without_a_letter_or_digit_becomes_column(source):
    assert snake_case(source) == "column"


@pytest.mark.parametrize("source", ["_date", "__source_file", " _row_number"])
def test_no_name_begins_with_the_underscore_of_the_lakehouse_s_own_columns(source):
    assert not snake_case(source).startswith("_")


def test_distinct_fields_keep_their_names():
    assert column_names(["Id", "First Name"]) == ["id", "first_name"]


def test_a_repeated_field_gets_its_place_among_its_likes():
    assert column_names(["name", "Name", "NAME"]) == ["name", "name_2", "name_3"]


def test_nameless_fields_are_told_apart():
    assert column_names(["", "id", ""]) == ["column", "id", "column_2"]


def test_a_numbered_name_never_meets_one_that_the_source_has():
    names = column_names(["a", "a_2", "a", "a_2"])
    assert len(set(names)) == len(names)


def test_a_header_without_fields_has_no_names():
    assert column_names([]) == []
