"""A job that keeps its parts: Dagster makes the part of a job that a run selects, and describes it, anew for each run."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import dagster as dg

from lakehouse_assets.hooks.names import JOB_PARTS

_KEPT = 32


def keeping_its_parts(job: dg.JobDefinition) -> dg.JobDefinition:
    """Let a job keep the parts of the selections of assets that it has run last; returns the job."""
    if not JOB_PARTS.is_usable:
        return job
    make: Any = job.as_ephemeral_job

    @lru_cache(_KEPT)
    def part(asset_selection: tuple[dg.AssetKey, ...]) -> dg.JobDefinition:
        made: dg.JobDefinition = make({}, {}, None, asset_selection)
        return made

    def as_ephemeral_job(
        resource_defs: Mapping[str, Any],
        input_values: Mapping[str, object],
        op_selection: Sequence[str] | None = None,
        asset_selection: Sequence[dg.AssetKey] | None = None,
    ) -> dg.JobDefinition:
        if resource_defs or input_values or op_selection or not asset_selection:
            return make(resource_defs, input_values, op_selection, asset_selection)  # type: ignore[no-any-return]
        return part(tuple(asset_selection))

    job.as_ephemeral_job = as_ephemeral_job  # type: ignore[method-assign]
    return job
