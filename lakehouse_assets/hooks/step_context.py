"""What an IO manager can learn of its step by Dagster's internal context alone."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from lakehouse_assets.hooks.names import STEP_CONTEXT


def asset_description(context: dg.OutputContext) -> str | None:
    """The description of the asset that an output is of."""
    if not STEP_CONTEXT.is_usable:
        return None
    return context.step_context.job_def.asset_layer.get(context.asset_key).description


def add_partition_metadata(context: dg.OutputContext, partition: str, metadata: Mapping[str, Any]) -> None:
    """Give one of the partitions of an output metadata of its own."""
    if STEP_CONTEXT.is_usable:
        context.step_context.add_asset_metadata(metadata, context.asset_key, partition)
    else:
        known = context.get_logged_metadata()
        context.add_output_metadata({name: value for name, value in metadata.items() if name not in known})
