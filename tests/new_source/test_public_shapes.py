"""Samples in shapes that public sources document go through new-source, and all of their rows into the tables that it declares."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from lakehouse_assets.contracts.formats import Csv, Json, Parquet
from tests.support.new_source import PUBLIC, SAMPLES, declared, land_samples

pytestmark = pytest.mark.worlds("sail-folder")


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    return {name: declared(tmp_path_factory.mktemp("systems"), name, SAMPLES / file) for name, file in PUBLIC.items()}


@pytest.fixture
def loaded(systems, make_lakehouse):
    """A lakehouse with all samples loaded."""
    made = make_lakehouse(*(table for _, system in systems.values() for table in system.tables))
    for declaration, _ in systems.values():
        land_samples(made, declaration)
    assert made.build() == {}
    return made


def table_of(systems, system, name=None):
    return next(t for t in systems[system][1].tables if name is None or t.name == name)


def types(table):
    return {c.name: (c.type, *c.styles) for c in table.contract.columns}


def test_each_row_of_a_public_shape_is_in_a_table(loaded):
    assert loaded.rows("quarantine.rows") == []
    rows = {
        "shopify_orders_export": 10,
        "stripe_balance_transactions": 8,
        "stripe_balance_transactions_fee_details": 7,
        "dvf_valeurs_foncieres": 6,
        "tlc_yellow_tripdata": 40,
    }
    assert {t.name: loaded.accounts("silver", t.name) for t in loaded.tables} == {
        name: {"2026-02-02": (count, count, 0, 0)} for name, count in rows.items()
    }
    [order] = loaded.rows(
        "silver.shopify_orders_export WHERE name = '#1003' AND lineitem_sku = 'CUP-S'",
        "lineitem_name, lineitem_quantity, created_at",
    )
    assert order == {
        "lineitem_name": 'Cup "Small"',
        "lineitem_quantity": 4,
        "created_at": datetime(2026, 1, 4, 6, 5, 10, tzinfo=UTC),
    }
    assert loaded.rows("silver.stripe_balance_transactions_fee_details", "sum(amount) AS cents") == [{"cents": 3816}]
    assert loaded.rows("silver.stripe_balance_transactions", "min(created) AS first") == [
        {"first": datetime(2026, 1, 3, 9, tzinfo=UTC)}
    ]
    sold = loaded.rows(
        "silver.dvf_valeurs_foncieres", "sum(valeur_fonciere) AS euros, min(date_mutation) AS first, max(date_mutation) AS last"
    )
    assert sold == [{"euros": Decimal("1370490.50"), "first": date(2026, 1, 3), "last": date(2026, 2, 2)}]


def test_line_items_of_a_shop_are_told_apart_by_order_and_article(systems):
    table = table_of(systems, "shopify")
    assert table.contract.key == ("name", "lineitem_sku")
    result = types(table)
    assert result["paid_at"] == ("timestamp", "offsets")
    assert result["total"] == ("decimal(12,2)",)
    assert result["lineitem_taxable"] == ("boolean",)
    assert result["id"] == ("bigint",)
    text = systems["shopify"][0].file.read_text()
    assert "# Question: Do name and lineitem_sku together identify a row? They do in the 10 rows of the sample." in text
    assert "# Personal: an e-mail address." in text
    assert "What currency" not in text  # a column says it
    assert "Is it yes or no (no, yes)?" in text


def test_pages_of_an_api_are_rows_and_the_items_within_them(systems):
    rows, items = systems["stripe"][1].tables
    assert rows.feeds[0].formats == (Json(records="data"),)
    assert (rows.contract.key, items.contract.key) == (("id",), ("balance_transaction_id", "line"))
    assert items.inputs[0].each == "fee_details"
    assert items.contract.relationships[0].name == "balance_transaction_id_in_stripe_balance_transactions"
    assert types(rows)["created"] == ("timestamp", "epoch seconds")
    assert types(rows)["amount"] == ("int",)
    text = systems["stripe"][0].file.read_text()
    assert "are they in cents?" in text
    assert '#     Rule("status_known", "status IN (' in text
    optional = [c.name for c in rows.feeds[0].columns if not c.required]
    assert optional == ["description", "exchange_rate"]


def test_codes_days_and_decimals_of_an_office_are_read_as_written(systems):
    table = table_of(systems, "dvf")
    assert table.feeds[0].formats == (Csv(delimiter="|"),)
    result = types(table)
    assert result["date_mutation"] == ("date", "d/m/y")
    assert result["valeur_fonciere"] == ("decimal(12,2)", "1234,56")
    assert result["code_departement"] == result["code_postal"] == result["no_disposition"] == ("string",)
    assert result["column_1er_lot"] == ("int",)
    assert (table.contract.key, table.contract.mode) == (("source_file", "source_row"), "snapshot")


def test_trips_that_nothing_identifies_are_told_apart_by_their_place(systems):
    table = table_of(systems, "tlc")
    assert table.feeds[0].formats == (Parquet(),)
    assert (table.contract.key, table.contract.mode) == (("source_file", "source_row"), "snapshot")
    result = types(table)
    assert result["tpep_pickup_datetime"] == ("timestamp",)
    assert result["passenger_count"] == ("int",)
    assert result["fare_amount"] == ("decimal(12,2)",)
    text = systems["tlc"][0].file.read_text()
    assert "# Question: Which columns identify a row?" in text
    assert "# Question: What time zone are tpep_pickup_datetime, tpep_dropoff_datetime in?" in text
