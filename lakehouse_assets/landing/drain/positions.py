"""Finds where to go on: after the newest object of each partition in landing. Reads names of objects, and one head a partition."""

import gzip
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

from lakehouse_assets.errors import DrainError
from lakehouse_assets.landing.drain.names import HEAD_BYTES, Head, Name
from lakehouse_assets.landing.objects import Landing, LandingObject


@dataclass(frozen=True)
class Position:
    """Where a partition goes on, and the date of its newest object: those after it are of no earlier date."""

    next: int
    date: date
    leader_epoch: int | None = None


@dataclass(frozen=True)
class Positions:
    """Where partitions go on that have landed. `former` has those of a topic of this name that is no more, by its id and partition."""

    of: Mapping[int, Position]
    former: Mapping[tuple[str, int], LandingObject] = field(default_factory=dict)


def positions(landing: Landing, feed: str, topic: str, topic_id: str, partitions: Collection[int]) -> Positions:
    """Find where each partition goes on; those of which nothing has landed are left out.

    Looks through the feed's date folders, the newest first, until each partition is found. An object is never of an earlier date than
    the one before it, so the last one of a partition is in the newest folder that has any.

    Raises:
        DrainError: a folder or the newest object of a partition can't be read, so that it is unknown where to go on.
    """
    newest: dict[int, LandingObject] = {}
    former: dict[tuple[str, int], LandingObject] = {}
    for day in reversed(landing.dates(feed, date.min)):
        if newest.keys() >= set(partitions):
            break
        listing = landing.listing(feed, date.min, [day])
        if listing.hidden:
            raise DrainError(
                f"landing/{feed}/{day} can't be listed, so it is unknown where to go on in the topic {topic}. "
                "Give this user the right to read it."
            )
        in_folder: dict[int, LandingObject] = {}
        for landed in listing.objects:  # by name, so by position where the rest is the same
            name = Name.parse(landed.name)
            if name is None or name.topic != topic:
                continue
            if name.topic_id == topic_id:
                in_folder[name.partition] = landed
            else:
                former.setdefault((name.topic_id, name.partition), landed)
        newest = in_folder | newest
    return Positions({p: _after(landing, landed) for p, landed in newest.items() if p in partitions}, former)


def _after(landing: Landing, landed: LandingObject) -> Position:
    """Return the position after an object."""
    head = Head.of(landing.beginning(landed, HEAD_BYTES)) or _counted(landing, landed)
    return Position(head.next, landed.date, head.leader_epoch)


def _counted(landing: Landing, landed: LandingObject) -> Head:
    """Read the whole of an object that lost its head, because someone packed it again."""
    try:
        text = b"".join(landing.read(landed))
        lines = (gzip.decompress(text) if text.startswith(b"\x1f\x8b") else text).splitlines()
        last = json.loads(lines[-1])
        return Head(int(last.get("last_offset", last["offset"])) + 1, len(lines))
    except (OSError, EOFError, ValueError, KeyError, IndexError, AttributeError):
        raise DrainError(
            f"{landed.path} can't be read, so it is unknown up to which offset the topic has landed. Restore the object; or delete it, "
            "and the drain fetches its records again if the broker still has them."
        ) from None
