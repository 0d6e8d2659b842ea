"""Whom to tell what, and when: from what was found and what the book says. Pure functions of values; nothing here has an effect.

A clock that was put back must not silence anything: a time in the book that lies in the future counts as if it had passed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from lakehouse_assets.alerts.incidents import NOTES, Found, Incident
from lakehouse_assets.books.incidents import IncidentRecord, IncidentRecords, Notice

LEASE = timedelta(minutes=2)
"""For how long a process may send what it has claimed. After it, another one may send the same: the first is taken for dead."""

KEPT = timedelta(days=30)
"""For how long the book keeps what is over."""

_FIRST_RETRY, _LONGEST_RETRY = timedelta(minutes=1), timedelta(minutes=10)
"""When a message that was not taken is tried again; the pause doubles each time."""

_LONGEST_REMINDER = timedelta(days=7)
_LONGEST_SETTLING = timedelta(days=1)
_RETURNS_WITHIN = timedelta(days=1)


class Topic(StrEnum):
    """What a channel may ask for."""

    incidents = "incidents"
    success = "success"
    digest = "digest"


@dataclass(frozen=True)
class Wishes:
    """A channel's name, and what it wants to be told."""

    name: str
    topics: frozenset[Topic] = frozenset({Topic.incidents})

    def wants(self, kind: str) -> bool:
        """Whether incidents or notes of a kind are for this channel."""
        return (Topic(kind) if kind in NOTES else Topic.incidents) in self.topics


@dataclass(frozen=True)
class Pace:
    """How soon and how often things are told.

    An incident is over once it has been absent for `settling`; that doubles, up to a day, each time it comes back. While it is open, a
    reminder comes after `reminder`, then after twice as long, up to a week; None means never. Two messages with incidents to a channel
    are at least `gap` apart, and so are two with notes.
    """

    settling: timedelta = timedelta(minutes=5)
    reminder: timedelta | None = timedelta(hours=4)
    gap: timedelta = timedelta(minutes=5)


class Turn(StrEnum):
    """What is to be told of an incident: it is new, it is back, it is still there, it is over, or it came and went untold."""

    new = "new"
    back = "back"
    still = "still"
    over = "over"
    passed = "passed"


@dataclass(frozen=True)
class Event:
    """Something to tell of an incident."""

    turn: Turn
    record: IncidentRecord


def observed(records: IncidentRecords, found: Found, channels: Collection[Wishes], now: datetime, pace: Pace) -> IncidentRecords:
    """Return the book after what was found: incidents open, are absent, come back, and close. What is over for long is dropped.

    An incident of a kind that was not looked for stays as it is; if it was absent when it was last looked for, it may close.
    """
    present = {incident.key: incident for incident in found.incidents}
    after: dict[str, IncidentRecord] = {}
    for key, record in records.items():
        if record.kind not in NOTES:
            if key in present:
                record = _present(record, present[key], channels, now)
            elif record.kind in found.kinds or record.cleared is not None:
                record = _absent(record, now, pace.settling)
        if record.closed is None or now - record.closed < KEPT:
            after[key] = record
    for key, incident in present.items():
        if key not in records and (notices := _notices(incident.kind, channels)):
            ended = now if incident.kind in NOTES else None
            since = min(incident.since or now, now)
            after[key] = IncidentRecord(
                key, incident.kind, incident.place, incident.what, incident.link, since, now, ended, ended, notices=notices
            )
    return after


def _present(record: IncidentRecord, incident: Incident, channels: Collection[Wishes], now: datetime) -> IncidentRecord:
    if record.closed is not None:
        returns = record.returns + 1 if now - record.closed < _RETURNS_WITHIN else 0
        return replace(
            record,
            what=incident.what,
            link=incident.link,
            since=min(incident.since or now, now),
            opened=now,
            cleared=None,
            closed=None,
            returns=returns,
            notices=_notices(record.kind, channels),
        )
    known = {notice.channel for notice in record.notices}
    missing = tuple(notice for notice in _notices(record.kind, channels) if notice.channel not in known)
    if record.cleared is not None:
        record = replace(record, cleared=None, returns=record.returns + 1)
    return replace(record, notices=record.notices + missing) if missing else record


def _absent(record: IncidentRecord, now: datetime, settling: timedelta) -> IncidentRecord:
    if record.closed is not None:
        return record
    if record.cleared is None:
        return replace(record, cleared=now)
    needed = min(settling * (1 << min(record.returns, 16)), _LONGEST_SETTLING)
    return replace(record, closed=now) if _has_passed(record.cleared, needed, now) else record


