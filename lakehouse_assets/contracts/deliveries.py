"""What a feed says of its deliveries: when they are due, and where the control totals are that they are compared with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any

from lakehouse_assets.contracts.clock import moment
from lakehouse_assets.contracts.columns import letters
from lakehouse_assets.contracts.formats import Format, format_facts
from lakehouse_assets.contracts.problems import nearest

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True)
class Due:
    """The delivery of each date is due by a time of day, `HH:MM`, in the feed's zone or else in LAKEHOUSE_TIMEZONE.

    `not_on` lists the weekdays, in English and lower case, and the dates of which there is no delivery. A delivery that comes
    `days_later` is due so many days after its landing date. `since` is the first date with a delivery; if None, it is the first that
    has landed.
    """

    by: str
    not_on: Sequence[str | date] = ()
    days_later: int = 0
    since: date | None = None

    @property
    def problems(self) -> list[str]:
        """The contradictions in this declaration."""
        names = [day for day in self.not_on if isinstance(day, str)]
        return [
            *([] if _TIME.fullmatch(self.by) else [f"it is due by {self.by!r}, which is not a time: write HH:MM"]),
            *(f"{name!r} is not a weekday{nearest(name, WEEKDAYS)}" for name in names if name not in WEEKDAYS),
            *(["it is due on no weekday"] if set(WEEKDAYS) <= set(names) else []),
            *(["it is due before its date"] if self.days_later < 0 else []),
        ]

    def is_on(self, day: date) -> bool:
        """Return whether there is a delivery of that date."""
        return day not in self.not_on and WEEKDAYS[day.weekday()] not in self.not_on

    def at(self, day: date, zone: str) -> datetime:
        """Return when the delivery of a date is due, in UTC."""
        return moment(day + timedelta(days=self.days_later), time.fromisoformat(self.by), zone)


@dataclass(frozen=True)
class Manifest:
    """Control totals in files of their own, in the same landing folder: their names match `files`, such as `*.manifest.csv`.

    Each of their rows has a file's name in column `file`, and its number of rows in column `rows`. If `file` is None, the number is of
    all files of the date, each once. `format` is None if they have the feed's. A manifest is not a file of rows.
    """

    files: str
    file: str | None = "file"
    rows: str = "rows"
    format: Format | None = None

    @property
    def problems(self) -> list[str]:
        """The contradictions in this declaration."""
        names = [letters(name) for name in self.columns if name.strip()]
        return [
            *([] if self.files.strip("*") else [f"{self.files!r} would make every file a manifest"]),
            *(["a column of the manifest has no name"] if len(names) < len(self.columns) else []),
            *([f"a manifest has {self.file!r} and {self.rows!r} in one column"] if len(set(names)) < len(names) else []),
        ]

    @property
    def columns(self) -> list[str]:
        """The names of the columns that it must have."""
        return [self.rows] if self.file is None else [self.file, self.rows]

    @property
    def facts(self) -> list[Any]:
        """What determines which files are manifests and how they are read."""
        return ["Manifest", self.files, self.file, self.rows, *(format_facts(self.format) if self.format else ())]

    def is_one(self, name: str) -> bool:
        """Return whether a landing file with that name is a manifest."""
        return fnmatchcase(name, self.files)


@dataclass(frozen=True)
class Trailer:
    r"""A control total in the last line of each file, which is not a row: a regular expression that matches the whole line.

    Its group `rows` is the number of rows: `Trailer(r"TRAILER;(?P<rows>\d+)")`. `besides` is how many of the lines that it counts are
    not rows, such as the header and the trailer itself. Only formats of lines have trailers.
    """

    line: str
    besides: int = 0

    @property
    def problems(self) -> list[str]:
        """The contradictions in this declaration."""
        try:
            groups = re.compile(self.line).groupindex
        except re.error as error:
            return [f"the trailer {self.line!r} is not a regular expression: {error}"]
        return [] if "rows" in groups else [f"the trailer {self.line!r} has no group (?P<rows>…)"]

    @property
    def facts(self) -> list[Any]:
        """What determines which line is the trailer, and what it says."""
        return ["Trailer", self.line, self.besides]

    def total(self, line: str) -> int | None:
        """Return the number of rows of which a line speaks; None if it is not a trailer."""
        match = re.fullmatch(self.line, line)
        number = match["rows"] if match else None
        return int(number) - self.besides if number and re.fullmatch("[0-9]{1,18}", number) else None
