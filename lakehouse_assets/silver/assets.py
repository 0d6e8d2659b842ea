"""Silver assets: one per silver table, made from its contract and its inputs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.materialization.partitions import table_pool
from lakehouse_assets.materialization.presentation import (
    code_metadata,
    column_lineage,
    docs_metadata,
    quarantine_metadata,
    silver_description,
    silver_schema,
)
from lakehouse_assets.materialization.reporting import report, reporting_refused, step_target
from lakehouse_assets.materialization.run_book import RunBook
from lakehouse_assets.silver.build import build_partitions
from lakehouse_assets.silver.lineage import silver_lineage
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def silver_asset(
    table: SilverTable,
    session: "Callable[[], SparkSession]",
    *,
    engine: str,
    root: Root,
    partitions: dg.PartitionsDefinition[str],
    docs_url: str | None,
) -> dg.AssetsDefinition:
    """Make the asset `silver/<table>`: partition d applies the rows of its feeds dated d, by the contract's write mode.

    `engine` is the name of what computes, for people.
    """
    contract = table.contract
    freshness, description = contract.freshness, silver_description(table)

    @dg.asset(
        key=["silver", table.name],
        deps=[
            *(dg.AssetKey(["raw", feed.table]) for feed in table.feeds),
            *(dg.AssetKey(["silver", name]) for name in sorted({r.to_table for r in contract.waits_for})),
        ],
        group_name=f"silver_{table.system}",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=table_pool("silver", table.name),
        kinds={"deltalake", "sail" if engine == "sail" else "spark"},
        owners=[contract.owner],
        tags={"layer": "silver", "system": table.system},
        code_version=table.digest(),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=freshness) if freshness else None,
        description=description,
        metadata={
            "dagster/column_schema": silver_schema(contract),
            "dagster/partition_expr": DATE_COLUMN,
            "dagster/storage_kind": "deltalake",
            **docs_metadata(table.name, docs_url),
            **quarantine_metadata("silver", table.name),
            **code_metadata([given.function for given in table.inputs]),
        },
    )
    @Unquoted(root)
    def _silver(context: dg.AssetExecutionContext, run_book: dg.ResourceParam[RunBook]) -> None:
        target = step_target(context, root, layer="silver", name=table.name, description=description)
        with run_book.noting("silver", table.name) as noted:
            with reporting_refused(context, target):
                written = build_partitions(table, session, target)
            report(context, target, written, noted, _lineage(table, session))

    return _silver


def _lineage(table: SilverTable, session: "Callable[[], SparkSession]") -> dict[str, Any]:
    lineage = silver_lineage(table, session)
    return column_lineage({column: [("raw", *source) for source in sources] for column, sources in lineage.items()})
