"""Alerts in Dagster: failed runs, blocking checks, sensors and schedules, and the lag of drains; a sensor that tells of all incidents.

Nothing here costs anything unless `LAKEHOUSE_ALERT_URLS` names a receiver.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lakehouse_assets.alerts.incidents import OF_DAGSTER, Found, Incident, Kind
from lakehouse_assets.alerts.rounds import channels, take_round
from lakehouse_assets.alerts.state import asset_link, found_in_books
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.errors import DrainError
from lakehouse_assets.orchestration.drains import drain_sensor_name, topic_lags
from lakehouse_assets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG
from lakehouse_assets.orchestration.tries import fault_of_run
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.errors import Unquoted

SENSOR = "alerts"

_RUNS_READ = 200
"""How many failed runs are looked at, the newest first."""

_TICKS_READ = 3
_PARTITION_TAG = "dagster/partition"

Key = tuple[str, ...]
"""The path of an asset's key."""


@dataclass(frozen=True)
class Automation:
    """What Dagster is asked about: the blocking checks of the code location, and its sensors and schedules by name."""

    checks: tuple[dg.AssetCheckKey, ...]
    names: frozenset[str]

    @classmethod
    def of(cls, definitions: dg.Definitions) -> "Automation":
        """Return what the definitions have."""
        return cls.of_repository(definitions.get_repository_def())

    @classmethod
    def of_repository(cls, repository: dg.RepositoryDefinition) -> "Automation":
        """Return what a loaded code location has."""
        graph = repository.asset_graph
        blocking = tuple(key for key in graph.asset_check_keys if graph.get_check_spec(key).blocking)
        names = {sensor.name for sensor in repository.sensor_defs} | {schedule.name for schedule in repository.schedule_defs}
        return cls(blocking, frozenset(names - {SENSOR}))


def alerts_sensors(settings: Settings, catalog: Catalog) -> list[dg.SensorDefinition]:
    """Return the sensor that tells of incidents; none if nobody is to be told.

    Raises:
        SettingsError: `LAKEHOUSE_ALERT_URLS` has an entry that can't be meant.
    """
    if not channels(settings):
        return []

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends alerts of incidents, reminders, and a message when one is over. It requests no runs.",
    )
    @Unquoted(settings.root)
    def _alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        repository = context.repository_def
        assert repository is not None, "Dagster gives a sensor that it evaluates its code location"
        automation = Automation.of_repository(repository)
        sent = take_round(settings, lambda now: found_now(settings, catalog, context.instance, automation, now))
        for outcome in sent:
            (context.log.info if outcome.error is None else context.log.warning)(outcome.sentence)
        return dg.SkipReason("\n".join(outcome.sentence for outcome in sent) or "There is nothing to tell.")

    return [_alerts]


def found_now(settings: Settings, catalog: Catalog, instance: dg.DagsterInstance, automation: Automation, now: datetime) -> Found:
    """Return all incidents that books, Dagster's history and brokers show at a moment."""
    found = found_in_books(settings, catalog, now)
    checks = list(failed_checks(instance, automation.checks, settings.lakehouse_ui_url))
    told = {incident.place for incident in (*found.incidents, *checks)}
    runs = [incident for incident in failed_runs(instance, settings.lakehouse_ui_url) if not _is_told(incident, told)]
    ticks = list(failed_ticks(instance, automation.names, settings.lakehouse_ui_url))
    found += Found((*checks, *runs, *ticks), OF_DAGSTER)
    return found + lags(settings, catalog, {tick.place for tick in ticks})


def _is_told(run: Incident, places: Collection[str]) -> bool:
    """Whether another incident says more exactly why a run failed: of its table, or if it is of gold, of one of its models."""
    return run.place in places or (run.place == "gold" and any(place.startswith("gold.") for place in places))


def lags(settings: Settings, catalog: Catalog, failing: Collection[str] = ()) -> Found:
    """Return the topics that are further ahead of landing than the settings allow, or can't be asked.

    Of feeds whose sensors are `failing`, nothing is asked: that is told already, and an answer is waited for long. Without brokers, no
    topic has a lag.
    """
    incidents = []
    most = settings.lakehouse_alert_lag
    feeds = [feed for feed in catalog.feeds if feed.topic is not None] if settings.kafka_bootstrap_servers else []
    asked = [feed for feed in feeds if drain_sensor_name(feed) not in failing]
    for feed in asked:
        try:
            counts = topic_lags(settings, catalog, feed)
        except DrainError as error:
            what = f"how far it is ahead of landing is unknown: {type(error).__name__}."
            incidents.append(Incident(Kind.lag, feed.landing, what))
            continue
        for topic, count in counts.items():
            if count > most:
                what = f"{count:,} offsets of the topic {topic} are not in landing; up to {most:,} are tolerated."
                incidents.append(Incident(Kind.lag, feed.landing, what, topic))
    return Found(tuple(incidents), frozenset({Kind.lag} if asked == feeds else ()))


def failed_checks(instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey], ui_url: str | None) -> Iterator[Incident]:
    """Yield the blocking checks whose newest result failed."""
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key, record in found.items():
        evaluation = record.event.dagster_event if record.event is not None else None
        if evaluation is None or evaluation.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        result = evaluation.asset_check_evaluation_data
        if not result.passed and result.severity == dg.AssetCheckSeverity.ERROR:
            path = key.asset_key.path
            link = asset_link(ui_url, path[0], "/".join(path[1:]))
            yield Incident(
                Kind.failed_check,
                ".".join(path),
                f"the check {key.name} failed.",
                key.name,
                datetime.fromtimestamp(record.create_timestamp, UTC),
                link and f"{link}?view=checks",
            )


