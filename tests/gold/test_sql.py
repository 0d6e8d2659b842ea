"""The SQL of the models over hand-made silver rows: ties, NULLs, distant days. dbt compiles it once; DuckDB alone runs it."""

import re
from datetime import date, timedelta
from itertools import pairwise

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse_assets.gold.failures import failing_rows
from lakehouse_assets.settings import Settings
from lakehouse_assets.systems import crm
from tests.support.warehouse import LANDED

PROJECT = Settings().gold_project.folder


SALE = {
    "order_number": "SO1",
    "product_number": "P1",
    "customer_id": 1,
    "quantity": 1,
    "price": 10,
    "sales": 10,
    "currency": "USD",
}


def versions(*starts):
    return [{"product_id": i, "product_number": "P1", "start_date": start} for i, start in enumerate(starts, 1)]


def test_of_two_versions_without_a_start_the_later_holds(warehouse):
    sql = warehouse(crm_products=versions(None, None), crm_sales=[SALE | {"order_date": date(2026, 1, 1)}])
    assert sql(
        "SELECT product_id, valid_to < valid_from, is_current FROM run.gold.dim_product WHERE product_key <> -1 ORDER BY 1"
    ) == [
        ("1", True, False),
        ("2", None, True),
    ]
    assert sql("SELECT p.product_id FROM run.gold.fact_sales JOIN run.gold.dim_product p USING (product_key)") == [("2",)]


STARTS = st.none() | st.dates(date(1989, 12, 30), date(1990, 1, 6)) | st.just(date(1, 1, 1)) | st.just(date(9999, 12, 31))


@settings(max_examples=30, deadline=None)
@given(starts=st.lists(STARTS, max_size=6), ordered=st.none() | st.dates(date(1989, 12, 28), date(1990, 1, 9)))
def test_versions_never_overlap_and_a_fact_has_at_most_one(warehouse, starts, ordered):
    sql = warehouse(crm_products=versions(*starts), crm_sales=[SALE | {"order_date": ordered}])
    known = "FROM run.gold.dim_product WHERE product_key <> -1"
    held = sql(f"SELECT valid_from, valid_to {known} ORDER BY valid_from, valid_to NULLS LAST")
    assert all(first is not None for first, _ in held)
    held = [(first, last or date.max) for first, last in held if last is None or last >= first]
    assert all(one[1] + timedelta(1) == two[0] for one, two in pairwise(held))
    assert [row[0] for row in sql(f"SELECT count(*) FILTER (is_current) {known}")] == [min(len(starts), 1)]
    [(rows, keys)] = sql("SELECT count(*), count(*) FILTER (product_key <> -1) FROM run.gold.fact_sales")
    assert (rows, keys) == (1, min(len(starts), 1))


@pytest.mark.parametrize(
    ("due", "key", "years"),
    [
        (date(9999, 12, 31), -1, (2026, 2026)),
        (date(1, 1, 1), -1, (2026, 2026)),
        (date(2100, 12, 31), 21001231, (2026, 2100)),
        (date(1990, 1, 1), 19900101, (1990, 2026)),
        (None, -1, (2026, 2026)),
    ],
)
def test_a_day_outside_the_calendar_has_no_key_and_adds_no_days(warehouse, due, key, years):
    sql = warehouse(crm_sales=[SALE | {"order_date": date(2026, 1, 2), "due_date": due}])
    assert sql("SELECT due_date, due_date_key FROM run.gold.fact_sales") == [(due, key)]
    assert sql("SELECT min(year), max(year) FROM run.gold.dim_date") == [years]
    assert sql(
        "SELECT count(*) - count(DISTINCT date_key), max(date_value) - min(date_value) + 1 - count(date_value) FROM run.gold.dim_date"
    ) == [(0, 0)]
    assert sql("SELECT count(*) FROM run.gold.fact_sales ANTI JOIN run.gold.dim_date ON date_key = due_date_key") == [(0,)]


def test_an_order_outside_the_calendar_counts_for_no_month(warehouse):
    sql = warehouse(crm_sales=[SALE | {"order_date": date(2999, 1, 1)}])
    assert sql("SELECT order_date_key FROM run.gold.fact_sales") == [(-1,)]
    assert sql("SELECT date_key FROM run.gold.dim_date") == [(-1,)]
    assert sql("SELECT month, usd_amount::INT FROM run.gold.sales_performance") == [(None, 10)]


def test_keys_with_bars_differ(warehouse):
    pairs = [("a|b", "c"), ("a", "b|c"), ("a|", "b"), ("a", "|b"), ("a\\", "b"), ("a", "\\|b"), ("a\\|b", "c")]
    sql = warehouse(crm_sales=[SALE | {"order_number": order, "product_number": product} for order, product in pairs])
    assert sql("SELECT count(DISTINCT sales_key) FROM run.gold.fact_sales") == [(len(pairs),)]


@pytest.mark.parametrize("grouped", [True, False])
def test_a_row_without_a_partner_keeps_its_landing_date(warehouse, grouped):
    more = {"erp_product_categories": [{"category_id": "C", "_date": date(2026, 2, 1)}]} if grouped else {}
    product = {"product_id": 1, "product_number": "P1", "category_id": "C"}
    sql = warehouse(crm_products=[product], crm_customers=[{"customer_id": 1, "gender": "n/a"}], **more)
    assert sql("SELECT _date FROM run.gold.dim_product WHERE product_key <> -1") == [(date(2026, 2, 1) if grouped else LANDED,)]
    assert sql("SELECT _date, country, gender FROM run.gold.dim_customer WHERE customer_key <> -1") == [(LANDED, "n/a", "n/a")]


