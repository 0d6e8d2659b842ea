"""The typed Delta IO manager: what an asset returns becomes a Delta table, what it takes is read from one."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg

from lakehouse_assets.errors import AuditError, EngineLostError
from lakehouse_assets.storage.accounts import account_metadata
from lakehouse_assets.storage.handlers import Handler, Source, Target, Written
from lakehouse_assets.storage.ledger import Ledger
from lakehouse_assets.storage.reach import Unquoted
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import TableFacts, newest_table, table_facts

_RETRIES_OF_A_LOST_ENGINE = 2


class DeltaIOManager(dg.IOManager):
    """Writes and reads the tables of assets with keys `[layer, table]` that are partitioned by date.

    The annotation of the function's parameter or result picks the handler. An `AssetIn` with metadata `columns` reads only those.
    """

    def __init__(self, root: Root, handlers: Sequence[Handler[Any]]) -> None:
        self._root = root
        self._handlers = handlers

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write the partitions of the run, and tell what the commit itself counted, of the whole and by partition.

        Raises:
            AuditError: partitions were refused. The others count as materialized.
            RetryRequested: the engine went away. Dagster runs the step again, because frames end with their session.
        """
        with _again_with_another_engine(context), Unquoted(self._root):
            self._write(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        """Read the partitions that the step asks for.

        Raises:
            RetryRequested: the engine went away, as in `handle_output`.
        """
        with _again_with_another_engine(context), Unquoted(self._root):
            return self._read(context)

    def _write(self, context: dg.OutputContext, obj: object) -> None:
        layer, name = _address(context.asset_key)
        target = Target(
            root=self._root,
            layer=layer,
            name=name,
            dates=[date.fromisoformat(key) for key in context.asset_partition_keys],
            run_id=context.run_id,
            log=context.log,
            description=context.step_context.job_def.asset_layer.get(context.asset_key).description,
        )
        handler = self._handler(type(obj), context.asset_key)
        try:
            written = handler.write(obj, target)
        except AuditError as error:
            if isinstance(error.written, Written):
                _tell_published(context, target, error.written, error.refused)
            raise
        for day, of_day in _told(context, target, written).items():
            context.step_context.add_asset_metadata(of_day, context.asset_key, day.isoformat())

    def _read(self, context: dg.InputContext) -> object:
        layer, name = _address(context.asset_key)
        dates = [date.fromisoformat(key) for key in context.asset_partition_keys] if context.has_asset_partitions else None
        columns = (context.definition_metadata or {}).get("columns")
        source = Source(root=self._root, layer=layer, name=name, dates=dates, columns=columns)
        return self._handler(context.dagster_type.typing_type, context.asset_key).read(source)

    def _handler(self, annotation: Any, key: dg.AssetKey) -> Handler[Any]:
        for handler in self._handlers:
            if handler.handles(annotation):
                return handler
        known = ", ".join(h.type_name for h in self._handlers)
        raise TypeError(f"{key.to_user_string()}: no handler stores {annotation!r}. Annotate it as one of {known}.")


@contextmanager
def _again_with_another_engine(context: dg.InputContext | dg.OutputContext) -> Iterator[None]:
    try:
        yield
    except EngineLostError as error:
        context.log.warning(f"{error} This step does so by itself.")
        raise dg.RetryRequested(max_retries=_RETRIES_OF_A_LOST_ENGINE) from error


def _address(key: dg.AssetKey) -> tuple[str, str]:
    if len(key.path) != 2:
        raise ValueError(f"Asset key {key.to_user_string()} is no [layer, table].")
    return key.path[0], key.path[1]


def _told(context: dg.OutputContext, target: Target, written: Written) -> dict[date, dict[str, Any]]:
    """What is told of each partition of the run.

    What is true of the table and of the write as a whole is told here, as an observation, which no date shows as its own.
    """
    facts = _facts(target)
    of_table = {"dagster/row_count": facts.rows, "bytes": facts.bytes, "files": facts.files, **written.metadata}
    context.log_event(dg.AssetObservation(context.asset_key, metadata=of_table))
    accounts = _standing_accounts(target, [day for day in target.dates if day not in written.by_date])
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
    # There is none after a run over partitions of which none has ever held a row.
    return TableFacts(version=-1, rows=0, bytes=0, files=0, rows_by_date={}) if table is None else table_facts(table)


def _standing_accounts(target: Target, dates: Collection[date]) -> dict[date, dict[str, Any]]:
    """What the ledger says of partitions that needed no building: the newest run's materialization is the one that the UI shows."""
    if not dates:
        return {}
    records = Ledger(target.root).read(target.layer, target.name)
    return {day: account_metadata(r) for (_, _, day), r in records.items() if day in dates and not r.is_unsettled}


def _tell_published(context: dg.OutputContext, target: Target, written: Written, refused: Collection[date]) -> None:
    """Log the partitions that were published by a step that fails: Dagster itself counts none of a failed step as materialized."""
    for day, of_day in _told(context, target, written).items():
        if day not in refused:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=day.isoformat(), metadata=of_day))
