"""The demo, as a user runs it: the command in a process of its own, on the real files that are bundled.

It runs on each engine and on each kind of root. In the other worlds, the tables of the CRM are built: gold asks no engine, and all
that it asks of a store are files and commits, as raw and silver do. What a cluster makes of silver is in `silver/test_remote.py`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from lakehouse_assets.bundled import bundled
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.systems import crm, erp, finance
from tests.support.command import Command
from tests.support.lakehouse import Lakehouse, World
from tests.support.models import built_from

SYSTEMS = (crm.SYSTEM, erp.SYSTEM, finance.SYSTEM)

TABLES = {
    "raw.crm_customers": 18494,
    "raw.crm_products": 397,
    "raw.crm_sales": 60398,
    "raw.erp_customer_demographics": 18484,
    "raw.erp_customer_locations": 18484,
    "raw.erp_product_categories": 37,
    "raw.finance_exchange_rates": 3341,
    "silver.crm_customer_versions": 18487,
    "silver.crm_customers": 18484,
    "silver.crm_products": 397,
    "silver.crm_sales": 60398,
    "silver.erp_customer_demographics": 18484,
    "silver.erp_customer_location_versions": 18484,
    "silver.erp_customer_locations": 18484,
    "silver.erp_product_categories": 37,
    "silver.finance_exchange_rates": 3341,
    "gold.dim_customer": 44642,
    "gold.dim_product": 398,
    "gold.fact_sales": 60398,
}


pytestmark = pytest.mark.worlds("sail-folder")
"""What the tables hold is asked in one world; the others' are the same."""


WHOLE = ("sail-folder", "spark-folder", "sail-minio")
CRM_ALONE = ("spark-minio", "sail-versitygw")
CRM_TABLES = {table: rows for table, rows in TABLES.items() if table.startswith(("raw.crm_", "silver.crm_"))}


@pytest.fixture(scope="session")
def command(world: World, tmp_path_factory) -> Command:
    """A root on which the demo has run."""
    command = Command(world, tmp_path_factory.mktemp("demo"))
    command.run("demo", "--systems", ",".join(system.name for system in SYSTEMS))
    return command


@pytest.fixture(scope="session")
def crm_alone(world: World, engine: Engine, tmp_path_factory) -> Command:
    """A root with the demo's raw and silver tables of the CRM."""
    command = Command(world, tmp_path_factory.mktemp("demo"))
    lakehouse = Lakehouse(world.settings(command.root.uri), list(crm.SYSTEM.tables), engine)
    for feed in lakehouse.catalog.feeds:
        for file in bundled("sample_data").glob(f"{feed.landing}/*/*"):
            lakehouse.land(feed.landing, file.parent.name, file.name, file.read_bytes())
    assert lakehouse.build() == {}
    assert lakehouse.plan().of_layers("raw", "silver") == []
    return command


@pytest.mark.worlds(*WHOLE)
def test_every_table_holds_what_the_files_hold(command):
    assert _counts(command, TABLES) == TABLES


@pytest.mark.worlds(*CRM_ALONE)
def test_every_table_of_rows_holds_what_the_files_hold(crm_alone):
    assert _counts(crm_alone, CRM_TABLES) == CRM_TABLES


def _counts(command: Command, tables: Iterable[str]) -> dict[object, object]:
    counted = command.query(" UNION ALL ".join(f"SELECT '{t}' AS name, count(*) AS rows FROM {t}" for t in tables))
    return {row["name"]: row["rows"] for row in counted}


def test_sales_are_those_of_the_source(command):
    [row] = command.query(
        "SELECT count(*) AS lines, count(*) FILTER (product_key <> -1) AS products, "
        "count(*) FILTER (customer_key <> -1) AS customers, "
        "count(DISTINCT order_id) AS orders, sum(usd_amount) AS amount, sum(quantity)::BIGINT AS quantity FROM gold.fact_sales"
    )
    assert row == {
        "lines": 60398,
        "products": 60398,
        "customers": 60398,
        "orders": 27659,
        "amount": 29356250.0,
        "quantity": 60423,
    }


def test_the_mart_adds_up_to_the_fact(command):
    [row] = command.query("SELECT sum(usd_amount) AS amount, sum(quantity)::BIGINT AS quantity FROM gold.sales_performance")
    assert row == {"amount": 29356250.0, "quantity": 60423}


