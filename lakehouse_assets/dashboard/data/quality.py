"""Quality: rules over time, worst first, and the rows in quarantine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.dashboard.filters import Filters, of_dates, of_sources
from lakehouse_assets.dashboard.lake import SYSTEMS

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

_QUARANTINED = f"""FROM quarantine.rows JOIN {SYSTEMS} USING (layer, table_name)
    WHERE {of_dates("date")} AND {of_sources("system")}
        AND ($table IS NULL OR table_name = $table) AND ($rule IS NULL OR rule = $rule)"""


def broken_rules(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return the rules that rows broke, worst first: `layer`, `table_name`, `rule`, `rows`, `of_rows`, `share`, `dates`.

    `rows` broke the rule; `of_rows` were judged on all dates of the filters. Rows that raw could not read count too: the quarantine
    alone has them.
    """
    return connection.execute(
        f"""WITH chosen AS (
                SELECT layer, table_name, date, rows_in, rules FROM ops.partitions JOIN {SYSTEMS} USING (layer, table_name)
                WHERE {of_dates("date")} AND {of_sources("system")}
            ), broken AS (
                SELECT layer, table_name, date, r.rule, r.rows FROM (SELECT *, unnest(rules) AS r FROM chosen WHERE layer = 'silver')
                UNION ALL
                SELECT layer, table_name, date, rule, sum(rows) FROM quarantine.rows
                WHERE layer = 'raw' AND (table_name, date) IN (SELECT (table_name, date) FROM chosen WHERE layer = 'raw')
                GROUP BY ALL
            ), judged AS (
                SELECT layer, table_name, sum(rows_in) AS of_rows FROM chosen GROUP BY ALL
            )
            SELECT layer, table_name, rule, sum(rows)::BIGINT AS rows, any_value(of_rows)::BIGINT AS of_rows,
                sum(rows) / nullif(any_value(of_rows), 0) AS share, count(DISTINCT date) AS dates
            FROM broken JOIN judged USING (layer, table_name)
            WHERE rows > 0 GROUP BY layer, table_name, rule ORDER BY rows DESC, layer, table_name, rule""",
        filters.parameters,
    ).df()


def outcomes(catalog: Catalog) -> dict[tuple[str, str], str]:
    """Return what the rules of each silver table do with a row, by table and rule: `warn`, `drop` or `fail`."""
    found = {(t.name, rule.name): str(rule.outcome) for t in catalog.tables for rule in t.all_rules}
    return found | {(t.name, r.name): str(r.outcome) for t in catalog.tables for r in t.contract.relationships}


def worst_first(rules: "pd.DataFrame", catalog: Catalog) -> list[dict[str, Any]]:
    """Return the rows of `broken_rules` with the `outcome` of each rule: those that keep rows out before those that warn."""
    known = outcomes(catalog)
    rows = [{**row, "outcome": known.get((row["table_name"], row["rule"]), "drop")} for row in rules.to_dict("records")]
    return sorted(rows, key=lambda row: (row["outcome"] == "warn", -row["rows"], row["table_name"], row["rule"]))


def rule_over_time(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return the rows that went to quarantine by `date` and `layer`, with the rows judged: `quarantined`, `rows_in`, `share`."""
    return connection.execute(
        f"""SELECT date, system, sum(rows_quarantined)::BIGINT AS quarantined, sum(rows_in)::BIGINT AS rows_in,
                sum(rows_quarantined) / nullif(sum(rows_in), 0) AS share
            FROM ops.partitions JOIN {SYSTEMS} USING (layer, table_name)
            WHERE rows_in > 0 AND {of_dates("date")} AND {of_sources("system")} GROUP BY ALL ORDER BY ALL""",
        filters.parameters,
    ).df()


def quarantined_rows(
    connection: "duckdb.DuckDBPyConnection", filters: Filters, table: str | None, rule: str | None, limit: int
) -> "pa.Table":
    """Return rows in quarantine, newest dates first: `table_name`, `date`, `rule`, `reason`, `file`, `row_number`, `text`, `rows`.

    `text` is the original text of the row; of a file that was rejected as a whole there is none, and `rows` says how many it has.
    """
    return connection.execute(
        f"""SELECT layer, table_name, date, rule, reason, source_file AS file, row_number, payload AS text, rows {_QUARANTINED}
            ORDER BY date DESC, table_name, source_file, row_number LIMIT $limit""",
        {**filters.parameters, "table": table, "rule": rule, "limit": limit},
    ).to_arrow_table()


def count_quarantined(
    connection: "duckdb.DuckDBPyConnection", filters: Filters, table: str | None = None, rule: str | None = None
) -> int:
    """Return how many rows are in quarantine."""
    found = connection.execute(
        f"SELECT coalesce(sum(rows), 0)::BIGINT {_QUARANTINED}", {**filters.parameters, "table": table, "rule": rule}
    ).fetchone()
    return int(found[0]) if found else 0


@dataclass(frozen=True)
class Mending:
    """How rows in quarantine are mended: a sentence, the owner of the table, and commands to copy, in their order."""

    sentence: str
    owner: str
    commands: tuple[str, ...]


def mending(catalog: Catalog, layer: str, table: str, rule: str) -> Mending:
    """Say how the rows that a table rejected by a rule are mended."""
    silver = next((t for t in catalog.tables if t.name == table and layer == "silver"), None)
    feeds = [feed for feed in catalog.feeds if feed.table == table] if silver is None else silver.feeds
    owner = silver.contract.owner if silver else ", ".join(dict.fromkeys(o for f in feeds for o in catalog.owners(f)))
    show = f"lakehouse quarantine --table {table} --rule {rule}"
    export = f"{show} --export rejected.csv"
    land = f"lakehouse land {feeds[0].landing if feeds else 'SYSTEM/ENTITY'} FILE --date DATE"
    relationship = next((r for r in (silver.contract.waits_for if silver else ()) if r.name == rule), None)
    if relationship is not None:
        partner = next((t for t in catalog.tables if t.name == relationship.to_table), None)
        feed = partner.feeds[0].landing if partner else relationship.to_table
        return Mending(
            f"These rows wait for their {relationship.to_table}: they load by themselves once it has their "
            f"{relationship.to_column}. Nothing is to be done but to land it.",
            owner,
            (show, f"lakehouse land {feed} FILE --date DATE", "lakehouse sync"),
        )
    declared = next((r for r in (silver.all_rules if silver else ()) if r.name == rule), None)
    if declared is not None and declared.outcome == "warn":
        return Mending(f"{declared.description} The rows stay in the table; tell the owner of the source.", owner, ())
    sentence = (
        f"{declared.description} " if declared else "The file could not be read as declared. "
    ) + "Have the source correct the rows, and land the file again under the same name: it replaces the former one."
    return Mending(sentence, owner, (export, land, "lakehouse sync"))
