"""All sample data through all systems at once: what came out of each is what `tests/data/samples/<system>.json` says.

Such a file has the rows of each table (`rows`), the rows in quarantine by table and rule (`quarantined`), the superseded rows by table
(`superseded`), where there are any, and further queries of one value with their answers (`answers`).
"""

import json
from pathlib import Path

import pytest

from lakehouse_assets.bundled import bundled
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
