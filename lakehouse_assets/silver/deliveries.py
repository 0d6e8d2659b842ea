"""Complete deliveries: decides which of them delete the keys that they lack, and which are held back, from the books of raw.

A delivery is all files of a feed that landed under one date. Whether it counts depends on the deliveries of earlier dates, never
on the order of arrival.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from lakehouse_assets.books.accepted import AcceptedDeliveries
from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.records import read_books
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.errors import LandingError
from lakehouse_assets.store.root import Root


@dataclass(frozen=True)
class Delivery:
    """A complete delivery: its rows, those of the previous delivery that counts, and why it is held back, if it is."""

    feed: Feed
    date: date
    rows: int
    rows_before: int
    fingerprint: str
    held_because: str = ""
    is_too_small: bool = False
    """Whether it is held back because it has too few rows, or may have: then it can be accepted."""

    @property
    def sentence(self) -> str:
        """The message of a held delivery: why it deletes nothing, and what to do."""
        return f"{self.feed.landing}, delivery of {self.date}: it deletes nothing, because {self.held_because}."

    def to_json(self) -> dict[str, Any]:
        """Return the delivery as JSON values."""
        return {
            "feed": self.feed.landing,
            "date": self.date.isoformat(),
            "rows": self.rows,
            "rows_before": self.rows_before,
            "reason": self.held_because,
        }


Accepted = Collection[tuple[str, date, str]]
"""Deliveries that were accepted: the raw table, the date, and the fingerprint of the raw partition."""


def deliveries(feed: Feed, raw: Mapping[date, PartitionRecord], accepted: Accepted) -> list[Delivery]:
    """Return the complete deliveries of a feed, by date. A date without rows is not a delivery."""
    complete = feed.complete
    if complete is None:
        return []
    before, result = 0, []
    for day, record in sorted(raw.items()):
        if record.is_unverified or not record.rows_in:
            continue
        held, is_too_small = "", False
        if record.rows_quarantined:
            held = f"{record.rows_quarantined} of its rows can't be read, so their keys are unknown: have them sent again"
        elif (feed.table, day, record.fingerprint) not in accepted:
            if record.shortfall:
                held = f"rows of it may not have arrived ({record.shortfall})"
            elif record.rows_out < complete.least * before:
                held = f"it has {record.rows_out} rows, fewer than {complete.least:g} times the {before} before"
            is_too_small = bool(held)
            held += f": if that is right, run `lakehouse accept {feed.landing} --date {day}`" if held else ""
        result.append(Delivery(feed, day, record.rows_out, before, record.fingerprint, held, is_too_small))
        before = before if held else record.rows_out
    return result


def held_deliveries(root: Root, feeds: Iterable[Feed]) -> list[Delivery]:
    """Return the complete deliveries of some feeds that are currently held back."""
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


def accept_delivery(root: Root, feed: Feed, day: date) -> Delivery:
    """Accept a delivery that has too few rows, so that it deletes the keys that it lacks, and return it.

    This covers the delivery with its current bytes: if it is sent again with other bytes, it is checked again.

    Raises:
        LandingError: the delivery is not held back, or is held back for another reason.
    """
    held = {delivery.date: delivery for delivery in held_deliveries(root, [feed])}
    if day not in held:
        others = ", ".join(str(other) for other, delivery in sorted(held.items()) if delivery.is_too_small)
        raise LandingError(
            f"{feed.landing}: no delivery of {day} is held back"
            + (f"; those of {others} are." if others else ".")
            + " A delivery is known once raw is built: run `lakehouse sync` first."
        )
    if not held[day].is_too_small:
        raise LandingError(f"{held[day].sentence} It can't be accepted as it is.")
    AcceptedDeliveries(root).add(feed.table, day, held[day].fingerprint)
    return held[day]
