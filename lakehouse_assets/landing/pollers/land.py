"""Polls a feed once: fetches it, and lands what was answered as one object, which is there as a whole or not at all.

The object is named by the time of the poll that is due, so a poll lands once: repeated, on another machine, or after a kill.
"""

from dataclasses import dataclass
from datetime import datetime

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.polls import Poll
from lakehouse_assets.landing.objects import Landing


@dataclass(frozen=True)
class Polled:
    """What a poll did. `is_new` is false if another one had landed the object; what this one fetched is dropped then."""

    path: str
    is_new: bool
    records: int = 0
    requests: int = 0
    size: int = 0


def land_poll(feed: Feed, poll: Poll, landing: Landing, now: datetime) -> Polled:
    """Land a feed's poll that is due at a moment, in the date folder of its time in UTC. Sends no request if it has landed.

    Raises:
        PollError: the feed can't be fetched; nothing was landed.
        SettingsError: where it is fetched from is not set, or the store can't be written to.
    """
    slot = poll.slot(now)
    day, name = slot.date(), f"{slot:%Y-%m-%dT%H-%MZ}.json"
    path = f"landing/{feed.landing}/{day.isoformat()}/{name}"
    if landing.size(feed.landing, day, name) is not None:
        return Polled(path, is_new=False)
    # Its HTTP client takes 0.2 s to import, which a process that polls nothing need not wait for.
    from lakehouse_assets.landing.pollers.opendatasoft import fetch

    answers = fetch(poll)
    content = b"\n".join(answers.pages)
    is_new = landing.put_new(feed.landing, day, name, content)
    return Polled(path, is_new, answers.records, answers.requests, len(content))
