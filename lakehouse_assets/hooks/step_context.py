"""What an IO manager can only do through Dagster's internal step context."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from lakehouse_assets.hooks.names import STEP_CONTEXT


def asset_description(context: dg.OutputContext) -> str | None:
    """The description of an output's asset."""
    if not STEP_CONTEXT.is_usable:
        return None
    return context.step_context.job_def.asset_layer.get(context.asset_key).description


def add_partition_metadata(context: dg.OutputContext, partition: str, metadata: Mapping[str, Any]) -> None:
    """Add metadata to one partition of an output."""
    if STEP_CONTEXT.is_usable:
        context.step_context.add_asset_metadata(metadata, context.asset_key, partition)
    else:
        logged = context.get_logged_metadata()
        context.add_output_metadata({name: value for name, value in metadata.items() if name not in logged})
