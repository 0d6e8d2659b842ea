"""The sensors: request runs for all that lands, including late, changed and vanished files.

There is one for each source system, so that no system waits for another, and one for gold, which waits for raw and silver for a
bounded time. Each tick compares landing and tables, so correctness does not depend on the cursor.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.hooks.jobs import IMPLICIT_ASSET_JOB_NAME
from lakehouse_assets.orchestration.instance import UNFINISHED, close_killed_runs
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, PUBLISH_JOB, RANGE_END_TAG, RANGE_START_TAG, builds_tables
from lakehouse_assets.orchestration.tries import FINISHED, why_waiting
from lakehouse_assets.reconcile.plan import Plan, make_gold_sensor_plan, make_publish_plan, make_system_plan
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG, PlannedRun, gold_runs, publish_runs, rows_runs
from lakehouse_assets.reconcile.scan import ScanBudget
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.errors import Unquoted

_MAX_IGNORED_SHOWN = 20

_MAX_MANUAL_WAIT = timedelta(hours=1)
"""For how long a manual run keeps others back, from its creation. Two runs at once are safe; they only do some work twice."""

_UNDER_WAY = dg.SkipReason("A run is under way. What still differs after it will be requested then.")

REASON_TAG, TABLES_TAG, DATES_TAG = "lakehouse/reason", "lakehouse/tables", "lakehouse/dates"
"""The tags that tell people, in the list of runs, why a run was asked for and what it covers."""

_TABLES_NAMED = 4

_RUNS_READ = 50
"""How many finished runs are searched for gold's last one. If it is older than these, gold has waited long enough."""


def lakehouse_sensors(settings: Settings, catalog: Catalog, targets: Sequence[str] = ()) -> list[dg.SensorDefinition]:
    """Return a sensor for each source system, the one for gold, and if there are targets the one that publishes to them."""
    sensors = [*(arrival_sensor(settings, catalog, system) for system in catalog.systems), gold_sensor(settings, catalog)]
    return [*sensors, *([publish_sensor(settings, catalog, targets)] if targets else [])]


