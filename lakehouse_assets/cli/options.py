"""Options that several commands have, and how their texts are read."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from lakehouse_assets.errors import LandingError, QueryError, SelectionError
from lakehouse_assets.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def date_of(text: str) -> date:
    """Return the date that an option or argument names."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise LandingError(f"{text!r} is not a date: write it as YYYY-MM-DD.") from None


def dates_of(text: str, settings: Settings) -> tuple[date, ...]:
    """Return the dates of an option such as `2026-01-01..2026-01-31,2026-02-14`, each once, in order."""
    days: set[date] = set()
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        begin, end = date_of(first), date_of(last if dots else first)
        if begin > end:
            raise SelectionError(f"--dates {part.strip()}: the first date is after the last.")
        if begin < settings.lakehouse_start_date or end > datetime.now(UTC).date():
            raise SelectionError(
                f"--dates {part.strip()}: partitions begin with LAKEHOUSE_START_DATE={settings.lakehouse_start_date} and end today."
            )
        days |= {begin + timedelta(days=n) for n in range((end - begin).days + 1)}
    return tuple(sorted(days))


def range_of(day: str | None, first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """Return the first and last date that the options ask for."""
    if day is not None and (first is not None or last is not None):
        raise QueryError("--date names one date, --from and --to name a range. Use one or the other.")
    begin, end = (date_of(text) if text else None for text in ((day, day) if day else (first, last)))
    if begin and end and begin > end:
        raise QueryError(f"--from {begin} is after --to {end}.")
    return begin, end


def chosen(systems: str, known: list[str]) -> list[str]:
    """Return the names in an option `S,S…|all`. Some may not be known."""
    return known if systems == "all" else [name.strip() for name in systems.split(",")]
