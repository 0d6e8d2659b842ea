"""The code location as Dagster loads it."""

import subprocess
import sys

import dagster as dg
import pytest

from lakehouse_assets.definitions import defs
from lakehouse_assets.settings import Settings
from lakehouse_assets.systems import catalog


@pytest.fixture(scope="module")
def graph():
    return defs().resolve_asset_graph()


def raw_and_silver():
    declared = catalog()
    return {f"raw/{feed.table}" for feed in declared.feeds} | {f"silver/{table.name}" for table in declared.tables}


def test_every_entity_has_a_raw_and_a_silver_asset_and_gold_follows(graph):
    names = {key.to_user_string() for key in graph.materializable_asset_keys}
    assert {n for n in names if n.startswith(("raw/", "silver/"))} == raw_and_silver()
    fetched = {f"landing/{feed.table}" for feed in catalog().feeds if feed.poll or feed.topic}
    dropped = {key.to_user_string() for key in graph.external_asset_keys}
    assert {n for n in names if n.startswith("landing/")} == fetched
    assert dropped == {f"landing/{feed.table}" for feed in catalog().feeds} - fetched
    assert {n for n in names if n.startswith("gold/")} == {f"gold/{model.name}" for model in Settings().gold_project.models()}


def test_every_asset_says_what_it_is_and_whose(graph):
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.group_name.startswith(key.path[0]), key
        assert node.code_version, key
        assert {"docs", "dagster/column_schema"} <= node.metadata.keys(), key


def test_all_tables_share_one_daily_partitions_definition(graph):
    tables = [key for key in graph.materializable_asset_keys if key.path[0] != "landing"]
    [one] = {graph.get(key).partitions_def for key in tables}
    assert isinstance(one, dg.DailyPartitionsDefinition)


def test_every_raw_and_silver_table_and_the_fact_have_row_accounts(graph):
    checked = {c.asset_key.to_user_string() for c in graph.asset_check_keys if c.name == "row_accounts"}
    keep_their_grain = {f"gold/{model.name}" for model in Settings().gold_project.models() if model.grain_of}
    assert checked == raw_and_silver() | keep_their_grain > raw_and_silver()


def test_rules_relationships_and_dbt_tests_are_checks(graph):
    names = {(c.asset_key.to_user_string(), c.name) for c in graph.asset_check_keys}
    assert ("silver/crm_sales", "price_positive") in names
    assert ("silver/crm_sales", "customer_id_in_crm_customers") in names
    for test in ("assert_price_not_less_zero", "assert_price_quantity_eq_sales", "assert_ship_date_not_less_order_date"):
        assert ("gold/fact_sales", test) in names


def test_importing_the_code_location_starts_nothing():
    """No engine, no connection, no file: checked in a separate process that forbids these."""
    script = (
        "import socket, pathlib\n"
        "def refuse(*a, **k): raise SystemExit('work at import')\n"
        "socket.socket.connect = refuse\n"
        "pathlib.Path.mkdir = pathlib.Path.write_text = refuse\n"
        "import lakehouse_assets.definitions\n"
        "lakehouse_assets.definitions.defs()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