def _notices(kind: str, channels: Collection[Wishes]) -> tuple[Notice, ...]:
    return tuple(Notice(channel.name) for channel in channels if channel.wants(kind))


def due(records: IncidentRecords, channel: Wishes, now: datetime, pace: Pace) -> list[Event]:
    """Return what a channel is to be told now. Nothing, while a message is under way, or too soon after a failure.

    Nor are incidents told too soon after incidents, and notes after notes; a note never holds up an incident.
    """
    pairs = [(record, notice) for record in records.values() if (notice := record.notice(channel.name)) is not None]
    notices = [notice for _, notice in pairs]
    if any(n.claimed is not None and now < n.claimed <= now + LEASE for n in notices):
        return []
    if any(n.tried is not None and not _has_passed(n.tried, _pause(n.tries), now) for n in notices):
        return []
    recent = {r.kind in NOTES for r, n in pairs if n.at is not None and not _has_passed(n.at, pace.gap, now)}
    turns = [
        (record, _turn(record, notice, now, pace.reminder))
        for record, notice in pairs
        if channel.wants(record.kind) and (record.kind in NOTES) not in recent
    ]
    return [Event(turn, record) for record, turn in turns if turn is not None]


def _turn(record: IncidentRecord, notice: Notice, now: datetime, reminder: timedelta | None) -> Turn | None:
    if record.closed is not None:
        return {"": Turn.passed, "open": Turn.over}.get(notice.told)
    if record.cleared is not None:
        return None  # it may be over
    if notice.told != "open":
        return Turn.back if record.returns else Turn.new
    if reminder is None or notice.at is None:
        return None
    wait = min(reminder * (1 << min(max(notice.times - 1, 0), 16)), _LONGEST_REMINDER)
    return Turn.still if _has_passed(notice.at, wait, now) else None


def _pause(tries: int) -> timedelta:
    return min(_FIRST_RETRY * (1 << min(max(tries - 1, 0), 16)), _LONGEST_RETRY)


def _has_passed(start: datetime, span: timedelta, now: datetime) -> bool:
    """Whether a span of time is over; so it is if its start is in the future, because the clock was put back."""
    return not timedelta(0) <= now - start < span


def claimed(records: IncidentRecords, channel: str, events: Sequence[Event], found: Found, now: datetime) -> IncidentRecords:
    """Return the book while a process sends these events to a channel. What is still wrong is described as it was found now."""
    texts = {incident.key: incident for incident in found.incidents if incident.kind not in NOTES}
    after = dict(records)
    for event in events:
        key = event.record.key
        record = _noticed(after[key], channel, lambda notice: replace(notice, claimed=now + LEASE))
        after[key] = replace(record, what=texts[key].what, link=texts[key].link) if key in texts else record
    return after


def told(records: IncidentRecords, channel: str, events: Sequence[Event], now: datetime) -> IncidentRecords:
    """Return the book after a channel has taken these events."""
    turns = {event.record.key: event.turn for event in events}

    def mark(turn: Turn | None, notice: Notice) -> Notice:
        if turn is None:
            return replace(notice, tries=0, tried=None)
        is_over = turn in (Turn.over, Turn.passed)
        return Notice(channel, "over" if is_over else "open", notice.times + (not is_over), now)

    return {key: _noticed(record, channel, partial(mark, turns.get(key))) for key, record in records.items()}


def not_taken(records: IncidentRecords, channel: str, events: Sequence[Event], now: datetime) -> IncidentRecords:
    """Return the book after a channel has not taken these events."""
    keys = {event.record.key for event in events}
    return {
        key: _noticed(record, channel, lambda notice: replace(notice, tries=notice.tries + 1, tried=now, claimed=None))
        if key in keys
        else record
        for key, record in records.items()
    }


def _noticed(record: IncidentRecord, channel: str, change: Callable[[Notice], Notice]) -> IncidentRecord:
    """Return the record with the notice of a channel changed."""
    return replace(record, notices=tuple(change(n) if n.channel == channel else n for n in record.notices))


def open_now(records: Mapping[str, IncidentRecord]) -> list[IncidentRecord]:
    """Return the incidents that are there, the oldest first."""
    return sorted((r for r in records.values() if r.closed is None and r.kind not in NOTES), key=lambda r: (r.since, r.key))
