"""Time zones: the zone of a feed's times that name none, and the zone of the business day.

In the hour that a change of the clock skips, and in the one that it repeats, the offset from before the change holds: 02:30 on the last
Sunday of March in Paris is 01:30 UTC, 02:30 on the last Sunday of October is 00:30 UTC. Python's `zoneinfo`, Spark and Sail agree on
that; `tests/contracts/test_clock.py` compares them at each change of eight zones from 1970 to 2037. From 2100 on a zone has the offset
of 1 January 2099 all year: nobody knows the rules of that time, and not every engine makes them up.
"""

import re
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from lakehouse_assets.contracts.problems import nearest

LAST_YEAR = 2099
"""The last year in which a zone's clock changes."""

_NAME = re.compile(r"UTC|(?!posix/|right/)[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+)+")
"""Names that Python, Java, Rust and DuckDB know. Abbreviations such as CET mean something else to each of them."""


def zone_fault(name: str) -> str | None:
    """Return why this is not the name of a time zone, as half a sentence; None if it is one."""
    if _NAME.fullmatch(name):
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError):
            pass
        else:
            return None
    near = nearest(name, sorted(filter(_NAME.fullmatch, available_timezones())))
    return f"{name!r} is not a time zone of the IANA database, such as 'Europe/Paris' or 'UTC'{near}"


def last_offset(zone: str) -> str:
    """Return the offset of a zone from the year after `LAST_YEAR` on, such as `+01:00`."""
    return datetime(LAST_YEAR, 1, 1, tzinfo=ZoneInfo(zone)).isoformat()[-len("+00:00") :]


def moment(day: date, at: time, zone: str) -> datetime:
    """Return when it is `at` o'clock on a day in a zone, as a time in UTC."""
    return datetime.combine(day, at, ZoneInfo(zone)).astimezone(UTC)
