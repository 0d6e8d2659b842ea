"""The cache from which Dagster's UI shows which partitions are materialized (Dagster 1.13.27)."""

from collections.abc import Collection
from datetime import date

import dagster as dg

from lakehouse_assets.hooks.names import PARTITION_STATUS


def show_as_built(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: dg.PartitionsDefinition[str], dates: Collection[date]
) -> None:
    """Mark partitions that are rightly empty as materialized in the UI, although no run has built them.

    Otherwise its dialogs warn for each that downstream assets can't be materialized. An event for each date would mark them too,
    but would cost a kilobyte and distort the asset's freshness. This only changes Dagster's cache of the events, so each pass
    repeats it.
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
