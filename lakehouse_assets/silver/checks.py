"""Asset checks that follow from a contract: rules, as counted when the rows were judged, relationships, freshness and volume.

In a run with dates, each check covers those dates; otherwise, all dates. Its metadata lists the dates that failed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakehouse_assets.books.ledger import Ledger, PartitionRecord, RuleHits
from lakehouse_assets.contracts.contract import Contract, Relationship, Rule, Volume
from lakehouse_assets.contracts.provenance import BROKEN_RULES, DATE_COLUMN
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta.duck import connect, files_view, files_with_keys
from lakehouse_assets.delta.tables import live_files, newest_table, sql_name
from lakehouse_assets.materialization.presentation import table_metadata
from lakehouse_assets.materialization.row_accounts import (
    FAULTS_TOLD,
    ROW_ACCOUNTS,
    dates_table,
    in_dates,
    row_accounts_result,
    row_accounts_spec,
    run_dates,
)
from lakehouse_assets.silver.deliveries import Delivery, held_deliveries
from lakehouse_assets.silver.volume import volumes
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable

FRESHNESS = "freshness"
VOLUME = "volume"
DELIVERIES = "deliveries"

_OUTCOMES = {
    "warn": "A row that breaks it stays and is counted.",
    "drop": "A row that breaks it goes to quarantine.",
    "fail": "A row that breaks it prevents its whole partition from being built.",
}
_EXAMPLES = 5
_SHOWN = 20


def silver_checks(table: SilverTable, root: Root) -> list[dg.AssetChecksDefinition]:
    """Make the checks of one silver table: those answered from the ledger, and one per relationship with outcome `warn`."""
    contract = table.contract
    key = dg.AssetKey(["silver", table.name])

    @dg.multi_asset_check(name=f"silver__{table.name}__contract", specs=_ledger_specs(table, key), can_subset=True)
    @Unquoted(root)
    def _contract(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        wanted = {check.name for check in context.selected_asset_check_keys}
        ledger, dates = Ledger(root), run_dates(context)
        records = sorted(ledger.read("silver", table.name, brief=True).values(), key=lambda r: r.date)
        if ROW_ACCOUNTS in wanted:
            yield row_accounts_result(root, "silver", table.name, dates)
        checked = {table.name: [r.date for r in records if in_dates(r.date, dates)]}
        with_hits = sorted(ledger.read_dates("silver", checked).values(), key=lambda r: r.date)
        for rule in [*table.all_rules, *_waiting_rules(contract)]:
            if rule.name in wanted:
                yield rule_result(key, rule, with_hits)
        if DELIVERIES in wanted:
            yield deliveries_result(key, held_deliveries(root, table.feeds), dates)
        if VOLUME in wanted and contract.volume is not None:
            yield volume_result(key, contract.volume, records, dates)
        if FRESHNESS in wanted and contract.freshness is not None:
            yield freshness_result(key, contract.freshness, records, ledger.newest_landing())

    if not _counted_relationships(contract):
        return [_contract]
    return [_contract, _relationship_checks(table, root)]


def _counted_relationships(contract: Contract) -> list[Relationship]:
    """Return the relationships whose rows are live even without a partner: a query on the tables counts them."""
    return [r for r in contract.relationships if r.outcome == "warn"]


def _waiting_rules(contract: Contract) -> list[Rule]:
    """Return the relationships whose rows wait for a partner, as rules: the ledger has their counts."""
    return [Rule(r.name, f"{r.column} in {r.to_table}.{r.to_column}", "drop", r.description) for r in contract.waits_for]


def _ledger_specs(table: SilverTable, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    contract = table.contract
    specs = [
        row_accounts_spec("silver", contract.table),
        *(
            dg.AssetCheckSpec(
                r.name, asset=key, blocking=r.outcome == "fail", description=f"{r.description} {_OUTCOMES[r.outcome]}"
            )
            for r in table.all_rules
        ),
        *(
            dg.AssetCheckSpec(
                r.name,
                asset=key,
                description=f"{r.description} Until then, the row waits in quarantine.",
            )
            for r in contract.waits_for
        ),
    ]
    if any(feed.complete for feed in table.feeds):
        specs.append(dg.AssetCheckSpec(DELIVERIES, asset=key, description="No complete delivery is held back."))
    if contract.volume is not None:
        usual = f"{contract.volume.smallest:g} to {contract.volume.largest:g} times the median of those before it"
        specs.append(dg.AssetCheckSpec(VOLUME, asset=key, description=f"Each date brings as many rows as is usual: {usual}."))
    if contract.freshness is not None:
        behind = f"at most {_days(contract.freshness)} behind the newest landing date of any table"
        specs.append(dg.AssetCheckSpec(FRESHNESS, asset=key, description=f"The newest rows are {behind}."))
    return specs


def rule_result(key: dg.AssetKey, rule: Rule, records: Sequence[PartitionRecord]) -> dg.AssetCheckResult:
    """Check whether any row of the given partitions broke the rule when it was judged."""
    broken = {r.date: hit for r in records for hit in r.rules if hit.rule == rule.name and hit.rows}
    rows = sum(hit.rows for hit in broken.values())
    return dg.AssetCheckResult(
        passed=not broken,
        check_name=rule.name,
        asset_key=key,
        severity=dg.AssetCheckSeverity.ERROR if rule.outcome == "fail" else dg.AssetCheckSeverity.WARN,
        description=f"{rows} rows broke it, on {_some_dates(broken)}." if broken else None,
        metadata={
            "rows": rows,
            "outcome": rule.outcome,
            "rule": rule.expression,
            **_failing_rows(broken, rows),
            **_see_all(key, rule, broken),
            **dates_table(
                ("rows",), {r.date: (broken[r.date].rows if r.date in broken else 0,) for r in records}, failing=broken
            ),
        },
    )


def deliveries_result(key: dg.AssetKey, held: Sequence[Delivery], dates: Collection[date] | None) -> dg.AssetCheckResult:
    """Check whether a complete delivery of the dates is held back, so that it deletes nothing."""
    held = [delivery for delivery in held if in_dates(delivery.date, dates)]
    return dg.AssetCheckResult(
        passed=not held,
        check_name=DELIVERIES,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(delivery.sentence for delivery in held[:FAULTS_TOLD]) or None,
        metadata={"held_back": len(held)},
    )


def volume_result(
    key: dg.AssetKey, volume: Volume, records: Sequence[PartitionRecord], dates: Collection[date] | None
) -> dg.AssetCheckResult:
    """Check whether the dates have about as many rows as the dates before them; `records` are all of the table, by date."""
    found = volumes(volume, records, lambda day: in_dates(day, dates))
    unusual = [day for day, of_date in found.items() if of_date.is_unusual]
    cells = {day: (v.rows, None if v.usual is None else f"{v.usual:g}", v.dates_before) for day, v in found.items()}
    return dg.AssetCheckResult(
        passed=not unusual,
        check_name=VOLUME,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Unusually few or many rows came in on {_some_dates(unusual)}." if unusual else None,
        metadata={"dates": len(cells), **dates_table(("in", "usual", "dates before"), cells, failing=unusual)},
    )


def freshness_result(
    key: dg.AssetKey, allowed: timedelta, records: Sequence[PartitionRecord], newest_landing: date | None
) -> dg.AssetCheckResult:
    """Check whether the table keeps up with landing; `records` are all of the table. Does not depend on the clock."""
    newest = max((r.date for r in records if r.rows_out), default=None)
    late = newest_landing is not None and (newest is None or newest_landing - newest > allowed)
    if newest is None:
        message = "The table has no rows." if late else "Nothing has landed yet."
    else:
        message = f"Its newest rows are of {newest}; the newest files of any table are of {newest_landing}."
    return dg.AssetCheckResult(
        passed=not late,
        check_name=FRESHNESS,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{message} Allowed are {_days(allowed)}." if late else message,
        metadata={
            **({"newest_rows": str(newest)} if newest else {}),
            **({"newest_landing": str(newest_landing)} if newest_landing else {}),
            "allowed": _days(allowed),
        },
    )


def _relationship_checks(table: SilverTable, root: Root) -> dg.AssetChecksDefinition:
    key = dg.AssetKey(["silver", table.name])
    relationships = _counted_relationships(table.contract)
    specs = [
        dg.AssetCheckSpec(
            r.name,
            asset=key,
            # A tree refers to itself.
            additional_deps=[dg.AssetKey(["silver", r.to_table])] if r.to_table != table.name else [],
            description=r.description,
        )
        for r in relationships
    ]

    @dg.multi_asset_check(name=f"silver__{table.name}__relationships", specs=specs, can_subset=True)
    @Unquoted(root)
    def _check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        names = {check.name for check in context.selected_asset_check_keys}
        wanted = [r for r in relationships if r.name in names]
        yield from relationship_results(table, wanted, root, run_dates(context))

    return _check


def relationship_results(
    table: SilverTable, relationships: Sequence[Relationship], root: Root, dates: Collection[date] | None
) -> Iterator[dg.AssetCheckResult]:
    """Check whether the rows of the dates (all if None) have their partners in the other tables.

    Of those, only files are read that may have one of the rows' values, and only these values are kept in memory.
    """
    key = dg.AssetKey(["silver", table.name])
    opened = {name: newest_table(root.table("silver", name)) for name in (table.name, *(r.to_table for r in relationships))}
    child = opened[table.name]
    ready = [] if child is None else [r for r in relationships if opened[r.to_table] is not None]
    for relationship in (r for r in relationships if r not in ready):
        missing = relationship.to_table if child is not None else table.name
        yield dg.AssetCheckResult(
            passed=False,
            check_name=relationship.name,
            asset_key=key,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"silver/{missing} does not exist yet: materialize it first.",
        )
    if child is None or not ready:
        return
    types = {column.name: column.type for column in table.contract.columns}
    with connect(root) as connection:
        _child_view(connection, table, root, child, ready, dates)
        for number, relationship in enumerate(ready):
            parent = opened[relationship.to_table]
            assert parent is not None, "`ready` has only relationships whose table exists"
            _found(connection, root, relationship, parent, types[relationship.column], number)
        rows = connection.execute(_orphans_query(ready)).fetchall()
    for number, relationship in enumerate(ready):
        counted: dict[date | None, Sequence[Any]] = {row[0]: row[1 + 3 * number : 4 + 3 * number] for row in rows}
        yield _relationship_result(key, relationship, counted)


def _child_view(
    connection: "duckdb.DuckDBPyConnection",
    table: SilverTable,
    root: Root,
    opened: "DeltaTable",
    relationships: Sequence[Relationship],
    dates: Collection[date] | None,
) -> None:
    """Create the view `child`: the columns of the relationships, for the given dates."""
    types = {column.name: column.type for column in table.contract.columns}
    files = [f for f in live_files(opened) if in_dates(f["date"], dates)]
    files_view(connection, "child", root.table("silver", table.name), files, {r.column: types[r.column] for r in relationships})


def _found(
    connection: "duckdb.DuckDBPyConnection", root: Root, relationship: Relationship, parent: "DeltaTable", kind: str, number: int
) -> None:
    """Create the table `found_<number>`: those values of the child's column that the parent has."""
    column, wanted = relationship.to_column, f"wanted_{number}"
    named = sql_name(relationship.column)
    connection.execute(f"CREATE TEMP TABLE {wanted} AS SELECT DISTINCT {named} AS value FROM child WHERE {named} IS NOT NULL")
    files = live_files(parent, [column])
    bounds = [{"value": file["bounds"][column]} if column in file["bounds"] else {} for file in files]
    possible = files_with_keys(connection, wanted, {"value": kind}, bounds)
    files = [file for file, may_have in zip(files, possible, strict=True) if may_have]
    files_view(connection, f"parent_{number}", root.table("silver", relationship.to_table), files, {column: kind})
    # The smaller side is the right one: DuckDB keeps that in memory, and skips row groups of the other by it.
    connection.execute(
        f"""CREATE TEMP TABLE found_{number} AS SELECT DISTINCT "{column}" AS value FROM parent_{number}
            SEMI JOIN {wanted} ON parent_{number}."{column}" = {wanted}.value"""
    )


