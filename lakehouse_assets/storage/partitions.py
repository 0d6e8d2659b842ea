"""The daily partitions that every table shares, so that a date or a range runs through the whole graph alike."""

from datetime import date

import dagster as dg


def daily_partitions(start: date) -> dg.DailyPartitionsDefinition:
    """One partition a day, UTC, from `start` to today; today is one already, because files land all day."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1, timezone="UTC")
