"""The messages: all that is to be told to a channel at a time, as one title and one text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Literal

from lakehouse_assets.alerts.incidents import NOTES, TEXTS, Kind
from lakehouse_assets.alerts.telling import Event, Turn
from lakehouse_assets.books.incidents import IncidentRecord

_NAMED = 10
"""How many incidents of a kind a message names."""

_HEADINGS = {Turn.new: "New", Turn.back: "Back again", Turn.still: "Still there", Turn.over: "Over", Turn.passed: "Came and went"}

Mood = Literal["failure", "warning", "success", "info"]
"""How serious a message is: receivers colour it so."""


@dataclass(frozen=True)
class Message:
    """A message: a title of one line, and a text of several, both plain."""

    title: str
    text: str
    mood: Mood


def written(events: Sequence[Event], open_incidents: Sequence[IncidentRecord], summary: Sequence[str], footer: str) -> Message:
    """Write the message that tells some events. `footer` says which lakehouse it is about; a digest also has what is open."""
    incidents = [event for event in events if event.record.kind not in NOTES]
    notes = [event.record for event in events if event.record.kind in NOTES]
    blocks = [block for turn in Turn for block in _blocks(turn, [e.record for e in incidents if e.turn is turn])]
    passes = [record for record in notes if record.kind == Kind.success]
    blocks += [passes[-1].what] if passes else []
    if any(record.kind == Kind.digest for record in notes):
        blocks.append(_digest(open_incidents, summary))
    return Message(_title(incidents, notes), "\n\n".join([*blocks, footer]), _mood(incidents, notes))


def trial(footer: str, now: datetime) -> Message:
    """Write the message by which someone tries out the channels."""
    text = f"This is a test, sent at {_moment(now)}. Alerts of the lakehouse arrive here.\n\n{footer}"
    return Message("[lakehouse] Test of alerts", text, "info")


def _title(incidents: Sequence[Event], notes: Sequence[IncidentRecord]) -> str:
    if not incidents:
        return f"[lakehouse] {TEXTS[Kind(notes[-1].kind)].title}"
    if len(incidents) == 1:
        [event] = incidents
        return f"[lakehouse] {_HEADINGS[event.turn]}: {TEXTS[Kind(event.record.kind)].title}: {event.record.place}"
    counts = [(_HEADINGS[turn].lower(), sum(e.turn is turn for e in incidents)) for turn in Turn]
    return f"[lakehouse] {len(incidents)} incidents: " + ", ".join(f"{n} {heading}" for heading, n in counts if n)


def _mood(incidents: Sequence[Event], notes: Sequence[IncidentRecord]) -> Mood:
    turns = {event.turn for event in incidents}
    if turns & {Turn.new, Turn.back}:
        return "failure"
    if Turn.still in turns:
        return "warning"
    return "success" if turns or any(record.kind == Kind.success for record in notes) else "info"


def _blocks(turn: Turn, records: Sequence[IncidentRecord]) -> list[str]:
    """Return a block for each kind: its title, a line for each incident, and what to do."""
    order = list(Kind)
    by_kind = sorted(records, key=lambda r: (order.index(Kind(r.kind)), r.place, r.key))
    blocks = []
    for kind, group in groupby(by_kind, key=lambda r: Kind(r.kind)):
        of_kind = list(group)
        lines = [f"{_HEADINGS[turn]}: {TEXTS[kind].title}" + (f" ({len(of_kind)})" if len(of_kind) > 1 else "")]
        lines += [_line(turn, record) for record in of_kind[:_NAMED]]
        if len(of_kind) > _NAMED:
            lines.append(f"- and {len(of_kind) - _NAMED} more: `lakehouse alerts show` lists them all")
        if turn in (Turn.new, Turn.back, Turn.still):
            lines.append(f"To do: {TEXTS[kind].to_do}")
        blocks.append("\n".join(lines))
    return blocks


def _line(turn: Turn, record: IncidentRecord) -> str:
    since = _moment(record.since)
    if turn in (Turn.over, Turn.passed):
        ended = record.cleared or record.closed or record.since
        return f"- {record.place}: {record.what} From {since} to {_moment(ended)} ({_span(ended - record.since)})."
    times = f" It has come back {record.returns} times." if record.returns > 1 else ""
    return f"- {record.place}: {record.what} Since {since}.{times}" + (f" {record.link}" if record.link else "")


def _digest(open_incidents: Sequence[IncidentRecord], summary: Sequence[str]) -> str:
    counted = (
        f"{len(open_incidents)} incident{'' if len(open_incidents) == 1 else 's'} open" if open_incidents else "Nothing is wrong"
    )
    lines = [f"{counted}.", *summary]
    lines += [f"- {TEXTS[Kind(r.kind)].title}: {r.place}, since {_moment(r.since)}" for r in open_incidents[:_NAMED]]
    if len(open_incidents) > _NAMED:
        lines.append(f"- and {len(open_incidents) - _NAMED} more: `lakehouse alerts show` lists them all")
    return "\n".join(lines)


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _span(span: timedelta) -> str:
    """Write a span of time by its largest unit.

    >>> _span(timedelta(minutes=90))
    '1 h 30 min'
    """
    minutes = max(0, int(span.total_seconds() // 60))
    days, hours = divmod(minutes // 60, 24)
    parts = [(days, "d"), (hours, "h"), (minutes % 60, "min")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "less than a minute"