def test_each_product_has_one_current_version_and_versions_do_not_overlap(command):
    [row] = command.query(
        """SELECT count(*) FILTER (is_current) AS current, count(DISTINCT product_number) AS products,
                  (SELECT count(*) FROM gold.dim_product a JOIN gold.dim_product b ON a.product_number = b.product_number
                   AND a.product_key <> b.product_key AND a.valid_from <= b.valid_from
                   AND coalesce(a.valid_to, DATE '9999-12-31') >= b.valid_from) AS overlaps
           FROM gold.dim_product WHERE product_key <> -1"""
    )
    assert row == {"current": 295, "products": 295, "overlaps": 0}


def test_facts_point_at_the_version_of_their_order_date_where_there_is_one(command):
    [row] = command.query(
        """SELECT count(*) AS wrong FROM gold.fact_sales f JOIN gold.dim_product p USING (product_key)
           WHERE (f.order_date < p.valid_from OR f.order_date > p.valid_to) AND (
               NOT p.is_current OR EXISTS (FROM gold.dim_product v WHERE v.product_number = p.product_number
                   AND f.order_date BETWEEN v.valid_from AND coalesce(v.valid_to, DATE '9999-12-31')))"""
    )
    assert row == {"wrong": 0}


def test_the_erp_fills_in_gender_where_the_crm_has_none(command):
    [row] = command.query(
        """SELECT count(*) AS filled FROM gold.dim_customer d JOIN silver.crm_customers c USING (customer_number)
           JOIN silver.erp_customer_demographics e USING (customer_number)
           WHERE c.gender = 'n/a' AND e.gender <> 'n/a' AND d.gender = e.gender AND d.is_current"""
    )
    [expected] = command.query(
        """SELECT count(*) AS filled FROM silver.crm_customers c JOIN silver.erp_customer_demographics e USING (customer_number)
           WHERE c.gender = 'n/a' AND e.gender <> 'n/a'"""
    )
    assert row == expected
    assert expected["filled"] > 4000


def test_every_row_is_accounted_for(command):
    accounts = command.query("FROM ops.row_accounts")
    assert len(accounts) == 18
    assert all(a["rows_in"] == a["rows_out"] + a["rows_quarantined"] + a["rows_superseded"] for a in accounts)
    [customers] = [a for a in accounts if (a["layer"], a["table_name"]) == ("silver", "crm_customers")]
    assert (customers["rows_in"], customers["rows_quarantined"], customers["rows_superseded"]) == (18494, 4, 6)


def test_quarantined_rows_say_where_they_stood_and_what_they_said(command):
    rows = command.query("SELECT table_name, source_file, row_number, rule, payload FROM quarantine.rows ORDER BY ALL")
    # Of the same four lines, the current table and the history.
    assert [row["table_name"] for row in rows] == ["crm_customer_versions"] * 4 + ["crm_customers"] * 4
    lines = command.read("crm/customers/2026-01-31/cust_info.csv").splitlines()
    for row in rows:
        assert (row["source_file"], row["rule"]) == ("cust_info.csv", "customer_id_present")
        assert lines[row["row_number"] - 1].split(",")[1] == json.loads(row["payload"])["cst_key"]


@pytest.mark.worlds(*WHOLE)
def test_a_second_pass_does_nothing_and_is_quick(command):
    before, began = command.versions(), os.times()
    done = command.run("sync")
    ended = os.times()
    assert "Nothing to do" in done.stderr
    assert command.versions() == before
    seconds = ended.children_user + ended.children_system - began.children_user - began.children_system
    assert seconds < 5  # of CPU; a slow machine that does other things too takes half of that


def test_json_output_is_one_document(command):
    assert json.loads(command.run("plan", "--json").stdout)["tables"] == []
    assert json.loads(command.run("sync", "--json").stdout)["succeeded"] is True


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("DELETE FROM raw.crm_sales", "Only SELECT is allowed"),
        ("COPY gold.fact_sales TO 'x.csv'", "Only SELECT is allowed"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv is not allowed"),
        ("SELECT * FROM '/etc/passwd'", "is not a table"),
        ("SELECT * FROM read_parquet('https://example.com/x.parquet')", "read_parquet is not allowed"),
    ],
)
def test_a_query_that_is_more_than_a_query_is_refused_with_the_reason(command, sql, why):
    done = command.run("query", sql, succeeds=False)
    assert why in done.stderr
    assert "Traceback" not in done.stderr


