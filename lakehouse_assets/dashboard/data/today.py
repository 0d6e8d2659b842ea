"""Today: what arrived, what is late, what failed, what waits in quarantine."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from lakehouse_assets.books.refused import Refusals
from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.dashboard.filters import Filters, of_dates, of_sources
from lakehouse_assets.dashboard.lake import SYSTEMS, State
from lakehouse_assets.reconcile.plan import Plan

if TYPE_CHECKING:
    import duckdb
    import pandas as pd


@dataclass(frozen=True)
class Problem:
    """Something that a person should look at: of which system (empty for gold), what it is about, what is wrong, what to do."""

    system: str
    what: str
    reason: str
    remedy: str


ALL = Filters()
"""No date and no source is left out."""


def newest_landing(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> date | None:
    """Return the newest date of the sources with a file that was loaded."""
    found = connection.execute(
        f"""SELECT max(date) FROM ops.partitions JOIN {SYSTEMS} USING (layer, table_name)
            WHERE layer = 'raw' AND len(files) > 0 AND {of_sources("system")}""",
        {"sources": list(filters.sources)},
    ).fetchone()
    return found[0] if found else None


def by_source(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return a row a system: `system`, `newest` (date of any file), and of the dates `files`, `bytes`, `rows`, `quarantined`.

    `rows` arrived. A row that silver rejects for two of its tables counts twice as `quarantined`, as in `quarantine.rows`.
    """
    return connection.execute(
        f"""SELECT system, max(date) FILTER (layer = 'raw' AND len(files) > 0) AS newest,
                coalesce(sum(len(files)) FILTER (layer = 'raw' AND chosen), 0)::BIGINT AS files,
                coalesce(sum(list_sum(list_transform(files, lambda f: f.size))) FILTER (layer = 'raw' AND chosen), 0)::BIGINT AS bytes,
                coalesce(sum(rows_in) FILTER (layer = 'raw' AND chosen), 0)::BIGINT AS rows,
                coalesce(sum(rows_quarantined) FILTER (chosen), 0)::BIGINT AS quarantined
            FROM (SELECT *, {of_dates("date")} AS chosen FROM ops.partitions JOIN {SYSTEMS} USING (layer, table_name))
            WHERE {of_sources("system")}
            GROUP BY system ORDER BY system""",
        filters.parameters,
    ).df()


def late(catalog: Catalog, plan: Plan, newest: Mapping[str, date | None], newest_of_all: date | None) -> list[Problem]:
    """Return what is late: deliveries that are not as declared, and silver tables older than their contract allows.

    `newest` is the newest date with rows of each silver table; a table's age is counted to the newest date of any landing file.
    """
    systems = {feed.landing: feed.system for feed in catalog.feeds}
    found = [
        Problem(
            systems.get(delivery.feed, ""),
            f"{delivery.feed} of {delivery.date}",
            f"{delivery.state}: {delivery.reason}.",
            f"Ask for it, then run `lakehouse land {delivery.feed} FILE --date {delivery.date}`.",
        )
        for delivery in (plan.arrivals.outstanding if plan.arrivals else ())
    ]
    stale: dict[tuple[str, date], list[SilverTable]] = {}
    for table in catalog.tables:
        allowed, day = table.contract.freshness, newest.get(table.name)
        if allowed is not None and day is not None and newest_of_all is not None and newest_of_all - day > allowed:
            stale.setdefault((table.system, day), []).append(table)
    for (system, day), tables in sorted(stale.items()):
        behind, feeds = (newest_of_all or day) - day, dict.fromkeys(f.landing for t in tables for f in t.feeds)
        found.append(
            Problem(
                system,
                ", ".join(table.name for table in tables),
                f"newest rows are of {day}, {behind.days} days behind the newest files; "
                f"{min(t.contract.freshness.days for t in tables if t.contract.freshness)} are allowed.",
                f"Ask {', '.join(dict.fromkeys(t.contract.owner for t in tables))} whether {', '.join(feeds)} was sent.",
            )
        )
    return found


def newest_rows(connection: "duckdb.DuckDBPyConnection") -> dict[str, date | None]:
    """Return the newest date with rows of each silver table that has any record."""
    rows = connection.execute(
        "SELECT table_name, max(date) FILTER (rows_out > 0) FROM ops.partitions WHERE layer = 'silver' GROUP BY table_name"
    ).fetchall()
    return dict(rows)


