"""Polling a portal through all its faults: what lands is a whole reading, once, or nothing."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import count

import obstore
import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.polls import OpendatasoftPoll
from lakehouse_assets.errors import LakehouseError, PollError, SettingsError
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.landing.pollers import client
from lakehouse_assets.landing.pollers.land import Polled, land_poll
from tests.support.portal import (
    Answer,
    cut,
    error_in_a_page,
    grown,
    half_a_document,
    marked,
    one_short,
    serving,
    silent,
    status,
)

POLL = OpendatasoftPoll(setting="TESTS", dataset="stations", order_by="number", minutes=5, attempts=4)
FEED = Feed("bikes/stations", (SourceColumn("number", "Number"),), format=POLL.lands, poll=POLL)
NOW = datetime(2026, 1, 31, 12, 7, 31, tzinfo=UTC)
NAME = "2026-01-31T12-05Z.json"
KEY = "a-key-that-nobody-may-see"


@pytest.fixture
def portal(monkeypatch):
    """A portal with 250 records, which are three pages."""
    with serving("stations", [{"number": number, "name": f"Straße {number}"} for number in range(250)]) as served:
        monkeypatch.setenv("TESTS_URL", served.url)
        yield served


@pytest.fixture
def pauses(monkeypatch):
    """The seconds for which the poller has slept. They pass at once."""
    slept = []
    clock = [0.0]
    monkeypatch.setattr("time.sleep", lambda seconds: (slept.append(seconds), clock.__setitem__(0, clock[0] + seconds)))
    monkeypatch.setattr(client, "monotonic", lambda: clock[0])
    return slept


@pytest.fixture
def landing(root) -> Landing:
    return Landing(root)


def poll(landing, now=NOW, **changes) -> Polled:
    declared = replace(POLL, **changes)
    return land_poll(replace(FEED, poll=declared), declared, landing, now)


def landed(landing) -> dict[str, list[int]]:
    """The numbers of the records in each object, by its path."""
    decoder = json.JSONDecoder()
    results = {}
    for path, _ in landing.root.files("landing"):
        text = bytes(obstore.get(landing.root.store, path).bytes()).decode()
        pages = [decoder.decode(page) for page in text.split("\n")]
        results[path] = [record["number"] for page in pages for record in page["results"]]
    return dict(sorted(results.items()))


WHOLE = {f"landing/bikes/stations/2026-01-31/{NAME}": list(range(250))}


def test_all_pages_land_as_one_object(portal, landing):
    polled = poll(landing)
    assert (polled.path, polled.is_new, polled.records, polled.requests) == (*WHOLE, True, 250, 3)
    assert landed(landing) == WHOLE
    assert portal.requests == [{"limit": "100", "offset": str(offset), "order_by": "number"} for offset in (0, 100, 200)]
    assert landing.root.files("landing") == [(polled.path, polled.size)]


class TestFaults:
    @pytest.mark.parametrize(
        ("number", "fault"),
        [
            (1, status(429)),
            (2, status(500)),
            (3, status(503)),
            (1, cut),
            (3, cut),
            (2, half_a_document),
            (3, error_in_a_page),
            (2, marked),
        ],
    )
    def test_a_request_that_failed_is_sent_again(self, portal, landing, pauses, number, fault):
        portal.faults = {number: fault}
        assert poll(landing).requests == 4
        assert pauses == [1]
        assert landed(landing) == WHOLE

    def test_pauses_grow(self, portal, landing, pauses):
        portal.faults = {2: status(500), 3: cut, 4: status(502)}
        assert poll(landing).requests == 6
        assert pauses == [1, 2, 4]
        assert portal.offsets == [0, 100, 100, 100, 100, 200]

    @pytest.mark.parametrize(
        ("asked", "pause"),
        [
            ("7", 7),
            ("0", 1),
            ("soon", 1),
            (" 9 ", 9),
            ("Mon, 01 Jan 99999999999 00:00:00 GMT", 1),
            (format_datetime(datetime(2026, 1, 1, tzinfo=UTC)), 1),
        ],
    )
    def test_no_request_is_sent_earlier_than_the_portal_asks(self, portal, landing, pauses, asked, pause):
        portal.faults = {1: status(429, asked)}
        poll(landing)
        assert pauses == [pause]

    @pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5))])
    def test_the_portal_may_ask_by_a_date(self, portal, landing, pauses, zone):
        portal.faults = {1: status(503, format_datetime(datetime.now(zone) + timedelta(seconds=50)))}
        poll(landing)
        assert 40 < pauses[0] <= 50

    def test_a_portal_that_asks_for_more_time_than_the_poll_has_is_left_alone(self, portal, landing, pauses):
        portal.faults = {2: status(429, "3600")}
        asks = r"status 429 and asks to wait for 3600 s"
        message = rf"^stations at 127\.0\.0\.1 answers with {asks}\. Given up after 2 requests; nothing was"
        with pytest.raises(PollError, match=message):
            poll(landing)
        assert (pauses, landed(landing)) == ([], {})

    def test_a_portal_that_stays_broken_is_given_up(self, portal, landing, pauses):
        portal.faults = {0: status(500)}
        with pytest.raises(PollError, match=r"answers with status 500\. Given up after 4 requests; nothing was landed\.$"):
            poll(landing)
        assert (pauses, landed(landing)) == ([1, 2, 4], {})

    def test_an_answer_that_does_not_end_is_given_up_and_asked_for_again(self, portal, landing, monkeypatch):
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        portal.faults = {2: silent}
        assert poll(landing, request_seconds=0.2).requests == 4
        assert landed(landing) == WHOLE

    def test_an_answer_that_trickles_in_does_not_outlive_its_time(self, portal, landing, monkeypatch):
        """Each piece is in time, and there are always more of them."""
        seconds = count(step=2)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.setattr(client, "monotonic", lambda: next(seconds))
        with pytest.raises(PollError, match="does not end its answer within 1 s"):
            poll(landing, request_seconds=1, seconds=500)
        assert landed(landing) == {}

    def test_nobody_is_there(self, portal, landing, pauses, monkeypatch):
        monkeypatch.setenv("TESTS_URL", "http://127.0.0.1:9")
        with pytest.raises(PollError, match="can't be reached"):
            poll(landing)
        assert pauses == [1, 2, 4]

    def test_all_requests_together_have_a_limit(self, portal, landing, pauses):
        portal.faults = {2: status(500)}
        with pytest.raises(PollError, match="needs more than 3 requests a poll; nothing was landed"):
            poll(landing, requests=3)
        assert (len(portal.requests), landed(landing)) == (3, {})

    def test_all_pauses_together_have_a_limit(self, portal, landing, pauses):
        portal.faults = {1: status(429, "9"), 2: status(429, "9"), 3: status(429, "9")}
        with pytest.raises(PollError, match="asks to wait for 9 s"):
            poll(landing, seconds=20)
        assert (pauses, landed(landing)) == ([9, 9], {})

    @pytest.mark.parametrize("fault", [grown, one_short])
    def test_a_data_set_that_changes_meanwhile_is_read_from_the_beginning(self, portal, landing, pauses, fault):
        portal.faults = {2: fault}
        records = poll(landing).records
        assert portal.offsets == [0, 100, 0, 100, 200]
        assert records == len(portal.records)
        assert [sorted(numbers) for numbers in landed(landing).values()] == [list(range(len(portal.records)))]

    def test_a_data_set_that_keeps_changing_is_given_up(self, portal, landing, pauses):
        portal.faults = {0: grown}
        with pytest.raises(PollError, match="changes while it is read, 3 times in a row; nothing was landed"):
            poll(landing)
        assert landed(landing) == {}

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            (status(400, code="ODSQLError"), r"refuses the request with status 400 \(ODSQLError\)\.$"),
            (status(400, code="see <a key>"), r"refuses the request with status 400\.$"),
            (status(401), r"refuses access with status 401 \(Fault\): is an API key missing or wrong\?$"),
            (status(404), r"has no such data set \(status 404 \(Fault\)\): check the address and the data set\.$"),
            (lambda portal, right: Answer(302, headers={"Location": portal.url}), r"has moved \(status 302\)"),
        ],
    )
    def test_a_refusal_is_final(self, portal, landing, pauses, fault, message):
        portal.faults = {1: fault}
        with pytest.raises(PollError, match=message):
            poll(landing)
        assert (len(portal.requests), pauses, landed(landing)) == (1, [], {})

    @pytest.mark.parametrize(("records", "message"), [(0, "has 0 records"), (10_001, "has 10,001 records, not 1 to 10,000")])
    def test_too_few_or_too_many_records(self, portal, landing, records, message):
        portal.records = [{"number": number} for number in range(records)]
        with pytest.raises(PollError, match=message):
            poll(landing)
        assert (len(portal.requests), landed(landing)) == (1, {})

    def test_as_many_records_as_the_api_gives(self, portal, landing):
        portal.records = [{"number": number} for number in range(9_950)]
        assert poll(landing).requests == 100
        assert portal.requests[-1]["limit"] == "100"
        assert list(landed(landing).values()) == [list(range(9_950))]


class TestRepetition:
    def test_a_poll_that_has_landed_sends_no_request(self, portal, landing):
        poll(landing)
        again = poll(landing, NOW + timedelta(minutes=2))
        assert (again.is_new, again.requests, len(portal.requests)) == (False, 0, 3)
        assert landed(landing) == WHOLE

    def test_the_next_poll_is_another_object(self, portal, landing):
        for minutes in (0, 3, 5, 24 * 60):
            poll(landing, NOW + timedelta(minutes=minutes))
        assert [path.removeprefix("landing/bikes/stations/") for path in landed(landing)] == [
            f"2026-01-31/{NAME}",
            "2026-01-31/2026-01-31T12-10Z.json",
            "2026-02-01/2026-02-01T12-05Z.json",
        ]

    def test_of_two_polls_at_once_one_lands(self, portal, landing, monkeypatch):
        """Another machine lands the poll between this one's look and its put."""
        polled = poll(landing)
        monkeypatch.setattr(Landing, "size", lambda *_: None)
        portal.records.append({"number": 250})
        second = poll(landing)
        assert (polled.is_new, second.is_new, second.path) == (True, False, polled.path)
        assert landed(landing) == WHOLE

    def test_a_poll_that_was_killed_lands_nothing_and_starts_anew(self, portal, landing, pauses):
        portal.faults = {3: status(500)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                poll(landing)
        assert landed(landing) == {}
        assert poll(landing).is_new
        assert landed(landing) == WHOLE


class TestSettings:
    def test_the_key_goes_along_in_a_header(self, portal, landing, monkeypatch):
        monkeypatch.setenv("TESTS_API_KEY", KEY)
        poll(landing)
        assert portal.keys == [f"Apikey {KEY}"] * 3
        assert KEY not in str(portal.requests)

    def test_without_a_key_none_is_sent(self, portal, landing, monkeypatch):
        monkeypatch.setenv("TESTS_API_KEY", "")
        poll(landing)
        assert portal.keys == [None] * 3

    @pytest.mark.parametrize("fault", [status(403), status(500), cut, lambda portal, right: Answer(400, KEY.encode())])
    def test_no_error_and_no_log_has_the_key(self, portal, landing, pauses, monkeypatch, caplog, fault):
        caplog.set_level("DEBUG")
        monkeypatch.setenv("TESTS_API_KEY", KEY)
        portal.faults = {0: fault}
        with pytest.raises(PollError) as raised:
            poll(landing)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        assert KEY not in str(raised.value) + caplog.text

    def test_the_declared_address_is_taken_unless_another_is_set(self, portal, landing, monkeypatch):
        monkeypatch.delenv("TESTS_URL")
        assert poll(landing, url=portal.url).is_new
        monkeypatch.setenv("TESTS_URL", f"{portal.url}/")
        assert poll(landing, NOW + timedelta(hours=1), url="http://127.0.0.1:9").is_new

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "opendata.paris.fr",
            "ftp://host",
            f"https://user:{KEY}@host",
            f"https://host?apikey={KEY}",
            "https://",
            "http://[::1",
        ],
    )
    def test_an_address_that_is_none_is_refused_and_not_repeated(self, portal, landing, monkeypatch, address):
        monkeypatch.setenv("TESTS_URL", address)
        with pytest.raises(SettingsError, match=r"^TESTS_URL(:| is not set)") as raised:
            poll(landing)
        assert KEY not in str(raised.value)
        assert landed(landing) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 7}, "its poll is every 7 minutes, which divide neither an hour nor a day evenly"),
        ({"minutes": 0}, "its poll is every 0 minutes"),
        ({"minutes": 420}, "its poll is every 420 minutes"),
        ({"setting": "velib"}, "the poll's setting 'velib' is not like 'VELIB'"),
        ({"order_by": ""}, "the poll names no data set, or no order of its records"),
        ({"seconds": 0}, "its poll has seconds=0: use a number above 0"),
    ],
)
def test_a_poll_that_can_not_be_is_a_mistake_in_the_contract(changes, message):
    with pytest.raises(LakehouseError, match=message):
        replace(FEED, poll=replace(POLL, **changes))


def test_a_feed_reads_what_its_poll_lands():
    with pytest.raises(LakehouseError, match=r"declare format=Json\(unwrap=None, records='results'\)"):
        Feed("bikes/stations", FEED.columns, poll=POLL)


@pytest.mark.parametrize(
    ("minutes", "cron", "slot"),
    [
        (5, "*/5 * * * *", "12:05"),
        (60, "0 */1 * * *", "12:00"),
        (480, "0 */8 * * *", "08:00"),
        (1440, "0 */24 * * *", "00:00"),
    ],
)
def test_a_poll_is_named_by_the_time_at_which_it_is_due(minutes, cron, slot):
    declared = replace(POLL, minutes=minutes)
    assert (declared.cron, f"{declared.slot(NOW):%H:%M}") == (cron, slot)
    assert declared.slot(NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))) == declared.slot(NOW)


def test_a_poll_changes_no_digest():
    """Declaring where a feed comes from builds no table again."""
    assert FEED.digest() == replace(FEED, poll=None).digest()
