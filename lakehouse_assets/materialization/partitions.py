"""The daily partitions that every table shares, so that a date or a range runs through the whole graph alike, and its pool."""

from datetime import date

import dagster as dg


def daily_partitions(start: date) -> dg.DailyPartitionsDefinition:
    """One partition a day, UTC, from `start` to today; today is one already, because files land all day."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1, timezone="UTC")


def table_pool(layer: str, table: str) -> str:
    """The pool of the steps that write a table: of one slot, so that two runs never compute the same merge twice.

    It saves work and no more: what keeps commits apart is the conditional put.
    """
    return f"{layer}/{table}"