def arrival_sensor(settings: Settings, catalog: Catalog, system: str) -> dg.SensorDefinition:
    """Return the sensor for one system's landing folders. It scans older dates round-robin: see `ScanBudget`.

    With N objects in dates older than the newest ones, a late file among them is found after N / 1,800 ticks, rounded up. Ticks
    that wait for a run to resolve what a scan found don't count. The cursor only says which date is scanned next: if it is lost,
    reset or invalid, only the order of the scans changes.
    """
    own = catalog.of_system(system)
    keys = {("raw", feed.table) for feed in own.feeds} | {("silver", table.name) for table in own.tables}

    @dg.sensor(
        name=f"arrivals_{system}",
        job_name=LAKEHOUSE_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests runs if landing, raw and silver of {system} differ.",
    )
    @Unquoted(settings.root)
    def _arrivals(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        resting = resting_feeds(context.instance, own.feeds, settings)
        plan = make_system_plan(settings, catalog, system, ScanBudget(context.cursor or ""), resting)
        warnings = _log_warnings(context, plan, resting.values())
        if plan.is_empty:
            _advance_cursor(context, plan, [])
            yield dg.SkipReason("\n".join([f"Landing, raw and silver of {system} agree.", *warnings]))
            return
        close_killed_runs(context.instance)
        if _is_under_way(context.instance, keys):
            _advance_cursor(context, plan, rows_runs(plan))
            yield _UNDER_WAY
            return
        ready, waiting = _split_runs(context.instance, rows_runs(plan))
        _advance_cursor(context, plan, ready)
        yield from _requests(context, ready, waiting, warnings)

    return _arrivals


def gold_sensor(settings: Settings, catalog: Catalog) -> dg.SensorDefinition:
    """Return the sensor for gold: it requests stale models once no run of raw or silver is under way, or after a bounded wait."""
    upstream = {("raw", feed.table) for feed in catalog.feeds} | {("silver", table.name) for table in catalog.tables}

    @dg.sensor(
        name="gold",
        job_name=LAKEHOUSE_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests runs if silver and gold differ.",
    )
    @Unquoted(settings.root)
    def _gold(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        plan = make_gold_sensor_plan(settings, catalog)
        warnings = _log_warnings(context, plan)
        if plan.is_empty:
            yield dg.SkipReason("\n".join(["Silver and gold agree.", *warnings]))
            return
        close_killed_runs(context.instance)
        if _is_under_way(context.instance, {t.key for t in plan.tables}):
            yield _UNDER_WAY
            return
        waits_until = _gold_waits_until(context.instance, upstream, settings)
        if waits_until is not None and waits_until > datetime.now(UTC):
            yield dg.SkipReason(f"Raw and silver are being built. Gold waits for them until {waits_until:%Y-%m-%d %H:%M:%S} UTC.")
            return
        ready, waiting = _split_runs(context.instance, gold_runs(plan))
        yield from _requests(context, ready, waiting, warnings)

    return _gold


def publish_sensor(settings: Settings, catalog: Catalog, targets: Sequence[str]) -> dg.SensorDefinition:
    """Return the sensor that requests runs for what targets don't hold as it is, once no run of gold is under way."""

    @dg.sensor(
        name="publish",
        job_name=PUBLISH_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests runs if gold and {' or '.join(targets)} differ.",
    )
    @Unquoted(settings.root)
    def _publish(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        plan = make_publish_plan(settings, catalog)
        if plan.is_empty:
            yield dg.SkipReason("What is published is as it should be.")
            return
        close_killed_runs(context.instance)
        sources = {(layer, name) for t in plan.tables for layer, _, name in [t.table.partition(".")]}
        if _is_under_way(context.instance, {*sources, *(t.key for t in plan.tables)}):
            yield _UNDER_WAY
            return
        ready, waiting = _split_runs(context.instance, publish_runs(plan))
        yield from _requests(context, ready, waiting, [])

    return _publish


def resting_feeds(instance: dg.DagsterInstance, feeds: Sequence[Feed], settings: Settings) -> dict[str, str]:
    """Return the feeds loaded less than their least interval ago: by raw table, a sentence on when they may run again."""
    general = timedelta(seconds=settings.lakehouse_least_interval_seconds)
    resting = {}
    for feed in feeds:
        every = general if feed.every is None else feed.every
        newest = instance.get_latest_materialization_event(dg.AssetKey(["raw", feed.table])) if every else None
        if newest is not None and (next_run := datetime.fromtimestamp(newest.timestamp, UTC) + every) > datetime.now(UTC):
            resting[feed.table] = (
                f"{feed.landing} was loaded less than {every} ago: its next run is due at {next_run:%Y-%m-%d %H:%M:%S} UTC."
            )
    return resting


def _is_under_way(instance: dg.DagsterInstance, keys: Collection[tuple[str, str]]) -> bool:
    """Whether a run that may write one of these tables has not ended. Manual runs and backfills count only for a while."""
    now = datetime.now(UTC)
    return any(
        _writes(record.dagster_run, keys)
        for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
        if DIFFERENCE_TAG in record.dagster_run.tags or now - record.create_timestamp < _MAX_MANUAL_WAIT
    )


def _writes(run: dg.DagsterRun, keys: Collection[tuple[str, str]]) -> bool:
    # Dagster's own job is that of manual materializations and backfills.
    if run.job_name != IMPLICIT_ASSET_JOB_NAME and not builds_tables(run.job_name):
        return False
    return run.asset_selection is None or any(tuple(key.path) in keys for key in run.asset_selection)


def _gold_waits_until(instance: dg.DagsterInstance, upstream: Collection[tuple[str, str]], settings: Settings) -> datetime | None:
    """Return until when gold waits for runs under way, from the first change that gold lacks; None if it need not wait."""
    if not _is_under_way(instance, upstream):
        return None
    ends: list[float] = []
    for record in instance.get_run_records(dg.RunsFilter(job_name=LAKEHOUSE_JOB, statuses=FINISHED), limit=_RUNS_READ):
        selection = record.dagster_run.asset_selection or ()
        if any(key.path[0] == "gold" for key in selection):
            ends = [end for end in ends if end > (record.start_time or 0)]
            break
        ends.append(record.end_time or record.update_timestamp.timestamp())
    if not ends:
        return None  # it is unknown how long gold has waited
    return datetime.fromtimestamp(min(ends), UTC) + timedelta(seconds=settings.lakehouse_gold_waits_seconds)


def _ignored_and_held(plan: Plan) -> list[str]:
    """Return a line for each object that can't be loaded, up to a limit, and for each delivery that is held back."""
    lines = [f"{path} is not loaded: {reason}." for path, reason in plan.ignored[:_MAX_IGNORED_SHOWN]]
    more = len(plan.ignored) - len(lines)
    lines += [f"{more:,} more are not loaded: `lakehouse plan` lists them all."] if more else []
    return [*lines, *(delivery.sentence for delivery in plan.held)]


def _split_runs(instance: dg.DagsterInstance, runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[str]]:
    """Return the runs to request now, and why each of the others waits."""
    now = datetime.now(UTC)
    reasons = [(run, why_waiting(instance, run, now)) for run in runs]
    return [run for run, why in reasons if why is None], [why for _, why in reasons if why is not None]


def _log_warnings(context: dg.SensorEvaluationContext, plan: Plan, more: Iterable[str] = ()) -> list[str]:
    """Log a warning for each ignored object, held delivery and refusal, and return the lines."""
    lines = [*_ignored_and_held(plan), *plan.refused, *more]
    for line in lines:
        context.log.warning(line)
    return lines


def _requests(
    context: dg.SensorEvaluationContext, ready: Sequence[PlannedRun], waiting: Sequence[str], warnings: Sequence[str]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Yield a request for each run that is ready; if there are none, the reason."""
    for why in waiting:
        context.log.info(why)
    for run in ready:
        context.log.info(f"Requested a run of {_some_tables(run)} for {_days(run)}: {run.reason}.")
        yield run_request(run)
    if not ready:
        yield dg.SkipReason("\n".join([*waiting, *warnings]) or "What differed is resolved by now.")


def _advance_cursor(context: dg.SensorEvaluationContext, plan: Plan, ready: Sequence[PlannedRun]) -> None:
    """Move the round-robin to the next older dates, unless runs for the current ones are about to start."""
    if not any(run.start <= day <= run.end for run in ready for day in plan.older):
        context.update_cursor(plan.next_cursor)


def run_request(run: PlannedRun) -> dg.RunRequest:
    """Return the request for a planned run."""
    return dg.RunRequest(
        asset_selection=[dg.AssetKey(list(key)) for key in run.keys],
        tags=run_tags(run),
    )


def run_tags(run: PlannedRun) -> dict[str, str]:
    """Return the tags of a planned run: its date range, the difference that it resolves, if any, and for people what and why."""
    dates = {RANGE_START_TAG: run.start.isoformat(), RANGE_END_TAG: run.end.isoformat()} if run.builds else {}
    difference = {DIFFERENCE_TAG: run.difference} if run.difference else {}
    reason = {REASON_TAG: run.reason} if run.reason else {}
    return dates | difference | {TABLES_TAG: _some_tables(run), DATES_TAG: _days(run)} | reason


def _some_tables(run: PlannedRun) -> str:
    named = [f"{layer}/{name}" for layer, name in run.keys[:_TABLES_NAMED]]
    more = len(run.keys) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _days(run: PlannedRun) -> str:
    return str(run.start) if run.start == run.end else f"{run.start} to {run.end}"
