"""From a plan to runs: which assets over which range of dates. Shared by the sensor and the command line."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse_assets.automation.plan import Plan, PlannedTable, date_ranges

DIFFERENCE_TAG = "lakehouse/difference"


@dataclass(frozen=True)
class PlannedRun:
    """A run: the assets by key, and the range of dates that it covers. `difference` is the same for the same state of things."""

    keys: tuple[tuple[str, str], ...]
    start: date
    end: date
    difference: str


def rows_runs(plan: Plan) -> list[PlannedRun]:
    """The runs that bring raw and silver up to date: one for each range of dates, the oldest first."""
    tables = plan.of_layers("raw", "silver")
    return [_run(plan, tables, start, end) for start, end in date_ranges(d for t in tables for d in t.dates)]


def gold_runs(plan: Plan) -> list[PlannedRun]:
    """The run that brings gold up to date; all its dates at once, because each model is built as a whole."""
    tables = plan.of_layers("gold")
    dates = [d for t in tables for d in t.dates]
    return [_run(plan, tables, min(dates), max(dates))] if dates else []


def _run(plan: Plan, tables: Sequence[PlannedTable], start: date, end: date) -> PlannedRun:
    chosen = [t for t in tables if any(start <= d <= end for d in t.dates)]
    files = [f for f in plan.to_json()["files"] if start.isoformat() <= f["date"] <= end.isoformat()]
    # Of the dates only those of the run: which others a plan knows of depends on where it looked.
    facts = [[t.key, [d for d in t.dates if start <= d <= end], t.due] for t in chosen] + files
    difference = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
    return PlannedRun(tuple(t.key for t in chosen), start, end, difference)