def failed_ticks(instance: dg.DagsterInstance, names: Collection[str], ui_url: str | None) -> Iterator[Incident]:
    """Yield the sensors and schedules that are on, and whose last two ticks failed."""
    states = [state for state in instance.all_instigator_state() if state.is_running and state.instigator_name in names]
    if instance.supports_batch_tick_queries:
        ticks = instance.get_batch_ticks([state.selector_id for state in states], limit=_TICKS_READ) if states else {}
    else:
        ticks = {s.selector_id: instance.get_ticks(s.instigator_origin_id, s.selector_id, limit=_TICKS_READ) for s in states}
    for state in states:
        ended = [tick for tick in ticks.get(state.selector_id, ()) if tick.status.value != "STARTED"][:2]
        if ended and all(tick.status.value == "FAILURE" for tick in ended):
            since = datetime.fromtimestamp(ended[-1].timestamp, UTC)
            link = f"{ui_url.rstrip('/')}/automation" if ui_url else ""
            what = f"the {state.instigator_type.value.lower()} fails."
            yield Incident(Kind.failed_tick, state.instigator_name, what, since=since, link=link)


@dataclass(frozen=True)
class FailedRun:
    """A run that failed: what of it failed, by place such as `silver.crm_sales`, with the assets that would show it mended; and why.

    `dates` are those of the run, as partition keys. What was materialized after `since` (epoch seconds) counts as mended.
    """

    run_id: str
    places: Mapping[str, tuple[Key, ...]]
    dates: tuple[str, ...]
    since: float
    ended: float
    fault: str


_failed_runs: dict[str, FailedRun] = {}
"""By run id: what of the failed runs that this process has looked at. A run that has ended never changes."""

_mended: set[tuple[str, str]] = set()
"""Runs and places that this process has found mended: what is mended stays so."""


def failed_runs(instance: dg.DagsterInstance, ui_url: str | None) -> Iterator[Incident]:
    """Yield what has failed in runs and was not materialized since: an incident for each table, whatever number of runs tried it."""
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=_RUNS_READ)
    for gone in _failed_runs.keys() - {record.dagster_run.run_id for record in records}:
        del _failed_runs[gone]
    found: dict[str, list[FailedRun]] = {}
    for record in records:
        run = record.dagster_run
        if run.run_id not in _failed_runs:
            _failed_runs[run.run_id] = _failed_run(instance, record)
        failed = _failed_runs[run.run_id]
        for place, keys in failed.places.items():
            if (run.run_id, place) in _mended:
                continue
            if _is_mended(instance, run.job_name, failed, keys):
                _mended.add((run.run_id, place))
            else:
                found.setdefault(place, []).append(failed)
    for place, runs in found.items():
        newest = runs[0]
        over = f" of {newest.dates[0]}" if newest.dates else ""
        over += f" to {newest.dates[-1]}" if len(newest.dates) > 1 else ""
        what = f"run {newest.run_id[:8]}{over} failed: {newest.fault}."
        what += f" {len(runs)} runs failed." if len(runs) > 1 else ""
        link = f"{ui_url.rstrip('/')}/runs/{newest.run_id}" if ui_url else ""
        yield Incident(Kind.failed_run, place, what, since=datetime.fromtimestamp(runs[-1].ended, UTC), link=link)


def _failed_run(instance: dg.DagsterInstance, record: dg.RunRecord) -> FailedRun:
    run = record.dagster_run
    events = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    steps = {step for event in events if (step := event.event_log_entry.step_key) is not None}
    selected = [tuple(key.path) for key in run.asset_selection or ()]
    places: dict[str, tuple[Key, ...]] = {}
    for step in sorted(steps):
        own = tuple(key for key in selected if "__".join(key) == step or key[0] == step)
        places[step.replace("__", ".", 1)] = own
    ended = record.end_time or record.update_timestamp.timestamp()
    if not steps:  # it has died
        places = {".".join(key): (key,) for key in selected} or {run.job_name: ()}
    fault = fault_of_run(instance, run)[1].removesuffix(f" (run {run.run_id[:8]})")
    return FailedRun(run.run_id, places, _dates(run), ended if steps else record.start_time or ended, ended, fault)


def _dates(run: dg.DagsterRun) -> tuple[str, ...]:
    first = run.tags.get(RANGE_START_TAG) or run.tags.get(_PARTITION_TAG)
    last = run.tags.get(RANGE_END_TAG) or first
    if first is None or last is None:
        return ()
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return tuple((begin + timedelta(days=n)).isoformat() for n in range((end - begin).days + 1))


def _is_mended(instance: dg.DagsterInstance, job: str, failed: FailedRun, keys: Sequence[Key]) -> bool:
    """Whether one of the assets was materialized since, on a date of the run. Without assets: whether its job has succeeded since."""
    if not keys:
        after = datetime.fromtimestamp(failed.since, UTC)
        succeeded = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS], created_after=after)
        return bool(instance.get_run_records(succeeded, limit=1))
    for key in keys:
        is_dated = key[0] in ("raw", "silver", "gold")
        chosen = dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(list(key)),
            asset_partitions=list(failed.dates) if failed.dates and is_dated else None,
            after_timestamp=failed.since,
        )
        if instance.fetch_materializations(chosen, limit=1).records:
            return True
    return False
