"""Landing assets: one for each feed that the lakehouse fetches. To materialize it is to poll the feed once."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.polls import Poll
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.landing.pollers.land import land_poll
from lakehouse_assets.materialization.partitions import table_pool
from lakehouse_assets.materialization.presentation import docs_metadata, source_schema
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root

_POLLER_VERSION = "1"


def landing_asset(feed: Feed, poll: Poll, *, root: Root, owners: Sequence[str], docs_url: str | None) -> dg.AssetsDefinition:
    """Make the asset `landing/<feed>`: the objects that polls have landed. It has no partitions, since a poll is of its moment."""

    @dg.asset(
        key=["landing", feed.table],
        group_name=f"landing_{feed.system}",
        pool=table_pool("landing", feed.table),
        kinds={"api", *(type(form).__name__.lower() for form in feed.formats)},
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
