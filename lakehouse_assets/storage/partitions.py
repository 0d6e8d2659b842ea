"""The daily partitions that every table shares, so that a date or a range runs through the whole graph alike, and its pool."""

from collections.abc import Collection
from datetime import date

import dagster as dg
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value


def daily_partitions(start: date) -> dg.DailyPartitionsDefinition:
    """One partition a day, UTC, from `start` to today; today is one already, because files land all day."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1, timezone="UTC")


def table_pool(layer: str, table: str) -> str:
    """The pool of the steps that write a table: of one slot, so that two runs never compute the same merge twice.

    It saves work and no more: what keeps commits apart is the conditional put.
    """
    return f"{layer}/{table}"


def show_as_built(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: dg.PartitionsDefinition[str], dates: Collection[date]
) -> None:
    """Let the UI show partitions as materialized that hold nothing and should not: no run needs to build them.

    Else its dialogs say of each that what reads the asset can't be materialized. An event for each date would say so too, and cost a
    kilobyte and the asset its freshness; this is what Dagster keeps of the events (1.13.27), so each pass says it again.
    """
    if not instance.event_log_storage.can_write_asset_status_cache():
        return
    status = get_and_update_asset_status_cache_value(instance, key, partitions)
    if status is None:
        return
    told = status.deserialize_materialized_partition_subsets(partitions)
    subset = told.with_partition_keys([day.isoformat() for day in dates])
    if subset != told:
        instance.update_asset_cached_status_data(
            key, status._replace(serialized_materialized_partition_subset=subset.serialize())
        )
