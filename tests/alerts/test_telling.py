"""Whom to tell what, and when, by values alone: rounds over made-up findings, with a channel that takes messages or doesn't."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse_assets.alerts.incidents import Found, Incident, Kind
from lakehouse_assets.alerts.message import written
from lakehouse_assets.alerts.telling import LEASE, Event, Pace, Topic, Wishes, claimed, due, not_taken, observed, open_now, told

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
KINDS = frozenset(Kind)
ALL = frozenset(Topic)


@dataclass
class Lake:
    """A book, a clock, and one channel; `heard` are the messages that it has taken, by turn and place."""

    wishes: Wishes = field(default_factory=lambda: Wishes("a"))
    pace: Pace = field(default_factory=Pace)
    now: datetime = START
    records: dict = field(default_factory=dict)
    heard: list = field(default_factory=list)
    answers: bool = True

    def round(self, *places, after=timedelta(0), kinds=KINDS, kind=Kind.stale):
        self.now += after
        found = Found(tuple(Incident(kind, place, "is stale.") for place in places), kinds)
        self.records = observed(self.records, found, [self.wishes], self.now, self.pace)
        events = due(self.records, self.wishes, self.now, self.pace)
        if events:
            self.records = claimed(self.records, "a", events, found, self.now)
            mark = told if self.answers else not_taken
            self.records = mark(self.records, "a", events, self.now)
            if self.answers:
                self.heard.append([(event.turn.value, event.record.place) for event in events])
        return events

    def rounds(self, minutes, *places):
        for _ in range(minutes):
            self.round(*places, after=MINUTE)


def test_an_incident_is_told_once_and_once_when_it_is_over():
    lake = Lake()
    lake.rounds(30, "x")
    lake.rounds(30)
    assert lake.heard == [[("new", "x")], [("over", "x")]]


def test_a_hundred_at_once_are_one_message_that_stays_short():
    lake = Lake()
    events = lake.round(*(f"t{n}" for n in range(100)))
    assert len(events) == 100
    message = written(events, open_now(lake.records), (), "Lakehouse: here")
    assert message.title == "[lakehouse] 100 incidents: 100 new"
    assert "and 90 more" in message.text
    assert len(message.text) < 1000


def test_those_that_follow_within_minutes_are_told_together():
    lake = Lake()
    for n in range(20):
        lake.round(*(f"t{i}" for i in range(n + 1)), after=timedelta(seconds=10))
    assert len(lake.heard) == 1
    lake.round(*(f"t{i}" for i in range(20)), after=5 * MINUTE)
    assert [len(message) for message in lake.heard] == [1, 19]


def test_reminders_come_ever_later():
    lake = Lake()
    hours = []
    for hour in range(24 * 30):
        if lake.round("x", after=HOUR):
            hours.append(hour)
    assert hours[:6] == [0, 4, 12, 28, 60, 124]
    assert hours[6] - hours[5] == hours[7] - hours[6] - 40 == 128


def test_without_reminders_there_are_none():
    lake = Lake(pace=Pace(reminder=None))
    assert lake.round("x")
    assert not lake.round("x", after=100 * HOUR)


def test_a_receiver_that_was_away_for_an_hour_gets_what_is_open_and_what_came_and_went():
    lake = Lake(answers=False)
    lake.rounds(10, "x", "y")
    lake.rounds(50, "x")
    assert lake.records["stale/y"].closed is not None
    assert lake.records["stale/x"].notice("a").tries == 9  # after 1, 2, 4, 8, 10, 10 … minutes
    lake.answers = True
    lake.rounds(10, "x")
    assert lake.heard == [[("new", "x"), ("passed", "y")]]


def test_a_table_that_comes_and_goes_with_each_pass_is_one_incident():
    lake = Lake(pace=Pace(reminder=None))
    for n in range(24 * 60):
        lake.round(*(["x"] if n % 2 else []), after=MINUTE)
    lake.rounds(60)
    assert lake.heard == [[("new", "x")]]
    lake.round(after=timedelta(days=1))
    assert lake.heard[1:] == [[("over", "x")]]


def test_one_that_comes_and_goes_slower_is_told_ever_less_often():
    lake = Lake(pace=Pace(reminder=None))
    for n in range(24 * 6):
        lake.rounds(10, *(["x"] if n % 2 == 0 else []))
    assert len(lake.heard) < 10
    assert [turn for [(turn, _)] in lake.heard[:3]] == ["new", "over", "back"]


def test_who_dies_between_sending_and_marking_leaves_it_to_the_next_one_after_the_lease():
    lake = Lake()
    found = Found((Incident(Kind.stale, "x", "is stale."),), KINDS)
    lake.records = observed(lake.records, found, [lake.wishes], lake.now, lake.pace)
    lake.records = claimed(lake.records, "a", due(lake.records, lake.wishes, lake.now, lake.pace), found, lake.now)
    assert not lake.round("x", after=LEASE - MINUTE)
    assert lake.round("x", after=MINUTE)


@pytest.mark.parametrize("back", [HOUR, timedelta(days=400)])
def test_a_clock_that_was_put_back_silences_nothing(back):
    lake = Lake()
    lake.round("x")
    lake.now -= back
    lake.round("x", "y", after=MINUTE)
    lake.rounds(10)
    assert ("new", "y") in lake.heard[1]
    assert {turn for turn, _ in lake.heard[-1]} == {"over"}
    stuck = Lake()
    found = Found((Incident(Kind.stale, "x", ""),), KINDS)
    stuck.records = observed({}, found, [stuck.wishes], stuck.now, stuck.pace)
    stuck.records = claimed(stuck.records, "a", due(stuck.records, stuck.wishes, stuck.now, stuck.pace), found, stuck.now)
    stuck.now -= back
    assert stuck.round("x")


def test_what_was_not_looked_for_stays_open_and_what_was_absent_before_may_end():
    lake = Lake()
    lake.round("x")
    for _ in range(10):
        lake.round(after=MINUTE, kinds=frozenset())
    assert lake.records["stale/x"].closed is None
    lake.round(after=MINUTE)
    lake.round(after=10 * MINUTE, kinds=frozenset())
    assert lake.heard[-1] == [("over", "x")]


def test_a_new_channel_hears_of_what_is_open_and_not_of_what_is_over():
    lake = Lake()
    lake.round("x", "y")
    lake.rounds(10, "x")
    new = Lake(Wishes("a", ALL), records={k: _without_notices(r) for k, r in lake.records.items()}, now=lake.now)
    new.round("x", after=MINUTE)
    assert new.heard == [[("new", "x")]]


def _without_notices(record):
    return replace(record, notices=())


def test_notes_are_told_once_to_those_who_want_them():
    lake = Lake(Wishes("a", ALL))
    lake.round("pass:1", kind=Kind.success)
    lake.round("pass:1", after=HOUR, kind=Kind.success)
    lake.round(after=HOUR)
    assert lake.heard == [[("passed", "pass:1")]]
    other = Lake()
    other.round("pass:1", kind=Kind.success)
    assert (other.heard, other.records) == ([], {})


def test_a_note_holds_up_no_incident_and_is_itself_not_told_too_often():
    lake = Lake(Wishes("a", ALL))
    lake.round("pass:1", kind=Kind.success)
    lake.round("x", after=MINUTE)
    lake.round("pass:2", after=MINUTE, kind=Kind.success)
    lake.round("x", after=5 * MINUTE)
    assert lake.heard == [[("passed", "pass:1")], [("new", "x")], [("passed", "pass:2")]]


def test_what_is_over_for_a_month_is_forgotten():
    lake = Lake()
    lake.round("x")
    lake.rounds(10)
    lake.round(after=timedelta(days=31))
    assert lake.records == {}


def test_a_digest_has_what_is_open_and_the_summary():
    lake = Lake(Wishes("a", ALL))
    lake.round("silver.t")
    events = [Event("passed", _note(Kind.digest, "2026-03-02"))]
    message = written(events, open_now(lake.records), ("The newest pass is 7.",), "Lakehouse: s3://b")
    assert message.title == "[lakehouse] Daily digest"
    assert message.text.splitlines()[:3] == [
        "1 incident open.",
        "The newest pass is 7.",
        "- A table is stale: silver.t, since 2026-03-02 06:00 UTC",
    ]


def _note(kind, place):
    lake = Lake(Wishes("a", ALL), answers=False)
    return lake.round(place, kind=kind)[0].record


def test_a_message_says_what_where_since_when_what_to_do_and_how_it_ended():
    lake = Lake()
    [event] = lake.round("silver.t")
    text = written([event], [], (), "Lakehouse: s3://b").text
    assert text == (
        "New: A table is stale\n- silver.t: is stale. Since 2026-03-02 06:00 UTC.\n"
        "To do: See what fails upstream of it; `lakehouse plan` shows what is to be built.\n\nLakehouse: s3://b"
    )
    lake.rounds(90, "silver.t")
    lake.round(after=MINUTE)
    [event] = lake.round(after=6 * MINUTE)
    message = written([event], [], (), "Lakehouse: s3://b")
    assert (message.title, message.mood) == ("[lakehouse] Over: A table is stale: silver.t", "success")
    assert "From 2026-03-02 06:00 UTC to 2026-03-02 07:31 UTC (1 h 31 min)." in message.text
