"""One round of alerts: writes what was found into the book, and sends to each channel what is due, as one message.

A message counts as sent once its receiver has taken it. Before, the book says that it is being sent, so that no other process sends it
too; if this one dies in between, another sends it again two minutes later. So a receiver gets each message at least once.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lakehouse_assets.alerts.channels import SEND_SECONDS, Channel, wishes_of
from lakehouse_assets.alerts.incidents import Found
from lakehouse_assets.alerts.message import Message, written
from lakehouse_assets.alerts.telling import Event, Pace, claimed, due, not_taken, observed, open_now, told
from lakehouse_assets.books.incidents import IncidentRecords, Incidents
from lakehouse_assets.errors import AlertError

RUN_ID = "alerts"
"""What the commits of the book name as their run."""

_LATE_SECONDS = 5.0
"""How much longer than a channel's own limit it is waited for."""


@dataclass(frozen=True)
class Sent:
    """A message to a channel, and why the channel has not taken it; None if it has."""

    channel: str
    message: Message
    error: str | None = None

    @property
    def sentence(self) -> str:
        """What became of the message."""
        return (
            f"Alert to {self.channel}: {self.message.title}" if self.error is None else f"warning: alert not sent: {self.error}"
        )


def alert(
    book: Incidents, channels: Sequence[Channel], found: Found, pace: Pace, clock: Callable[[], datetime], footer: str
) -> list[Sent]:
    """Take a round. Returns the messages that were sent, or were not taken. Where nothing is due, nothing is written."""
    wishes = wishes_of(channels)
    events: dict[str, list[Event]] = {}
    now = clock()

    def begin(records: IncidentRecords) -> IncidentRecords:
        after = observed(records, found, wishes, now, pace)
        events.clear()
        for channel in wishes:
            if chosen := due(after, channel, now, pace):
                after = claimed(after, channel.name, chosen, found, now)
                events[channel.name] = [Event(event.turn, after[event.record.key]) for event in chosen]
        return after

    records = book.update(begin, RUN_ID)
    if not events:
        return []
    open_incidents = open_now(records)
    messages = {name: written(chosen, open_incidents, found.summary, footer) for name, chosen in events.items()}
    sent = send_all([channel for channel in channels if channel.wishes.name in events], messages)
    ended = clock()

    def end(records: IncidentRecords) -> IncidentRecords:
        for outcome in sent:
            mark = told if outcome.error is None else not_taken
            records = mark(records, outcome.channel, events[outcome.channel], ended)
        return records

    book.update(end, RUN_ID)
    return sent


def send_all(channels: Sequence[Channel], messages: Mapping[str, Message]) -> list[Sent]:
    """Send each channel its message, all at once, so that one that hangs holds up no other."""
    errors: dict[str, str] = {}
    done: set[str] = set()

    def send(channel: Channel) -> None:
        name = channel.wishes.name
        try:
            channel.send(messages[name])
            done.add(name)
        except AlertError as error:
            errors[name] = str(error)
        except Exception as error:  # noqa: BLE001 - its text may repeat the URL, and would be printed
            errors[name] = f"{name}: {type(error).__name__}."

    # Not of a pool: its threads would be waited for at the end of the process, however long they hang.
    threads = [threading.Thread(target=send, args=(channel,), daemon=True, name="alerts") for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SEND_SECONDS + _LATE_SECONDS)
    outcomes = []
    for name in (channel.wishes.name for channel in channels):
        error = None if name in done else errors.get(name, f"{name}: the receiver does not answer.")
        outcomes.append(Sent(name, messages[name], error))
    return outcomes
