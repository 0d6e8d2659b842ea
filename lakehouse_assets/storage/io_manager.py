"""The typed Delta IO manager: what an asset returns becomes a Delta table, what it takes is read from one."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from lakehouse_assets.storage.handlers import Handler, Source, Target
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import newest_table, table_facts


class DeltaIOManager(dg.IOManager):
    """Writes and reads the tables of assets with keys `[layer, table]` that are partitioned by date.

    The annotation of the function's parameter or result picks the handler. An `AssetIn` with metadata `columns` reads only those.
    """

    def __init__(self, root: Root, handlers: Sequence[Handler[Any]]) -> None:
        self._root = root
        self._handlers = handlers

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write the partitions of the run, and tell what the commit itself counted."""
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
        written = self._handler(type(obj), context.asset_key).write(obj, target)
        table = newest_table(target.uri)
        if table is None:  # a run over partitions of which none has ever held a row
            context.add_output_metadata({"dagster/row_count": 0, **written.metadata})
            return
        facts = table_facts(table)
        context.add_output_metadata(
            {
                "dagster/row_count": facts.rows,
                "dagster/uri": target.uri,
                "dagster/table_name": f"{layer}.{name}",
                "delta_version": facts.version,
                "bytes": facts.bytes,
                "files": facts.files,
                "committed": written.commit.changed,
                **written.metadata,
            }
        )
        for day in target.dates:
            of_day = {"dagster/partition_row_count": facts.rows_by_date.get(day, 0), **written.by_date.get(day, {})}
            context.step_context.add_asset_metadata(of_day, context.asset_key, day.isoformat())

    def load_input(self, context: dg.InputContext) -> object:
        """Read the partitions that the step asks for."""
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


def _address(key: dg.AssetKey) -> tuple[str, str]:
    if len(key.path) != 2:
        raise ValueError(f"Asset key {key.to_user_string()} is no [layer, table].")
    return key.path[0], key.path[1]
