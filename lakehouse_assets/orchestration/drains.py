"""Drains of Kafka topics in Dagster: a sensor for each feed with a topic. It looks at the lag, and requests a bounded drain.

A drain only lands objects. The sensors of systems and gold carry them on, as they do a file that anyone drops.
"""

from collections.abc import Sequence

import dagster as dg

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.landing.drain.drain import Drained, Source, drain_all, lag
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.orchestration.instance import UNFINISHED, close_killed_runs
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.errors import Unquoted

DRAIN_TAG = "lakehouse/drain"

_RUN_RECORDS = 1_000_000
_RUN_SECONDS = 120.0
"""When a run of a drain ends. What is left then is the next one's, so that the tables are not long without news."""


def drain_feed(settings: Settings, catalog: Catalog, feed: Feed) -> Sequence[Drained]:
    """Drain the topics of a feed into landing, within the limits of a run.

    Raises:
        DrainError: a topic can't be drained. What was landed stays.
        SettingsError: no broker is set, or the store refuses.
    """
    limits = settings.drain_limits(records=_RUN_RECORDS, seconds=_RUN_SECONDS)
    return drain_all(_sources(settings, catalog, feed), Landing(settings.root), limits, lambda text: None)


def topic_lags(settings: Settings, catalog: Catalog, feed: Feed) -> dict[str, int]:
    """Return by topic of a feed how many offsets it is ahead of landing.

    Raises:
        DrainError: a topic, or landing, can't be read.
        SettingsError: no broker is set, or the store refuses.
    """
    landing = Landing(settings.root)
    return {source.topic: sum(lag(source, landing).values()) for source in _sources(settings, catalog, feed)}


def drain_sensor_name(feed: Feed) -> str:
    """Return the name of a feed's drain sensor."""
    return f"drain_{feed.table}"


def drain_sensors(settings: Settings, catalog: Catalog) -> list[dg.SensorDefinition]:
    """Return the sensors of all feeds with a topic. They are on if the settings name a broker."""
    return [_drain_sensor(settings, catalog, feed) for feed in catalog.feeds if feed.topic]


def _drain_sensor(settings: Settings, catalog: Catalog, feed: Feed) -> dg.SensorDefinition:
    is_on = settings.kafka_bootstrap_servers is not None

    @dg.sensor(
        name=drain_sensor_name(feed),
        target=dg.AssetSelection.assets(["landing", feed.table]),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description=f"Drains the Kafka topic of {feed.landing} if it is ahead of landing.",
    )
    @Unquoted(settings.root)
    def _drain(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        lags = topic_lags(settings, catalog, feed)
        told = ", ".join(f"{topic}: lag {count:,}" for topic, count in lags.items())
        if not any(lags.values()):
            return dg.SkipReason(f"Landing has all of {told}." if lags else f"No topic is drained into {feed.landing}.")
        close_killed_runs(context.instance)
        if context.instance.get_run_records(dg.RunsFilter(tags={DRAIN_TAG: feed.table}, statuses=UNFINISHED), limit=1):
            return dg.SkipReason(f"A drain is under way. {told}")
        return dg.RunRequest(tags={DRAIN_TAG: feed.table, "lakehouse/lag": str(sum(lags.values()))})

    return _drain


def _sources(settings: Settings, catalog: Catalog, feed: Feed) -> list[Source]:
    return [source for source in settings.kafka_sources(catalog.feeds) if source.feed == feed.landing]
