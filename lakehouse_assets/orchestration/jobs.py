"""Jobs: for the whole graph, each layer and each system, and one for all checks.

A run's asset selection and date range say what it covers. Sensors and command line use the job of the whole graph; the others are for
people, in the UI.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from lakehouse_assets.settings import LAYERS

LAKEHOUSE_JOB = "lakehouse"
PUBLISH_JOB = "publish"
CHECKS_JOB = "checks"

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

_PARTS = ("layer_", "system_")
"""What the names of jobs for a part of the graph begin with."""


def lakehouse_jobs(
    partitions: dg.PartitionsDefinition[str], systems: Sequence[str], targets: Sequence[str] = ()
) -> list[Any]:  # the type of an asset job is private to Dagster
    """Return the jobs of the code location; the one that publishes, only if there are targets to publish to."""
    # Polls, drains and published tables have no date. Polls and drains run by their schedules and sensors.
    published = dg.AssetSelection.key_prefixes(*targets) if targets else None
    tables = dg.AssetSelection.all() - dg.AssetSelection.key_prefixes("landing", *targets)
    parts = {
        LAKEHOUSE_JOB: (tables, "Builds landing to gold"),
        **{f"layer_{layer}": (tables & dg.AssetSelection.tag("layer", layer), f"Builds all of {layer}") for layer in LAYERS},
        **{
            f"system_{system}": (tables & dg.AssetSelection.tag("system", system), f"Builds raw and silver of {system}")
            for system in systems
        },
    }
    return [
        *(
            dg.define_asset_job(
                name, selection=selection, partitions_def=partitions, description=f"{does} for a date or a range of dates."
            )
            for name, (selection, does) in parts.items()
        ),
        *(
            [dg.define_asset_job(PUBLISH_JOB, selection=published, description="Publishes what differs to where it is served.")]
            if published is not None
            else []
        ),
        dg.define_asset_job(
            CHECKS_JOB,
            selection=dg.AssetSelection.all_asset_checks(),
            description="Runs all asset checks over all dates, on the current tables. Materializes nothing.",
        ),
    ]


def builds_tables(job: str) -> bool:
    """Whether a job of this code location builds tables, or publishes them."""
    return job in (LAKEHOUSE_JOB, PUBLISH_JOB) or job.startswith(_PARTS)
