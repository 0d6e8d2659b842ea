"""Decides from Dagster's run history whether a planned run may start now, or why it waits."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lakehouse_assets.reconcile.faults import Cause, Fault, fault_of, next_try, worst_of
from lakehouse_assets.reconcile.plan import UNTIL_CHANGED
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG, PlannedRun

FAULT_TAG = "lakehouse/fault"
"""The run tag that keeps the fault of a failed run, because its events may be deleted before the next retry."""

_TRIES_READ = 20
"""How many tries are read: more of them change neither the pause nor the limit."""

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def why_waiting(instance: dg.DagsterInstance, run: PlannedRun, now: datetime) -> str | None:
    """Return a sentence on why a planned run must not start now; None if it may."""
    tried = instance.get_run_records(dg.RunsFilter(tags={DIFFERENCE_TAG: run.difference}, statuses=FINISHED), limit=_TRIES_READ)
    if not tried:
        return None
    newest = tried[0].dagster_run
    what = " and ".join(dict.fromkeys(layer for layer, _ in run.keys)) + f" of {run.start}"
    what += f" to {run.end}" if run.end != run.start else ""
    if newest.status == dg.DagsterRunStatus.CANCELED:
        return f"{what}: run {newest.run_id[:8]} was cancelled. {UNTIL_CHANGED}"
    if newest.status == dg.DagsterRunStatus.SUCCESS:
        fault, description = Fault.moment, f"run {newest.run_id[:8]} has not resolved it"
    else:
        fault, description = fault_of_run(instance, newest)
    next_start = next_try(fault, [_end(record) for record in tried])
    if next_start is None:
        times = "" if fault is Fault.data else f" {len(tried)} times"
        return f"{what}: failed{times} ({description}). {UNTIL_CHANGED}"
    if next_start <= now:
        return None
    return f"{what}: try {len(tried) + 1} is due at {next_start.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({description})."


def _end(record: dg.RunRecord) -> datetime:
    return record.update_timestamp if record.end_time is None else datetime.fromtimestamp(record.end_time, UTC)


def fault_of_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[Fault, str]:
    """Return the fault of a failed run and its description, from the run's tag, or at first from its events."""
    # A retried run inherits the tags of the first, so the tag names the run that it belongs to.
    suffix = f" (run {run.run_id[:8]})"
    kind, _, name = run.tags.get(FAULT_TAG, "").partition(": ")
    if not name.endswith(suffix):
        kind, name = worst_of(list(_faults(instance, run.run_id)) or [fault_of([])])
        name += suffix
        instance.add_run_tags(run.run_id, {FAULT_TAG: f"{kind}: {name}"})
    kinds = {Fault.data: "a fault of the data", Fault.moment: "a fault of the moment", Fault.unknown: "an unknown fault"}
    return Fault(kind), f"{kinds[Fault(kind)]}: {name}"


def _faults(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[Fault, str]]:
    """Yield the fault of each failed step, or of the run itself if no step failed."""
    wanted = {
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.RUN_FAILURE,
    }
    records = instance.get_records_for_run(run_id, of_type=wanted).records
    events = [event for r in records if (event := r.event_log_entry.dagster_event) is not None]
    checks = [e for e in events if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION]
    refused = {
        e.step_key: e.asset_check_evaluation_data.check_name
        for e in checks
        if not e.asset_check_evaluation_data.passed and e.asset_check_evaluation_data.severity == dg.AssetCheckSeverity.ERROR
    }
    failures = [e for e in events if e.is_step_failure]
    for event in failures:
        failure = event.step_failure_data
        message = failure.user_failure_data.description or "" if failure.user_failure_data is not None else ""
        fault, name = fault_of([Cause("Failure", message)] * bool(message) + list(_causes(failure.error)))
        # If a blocking check of the step failed, such as a dbt test of gold, its data is at fault.
        yield (Fault.data, refused[event.step_key]) if fault is Fault.unknown and event.step_key in refused else (fault, name)
    if not failures:
        for event in (e for e in events if e.event_type == dg.DagsterEventType.RUN_FAILURE and e.event_specific_data is not None):
            yield fault_of(list(_causes(event.job_failure_data.error)))


def _causes(error: Any) -> Iterator[Cause]:
    """Yield the chain of exceptions in a Dagster event, outermost first. The type of `error` is private to Dagster."""
    while error is not None:
        yield Cause(error.cls_name or "", error.message)
        error = error.cause or error.context
