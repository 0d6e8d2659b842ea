"""Landing assets: one for each feed. To materialize one that the lakehouse fetches is to poll the feed, or drain its topic, once.

Those of feeds whose files others drop are external.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import dagster as dg

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.polls import Poll
from lakehouse_assets.contracts.topics import Topic
from lakehouse_assets.landing.drain.drain import Drained
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.landing.pollers.land import land_poll
from lakehouse_assets.materialization.partitions import table_pool
from lakehouse_assets.materialization.presentation import docs_metadata, format_kinds, source_schema
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root

_POLLER_VERSION = "1"
_DRAIN_VERSION = "1"


def landing_spec(feed: Feed, *, owners: Sequence[str], docs_url: str | None) -> dg.AssetSpec:
    """Return the external asset `landing/<feed>`: the files that others drop. The lakehouse observes them, but makes none."""
    return dg.AssetSpec(
        ["landing", feed.table],
        group_name=f"landing_{feed.system}",
        kinds={"file", *format_kinds(feed)},
        owners=owners,
        tags={"layer": "landing", "system": feed.system},
        description=f"Files that others drop at `landing/{feed.landing}/<date>/`.",
        metadata={"dagster/column_schema": source_schema(feed), **docs_metadata(feed.table, docs_url)},
    )


def landing_asset(feed: Feed, poll: Poll, *, root: Root, owners: Sequence[str], docs_url: str | None) -> dg.AssetsDefinition:
    """Make the asset `landing/<feed>`: the objects that polls have landed. It has no partitions, since a poll is of its moment."""

    @dg.asset(
        key=["landing", feed.table],
        group_name=f"landing_{feed.system}",
        pool=table_pool("landing", feed.table),
        kinds={"api", *format_kinds(feed)},
        owners=owners,
        tags={"layer": "landing", "system": feed.system},
        code_version=_POLLER_VERSION,
        description=f"Polls of `{poll.dataset}`, one object each, at `landing/{feed.landing}/<date>/`.",
        metadata={"dagster/column_schema": source_schema(feed), **docs_metadata(feed.table, docs_url)},
    )
    @Unquoted(root)
    def _landing() -> dg.MaterializeResult[None]:
        polled = land_poll(feed, poll, Landing(root), datetime.now(UTC))
        return dg.MaterializeResult(
            metadata={
                "path": polled.path,
                "is_new": polled.is_new,
                "dagster/row_count": polled.records,
                "requests": polled.requests,
                "size": polled.size,
            }
        )

    return _landing


def drained_asset(
    feed: Feed, topic: Topic, drain: Callable[[], Sequence[Drained]], *, root: Root, owners: Sequence[str], docs_url: str | None
) -> dg.AssetsDefinition:
    """Make the asset `landing/<feed>`: the objects that drains have landed. `drain` drains the feed's topics once, within limits."""

    @dg.asset(
        key=["landing", feed.table],
        group_name=f"landing_{feed.system}",
        pool=table_pool("landing", feed.table),
        kinds={"kafka", *format_kinds(feed)},
        owners=owners,
        tags={"layer": "landing", "system": feed.system},
        code_version=_DRAIN_VERSION,
        description=f"Records of the topic `{topic.name}`, a batch of a partition an object, at `landing/{feed.landing}/<date>/`.",
        metadata={"dagster/column_schema": source_schema(feed), **docs_metadata(feed.table, docs_url)},
    )
    @Unquoted(root)
    def _landing(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        done = drain()
        for warning in (warning for drained in done for warning in drained.warnings):
            context.log.warning(warning)
        seconds = sum(drained.seconds for drained in done)
        records = sum(drained.records for drained in done)
        latencies = [drained.worst_latency for drained in done if drained.worst_latency is not None]
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": records,
                "lag": sum(count for drained in done for count in drained.lag.values()),
                "records_per_second": round(records / seconds, 1) if seconds else 0.0,
                "unreadable": sum(drained.unreadable for drained in done),
                "lost": sum(drained.lost for drained in done),
                "objects": sum(drained.objects for drained in done),
                "size": sum(drained.bytes for drained in done),
                "next_offsets": {f"{drained.topic}-{n}": at for drained in done for n, at in sorted(drained.next.items())},
                **({"seconds_from_kafka_to_landing": max(latencies)} if latencies else {}),
            }
        )

    return _landing
