"""Complete deliveries: which of them delete the keys that they lack, and which are held back. Pure functions over the books of raw.

A delivery is all files of a feed that landed under one date. Whether it counts depends on the deliveries before it by date, never on
the order in which they came.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.storage.accepted import AcceptedDeliveries
from lakehouse_assets.storage.books import read_books
from lakehouse_assets.storage.ledger import PartitionRecord
from lakehouse_assets.storage.root import Root


@dataclass(frozen=True)
class Delivery:
    """A complete delivery: its rows, those of the last one before it that counts, and why it deletes nothing, if so."""

    feed: Feed
    date: date
    rows: int
    rows_before: int
    held_because: str = ""

    @property
    def sentence(self) -> str:
        """Why it deletes nothing, and what to do."""
        return f"{self.feed.landing}, delivery of {self.date}: it deletes nothing, because {self.held_because}."


Accepted = Collection[tuple[str, date, str]]
"""Deliveries that somebody has accepted: the raw table, the date, and the fingerprint of the raw partition."""


def deliveries(feed: Feed, raw: Mapping[date, PartitionRecord], accepted: Accepted) -> list[Delivery]:
    """The complete deliveries of a feed, in the order of their dates. A date without a row is none."""
    complete = feed.complete
    if complete is None:
        return []
    before, found = 0, []
    for day, record in sorted(raw.items()):
        if record.is_unsettled or not record.rows_in:
            continue
        held = ""
        if record.rows_quarantined:
            held = f"{record.rows_quarantined} of its rows can't be read, and nobody knows their keys: have them sent again"
        elif record.rows_out < complete.least * before and (feed.table, day, record.fingerprint) not in accepted:
            held = (
                f"it has {record.rows_out} rows, fewer than {complete.least:g} times the {before} before: if that is right, run "
                f"`lakehouse accept {feed.landing} --date {day}`"
            )
        found.append(Delivery(feed, day, record.rows_out, before, held))
        before = before if held else record.rows_out
    return found


def held_deliveries(root: Root, feeds: Iterable[Feed]) -> list[Delivery]:
    """The complete deliveries of some feeds that are held back now, as raw stands."""
    feeds = [feed for feed in feeds if feed.complete]
    if not feeds:
        return []
    records, accepted = read_books(root, [("raw", feed.table) for feed in feeds], brief=True), AcceptedDeliveries(root).read()
    return [
        delivery
        for feed in feeds
        for delivery in deliveries(feed, {key[2]: r for key, r in records.items() if key[1] == feed.table}, accepted)
        if delivery.held_because
    ]
