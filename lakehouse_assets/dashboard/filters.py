"""Which dates and source systems a page is about."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Filters:
    """Dates from `first` to `last`, both inclusive, and source systems. None and an empty tuple stand for all."""

    first: date | None = None
    last: date | None = None
    sources: tuple[str, ...] = ()

    def within(self, newest: date | None, days: int) -> "Filters":
        """Return the filters with both dates: what is missing becomes the `days` days up to `last`, or up to the newest date."""
        last = self.last or newest or date.today()
        first = self.first or last - timedelta(days=days - 1)
        return replace(self, first=min(first, last), last=last)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of a query that has `of_dates` and `of_sources` as conditions."""
        return {"first": self.first or date.min, "last": self.last or date.max, "sources": list(self.sources)}

    @property
    def words(self) -> str:
        """The dates, for a caption."""
        if self.first is None or self.last is None:
            return "all dates"
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


def of_dates(column: str) -> str:
    """SQL: the date in a column is among those of the filters."""
    return f"{column} BETWEEN $first AND $last"


def of_sources(column: str) -> str:
    """SQL: the source system in a column is among those of the filters."""
    return f"(len($sources) = 0 OR list_contains($sources, {column}))"


def address(page: str, filters: Filters, more: Mapping[str, str | None] | None = None) -> str:
    """The address of a page, relative to the dashboard, that shows the same dates and sources, and `more`."""
    values: list[tuple[str, str]] = [
        *([("from", filters.first.isoformat())] if filters.first else []),
        *([("to", filters.last.isoformat())] if filters.last else []),
        *(("source", source) for source in filters.sources),
        *((name, value) for name, value in (more or {}).items() if value is not None),
    ]
    return f"./{page}?{urlencode(values)}" if values else f"./{page}"
