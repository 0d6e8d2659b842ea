"""Deletes old runs from Dagster's history: each run leaves up to a megabyte of events.

Deleting a run deletes its events, including those that mark a partition as materialized. The UI then shows the partition as
missing, or may do so at any later time, because Dagster caches that status (Dagster 1.13.27). Results of asset checks stay. So a
run is deleted entirely unless it

- has the newest materialization of a partition, or the newest observation of a table. Then only its log is deleted, and only if
  Dagster keeps logs apart from asset events (`event_storage.py`);
- is the newest try of a difference that is not resolved. Without it, a run that failed of its data or was cancelled would be
  requested again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from lakehouse_assets.hooks.names import EVENT_STORAGE
from lakehouse_assets.orchestration.tries import FINISHED
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG

_RECORDS_A_REQUEST = 500


@dataclass(frozen=True)
class Purged:
    """How many runs were deleted, and of how many more only the log."""

    runs: int
    logs: int


def purge_runs(instance: dg.DagsterInstance, before: datetime) -> Purged:
    """Delete the runs that ended before a time. Of a run that assets still need, delete only the log."""
    old = instance.get_runs(dg.RunsFilter(statuses=FINISHED, updated_before=before))
    needed = set(_needed_runs(instance)) if old else set()
    keeps_logs_apart = _keeps_logs_apart(instance)
    deleted = logs = 0
    for run in old:
        if _is_last_try(instance, run):
            continue
        if run.run_id not in needed:
            instance.delete_run(run.run_id)
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
            deleted += 1
        elif keeps_logs_apart:
            logs += instance.event_log_storage.delete_log(run.run_id)  # type: ignore[attr-defined]
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
    return Purged(deleted, logs)


def _keeps_logs_apart(instance: dg.DagsterInstance) -> bool:
    if not EVENT_STORAGE.is_usable:
        return False
    from lakehouse_assets.hooks.event_storage import QuickSqliteEventLogStorage

    return isinstance(instance.event_log_storage, QuickSqliteEventLogStorage)


def _is_last_try(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run that did not succeed is the newest try of its difference."""
    difference = run.tags.get(DIFFERENCE_TAG)
    if difference is None or run.status == dg.DagsterRunStatus.SUCCESS:
        return False
    [newest] = instance.get_runs(dg.RunsFilter(tags={DIFFERENCE_TAG: difference}), limit=1)
    return newest.run_id == run.run_id


def _needed_runs(instance: dg.DagsterInstance) -> Iterator[str]:
    """Yield the ids of the runs whose events hold the current state of an asset."""
    materialized = dg.DagsterEventType.ASSET_MATERIALIZATION
    for key in instance.get_asset_keys():
        newest = instance.event_log_storage.get_latest_storage_id_by_partition(key, materialized)
        ids = list(newest.values())
        for start in range(0, len(ids), _RECORDS_A_REQUEST):
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + _RECORDS_A_REQUEST])
            yield from _run_ids(instance.fetch_materializations(chosen, limit=_RECORDS_A_REQUEST).records)
        yield from _run_ids(instance.fetch_materializations(key, limit=1).records)
        yield from _run_ids(instance.fetch_observations(key, limit=1).records)


def _run_ids(records: Sequence[dg.EventLogRecord]) -> Iterator[str]:
    return (record.run_id for record in records)
