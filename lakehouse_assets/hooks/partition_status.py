"""What Dagster's UI keeps of which partitions are materialized (Dagster 1.13.27)."""

from collections.abc import Collection
from datetime import date

import dagster as dg

from lakehouse_assets.hooks.names import PARTITION_STATUS


def show_as_built(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: dg.PartitionsDefinition[str], dates: Collection[date]
) -> None:
    """Let the UI show partitions as materialized that hold nothing and should not: no run needs to build them.

    Else its dialogs say of each that what reads the asset can't be materialized. An event for each date would say so too, and cost a
    kilobyte and the asset its freshness; this is what Dagster keeps of the events, so each pass says it again.
    """
    if not PARTITION_STATUS.is_usable or not instance.event_log_storage.can_write_asset_status_cache():
        return
    from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

    status = get_and_update_asset_status_cache_value(instance, key, partitions)
    if status is None:
        return
    materialized = status.deserialize_materialized_partition_subsets(partitions)
    subset = materialized.with_partition_keys([day.isoformat() for day in dates])
    if subset != materialized:
        instance.update_asset_cached_status_data(
            key, status._replace(serialized_materialized_partition_subset=subset.serialize())
        )
