"""Raw assets: one for each entity, made from its declaration."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lakehouse_assets.contracts.presentation import docs_metadata, raw_schema
from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.raw.load import READER_VERSION, LandedRows, land
from lakehouse_assets.storage.partitions import show_as_built, table_pool
from lakehouse_assets.storage.reach import Unquoted
from lakehouse_assets.storage.root import Root


def raw_asset(
    entity: Entity, *, root: Root, start: date, partitions: dg.PartitionsDefinition[str], docs_url: str | None
) -> dg.AssetsDefinition:
    """The asset `raw/<table>`: partition d holds the rows of the landing files dated d, all text."""

    @dg.asset(
        key=["raw", entity.table],
        group_name=f"raw_{entity.system}",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=table_pool("raw", entity.table),
        kinds={"deltalake", type(entity.raw.format).__name__.lower()},
        owners=[entity.contract.owner],
        tags={"system": entity.system},
        code_version=f"{READER_VERSION}-{entity.raw.digest()}",
        description=f"Rows of `landing/{entity.landing}/<date>/` as the files give them, all text. {entity.contract.description}",
        metadata={
            "dagster/column_schema": raw_schema(entity.raw),
            "dagster/partition_expr": "_date",
            "dagster/storage_kind": "deltalake",
            **docs_metadata(entity.table, docs_url),
        },
    )
    @Unquoted(root)
    def _raw(context: dg.AssetExecutionContext) -> LandedRows:
        landed = land(entity, root, start, [date.fromisoformat(key) for key in context.partition_keys], context.log)
        empty = _empty_dates(entity, root, start)
        for layer in ("raw", "silver"):
            show_as_built(context.instance, dg.AssetKey([layer, entity.table]), partitions, empty)
        return landed

    return _raw


def _empty_dates(entity: Entity, root: Root, start: date) -> list[date]:
    """The partitions of which landing has no folder."""
    there = set(Landing(root).dates(entity.landing, start))
    days = (start + timedelta(days=n) for n in range((datetime.now(UTC).date() - start).days + 1))
    return [day for day in days if day not in there]
