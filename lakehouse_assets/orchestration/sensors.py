"""The sensors: let the graph follow whatever lands, late, changed and vanished files included.

One for each source system, so that no system waits for another, and one for gold, which waits for raw and silver a bounded time. Each
tick compares what is with what should be: nothing depends on what a sensor remembers.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.hooks.jobs import IMPLICIT_ASSET_JOB_NAME
from lakehouse_assets.orchestration.instance import close_killed_runs
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, RANGE_END_TAG, RANGE_START_TAG
from lakehouse_assets.orchestration.tries import FINISHED, why_waiting
from lakehouse_assets.reconcile.plan import Plan, make_gold_sensor_plan, make_system_plan
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG, PlannedRun, gold_runs, rows_runs
from lakehouse_assets.reconcile.scan import ScanBudget
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.errors import Unquoted

_MOST_TOLD = 20

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_BUILDING_JOBS = (LAKEHOUSE_JOB, IMPLICIT_ASSET_JOB_NAME)
"""The jobs whose runs build tables: that of the sensors, and Dagster's own for what is materialized by hand and for backfills."""

_LONGEST_BY_HAND = timedelta(hours=1)
"""So long after it was asked for, a run that is no plan's keeps others back. Two at once are safe, and only do some work twice."""

_UNDER_WAY = dg.SkipReason("A run is under way; what still differs after it is requested then.")

_RUNS_READ = 50
"""So many finished runs are looked at for when gold's last one began: before those, gold has waited long enough anyhow."""


def lakehouse_sensors(settings: Settings, catalog: Catalog) -> list[dg.SensorDefinition]:
    """A sensor for each source system, and the one for gold."""
    return [*(arrival_sensor(settings, catalog, system) for system in catalog.systems), gold_sensor(settings, catalog)]


