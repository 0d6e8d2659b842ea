"""Reports to Dagster what a step has written, for the table and for each partition."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from logging import Logger
from typing import Any, Protocol

import dagster as dg

from lakehouse_assets.books.accounts import account_metadata
from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.books.runs import BUILT, TableRun
from lakehouse_assets.delta.handlers import Target, Written
from lakehouse_assets.delta.tables import TableFacts, newest_table, table_facts
from lakehouse_assets.errors import AuditError, EngineLostError
from lakehouse_assets.materialization.run_book import note_accounts, note_bytes

_RETRIES_OF_A_LOST_ENGINE = 2


class Logs(Protocol):
    """A Dagster context that has a log."""

    @property
    def log(self) -> Logger:
        """The run's log."""


class Step(Logs, Protocol):
    """A Dagster context that takes events."""

    def log_event(self, event: Any) -> None:
        """Add an event to the run."""


def step_target(context: dg.AssetExecutionContext, root: Any, *, layer: str, name: str, description: str | None) -> Target:
    """The partitions of a table that an asset's step writes."""
    dates = [date.fromisoformat(key) for key in context.partition_keys]
    return Target(root, layer, name, dates, context.run.run_id, context.log, description)


@contextmanager
def reporting_refused(step: Step, target: Target) -> Iterator[None]:
    """If the step in the block fails an audit, log the partitions that it published: Dagster counts none of a failed step.

    Raises:
        RetryRequested: the engine was lost. Dagster runs the whole step again, because DataFrames end with their session.
    """
    try:
        with again_with_another_engine(step):
            yield
    except AuditError as error:
        if isinstance(error.written, Written):
            for day, metadata in observed(step, target, error.written).items():
                if day not in error.refused:
                    key = dg.AssetKey([target.layer, target.name])
                    step.log_event(dg.AssetMaterialization(key, partition=day.isoformat(), metadata=metadata))
        raise


@contextmanager
def again_with_another_engine(step: Logs) -> Iterator[None]:
    """Have Dagster run the step again if the engine is lost in the block.

    Raises:
        RetryRequested: the engine was lost.
    """
    try:
        yield
    except EngineLostError as error:
        step.log.warning(f"{error} This step is run again automatically.")
        raise dg.RetryRequested(max_retries=_RETRIES_OF_A_LOST_ENGINE) from error


def report(
    context: dg.AssetExecutionContext, target: Target, written: Written, noted: TableRun, newest: Mapping[str, Any]
) -> None:
    """Report to Dagster what an asset's step has written, and note it for the history of runs.

    `newest` is metadata of the table that the UI looks up in the newest materialization: it is reported with the last date alone.
    """
    key, facts = dg.AssetKey([target.layer, target.name]), _facts(target)
    described = _described(context, target, written, facts)
    if described:
        described[max(described)] |= newest
    for day, metadata in described.items():
        context.add_asset_metadata(metadata, asset_key=key, partition_key=day.isoformat())
    note_accounts(noted, written.by_date)
    note_bytes(noted, facts, written.by_date)
    if written.by_date or written.commit.changed:
        noted.status = BUILT


def observed(step: Step, target: Target, written: Written) -> dict[date, dict[str, Any]]:
    """The metadata of each partition of the run.

    Metadata of the table and of the whole write is logged here as an observation, so that it does not appear under single dates.
    """
    return _described(step, target, written, _facts(target))


def _described(step: Step, target: Target, written: Written, facts: TableFacts) -> dict[date, dict[str, Any]]:
    """Do the same as `observed`, with the facts of the written table."""
    table_metadata = {"dagster/row_count": facts.rows, "bytes": facts.bytes, "files": facts.files, **written.metadata}
    step.log_event(dg.AssetObservation(dg.AssetKey([target.layer, target.name]), metadata=table_metadata))
    accounts = _recorded_accounts(target, [day for day in target.dates if day not in written.by_date])
    return {
        day: {
            "dagster/partition_row_count": facts.rows_by_date.get(day, 0),
            "dagster/uri": target.uri,
            "dagster/table_name": f"{target.layer}.{target.name}",
            "delta_version": facts.version,
            "committed": written.commit.changed,
            **accounts.get(day, {}),
            **written.by_date.get(day, {}),
        }
        for day in target.dates
    }


def _facts(target: Target) -> TableFacts:
    table = newest_table(target.uri)
    # There is no table after a run over partitions that have never held a row.
    return (
        TableFacts(version=-1, rows=0, bytes=0, files=0, rows_by_date={}, bytes_by_date={})
        if table is None
        else table_facts(table)
    )


def _recorded_accounts(target: Target, dates: Collection[date]) -> dict[date, dict[str, Any]]:
    """The ledger's accounts of dates that needed no build. The UI shows only the newest materialization, so it repeats them."""
    records = Ledger(target.root).read_dates(target.layer, {target.name: dates})
    return {day: account_metadata(r) for (_, _, day), r in records.items() if not r.is_unverified}
