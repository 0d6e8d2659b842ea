"""Turns a plan into runs: which assets, over which range of dates. Shared by the sensors and the command line."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.reconcile.plan import Plan, PlannedTable, date_ranges
from lakehouse_assets.settings import LAYERS

DIFFERENCE_TAG = "lakehouse/difference"


_PARTITIONS_OF_A_RUN = 60
"""A run of its own costs about as much as so many partitions: Dagster stores an event for each date of a run's range and each of its
tables, whether or not there is something to build."""


@dataclass(frozen=True)
class PlannedRun:
    """A run: asset keys, and the range of dates that it covers. `difference` is a hash of what the run is to resolve.

    `reason` says to people why it was asked for.
    """

    keys: tuple[tuple[str, str], ...]
    start: date
    end: date
    difference: str
    reason: str = ""

    @property
    def builds(self) -> bool:
        """Whether it builds tables of the lakehouse; else it publishes them."""
        return all(layer in LAYERS for layer, _ in self.keys)


def rows_runs(plan: Plan, catalog: Catalog | None = None) -> list[PlannedRun]:
    """Return the runs that bring raw and silver up to date: one for each range of dates, oldest first.

    With the catalog, systems that have nothing to do with each other share a run only where that costs less than a run of their own.
    """
    tables = plan.of_layers("raw", "silver")
    groups = [[t for t in tables if t.key in group] for group in catalog.unrelated()] if catalog else [list(tables)]
    return [
        _run(plan, group, start, end)
        for group in _shared([group for group in groups if group])
        for first, last in date_ranges(d for t in group for d in t.dates)
        for start, end in _split_at_left_out(group, first, last)
    ]


def _shared(groups: Sequence[list[PlannedTable]]) -> list[list[PlannedTable]]:
    """Merge neighbours that cost less in one run than in two."""
    shared: list[list[PlannedTable]] = []
    for group in groups:
        if shared and _partitions([*shared[-1], *group]) <= _partitions(shared[-1]) + _partitions(group) + _PARTITIONS_OF_A_RUN:
            shared[-1] = [*shared[-1], *group]
        else:
            shared.append(group)
    return shared


def _partitions(tables: Sequence[PlannedTable]) -> int:
    """Return how many partitions the runs of some tables cover, built or not."""
    ranges = date_ranges(d for t in tables for d in t.dates)
    return sum(((end - start).days + 1) * sum(any(start <= d <= end for d in t.dates) for t in tables) for start, end in ranges)


def gold_runs(plan: Plan) -> list[PlannedRun]:
    """Return the run that brings gold up to date: all dates at once, because each model is built as a whole."""
    tables = plan.of_layers("gold")
    dates = [d for t in tables for d in t.dates]
    return [_run(plan, tables, min(dates), max(dates))] if dates else []


def publish_runs(plan: Plan) -> list[PlannedRun]:
    """Return the runs that publish what differs, one for each target."""
    targets = dict.fromkeys(t.layer for t in plan.tables if t.layer not in LAYERS)
    by_target = [plan.of_layers(target) for target in targets]
    return [
        _run(plan, tables, min(d for t in tables for d in t.dates), max(d for t in tables for d in t.dates))
        for tables in by_target
    ]


def _split_at_left_out(tables: Sequence[PlannedTable], start: date, end: date) -> Iterator[tuple[date, date]]:
    """Split a range so that no piece has a table that both builds dates and leaves one out.

    A step builds every stale date in its range, so such a piece would build the date that is left out.
    """
    chosen = [t for t in tables if any(start <= d <= end for d in t.dates)]
    days = sorted({d for t in chosen for d in t.dates if start <= d <= end})
    for excluded in sorted({d for t in chosen for d in t.left_out if start <= d <= end}):
        yield from _span(days, start, excluded - timedelta(days=1))
        yield from _span(days, excluded, excluded)
        start = excluded + timedelta(days=1)
    yield from _span(days, start, end)


def _span(days: Sequence[date], start: date, end: date) -> list[tuple[date, date]]:
    """Return the first and last of the days between `start` and `end`; an empty list if there are none."""
    inside = [day for day in days if start <= day <= end]
    return [(inside[0], inside[-1])] if inside else []


def _run(plan: Plan, tables: Sequence[PlannedTable], start: date, end: date) -> PlannedRun:
    """Return the run that builds the dates of all tables between `start` and `end`."""
    chosen = [t for t in tables if any(start <= d <= end for d in t.dates)]
    files = [f for f in plan.to_json()["files"] if start.isoformat() <= f["date"] <= end.isoformat()]
    # Only the dates of this run: which others a plan has depends on what it scanned.
    facts = [[t.key, [[d, t.to_build.get(d)] for d in t.dates if start <= d <= end]] for t in chosen] + files
    difference = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
    return PlannedRun(tuple(t.key for t in chosen), start, end, difference, _reason(chosen, len(files)))


def _reason(tables: Sequence[PlannedTable], files: int) -> str:
    """Say why tables are to be built; `files` is the number of landing files that differ from raw."""
    has_raw = any(t.layer == "raw" for t in tables)
    landed = [f"{files} landing file{'s' if files > 1 else ''} new, changed or gone"] if files and has_raw else []
    return "; ".join([*landed, *dict.fromkeys(t.reason for t in tables if t.reason)]) or "what the tables read has changed"