def failed(catalog: Catalog, plan: Plan, refusals: Refusals, state: State) -> list[Problem]:
    """Return what failed and has not been resolved: refused partitions, models that are behind, files that were not loaded.

    A refusal counts while the next pass would build the same again.
    """
    systems = {table.name: table.system for table in catalog.tables}
    found: list[Problem] = []
    refused_models = set()
    for planned in plan.of_layers("silver", "gold"):
        reasons: dict[str, list[date]] = {}
        for day, fingerprint in planned.to_build.items():
            if reason := refusals.get((planned.layer, planned.table, day, fingerprint)):
                reasons.setdefault(reason, []).append(day)
        for reason, days in reasons.items():
            dates = f"{days[0]}" if len(days) == 1 else f"{len(days)} dates, {min(days)} to {max(days)}"
            found.append(
                Problem(
                    systems.get(planned.table, ""),
                    f"{planned.layer}.{planned.table}" + (f" of {dates}" if planned.layer == "silver" else ""),
                    reason,
                    "Mend the file and land it again under its name, or change the rule; then run `lakehouse sync`."
                    if planned.layer == "silver"
                    else f'`lakehouse query "FROM gold.{planned.table}"` still shows the last good version. Mend what the '
                    "test found, then run `lakehouse sync`.",
                )
            )
            refused_models.add(planned.table)
    found += [
        Problem("", f"gold.{name}", "is older than the other tables: its last build failed.", "Run `lakehouse sync`.")
        for name in sorted(state.behind - refused_models)
    ]
    found += [
        Problem(_system(path), path, f"not loaded: {reason}.", "Give it a name and place that a feed has.")
        for path, reason in plan.ignored
    ]
    found += [
        Problem(
            delivery.feed.system,
            f"{delivery.feed.landing} of {delivery.date}",
            f"held back: {delivery.held_because}.",
            f"Look at it; if it is right, run `lakehouse accept {delivery.feed.landing} --date {delivery.date}`.",
        )
        for delivery in plan.held
    ]
    return found


def _system(path: str) -> str:
    """The system in a path of landing."""
    return path.removeprefix("landing/").partition("/")[0]


@dataclass(frozen=True)
class LastRun:
    """The newest run that did anything: when it began (UTC), seconds of all its tables, and how many of them were built or failed."""

    started: datetime
    seconds: float
    built: int
    failed: int


def last_run(connection: "duckdb.DuckDBPyConnection") -> LastRun | None:
    """Return the newest run; None if there was none."""
    found = connection.execute(
        """SELECT min(started), sum(seconds), count(*) FILTER (status = 'built'), count(*) FILTER (status = 'failed')
           FROM ops.runs WHERE run_id = (SELECT arg_max(run_id, started) FROM ops.runs)"""
    ).fetchone()
    return LastRun(*found) if found and found[0] is not None else None


def failed_runs(connection: "duckdb.DuckDBPyConnection", catalog: Catalog, named: Collection[str]) -> list[Problem]:
    """Return the tables whose newest run failed, except those that are `named` already, as `layer.table`."""
    systems = {f"raw.{f.table}": f.system for f in catalog.feeds} | {f"silver.{t.name}": t.system for t in catalog.tables}
    rows = connection.execute(
        """SELECT layer || '.' || table_name AS name, max(started), arg_max(error, started) FROM ops.runs
           WHERE status IN ('built', 'unchanged', 'failed') GROUP BY name
           HAVING arg_max(status, started) = 'failed' ORDER BY name"""
    ).fetchall()
    return [
        Problem(
            systems.get(name, ""),
            name,
            f"its last run, at {started:%Y-%m-%d %H:%M} UTC, failed: {error}",
            "Run `lakehouse sync`.",
        )
        for name, started, error in rows
        if name not in named
    ]


def of_chosen(problems: list[Problem], filters: Filters) -> list[Problem]:
    """Return the problems of the chosen sources, and those of gold, which belongs to all."""
    return [p for p in problems if not filters.sources or not p.system or p.system in filters.sources]
