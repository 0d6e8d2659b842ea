"""The daily partitions that all tables share, so that a run of a date or range covers the whole graph; and their pools."""

from datetime import date

import dagster as dg


def daily_partitions(start: date) -> dg.DailyPartitionsDefinition:
    """One partition per day (UTC), from `start` to today. Today is included, because files land all day."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1, timezone="UTC")


def table_pool(layer: str, table: str) -> str:
    """The pool of the steps that write a table. It has one slot, so that two runs don't compute the same merge.

    It only saves work: conditional puts are what protects commits from each other.
    """
    return f"{layer}/{table}"