_digests_by_world: dict[str, dict[str, object]] = {}


_OF_CRM = "(FROM ops.row_accounts WHERE table_name LIKE 'crm\\_%' ESCAPE '\\')"


@pytest.mark.worlds(*WHOLE, *CRM_ALONE)
def test_the_tables_are_those_of_every_other_world(world, request):
    is_whole = world.name in WHOLE
    command = request.getfixturevalue("command" if is_whole else "crm_alone")
    tables = [*TABLES, "gold.sales_performance", "gold.dim_date", "ops.row_accounts"] if is_whole else CRM_TABLES
    mine = _digests_by_world[world.name] = _digests(command, *tables, _OF_CRM)
    others = [digests for name, digests in _digests_by_world.items() if name != world.name]
    if not others:
        pytest.skip("the first world: the others are held against it")
    for digests in others:
        both = mine.keys() & digests.keys()
        assert len(both) >= 1 + len(CRM_TABLES)
        assert {name: mine[name] for name in both} == {name: digests[name] for name in both}


@pytest.mark.worlds("sail-minio")
def test_a_changed_file_rebuilds_what_depends_on_it_and_nothing_else(command, world, tmp_path):
    """The tables then equal those of a build from nothing."""
    before = command.versions()
    file = "erp/product_categories/2026-01-31/PX_CAT_G1V2.csv"
    command.write(file, command.read(file).replace("Bike Racks", "Racks for bikes"))
    plan = json.loads(command.run("plan", "--json").stdout)
    assert [(f["name"], f["change"]) for f in plan["files"]] == [("PX_CAT_G1V2.csv", "changed")]
    done = json.loads(command.run("sync", "--json").stdout)
    names = {f"{t['layer']}/{t['table']}" for t in done["tables"]}
    depends = {"raw/erp_product_categories", "silver/erp_product_categories"}
    built = {f"gold/{name}" for name in built_from("erp_product_categories")} & before.keys()
    assert names == depends | built
    assert built >= {"gold/dim_product", "gold/fact_sales", "gold/sales_performance"}
    # The facts and the mart by product line came out as they were, so nothing was written of them.
    moved = {name for name, version in command.versions().items() if version != before[name]}
    assert moved - {"ops/partitions", "ops/runs"} == depends | {"gold/dim_product", "gold/items_category_performance"}

    fresh = Command(world, tmp_path)
    fresh.copy_landing(command)
    fresh.run("sync")
    tables = (*TABLES, "gold.sales_performance", "gold.dim_date")
    assert _digests(command, *tables) == _digests(fresh, *tables)


def _digests(command: Command, *tables: str) -> dict[str, object]:
    """Rows and a hash over all of them, by table; of accounts without what tells runs apart."""
    parts = []
    for table in tables:
        columns = "* EXCLUDE (run_id, delta_version)" if "ops." in table else "*"
        name = table.replace("'", "''")
        parts.append(
            f"SELECT '{name}' AS name, count(*) AS rows, sum(hash(t))::VARCHAR AS digest FROM (SELECT {columns} FROM {table}) AS t"
        )
    return {str(row.pop("name")): row for row in command.query(" UNION ALL ".join(parts))}


def test_two_passes_at_once_both_succeed_and_leave_the_tables_of_one(command, world, tmp_path):
    both = Command(world, tmp_path)
    both.copy_landing(command)
    run = [str(Path(sys.executable).with_name("lakehouse")), "sync"]
    passes = [
        subprocess.Popen(run, env={**os.environ, **both.environment}, cwd=both.folder, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    messages = [process.communicate()[1] for process in passes]
    assert [process.returncode for process in passes] == [0, 0], messages
    accounts = both.query("FROM ops.row_accounts")
    assert len(accounts) == 18
    assert all(a["rows_in"] == a["rows_out"] + a["rows_quarantined"] + a["rows_superseded"] for a in accounts)
    assert _digests(command, *TABLES, "gold.sales_performance") == _digests(both, *TABLES, "gold.sales_performance")
    assert "Nothing to do" in both.run("sync").stderr
