"""Jobs: the whole graph as one, for the UI, the sensor and the command line. What a run covers is its asset selection and range."""

from typing import Any

import dagster as dg

LAKEHOUSE_JOB = "lakehouse"
CHECKS_JOB = "checks"

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def lakehouse_jobs(partitions: dg.PartitionsDefinition[str]) -> list[Any]:  # Dagster keeps the type of an asset job to itself
    """The jobs of the code location."""
    return [
        dg.define_asset_job(
            LAKEHOUSE_JOB,
            selection=dg.AssetSelection.all(),
            partitions_def=partitions,
            description="Landing to gold for a date or a range of dates.",
        ),
        dg.define_asset_job(
            CHECKS_JOB,
            selection=dg.AssetSelection.all_asset_checks(),
            description="All asset checks over all dates, on the tables as they stand. Materializes nothing.",
        ),
    ]
