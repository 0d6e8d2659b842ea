"""The arrival sensor: lets the graph follow whatever lands, late, changed and vanished files included."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from lakehouse_assets.automation.instance import close_killed_runs
from lakehouse_assets.automation.jobs import LAKEHOUSE_JOB, RANGE_END_TAG, RANGE_START_TAG
from lakehouse_assets.automation.look import Look
from lakehouse_assets.automation.plan import Plan, make_gold_plan, make_plan
from lakehouse_assets.automation.requests import DIFFERENCE_TAG, PlannedRun, gold_runs, rows_runs
from lakehouse_assets.automation.tries import why_waiting
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.settings import Settings
from lakehouse_assets.storage.reach import Unquoted

_MOST_TOLD = 20

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def arrival_sensor(settings: Settings, catalog: Catalog) -> dg.SensorDefinition:
    """The sensor over all landing folders. Each tick compares what is with what should be, of old dates by turns: see `Look`.

    With N objects in dates older than the newest ones, a late file among them is found after N / 1,800 ticks, rounded up. Ticks that
    wait for a run to settle what a turn has found are not counted. The cursor says whose turn is next, and nothing else:
    lost, reset or nonsense, it changes the order of the turns.
    """

    @dg.sensor(
        name="arrivals",
        job_name=LAKEHOUSE_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests runs where landing, raw, silver and gold differ.",
    )
    @Unquoted(settings.root)
    def _arrivals(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        plan = make_plan(settings, catalog, look=Look(context.cursor or ""))
        passed_over = _passed_over(plan)
        for line in passed_over:
            context.log.warning(line)
        if plan.is_empty:
            _go_on(context, plan, [])
            yield dg.SkipReason("\n".join(["Landing, raw, silver and gold agree.", *passed_over]))
            return
        close_killed_runs(context.instance)
        if context.instance.get_runs_count(dg.RunsFilter(job_name=LAKEHOUSE_JOB, statuses=_UNFINISHED)):
            _go_on(context, plan, rows_runs(plan))
            yield dg.SkipReason("A run is under way; what still differs after it is requested then.")
            return
        due, waiting = _due(context.instance, rows_runs(plan))
        _go_on(context, plan, due)
        if not due:
            # Gold waits for what it is made of: its run is requested once raw and silver stand still, or can't be helped now.
            due, gold_waiting = _due(context.instance, gold_runs(make_gold_plan(settings)))
            waiting += gold_waiting
        for why in waiting:
            context.log.info(why)
        yield from (run_request(run) for run in due)
        if not due:
            yield dg.SkipReason("\n".join(waiting) or "What differed is settled by now.")

    return _arrivals


def _passed_over(plan: Plan) -> list[str]:
    """What of landing can't be loaded and why, as lines; of many the first."""
    lines = [f"{path} is not loaded: {reason}." for path, reason in plan.ignored[:_MOST_TOLD]]
    more = len(plan.ignored) - len(lines)
    return [*lines, f"{more:,} more are not loaded: `lakehouse plan` names them all."] if more else lines


def _due(instance: dg.DagsterInstance, runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[str]]:
    """The runs to ask for now, and why the others wait."""
    now = datetime.now(UTC)
    told = [(run, why_waiting(instance, run, now)) for run in runs]
    return [run for run, why in told if why is None], [why for _, why in told if why is not None]


def _go_on(context: dg.SensorEvaluationContext, plan: Plan, due: Sequence[PlannedRun]) -> None:
    """Let the next older dates have their turn, unless runs are due for those whose turn it is."""
    if not any(run.start <= day <= run.end for run in due for day in plan.older):
        context.update_cursor(plan.next_place)


def run_request(run: PlannedRun) -> dg.RunRequest:
    """The request for a planned run."""
    return dg.RunRequest(
        asset_selection=[dg.AssetKey(list(key)) for key in run.keys],
        tags=run_tags(run),
    )


def run_tags(run: PlannedRun) -> dict[str, str]:
    """The tags that make a Dagster run cover a range, and by which its cause is known again."""
    return {
        RANGE_START_TAG: run.start.isoformat(),
        RANGE_END_TAG: run.end.isoformat(),
        DIFFERENCE_TAG: run.difference,
    }
