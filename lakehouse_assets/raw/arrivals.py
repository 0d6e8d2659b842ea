"""Whether everything has arrived: deliveries that are late or missing, and files whose rows are not as many as was said.

Only a plan and a check ask what is late, for a moment that they name. Rows that have arrived are loaded in any case; what a complete
delivery lacks is deleted only if it has no shortfall.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from lakehouse_assets.books.ledger import LandedFile, PartitionRecord
from lakehouse_assets.contracts.deliveries import Trailer
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.raw.totals import WHOLE_DATE, Totals, from_text

State = Literal["late", "missing", "short", "over", "unconfirmed"]
"""Nothing has landed for the newest date that is due | nor for an earlier one | fewer rows have landed than the control total says, or
a file of the manifest has not | more rows have | there is no control total."""


@dataclass(frozen=True)
class Outstanding:
    """A delivery that is not as declared. `due` is when it was due, in UTC, if that is why."""

    feed: str
    date: date
    state: State
    reason: str
    due: datetime | None = None

    @property
    def sentence(self) -> str:
        """The message: which delivery, and what is wrong with it."""
        return f"{self.feed}, delivery of {self.date}: {self.reason}."

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        due = self.due.isoformat() if self.due else None
        return {"feed": self.feed, "date": self.date.isoformat(), "state": self.state, "reason": self.reason, "due": due}


@dataclass(frozen=True)
class Arrivals:
    """What is outstanding at a moment, of the feeds that say when they are due or where their control totals are."""

    as_of: datetime
    feeds: tuple[str, ...]
    outstanding: tuple[Outstanding, ...]

    @property
    def complete(self) -> bool:
        """Whether everything has arrived."""
        return not self.outstanding

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            "as_of": self.as_of.isoformat(),
            "feeds": list(self.feeds),
            "complete": self.complete,
            "outstanding": [delivery.to_json() for delivery in self.outstanding],
        }


def arrivals(
    feeds: Iterable[Feed],
    landed: Mapping[str, Collection[date]],
    records: Mapping[str, Mapping[date, PartitionRecord]],
    now: datetime,
    *,
    timezone: str,
    start: date,
) -> Arrivals:
    """Return what is outstanding at `now`.

    By raw table, `landed` are the dates with files in landing, and `records` the full records of the partitions to compare with
    their control totals. `timezone` is that of feeds without one, `start` the first partition.
    """
    watched = [feed for feed in feeds if feed.due or feed.totals]
    outstanding: list[Outstanding] = []
    for feed in watched:
        outstanding += overdue(feed, landed.get(feed.table, ()), now, timezone=timezone, start=start)
        for day, record in sorted(records.get(feed.table, {}).items()):
            if not record.is_unverified:
                faults = _count_faults(feed, record.files, record.totals)
                outstanding += [Outstanding(feed.landing, day, state, reason) for state, reason in faults]
    return Arrivals(now, tuple(feed.landing for feed in watched), tuple(outstanding))


def overdue(feed: Feed, landed: Collection[date], now: datetime, *, timezone: str, start: date) -> list[Outstanding]:
    """Return the dates of which nothing has landed although it was due before `now`.

    A date can't be loaded before it has begun in UTC, so none is late before that, wherever the feed is from.
    """
    due = feed.due
    if due is None:
        return []
    zone = feed.zone or timezone
    last = now.astimezone(UTC).date()
    first = max(due.since or min(landed, default=last - timedelta(days=_A_WEEK_AND_A_DAY + due.days_later)), start)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    expected = [day for day in days if due.is_on(day) and due.at(day, zone) <= now]
    if due.since is None and not landed:
        expected = expected[-1:]  # it is not known when it begins
    return [
        Outstanding(
            feed.landing,
            day,
            "late" if day == expected[-1] else "missing",
            f"nothing has landed; it was due on {day + timedelta(days=due.days_later)} by {due.by} ({zone})",
            due.at(day, zone),
        )
        for day in expected
        if day not in landed
    ]


_A_WEEK_AND_A_DAY = 8
"""Within so many days, there is one on which a feed is due."""


def shortfall(feed: Feed, files: Sequence[LandedFile], totals: str) -> str:
    """Return why rows of a partition may not have arrived, by its control totals (see `PartitionRecord`); "" if nothing says so.

    A file without its trailer may be cut off. A file that no manifest lists is all there, for all that is known.
    """
    doubts = ("short", "unconfirmed") if isinstance(feed.totals, Trailer) else ("short",)
    reasons = [reason for state, reason in _count_faults(feed, files, totals) if state in doubts]
    more = f", and {len(reasons) - _REASONS_TOLD} more" if len(reasons) > _REASONS_TOLD else ""
    return "; ".join(reasons[:_REASONS_TOLD]) + more


_REASONS_TOLD = 3


def _count_faults(feed: Feed, files: Sequence[LandedFile], totals: str) -> Iterator[tuple[State, str]]:
    """Compare the files of a partition with its control totals."""
    if isinstance(feed.totals, Trailer):
        return _trailer_faults(files, from_text(totals))
    return _manifest_faults(feed, files, from_text(totals))


def _trailer_faults(files: Sequence[LandedFile], totals: Mapping[str, Totals]) -> Iterator[tuple[State, str]]:
    """Compare each file with its trailer. Those that need none, such as workbooks and duplicates, are not in `totals`."""
    for file in files:
        for stated in totals.get(file.name, {}).values():
            if stated is None:
                yield "unconfirmed", f"{file.name} has no trailer line: it may be cut off"
            else:
                yield from _counted(file.name, file.rows_in, stated, "its trailer")


def _manifest_faults(feed: Feed, files: Sequence[LandedFile], manifests: Mapping[str, Totals]) -> Iterator[tuple[State, str]]:
    """Compare the files with the manifests. A number of the whole date is that of its rows, each file once."""
    rows = {file.name: file.rows_in for file in files if not feed.is_manifest(file.name)}
    if feed.totals is None or not files:
        return
    if not manifests:
        yield "unconfirmed", f"no manifest says how many rows its {len(rows)} files have"
        return
    listed = {(source, name): stated for source, totals in manifests.items() for name, stated in totals.items()}
    whole = [stated or 0 for (_, name), stated in listed.items() if name == WHOLE_DATE]
    if whole:
        once = [rows[file.name] for file in files if file.name in rows and not file.duplicate_of]
        yield from _counted(f"the delivery of {len(once)} files", sum(once), sum(whole), "the manifest")
        return
    for (source, name), stated in sorted(listed.items()):
        if name not in rows:
            yield "short", f"{name} has not landed; {source} says that it has {stated} rows"
        else:
            yield from _counted(name, rows[name], stated or 0, source)
    for name in sorted(rows.keys() - {name for _, name in listed}):
        yield "unconfirmed", f"{name} is in no manifest"


def _counted(what: str, rows: int, stated: int, by: str) -> Sequence[tuple[State, str]]:
    """Compare a number of rows with what was said of it."""
    return [] if rows == stated else [("short" if rows < stated else "over", f"{what} has {rows} rows; {by} says {stated}")]