def arrival_sensor(settings: Settings, catalog: Catalog, system: str) -> dg.SensorDefinition:
    """The sensor over the landing folders of one system, of old dates by turns: see `ScanBudget`.

    With N objects in dates older than the newest ones, a late file among them is found after N / 1,800 ticks, rounded up. Ticks that
    wait for a run to settle what a turn has found are not counted. The cursor says whose turn is next, and nothing else:
    lost, reset or nonsense, it changes the order of the turns.
    """
    own = catalog.of_system(system)
    keys = {("raw", feed.table) for feed in own.feeds} | {("silver", table.name) for table in own.tables}

    @dg.sensor(
        name=f"arrivals_{system}",
        job_name=LAKEHOUSE_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests runs where landing, raw and silver of {system} differ.",
    )
    @Unquoted(settings.root)
    def _arrivals(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        resting = _resting(context.instance, own.feeds, settings)
        plan = make_system_plan(settings, catalog, system, ScanBudget(context.cursor or ""), resting)
        noted = _noted(context, plan, resting.values())
        if plan.is_empty:
            _go_on(context, plan, [])
            yield dg.SkipReason("\n".join([f"Landing, raw and silver of {system} agree.", *noted]))
            return
        close_killed_runs(context.instance)
        if _is_under_way(context.instance, keys):
            _go_on(context, plan, rows_runs(plan))
            yield _UNDER_WAY
            return
        due, waiting = _due(context.instance, rows_runs(plan))
        _go_on(context, plan, due)
        yield from _requests(context, due, waiting, noted)

    return _arrivals


def gold_sensor(settings: Settings, catalog: Catalog) -> dg.SensorDefinition:
    """The sensor of gold: it asks for the models that are stale, once no run of raw or silver is under way, or after a bounded wait."""
    below = {("raw", feed.table) for feed in catalog.feeds} | {("silver", table.name) for table in catalog.tables}

    @dg.sensor(
        name="gold",
        job_name=LAKEHOUSE_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests runs where silver and gold differ.",
    )
    @Unquoted(settings.root)
    def _gold(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        plan = make_gold_sensor_plan(settings, catalog)
        noted = _noted(context, plan)
        if plan.is_empty:
            yield dg.SkipReason("\n".join(["Silver and gold agree.", *noted]))
            return
        close_killed_runs(context.instance)
        if _is_under_way(context.instance, {t.key for t in plan.tables}):
            yield _UNDER_WAY
            return
        waits_until = _gold_waits_until(context.instance, below, settings)
        if waits_until is not None and waits_until > datetime.now(UTC):
            yield dg.SkipReason(f"Raw and silver are being built. Gold waits for them until {waits_until:%Y-%m-%d %H:%M:%S} UTC.")
            return
        due, waiting = _due(context.instance, gold_runs(plan))
        yield from _requests(context, due, waiting, noted)

    return _gold


def _resting(instance: dg.DagsterInstance, feeds: Sequence[Feed], settings: Settings) -> dict[str, str]:
    """The feeds, by raw table, that were loaded less than their least interval ago; each with when the next run is due."""
    general = timedelta(seconds=settings.lakehouse_least_interval_seconds)
    resting = {}
    for feed in feeds:
        every = general if feed.every is None else feed.every
        newest = instance.get_latest_materialization_event(dg.AssetKey(["raw", feed.table])) if every else None
        if newest is not None and (due := datetime.fromtimestamp(newest.timestamp, UTC) + every) > datetime.now(UTC):
            resting[feed.table] = (
                f"{feed.landing} was loaded less than {every} ago: its next run is due at {due:%Y-%m-%d %H:%M:%S} UTC."
            )
    return resting


def _is_under_way(instance: dg.DagsterInstance, keys: Collection[tuple[str, str]]) -> bool:
    """Whether a run that may write one of these tables has not ended. One by hand, or of a backfill, counts for a while."""
    now = datetime.now(UTC)
    return any(
        _writes(record.dagster_run, keys)
        for record in instance.get_run_records(dg.RunsFilter(statuses=_UNFINISHED))
        if DIFFERENCE_TAG in record.dagster_run.tags or now - record.create_timestamp < _LONGEST_BY_HAND
    )


def _writes(run: dg.DagsterRun, keys: Collection[tuple[str, str]]) -> bool:
    if run.job_name not in _BUILDING_JOBS:
        return False
    return run.asset_selection is None or any(tuple(key.path) in keys for key in run.asset_selection)


def _gold_waits_until(instance: dg.DagsterInstance, below: Collection[tuple[str, str]], settings: Settings) -> datetime | None:
    """Until when gold waits for the runs under way; None where none is. It counts from the first change that gold does not have yet."""
    if not _is_under_way(instance, below):
        return None
    ends: list[float] = []
    for record in instance.get_run_records(dg.RunsFilter(job_name=LAKEHOUSE_JOB, statuses=FINISHED), limit=_RUNS_READ):
        selection = record.dagster_run.asset_selection or ()
        if any(key.path[0] == "gold" for key in selection):
            ends = [end for end in ends if end > (record.start_time or 0)]
            break
        ends.append(record.end_time or record.update_timestamp.timestamp())
    if not ends:
        return None  # nobody knows how long gold has waited
    return datetime.fromtimestamp(min(ends), UTC) + timedelta(seconds=settings.lakehouse_gold_waits_seconds)


def _passed_over(plan: Plan) -> list[str]:
    """What of landing can't be loaded and why, and which deliveries are held back, as lines; of many the first."""
    lines = [f"{path} is not loaded: {reason}." for path, reason in plan.ignored[:_MOST_TOLD]]
    more = len(plan.ignored) - len(lines)
    lines += [f"{more:,} more are not loaded: `lakehouse plan` names them all."] if more else []
    return [*lines, *(delivery.sentence for delivery in plan.held)]


def _due(instance: dg.DagsterInstance, runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[str]]:
    """The runs to ask for now, and why the others wait."""
    now = datetime.now(UTC)
    told = [(run, why_waiting(instance, run, now)) for run in runs]
    return [run for run, why in told if why is None], [why for _, why in told if why is not None]


def _noted(context: dg.SensorEvaluationContext, plan: Plan, more: Iterable[str] = ()) -> list[str]:
    """What a tick has to say beside its requests, a line each, which its log has, too."""
    noted = [*_passed_over(plan), *plan.refused, *more]
    for line in noted:
        context.log.warning(line)
    return noted


def _requests(
    context: dg.SensorEvaluationContext, due: Sequence[PlannedRun], waiting: Sequence[str], noted: Sequence[str]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The requests for the runs that are due; where none is, why not."""
    for why in waiting:
        context.log.info(why)
    yield from (run_request(run) for run in due)
    if not due:
        yield dg.SkipReason("\n".join([*waiting, *noted]) or "What differed is settled by now.")


def _go_on(context: dg.SensorEvaluationContext, plan: Plan, due: Sequence[PlannedRun]) -> None:
    """Let the next older dates have their turn, unless runs are due for those whose turn it is."""
    if not any(run.start <= day <= run.end for run in due for day in plan.older):
        context.update_cursor(plan.next_cursor)


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
