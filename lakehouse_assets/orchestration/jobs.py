"""Jobs: one for the whole graph, used by UI, sensors and command line, and one for all checks.

A run's asset selection and date range say what it covers.
"""

from typing import Any

import dagster as dg

LAKEHOUSE_JOB = "lakehouse"
CHECKS_JOB = "checks"

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def lakehouse_jobs(partitions: dg.PartitionsDefinition[str]) -> list[Any]:  # the type of an asset job is private to Dagster
    """Return the jobs of the code location."""
    return [
        dg.define_asset_job(
            LAKEHOUSE_JOB,
            # Polls have no date. They run by their schedules.
            selection=dg.AssetSelection.all() - dg.AssetSelection.key_prefixes("landing"),
            partitions_def=partitions,
            description="Builds landing to gold for a date or a range of dates.",
        ),
        dg.define_asset_job(
            CHECKS_JOB,
            selection=dg.AssetSelection.all_asset_checks(),
            description="Runs all asset checks over all dates, on the current tables. Materializes nothing.",
        ),
    ]
