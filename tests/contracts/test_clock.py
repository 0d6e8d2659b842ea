"""Times that name no zone, against Python's zoneinfo: at each change of the clock, on each engine."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from lakehouse_assets.contracts.clock import moment, zone_fault
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.errors import ContractError
from tests.support.declare import with_feed
from tests.support.orders import ORDERS

ZONES = (
    "Europe/Paris",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",  # half an hour
    "Asia/Kolkata",
    "Africa/Casablanca",  # back for Ramadan
    "Pacific/Apia",  # skipped a day
)
SECOND = timedelta(seconds=1)


def changes(zone):
    """The moments from 1970 to 2037 at which the zone's offset changes, each as the last second before it."""
    offset = ZoneInfo(zone).utcoffset
    result, moment = [], datetime(1970, 1, 1, tzinfo=UTC)
    while moment.year < 2038:
        later = moment + timedelta(days=7)
        if offset(moment.astimezone(ZoneInfo(zone))) != offset(later.astimezone(ZoneInfo(zone))):
            low, high = moment, later
            while high - low > SECOND:
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                same = offset(middle.astimezone(ZoneInfo(zone))) == offset(moment.astimezone(ZoneInfo(zone)))
                low, high = (middle, high) if same else (low, middle)
            result.append(low)
        moment = later
    return result


def around(zone):
    """Local times around each change, before, within and after the hour that is skipped or repeated; as text."""
    steps = [timedelta(minutes=m) for m in (-61, -30, 0, 30, 61)]
    local = [c.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for c in changes(zone)]
    return sorted({at + step + extra for at in local for step in steps for extra in (timedelta(0), SECOND)})


@pytest.mark.worlds("spark-folder", "sail-folder")
def test_every_engine_reads_local_times_as_python_does_at_each_change_of_the_clock(spark):
    rows = [(zone, f"{local:%Y-%m-%d %H:%M:%S}") for zone in ZONES for local in around(zone)]
    assert len(rows) > 3000
    values = ", ".join(f"({number}, '{zone}', '{text}')" for number, (zone, text) in enumerate(rows))
    cases = " ".join(f"WHEN '{zone}' THEN {typed('v', 'timestamp', zone)}" for zone in ZONES)
    read = spark.sql(f"SELECT n, zone, v FROM VALUES {values} AS t (n, zone, v)")
    result = {row["n"]: row["m"] for row in read.selectExpr("n", f"UNIX_SECONDS(CASE zone {cases} END) AS m").collect()}
    wanted = [int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) for zone, text in rows]
    assert {rows[n]: (m, wanted[n]) for n, m in result.items() if m != wanted[n]} == {}
    assert len(result) == len(rows)


@pytest.mark.worlds("spark-folder", "sail-folder")
def test_a_zone_in_the_text_counts_and_that_of_the_feed_is_for_times_without_one(spark):
    """What sources send: an offset, another, Z and nothing. And what a change of the clock skips and repeats."""
    cases = {
        "2026-07-01T12:00:00+01:00": "2026-07-01 11:00:00",
        "2026-07-01T12:00:00+10:00": "2026-07-01 02:00:00",
        "2026-07-01T12:00:00Z": "2026-07-01 12:00:00",
        "2026-07-01T12:00:00": "2026-07-01 10:00:00",
        "2026-01-01 12:00": "2026-01-01 11:00:00",
        "2026-01-01 12:00:00.250": "2026-01-01 11:00:00.25",
        "2026-03-29 02:30:00": "2026-03-29 01:30:00",
        "2026-10-25 02:30:00": "2026-10-25 00:30:00",
        "2026-10-25 02:30:00+01:00": "2026-10-25 01:30:00",
        "2099-07-01 12:00": "2099-07-01 10:00:00",
        "2100-07-01 12:00": "2100-07-01 11:00:00",
        "2999-06-30 00:00:00.5": "2999-06-29 23:00:00.5",
        "2999-06-30 00:00+02:00": "2999-06-29 22:00:00",
        "0001-01-01 00:00": None,
        "2026-02-30 12:00": None,
        "noon": None,
    }
    values = ", ".join(f"({n}, '{text}')" for n, text in enumerate(cases))
    in_utc = typed("v", "timestamp", "Europe/Paris")
    read = spark.sql(f"SELECT n, v FROM VALUES {values} AS t (n, v)").selectExpr("n", f"UNIX_MICROS({in_utc}) AS m").collect()
    origin = datetime(1970, 1, 1)
    result = {list(cases)[row["n"]]: None if row["m"] is None else origin + timedelta(microseconds=row["m"]) for row in read}
    assert result == {text: None if wanted is None else datetime.fromisoformat(wanted) for text, wanted in cases.items()}


def test_a_time_of_day_is_that_of_its_zone():
    assert moment(date(2026, 7, 1), time(6), "Europe/Paris") == datetime(2026, 7, 1, 4, tzinfo=UTC)
    assert moment(date(2026, 3, 29), time(2, 30), "Europe/Paris") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", ["UTC", "Europe/Paris", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_names_of_the_database_are_zones(name):
    assert zone_fault(name) is None


@pytest.mark.parametrize(
    "name", ["CET", "EST5EDT", "Europe/Pariss", "+02:00", "posix/Europe/Paris", "../etc/passwd", "", "europe/paris"]
)
def test_other_names_are_refused(name):
    assert "is not a time zone" in zone_fault(name)


def test_a_wrong_zone_is_told_with_the_nearest_one():
    with pytest.raises(ContractError, match=r"Feed till/receipts: zone 'Europe/Berln' .* mean 'Europe/Berlin'"):
        Feed("till/receipts", (), zone="Europe/Berln")


def test_what_the_columns_mean_changes_silver_and_not_raw():
    for changes in ({"zone": "Europe/Paris"}, {"currency": "EUR"}):
        changed = with_feed(ORDERS, **changes)
        assert changed.digest() != ORDERS.digest()
        assert [feed.digest() for feed in changed.feeds] == [feed.digest() for feed in ORDERS.feeds]
    assert with_feed(ORDERS, zone="Europe/Paris").digest() != with_feed(ORDERS, zone="Europe/Rome").digest()


def test_tables_whose_feeds_declare_nothing_new_keep_their_digests():
    """The digests as they were before feeds could declare a zone, a currency, a due time or control totals."""
    feed = Feed("shop/orders", ())
    assert feed.digest() == "3fc0663d32857a97"
    assert ORDERS.digest() == "54ed46be9ad534cb"