def _orphans_query(relationships: Sequence[Relationship]) -> str:
    """SQL: per date and in total, for each relationship, the count of rows without a partner, of their values, and examples."""
    joins = " ".join(f'LEFT JOIN found_{n} AS p{n} ON child."{r.column}" = p{n}.value' for n, r in enumerate(relationships))
    orphans = ", ".join(
        f'CASE WHEN p{n}.value IS NULL THEN CAST(child."{r.column}" AS VARCHAR) END AS o{n}' for n, r in enumerate(relationships)
    )
    figures = ", ".join(f"count(o{n}), count(DISTINCT o{n}), min(DISTINCT o{n}, {_EXAMPLES})" for n in range(len(relationships)))
    return f"""SELECT {DATE_COLUMN}, {figures} FROM (SELECT child.{DATE_COLUMN}, {orphans} FROM child {joins})
               GROUP BY GROUPING SETS (({DATE_COLUMN}), ())"""


def _relationship_result(
    key: dg.AssetKey, relationship: Relationship, counted: dict[date | None, Sequence[Any]]
) -> dg.AssetCheckResult:
    rows, values, _ = counted[None]
    by_date = {day: figures for day, figures in counted.items() if day is not None}
    failing = [day for day, figures in by_date.items() if figures[0]]
    return dg.AssetCheckResult(
        passed=not rows,
        check_name=relationship.name,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rows} rows have no partner in {relationship.to_table}, on {_some_dates(failing)}." if rows else None,
        metadata={
            "rows": rows,
            "values": values,
            **table_metadata(
                "failing_values",
                ("date", relationship.column),
                [(day, value) for day in sorted(failing, reverse=True) for value in by_date[day][2]][:_SHOWN],
                sum(by_date[day][1] for day in failing),
            ),
            **dates_table(("rows", "values"), {day: figures[:2] for day, figures in by_date.items()}, failing=failing),
        },
    )


