"""The typed Delta IO manager: writes what an asset returns to a Delta table, and reads its inputs from Delta tables."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from lakehouse_assets.delta.handlers import Handler, Source, Target
from lakehouse_assets.hooks.step_context import add_partition_metadata, asset_description
from lakehouse_assets.materialization.reporting import again_with_another_engine, observed
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root


class DeltaIOManager(dg.IOManager):
    """Writes and reads the tables of assets with keys `[layer, table]` that are partitioned by date.

    The type of the result, or the annotation of the parameter, picks the handler. An `AssetIn` with metadata `columns` reads only
    those columns.
    """

    def __init__(self, root: Root, handlers: Sequence[Handler[Any]]) -> None:
        self._root = root
        self._handlers = handlers

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write the partitions of the run, and report the commit's counts for the table and for each partition.

        Raises:
            RetryRequested: the engine was lost. Dagster runs the whole step again, because DataFrames end with their session.
        """
        with again_with_another_engine(context), Unquoted(self._root):
            self._write(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        """Read the partitions that the step requests.

        Raises:
            RetryRequested: the engine was lost, as in `handle_output`.
        """
        with again_with_another_engine(context), Unquoted(self._root):
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
            description=asset_description(context),
        )
        written = self._handler(type(obj), context.asset_key).write(obj, target)
        for day, metadata in observed(context, target, written).items():
            add_partition_metadata(context, day.isoformat(), metadata)

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
        supported = ", ".join(h.type_name for h in self._handlers)
        raise TypeError(f"{key.to_user_string()}: no handler stores {annotation!r}. Annotate it as one of {supported}.")


def _address(key: dg.AssetKey) -> tuple[str, str]:
    """The layer and table of an asset key."""
    if len(key.path) != 2:
        raise ValueError(f"Asset key {key.to_user_string()} is not [layer, table].")
    return key.path[0], key.path[1]
