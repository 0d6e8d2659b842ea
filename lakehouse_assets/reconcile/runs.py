"""From a plan to runs: which assets over which range of dates. Shared by the sensor and the command line."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from lakehouse_assets.reconcile.plan import Plan, PlannedTable, date_ranges

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
    return [
        _run(plan, tables, start, end)
        for whole in date_ranges(d for t in tables for d in t.dates)
        for start, end in _around_left_out(tables, *whole)
    ]


def gold_runs(plan: Plan) -> list[PlannedRun]:
    """The run that brings gold up to date; all its dates at once, because each model is built as a whole."""
    tables = plan.of_layers("gold")
    dates = [d for t in tables for d in t.dates]
    return [_run(plan, tables, min(dates), max(dates))] if dates else []


def _around_left_out(tables: Sequence[PlannedTable], start: date, end: date) -> Iterator[tuple[date, date]]:
    """The range in pieces. None covers a date that is left out of a table of its run: a step builds all that is stale in its range."""
    chosen = [t for t in tables if any(start <= d <= end for d in t.dates)]
    days = sorted({d for t in chosen for d in t.dates if start <= d <= end})
    for cut in sorted({d for t in chosen for d in t.left_out if start <= d <= end}):
        yield from _within(days, start, cut - timedelta(days=1))
        yield from _within(days, cut, cut)
        start = cut + timedelta(days=1)
    yield from _within(days, start, end)


def _within(days: Sequence[date], start: date, end: date) -> list[tuple[date, date]]:
    """From the first to the last of the days that lie in a range, if any does."""
    found = [day for day in days if start <= day <= end]
    return [(found[0], found[-1])] if found else []


def _run(plan: Plan, tables: Sequence[PlannedTable], start: date, end: date) -> PlannedRun:
    chosen = [t for t in tables if any(start <= d <= end for d in t.dates)]
    files = [f for f in plan.to_json()["files"] if start.isoformat() <= f["date"] <= end.isoformat()]
    # Of the dates only those of the run: which others a plan knows of depends on where it looked.
    facts = [[t.key, [[d, t.due.get(d)] for d in t.dates if start <= d <= end]] for t in chosen] + files
    difference = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
    return PlannedRun(tuple(t.key for t in chosen), start, end, difference)
