"""How much of landing a plan looks at: all of it, or what is new and a part of what is old, so that a look costs what is new."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.errors import UnreadableError
from lakehouse_assets.landing.objects import Landing, LandingObject
from lakehouse_assets.raw.load import fingerprint

Built = Mapping[str, Mapping[date, PartitionRecord]]
"""The records of raw partitions by table and date. What files they were built from is not asked here."""


@dataclass(frozen=True)
class Look:
    """A look at a part of landing. One request a thousand dates says which date folders there are; then are listed, of each feed,

    - the `newest_dates`,
    - older dates that the ledger does not know, or that a step was killed at, with some `new_objects` a look,
    - and, by turns over all feeds, so many older dates as have `objects` objects, from `place` on.

    Date folders that are gone are noticed without being listed. So a file that is late, changed or gone among the N objects of older
    dates, or a date that is now read another way, is found after N / `objects` looks, rounded up. `place` is what the look
    before has left off at, as `landing folder/date`; any other text will do as well, and only changes whose turn it is.
    """

    place: str = ""
    newest_dates: int = 8
    objects: int = 1_800
    """Two pages of an S3 listing, which has a thousand a page, and room for the end of a date."""
    new_objects: int = 50_000


@dataclass
class Sight:
    """What was seen in landing: the objects by table, and the dates that these are all objects of; None where that is so of all.

    `hidden` are by table the places that can't be seen now (see `Listing`).
    `older` are the dates whose turn it was, and `next_place` where the turns go on.
    """

    objects: dict[str, list[LandingObject]] = field(default_factory=dict)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    hidden: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dates: dict[str, set[date]] | None = None
    older: dict[str, set[date]] = field(default_factory=dict)
    next_place: str = ""


def look_at_all(landing: Landing, feeds: Sequence[Feed], start: date) -> Sight:
    """All of landing."""
    sight = Sight()
    for feed in feeds:
        listing = landing.listing(feed.landing, start)
        sight.objects[feed.table] = listing.objects
        sight.ignored += listing.ignored
        sight.hidden[feed.table] = listing.hidden
    return _seen(sight)


def look_at_some(look: Look, landing: Landing, feeds: Sequence[Feed], start: date, built: Built) -> Sight:
    """What a look is to see."""
    viewer = _Viewer(landing, start)
    turns: dict[str, tuple[Feed, date]] = {}
    for feed in feeds:
        known = built.get(feed.table, {})
        try:
            there = landing.dates(feed.landing, start)
        except UnreadableError as error:
            viewer.pass_over(feed, error)
            continue
        newest, older = there[-look.newest_dates :], there[: -look.newest_dates]
        viewer.look(feed, newest)
        left = look.new_objects
        for is_new, days in groupby(older, lambda d, known=known: d not in known or known[d].is_unsettled):  # type: ignore[misc]
            if is_new and left > 0:
                left -= viewer.look(feed, list(days), at_least=left)[1]
        emptied = fingerprint(feed, [])
        viewer.dates[feed.table] |= {d for d in known.keys() - set(there) if known[d].fingerprint != emptied}
        turns |= {f"{feed.landing}/{day}": (feed, day) for day in older}
    older_seen, next_place = _take_turns(look, viewer, turns)
    objects = {table: [*found.values()] for table, found in viewer.objects.items()}
    return _seen(Sight(objects, sorted(viewer.ignored), viewer.hidden, viewer.dates, older_seen, next_place))


def _seen(sight: Sight) -> Sight:
    """The sight, unless nothing was seen at all: that is the fault of no single folder.

    Raises:
        UnreadableError: no feed's folder can be listed.
    """
    if sight.hidden and all("" in places for places in sight.hidden.values()):
        raise UnreadableError(*sight.ignored[0])
    return sight


class _Viewer:
    """Lists dates and keeps what was found, once where dates are listed twice."""

    def __init__(self, landing: Landing, start: date) -> None:
        self.objects: dict[str, dict[str, LandingObject]] = {}
        self.dates: dict[str, set[date]] = {}
        self.ignored: set[tuple[str, str]] = set()
        self.hidden: dict[str, tuple[str, ...]] = {}
        self._landing, self._start = landing, start

    def look(self, feed: Feed, days: Sequence[date], at_least: int | None = None) -> tuple[list[date], int]:
        """List dates between which no other folder lies; which of them were listed, and how many objects they have."""
        listing = self._landing.listing(feed.landing, self._start, days, at_least=at_least)
        listed = [day for day in days if listing.until is None or day <= listing.until]
        self.objects.setdefault(feed.table, {}).update((o.path, o) for o in listing.objects)
        self.dates.setdefault(feed.table, set()).update(listed)
        self.ignored.update(listing.ignored)
        self.hidden[feed.table] = (*self.hidden.get(feed.table, ()), *listing.hidden)
        return listed, len(listing.objects)

    def pass_over(self, feed: Feed, error: UnreadableError) -> None:
        """See nothing of a feed whose folder can't be listed."""
        self.objects[feed.table], self.dates[feed.table] = {}, set()
        self.ignored.add((error.key, error.reason))
        self.hidden[feed.table] = ("",)


def _take_turns(look: Look, viewer: _Viewer, turns: Mapping[str, tuple[Feed, date]]) -> tuple[dict[str, set[date]], str]:
    """Look at the older dates whose turn it is; these by table, and where the turns go on."""
    places = sorted(turns)
    first = bisect_left(places, look.place)
    rotated = [*places[first:], *places[:first]]
    seen: dict[str, set[date]] = {}
    taken, left = 0, look.objects
    # By feed, and not across the end of the round: between the dates of one listing lies no other folder.
    for (_, table), group in groupby(rotated, lambda place: (place < look.place, turns[place][0].table)):
        if left <= 0:
            break
        days = [turns[place] for place in group]
        listed, count = viewer.look(days[0][0], [day for _, day in days], at_least=left)
        seen.setdefault(table, set()).update(listed)
        taken, left = taken + len(listed), left - count
    return seen, rotated[taken] if taken < len(rotated) else look.place
