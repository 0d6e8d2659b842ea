"""All sample data through all systems at once: what came out of each is what `tests/data/samples/<system>.json` says.

Such a file has the rows of each table (`rows`), the rows in quarantine by table and rule (`quarantined`), the superseded rows by table
(`superseded`), where there are any, and further queries of one value with their answers (`answers`).
"""

import json
from pathlib import Path

import pytest

from lakehouse_assets.bundled import bundled
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.gold.models import Model
from lakehouse_assets.serving.query import query
from lakehouse_assets.serving.trace import Traced, trace_key, trace_row
from lakehouse_assets.settings import Settings, load_catalog
from tests.support.command import Command

TRUTH = Path(__file__).parents[1] / "data" / "samples"
SYSTEMS = sorted(entry.name for entry in bundled("sample_data").iterdir() if entry.is_dir())

pytestmark = pytest.mark.worlds("sail-folder")


@pytest.fixture(scope="module")
def every_system(world, tmp_path_factory) -> Command:
    """A root with the sample data of all systems, built."""
    command = Command(world, tmp_path_factory.mktemp("samples"))
    command.run("demo")
    return command


@pytest.fixture(scope="module")
def accounts(every_system):
    """The row accounts of raw and silver, added up over the dates of each table."""
    return every_system.query(
        """SELECT layer || '.' || table_name AS name, sum(rows_in)::BIGINT AS rows_in, sum(rows_out)::BIGINT AS rows_out,
                  sum(rows_quarantined)::BIGINT AS quarantined, sum(rows_superseded)::BIGINT AS superseded,
           FROM ops.row_accounts WHERE layer IN ('raw', 'silver') GROUP BY ALL"""
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_s_tables_hold_what_its_files_hold(system, every_system, accounts):
    truth = json.loads((TRUTH / f"{system}.json").read_text())
    own = {row["name"]: row for row in accounts if row["name"].partition(".")[2].startswith(f"{system}_")}
    assert {name: row["rows_out"] for name, row in own.items()} == truth["rows"]
    assert {name: row["superseded"] for name, row in own.items() if row["superseded"]} == truth.get("superseded", {})

    refused = every_system.query(
        f"""SELECT layer || '.' || table_name AS name, rule, count(*)::BIGINT AS rows FROM quarantine.rows
            WHERE starts_with(table_name, '{system}_') GROUP BY ALL ORDER BY ALL"""
    )
    by_table: dict[str, dict[str, int]] = {}
    for row in refused:
        by_table.setdefault(row["name"], {})[row["rule"]] = row["rows"]
    assert by_table == truth.get("quarantined", {})

    if answers := truth.get("answers", {}):
        # In one query: each command costs a second.
        [row] = every_system.query("SELECT " + ", ".join(f"({sql}) AS answer_{n}" for n, sql in enumerate(answers)))
        assert dict(zip(answers, row.values(), strict=True)) == answers


def test_every_row_is_accounted_for(accounts):
    assert all(row["rows_in"] == row["rows_out"] + row["quarantined"] + row["superseded"] for row in accounts)


@pytest.fixture(scope="module")
def declared(every_system) -> tuple[Settings, Catalog, dict[str, Model]]:
    """The settings of the root, what systems declare, and the models that say which rows theirs are made of."""
    settings = Settings(lakehouse_root=every_system.root.uri, lakehouse_engine="sail")
    return settings, load_catalog(settings), {model.name: model for model in settings.gold_project.models() if model.rows_of}


def test_a_row_of_gold_leads_to_the_rows_of_files_that_it_is_made_of(declared, every_system):
    settings, catalog, models = declared
    named = {model.name for model in settings.gold_project.models() if model.name.startswith(("fact_", "dim_"))}
    assert named - models.keys() == {"dim_date", "dim_time", "dim_channel", "dim_holiday"}  # made of no row of a source
    for model in models.values():
        known = {f.name for f in catalog.tables} | models.keys()
        assert {name for name, _ in model.rows_of} <= known
        by = "source_system" if model.name in ("fact_sales", "bridge_product") else "1"
        where = f"{model.key} <> -1" if model.key else "true"
        order = model.key or "source_system"
        # One row of each source of the two whose sources differ most.
        for row in every_system.query(
            f"SELECT * FROM gold.{model.name} WHERE {where} QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY {order}) = 1"
        ):
            key = [str(row[model.key])] if model.key else [f"{c}={row[c]}" for c in row if c.startswith("source_")]
            [traced] = trace_key(settings.root, catalog, list(models.values()), model.name, key, print).rows
            origins = [silver.origin for silver in _silver(traced)]
            assert origins, f"{model.name} {key}"
            assert all(origin is not None and origin.text for origin in origins)


def _silver(traced: Traced) -> list[Traced]:
    """The rows of silver that a row is made of."""
    return [traced] if traced.layer == "silver" else [row for other in traced.made_of for row in _silver(other)]


def test_a_row_of_a_file_leads_to_what_it_made_or_why_it_was_refused(declared):
    settings, catalog, models = declared
    found = trace_row(settings.root, catalog, list(models.values()), "crm/customers/2026-01-31/cust_info.csv", 18473, print)
    assert found.origin is not None
    assert found.origin.text["cst_id"] == "29466"
    assert {(row.layer, row.table) for row in found.rows} >= {("silver", "crm_customers"), ("gold", "dim_customer")}
    # Two earlier records of the customer lost to it, and say where they stand.
    [live] = trace_key(settings.root, catalog, [], "crm_customers", ["29466"], print).rows
    assert [(rival.state, rival.origin.row) for rival in live.rivals] == [("superseded", 18472), ("superseded", 18471)]
    assert live.rivals[0].rules_broken == ("gender_known",)
    # A row without its key is in quarantine alone.
    [refused] = query(
        settings.root, "SELECT source_file, row_number FROM quarantine.rows WHERE rule = 'customer_id_present' LIMIT 1"
    ).fetchall()
    lost = trace_row(settings.root, catalog, list(models.values()), *refused, print)
    assert {entry.rule for entry in lost.rejected} == {"customer_id_present"}
    assert all(row.table != "crm_customers" for row in lost.rows)


def test_status_and_table_say_what_queries_say(every_system):
    state = json.loads(every_system.run("status", "--json").stdout)
    assert state["due"]["tables"] == []
    totals = every_system.query("SELECT layer, table_name, sum(rows_out)::BIGINT AS rows FROM ops.partitions GROUP BY ALL")
    expected = {(r["layer"], r["table_name"]): r["rows"] for r in totals}
    assert {(t["layer"], t["table"]): t["rows"] for t in state["tables"]} == expected
    assert {t["status"] for t in state["tables"]} == {"built"}
    shown = every_system.run("status").stdout
    assert "Due: nothing." in shown
    assert len(shown.splitlines()) < 60

    details = json.loads(every_system.run("table", "crm_customers", "--json").stdout)
    assert details["facts"]["owner"] == "team:customer-data"
    assert {row["first_name"] for row in details["sample"]} == {"•••"}
    assert all(row["customer_id"] for row in details["sample"])
    assert sum(p["rows_out"] for p in details["partitions"]) == details["rows"]
