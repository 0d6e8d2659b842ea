"""The resource `run_book`: a run's steps note in it what they do to each table, and it writes their notes when the run ends.

Runs execute all their steps in one process, so a run writes once.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from lakehouse_assets.books.runs import FAILED, SKIPPED, UNCHANGED, Runs, TableRun
from lakehouse_assets.delta.handlers import Written
from lakehouse_assets.delta.tables import TableFacts
from lakehouse_assets.errors import AuditError
from lakehouse_assets.materialization.spans import are_spans_wanted, send_spans
from lakehouse_assets.store.errors import unquoted
from lakehouse_assets.store.root import Root

RUN_BOOK = "run_book"
"""The key of the resource."""

_ACCOUNTS = ("rows_in", "rows_out", "rows_quarantined", "rows_superseded")


class RunBook:
    """The notes of one run, by table. `engines` names by layer what computes; another layer is its own engine."""

    def __init__(self, root: Root, run_id: str, engines: Mapping[str, str]) -> None:
        self._root, self._run_id, self._engines = root, run_id, engines
        self._noted: dict[tuple[str, str], TableRun] = {}

    def new(self, layer: str, name: str, status: str) -> TableRun:
        """Return a new note on a table, to be filled in. It replaces one of an earlier try."""
        engine = self._engines.get(layer, layer)
        noted = TableRun(self._run_id, layer, name, status, datetime.now(UTC), engine=engine)
        self._noted[layer, name] = noted
        return noted

    @contextmanager
    def noting(self, layer: str, name: str) -> Iterator[TableRun]:
        """Note what the block does to a table, with its time, and its error if it fails."""
        noted, began = self.new(layer, name, UNCHANGED), time.perf_counter()
        try:
            yield noted
        except BaseException as error:  # a stop, too, ends the block
            noted.status, noted.error = FAILED, _reason(error)
            if isinstance(error, AuditError) and isinstance(error.written, Written):
                note_accounts(noted, error.written.by_date)
            raise
        finally:
            noted.seconds = round(time.perf_counter() - began, 3)

    def write(self, selected: Iterator[tuple[str, str]]) -> None:
        """Write the notes. Of the `selected` tables, those that no step has begun were skipped."""
        for layer, name in selected:
            if (layer, name) not in self._noted:
                self.new(layer, name, SKIPPED)
        for noted in self._noted.values():
            noted.error = None if noted.error is None else " ".join(unquoted(self._root, noted.error).split())
        runs = list(self._noted.values())
        if are_spans_wanted():
            send_spans(self._run_id, runs)
        Runs(self._root).add(runs)


def _reason(error: BaseException) -> str:
    """Return why a step failed: what the error says, or that of its cause if Dagster is to run the step again."""
    cause = error.__cause__ if isinstance(error, dg.RetryRequested) and error.__cause__ is not None else error
    return str(cause) or type(cause).__name__


def note_accounts(noted: TableRun, by_date: Mapping[date, Mapping[str, Any]]) -> None:
    """Note the partitions that were built, and their row accounts, from their metadata (see `books/accounts.py`)."""
    noted.covers(list(by_date))
    for account in _ACCOUNTS:
        known = [metadata[account] for metadata in by_date.values() if account in metadata]
        if known:
            setattr(noted, account, sum(known))


def note_bytes(noted: TableRun, facts: TableFacts, dates: Mapping[date, Any]) -> None:
    """Note the size of the partitions that were built."""
    noted.bytes = sum(facts.bytes_by_date.get(day, 0) for day in dates)


def run_book(root: Root, engines: Mapping[str, str]) -> dg.ResourceDefinition:
    """Return the resource."""

    def opened(context: dg.InitResourceContext) -> Iterator[RunBook]:
        run = context.run
        book = RunBook(root, run.run_id if run is not None else "", engines)
        selected = run.asset_selection or () if run is not None else ()
        try:
            yield book
        finally:
            try:
                book.write((key.path[0], key.path[1]) for key in sorted(selected) if len(key.path) == 2)
            except Exception as error:  # noqa: BLE001 - the run is over, and no table depends on its history
                reason = " ".join(unquoted(root, str(error)).split())
                if context.log is not None:
                    context.log.warning(f"ops.runs has no rows of this run: {reason}")

    return dg.ResourceDefinition(opened, description="What the run did to each table, for `ops.runs`")