def rate(day, currency, usd_rate):
    return {"date": day, "currency": currency, "usd_rate": usd_rate}


@pytest.mark.parametrize(
    ("currency", "day", "usd_amount"),
    [
        ("EUR", date(2026, 1, 5), "11.00"),
        ("EUR", date(2026, 1, 10), "11.00"),  # a Saturday: the rate of the day before holds
        ("EUR", date(2026, 1, 12), "12.35"),
        ("EUR", date(2030, 1, 1), "12.35"),
        ("EUR", date(2026, 1, 4), None),  # a later rate never counts
        ("EUR", None, None),
        ("JPY", date(2026, 1, 12), "0.07"),
        ("CHF", date(2026, 1, 12), None),
        ("USD", date(2026, 1, 4), "10.00"),
        ("USD", None, "10.00"),
        (None, date(2026, 1, 12), None),
    ],
)
def test_an_amount_takes_the_rate_of_its_day_or_the_last_earlier_one(warehouse, currency, day, usd_amount):
    rates = [rate(date(2026, 1, 5), "EUR", "1.10"), rate(date(2026, 1, 12), "EUR", "1.23456789")]
    rates += [rate(date(2026, 1, 5), "JPY", "0.00658"), rate(date(2026, 1, 12), "JPY", "0.0066")]
    sql = warehouse(crm_sales=[SALE | {"currency": currency, "order_date": day}], finance_exchange_rates=rates)
    rows = sql("SELECT usd_amount::VARCHAR, source_currency, source_amount::VARCHAR FROM run.gold.fact_sales")
    assert rows == [(usd_amount, currency, "10.0000")]


@pytest.mark.parametrize(("amount", "usd_amount"), [("999999999.99", "1099999999.99"), ("9999999999.99", "10999999999.99")])
def test_an_amount_is_as_large_as_its_type_takes(warehouse, amount, usd_amount):
    sale = SALE | {"currency": "EUR", "order_date": date(2026, 1, 5), "sales": amount}
    sql = warehouse(crm_sales=[sale], finance_exchange_rates=[rate(date(2026, 1, 5), "EUR", "1.10")])
    assert sql("SELECT usd_amount::VARCHAR, source_amount::VARCHAR FROM run.gold.fact_sales") == [(usd_amount, f"{amount}00")]


def test_the_check_names_each_rate_that_is_missing(warehouse, compiled):
    days = [("CHF", date(2026, 1, 12)), ("CHF", date(2026, 1, 12)), ("EUR", None), ("USD", None), ("EUR", date(2026, 1, 12))]
    sales = [SALE | {"order_number": f"SO{n}", "currency": code, "order_date": day} for n, (code, day) in enumerate(days)]
    sql = warehouse(crm_sales=sales, finance_exchange_rates=[rate(date(2026, 1, 5), "EUR", "1.10")])
    [test] = [text for name, text in compiled.items() if name.startswith("usd_rates_known_fact_sales")]
    assert sorted(sql(test)) == [("CHF on 2026-01-12", 2, LANDED), ("EUR on an unknown day", 1, LANDED)]
    with duckdb.connect() as connection:
        shown = "SELECT 'CHF on 2026-01-12' AS rate, 2 AS amounts, DATE '2026-01-31' AS _date"
        assert failing_rows(connection, {}, shown).sentence() == "1 row, on 2026-01-31: rate CHF on 2026-01-12"


def test_silver_warns_of_the_days_that_the_calendar_leaves_out():
    bounds = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    rules = {rule.name: rule.expression for rule in crm.SALES.contract.rules}
    for day in ("order", "ship", "due"):
        assert re.findall(r"'(.+?)'", rules[f"{day}_date_valid"]) == [bounds["calendar_from"], bounds["calendar_to"]]


def test_a_model_is_built_after_all_that_its_keys_point_at():
    nodes = Settings().gold_project.manifest()["nodes"]
    relationships = [node for node in nodes.values() if (node.get("test_metadata") or {}).get("name") == "relationships"]
    assert relationships
    for test in relationships:
        model = test["attached_node"]
        assert set(test["depends_on"]["nodes"]) <= {model, *nodes[model]["depends_on"]["nodes"]}, test["name"]


def test_a_model_can_be_built_as_soon_as_those_that_read_it():
    models = {model.name: model for model in Settings().gold_project.models()}
    for model in models.values():
        for ref in map(models.__getitem__, model.refs):
            assert not model.any_of or {*model.any_of} <= {*ref.any_of}, f"{model.name} reads {ref.name}"


def test_what_people_query_keeps_a_contract_and_has_an_owner():
    nodes = [node for node in Settings().gold_project.manifest()["nodes"].values() if node["resource_type"] == "model"]
    for model in (node for node in nodes if node["config"]["materialized"] == "table"):
        assert (model["contract"]["enforced"], model["access"]) == (True, "public"), model["name"]
        assert all([model["description"], *(c["description"] and c["data_type"] for c in model["columns"].values())]), model[
            "name"
        ]
        # dbt_project.yml gives the group.
        assert model["config"]["meta"]["owner"] == f"team:{model['config']['group'].replace('_', '-')}", model["name"]
