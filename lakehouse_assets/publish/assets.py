"""Assets of what is served elsewhere: `postgres/<layer>.<table>` and the like, one multi-asset for each target."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from lakehouse_assets.books.runs import BUILT, FAILED, UNCHANGED
from lakehouse_assets.errors import PublishError
from lakehouse_assets.materialization.presentation import column_lineage, docs_metadata
from lakehouse_assets.materialization.run_book import RunBook
from lakehouse_assets.publish.served import Published, Served, Target
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root


def publish_assets(target: Target, *, root: Root, docs_url: str | None) -> dg.AssetsDefinition:
    """Define the tables of a target as one multi-asset: a step publishes whatever differs of the selected ones.

    They have no partitions: it is the target that says which dates it lacks.
    """
    by_key = {dg.AssetKey([target.name, served.title]): served for served in target.tables}

    @dg.multi_asset(
        name=target.name,
        specs=[_spec(key, served, target, docs_url) for key, served in by_key.items()],
        can_subset=True,
        pool=target.name,
    )
    @Unquoted(root)
    def _publish(context: dg.AssetExecutionContext, run_book: dg.ResourceParam[RunBook]) -> Iterator[dg.MaterializeResult[None]]:
        chosen = [served for key, served in by_key.items() if key in context.selected_asset_keys]
        refused: list[str] = []
        began = time.perf_counter()
        for done in target.publish(root, chosen, context.run_id):
            noted = run_book.new(target.name, done.served.title, BUILT if done.partitions else UNCHANGED)
            noted.rows_out, noted.dates = done.rows, done.partitions
            noted.seconds, began = round(time.perf_counter() - began, 3), time.perf_counter()
            if done.refusal is not None:
                noted.status, noted.error = FAILED, done.refusal
                refused.append(f"{target.name}/{done.served.title}: not published, {done.refusal}")
            else:
                yield dg.MaterializeResult(asset_key=[target.name, done.served.title], metadata=_metadata(done))
        if refused:
            raise PublishError("\n".join(refused))

    return _publish


def _spec(key: dg.AssetKey, served: Served, target: Target, docs_url: str | None) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=[dg.AssetKey([served.layer, served.name])],
        description=served.description,
        group_name=target.name,
        kinds=target.kinds,
        tags={"layer": target.name},
        metadata={"dagster/table_name": served.title, **docs_metadata(served.name, docs_url)},
        skippable=True,  # a table that was never written, or that the target can't take
    )


def _metadata(done: Published) -> dict[str, Any]:
    columns = [
        dg.TableColumn(name, kind, description=done.served.columns.get(name)) for name, kind in (done.columns or {}).items()
    ]
    source = done.served.layer, done.served.name
    lineage = column_lineage({name: [(*source, name)] for name in done.columns or {}})
    return {**done.metadata, "dagster/column_schema": dg.TableSchema(columns), **lineage}
