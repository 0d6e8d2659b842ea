"""The schedules: one for each feed that the lakehouse fetches. They are off until someone turns them on, as they use the network.

A poll only lands an object. The sensors find it there, as they find a file that anyone drops.
"""

import dagster as dg

from lakehouse_assets.contracts.system import Catalog


def poll_schedules(catalog: Catalog) -> list[dg.ScheduleDefinition]:
    """Return the schedules of all feeds with a poll."""
    return [
        dg.ScheduleDefinition(
            name=f"poll_{feed.table}",
            target=dg.AssetSelection.assets(["landing", feed.table]),
            cron_schedule=feed.poll.cron,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description=f"Fetches {feed.landing} every {feed.poll.minutes} minutes.",
        )
        for feed in catalog.feeds
        if feed.poll
    ]