def _failing_rows(broken: Mapping[date, RuleHits], total: int) -> dict[str, Any]:
    """Return the metadata with some rows that broke a rule, newest dates first: key, file and row, as the ledger has them."""
    examples = [(day, example.split("\t")) for day in sorted(broken, reverse=True) for example in broken[day].examples]
    # A record of an earlier release has the key alone.
    shown = [(day, key, *(place or (None, None))) for day, (key, *place) in examples[:_SHOWN]]
    return table_metadata("failing_rows", ("date", "key", "file", "row"), shown, total)


def _see_all(key: dg.AssetKey, rule: Rule, dates: Collection[date]) -> dict[str, str]:
    """Return the metadata with the command that shows all rows that broke a rule; none if no table has them."""
    if not dates or rule.outcome == "fail":
        return {}
    table, first, last = key.path[-1], min(dates), max(dates)
    if rule.outcome == "drop":
        return {"see_all": f"lakehouse quarantine --table {table} --rule {rule.name} --from {first} --to {last}"}
    broke = f"list_contains(string_split({BROKEN_RULES}, ','), '{rule.name}')"
    where = f"{broke} AND {DATE_COLUMN} BETWEEN '{first}' AND '{last}'"
    return {"see_all": f'lakehouse query "FROM silver.{table} WHERE {where}"'}


def _some_dates(dates: Collection[date]) -> str:
    """List some dates, newest first, and how many more there are."""
    named = ", ".join(str(day) for day in sorted(dates, reverse=True)[:FAULTS_TOLD])
    return named + (f" and {len(dates) - FAULTS_TOLD} more dates" if len(dates) > FAULTS_TOLD else "")


def _days(period: timedelta) -> str:
    return f"{period / timedelta(days=1):g} days"
