"""How the lakehouse stands: tables, freshness, what the last runs did, quarantine, what is due. Read from the books and a plan."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.books.runs import FAILED
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.reconcile.plan import Plan
from lakehouse_assets.serving.query import as_json, query
from lakehouse_assets.settings import Settings

LAST_OUTCOMES = """SELECT layer, table_name, arg_max(status, started) AS status, arg_max(error, started) AS error,
    max(started) AS started, max(started) FILTER (WHERE status IN ('built', 'unchanged')) AS built_at FROM ops.runs GROUP BY ALL"""
"""What became of each table when a run last had it."""

LAST_RUN = """SELECT run_id, min(started) AS started, max(started + to_milliseconds(CAST(seconds * 1000 AS BIGINT))) AS ended,
    round(sum(seconds), 1) AS seconds, count(*) FILTER (WHERE status IN ('built', 'unchanged')) AS built,
    count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'skipped') AS skipped
    FROM ops.runs GROUP BY run_id ORDER BY started DESC LIMIT 1"""

TOP_REASONS = """SELECT layer, table_name, rule, sum(rows)::BIGINT AS rows, max(date)::VARCHAR AS newest
    FROM quarantine.rows GROUP BY ALL ORDER BY newest DESC, rows DESC LIMIT 5"""


@dataclass(frozen=True)
class TableStatus:
    """A table that has been built. `group` is its system, or the folder of a model.

    `rows` are live, `quarantined` were rejected by it. `newest` is its newest date with rows; `is_stale` if that is further behind the
    newest landing date of any table than its contract allows. `due` counts the dates that the next pass would build. `status`, `error`
    and `built_at` (UTC) are of the last run that had it, and that built it; None if `ops.runs` has none.
    """

    layer: str
    table: str
    group: str
    rows: int
    quarantined: int
    newest: date | None
    is_stale: bool
    due: int
    status: str | None = None
    error: str | None = None
    built_at: datetime | None = None


@dataclass(frozen=True)
class Status:
    """How the lakehouse stands at a moment (UTC).

    `last_run` has the columns of LAST_RUN; None if there was none. `last_pass` is the number of the manifest by which gold is read.
    `quarantine` has the columns of TOP_REASONS: what was rejected last.
    """

    root: str
    as_of: datetime
    tables: tuple[TableStatus, ...]
    last_run: Mapping[str, Any] | None
    last_pass: int | None
    quarantine: tuple[Mapping[str, Any], ...]
    plan: Plan

    @property
    def failed(self) -> list[TableStatus]:
        """The tables whose last run failed."""
        return [table for table in self.tables if table.status == FAILED]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; `due` is what `lakehouse plan --json` prints."""
        return {
            "root": self.root,
            "as_of": self.as_of.isoformat(),
            "tables": [
                {
                    **asdict(table),
                    "newest": table.newest.isoformat() if table.newest else None,
                    "built_at": table.built_at.isoformat() if table.built_at else None,
                }
                for table in self.tables
            ],
            "last_run": self.last_run,
            "last_pass": self.last_pass,
            "quarantine": list(self.quarantine),
            "due": self.plan.to_json(),
        }


def status(settings: Settings, catalog: Catalog, plan: Plan, now: datetime) -> Status:
    """Return how the lakehouse stands. `plan` is that of the next pass."""
    root, ledger = settings.root, Ledger(settings.root)
    records, newest_landing, manifest = ledger.read(brief=True), ledger.newest_landing(), Manifests(root).newest()
    groups = {("raw", feed.table): feed.system for feed in catalog.feeds}
    groups |= {("silver", table.name): table.system for table in catalog.tables}
    groups |= {("gold", model.name): model.folder for model in settings.gold_project.models()}
    allowed = {("silver", table.name): table.contract.freshness for table in catalog.tables}
    outcomes = {(r["layer"], r["table_name"]): r for r in _rows(query(root, LAST_OUTCOMES))}
    due = {table.key: len(table.dates) for table in plan.tables}
    totals: dict[tuple[str, str], list[Any]] = {}
    for (layer, name, day), record in records.items():
        total = totals.setdefault((layer, name), [0, 0, None])
        total[0] += record.rows_out
        total[1] += record.rows_quarantined
        if record.rows_out and (total[2] is None or day > total[2]):
            total[2] = day
    keys = [key for key in groups if key in totals or key in due or key in outcomes]
    tables = []
    for key in keys:
        rows, quarantined, newest = totals.get(key, (0, 0, None))
        freshness, last = allowed.get(key), outcomes.get(key, {})
        is_stale = bool(freshness and newest_landing and (newest is None or newest_landing - newest > freshness))
        of_run = (last.get("status"), last.get("error"), last.get("built_at"))
        tables.append(TableStatus(*key, groups[key], rows, quarantined, newest, is_stale, due.get(key, 0), *of_run))
    last_runs = as_json(query(root, LAST_RUN))
    reasons = as_json(query(root, TOP_REASONS))
    number = None if manifest is None else manifest.number
    return Status(root.uri, now, tuple(tables), last_runs[0] if last_runs else None, number, tuple(reasons), plan)


def _rows(result: Any) -> list[dict[str, Any]]:
    return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]
