"""How much of landing a plan reads: all of it, or what is new and a share of what is old, so that a scan costs what is new."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.raw_fingerprint import raw_fingerprint
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.errors import UnreadableError
from lakehouse_assets.landing.objects import Landing, LandingObject

Built = Mapping[str, Mapping[date, PartitionRecord]]
"""The records of raw partitions by table and date. A scan does not need the files in them."""


@dataclass(frozen=True)
class ScanBudget:
    """How much one scan lists. One request per thousand dates finds the date folders of a feed. Then the scan lists, for each feed,

    - the `newest_dates`,
    - older dates that the ledger does not know or could not verify, up to some `new_objects` a scan,
    - and, round-robin over all feeds, as many older dates as have `objects` objects, from `cursor` on.

    Date folders that are gone are noticed without being listed. So a file that is late, changed or gone among the N objects of older
    dates, or a date whose reader has changed, is found after N / `objects` scans, rounded up. `cursor` is where the scan before
    stopped, as `landing folder/date`. Any other text works as well: it only changes which dates come next.
    """

    cursor: str = ""
    newest_dates: int = 8
    objects: int = 1_800
    """Two pages of an S3 listing, which has a thousand a page, with room for the end of a date."""
    new_objects: int = 50_000


@dataclass
class ScanResult:
    """What a scan found: the objects by table, and the dates of which these are all objects; None where that is so of all dates.

    `hidden` are by table the places that could not be listed (see `Listing`).
    `older` are the older dates that the round-robin reached, and `next_cursor` is where it goes on.
    """

    objects: dict[str, list[LandingObject]] = field(default_factory=dict)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    hidden: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dates: dict[str, set[date]] | None = None
    older: dict[str, set[date]] = field(default_factory=dict)
    next_cursor: str = ""


def scan_all(landing: Landing, feeds: Sequence[Feed], start: date) -> ScanResult:
    """List all of landing.

    Raises:
        UnreadableError: no feed's folder can be listed.
    """
    result = ScanResult()
    for feed in feeds:
        listing = landing.listing(feed.landing, start)
        result.objects[feed.table] = listing.objects
        result.ignored += listing.ignored
        result.hidden[feed.table] = listing.hidden
    _refuse_if_all_hidden(result)
    return result


def scan_within(budget: ScanBudget, landing: Landing, feeds: Sequence[Feed], start: date, built: Built) -> ScanResult:
    """List as much of landing as the budget allows.

    Raises:
        UnreadableError: no feed's folder can be listed.
    """
    scanner = _Scanner(landing, start)
    older_dates: dict[str, tuple[Feed, date]] = {}
    for feed in feeds:
        known = built.get(feed.table, {})
        try:
            dates = landing.dates(feed.landing, start)
        except UnreadableError as error:
            scanner.skip(feed, error)
            continue
        newest, older = dates[-budget.newest_dates :], dates[: -budget.newest_dates]
        scanner.list_dates(feed, newest)
        objects_left = budget.new_objects
        for is_new, days in groupby(older, lambda d, known=known: d not in known or known[d].is_unverified):  # type: ignore[misc]
            if is_new and objects_left > 0:
                objects_left -= scanner.list_dates(feed, list(days), at_least=objects_left)[1]
        emptied = raw_fingerprint(feed, [])
        scanner.dates[feed.table] |= {d for d in known.keys() - set(dates) if known[d].fingerprint != emptied}
        older_dates |= {f"{feed.landing}/{day}": (feed, day) for day in older}
    older_scanned, next_cursor = _scan_round_robin(budget, scanner, older_dates)
    objects = {table: [*by_path.values()] for table, by_path in scanner.objects.items()}
    result = ScanResult(objects, sorted(scanner.ignored), scanner.hidden, scanner.dates, older_scanned, next_cursor)
    _refuse_if_all_hidden(result)
    return result


def _refuse_if_all_hidden(result: ScanResult) -> None:
    """Refuse a scan that could list nothing at all: that is not the fault of a single folder.

    Raises:
        UnreadableError: no feed's folder can be listed.
    """
    if result.hidden and all("" in places for places in result.hidden.values()):
        raise UnreadableError(*result.ignored[0])


class _Scanner:
    """Lists dates and collects the objects, each once, even where a date is listed twice."""

    def __init__(self, landing: Landing, start: date) -> None:
        self.objects: dict[str, dict[str, LandingObject]] = {}
        self.dates: dict[str, set[date]] = {}
        self.ignored: set[tuple[str, str]] = set()
        self.hidden: dict[str, tuple[str, ...]] = {}
        self._landing, self._start = landing, start

    def list_dates(self, feed: Feed, days: Sequence[date], at_least: int | None = None) -> tuple[list[date], int]:
        """List dates between which no other folder lies. Returns the dates that were listed, and how many objects they have."""
        listing = self._landing.listing(feed.landing, self._start, days, at_least=at_least)
        listed = [day for day in days if listing.until is None or day <= listing.until]
        self.objects.setdefault(feed.table, {}).update((o.path, o) for o in listing.objects)
        self.dates.setdefault(feed.table, set()).update(listed)
        self.ignored.update(listing.ignored)
        self.hidden[feed.table] = (*self.hidden.get(feed.table, ()), *listing.hidden)
        return listed, len(listing.objects)

    def skip(self, feed: Feed, error: UnreadableError) -> None:
        """Skip a feed whose folder can't be listed."""
        self.objects[feed.table], self.dates[feed.table] = {}, set()
        self.ignored.add((error.key, error.reason))
        self.hidden[feed.table] = ("",)


def _scan_round_robin(
    budget: ScanBudget, scanner: _Scanner, older_dates: Mapping[str, tuple[Feed, date]]
) -> tuple[dict[str, set[date]], str]:
    """List the older dates that are next. Returns them by table, and the cursor of the next scan."""
    keys = sorted(older_dates)
    first = bisect_left(keys, budget.cursor)
    rotated = [*keys[first:], *keys[:first]]
    scanned: dict[str, set[date]] = {}
    taken, objects_left = 0, budget.objects
    # By feed, and not across the end of the round: between the dates of one listing lies no other folder.
    for (_, table), group in groupby(rotated, lambda key: (key < budget.cursor, older_dates[key][0].table)):
        if objects_left <= 0:
            break
        days = [older_dates[key] for key in group]
        listed, count = scanner.list_dates(days[0][0], [day for _, day in days], at_least=objects_left)
        scanned.setdefault(table, set()).update(listed)
        taken, objects_left = taken + len(listed), objects_left - count
    return scanned, rotated[taken] if taken < len(rotated) else budget.cursor
