"""Silver assets: one for each entity, made from its contract and its silver function."""

import dagster as dg

from lakehouse_assets.contracts.presentation import docs_metadata, silver_description, silver_schema
from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.silver.publish import RowsToAudit
from lakehouse_assets.storage.partitions import table_pool


def silver_asset(entity: Entity, *, partitions: dg.PartitionsDefinition[str], docs_url: str | None) -> dg.AssetsDefinition:
    """The asset `silver/<table>`: what arrived on date d in raw, applied by the contract's write mode."""
    freshness = entity.contract.freshness

    @dg.asset(
        key=["silver", entity.table],
        deps=[dg.AssetKey(["raw", entity.table])],
        group_name=f"silver_{entity.system}",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=table_pool("silver", entity.table),
        kinds={"deltalake", "pyspark"},
        owners=[entity.contract.owner],
        tags={"system": entity.system},
        code_version=entity.silver_digest(),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=freshness) if freshness else None,
        description=silver_description(entity),
        metadata={
            "dagster/column_schema": silver_schema(entity.contract),
            "dagster/partition_expr": "_date",
            "dagster/storage_kind": "deltalake",
            **docs_metadata(entity.table, docs_url),
        },
    )
    def _silver() -> RowsToAudit:
        return RowsToAudit(entity)

    return _silver
