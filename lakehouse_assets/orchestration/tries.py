"""What Dagster's instance knows of the runs for a difference: whether one is due, or why it is not asked for again yet."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lakehouse_assets.reconcile.faults import Cause, Fault, fault_of, next_try, worst_of
from lakehouse_assets.reconcile.plan import UNTIL_CHANGED
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG, PlannedRun

FAULT_TAG = "lakehouse/fault"
"""What a failed run failed of, told once: its events may be gone when it is asked for again."""

_TRIES_READ = 20
"""More than that many change neither the pause nor the bound."""

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def why_waiting(instance: dg.DagsterInstance, run: PlannedRun, now: datetime) -> str | None:
    """Why a planned run is not to be started now, as a sentence; None where it is due."""
    tried = instance.get_run_records(dg.RunsFilter(tags={DIFFERENCE_TAG: run.difference}, statuses=FINISHED), limit=_TRIES_READ)
    if not tried:
        return None
    newest = tried[0].dagster_run
    what = " and ".join(dict.fromkeys(layer for layer, _ in run.keys)) + f" of {run.start}"
    what += f" to {run.end}" if run.end != run.start else ""
    if newest.status == dg.DagsterRunStatus.CANCELED:
        return f"{what}: run {newest.run_id[:8]} was cancelled. {UNTIL_CHANGED}"
    if newest.status == dg.DagsterRunStatus.SUCCESS:
        fault, told = Fault.moment, f"run {newest.run_id[:8]} has not settled it"
    else:
        fault, told = _fault(instance, newest)
    due = next_try(fault, [_end(record) for record in tried])
    if due is None:
        times = "" if fault is Fault.data else f" {len(tried)} times"
        return f"{what}: failed{times} ({told}). {UNTIL_CHANGED}"
    return None if due <= now else f"{what}: try {len(tried) + 1} is due at {due.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({told})."


def _end(record: dg.RunRecord) -> datetime:
    return record.update_timestamp if record.end_time is None else datetime.fromtimestamp(record.end_time, UTC)


def _fault(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[Fault, str]:
    """The kind of fault a run has failed of, and how that is told; read from its events once, and from then on from its tag."""
    # A run that is started again inherits the tags of the first, so the tag names whose it is.
    mine = f" (run {run.run_id[:8]})"
    kind, _, name = run.tags.get(FAULT_TAG, "").partition(": ")
    if not name.endswith(mine):
        kind, name = worst_of(list(_faults(instance, run.run_id)) or [fault_of([])])
        name += mine
        instance.add_run_tags(run.run_id, {FAULT_TAG: f"{kind}: {name}"})
    words = {Fault.data: "a fault of the data", Fault.moment: "a fault of the moment", Fault.unknown: "an unknown fault"}
    return Fault(kind), f"{words[Fault(kind)]}: {name}"


def _faults(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[Fault, str]]:
    """The fault of each step that failed; of the run itself, where no step did."""
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
        told = failure.user_failure_data.description or "" if failure.user_failure_data is not None else ""
        fault, name = fault_of([Cause("Failure", told)] * bool(told) + list(_causes(failure.error)))
        # A step that judges its own data says so by its checks: gold by dbt's tests.
        yield (Fault.data, refused[event.step_key]) if fault is Fault.unknown and event.step_key in refused else (fault, name)
    if not failures:
        for event in (e for e in events if e.event_type == dg.DagsterEventType.RUN_FAILURE and e.event_specific_data is not None):
            yield fault_of(list(_causes(event.job_failure_data.error)))


def _causes(error: Any) -> Iterator[Cause]:
    """The exceptions that an event of Dagster's tells of, the outermost first; its type is private."""
    while error is not None:
        yield Cause(error.cls_name or "", error.message)
        error = error.cause or error.context
