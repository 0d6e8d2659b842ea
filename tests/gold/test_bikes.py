"""Bike stations: which row version a report belongs to, and how often a station was empty or full."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PARIS = {"city": "Paris", "station_code": "1"}


def minutes(number):
    return None if number is None else NOON + timedelta(minutes=number)


def version(start, end, name, **station):
    valid = {"valid_from": minutes(start), "valid_to": minutes(end), "is_current": end is None}
    return PARIS | {"name": name, "capacity": 10} | valid | station


def report(at, bikes=1, docks=1, **station):
    return PARIS | {"reported_at": minutes(at), "bikes_available": bikes, "docks_available": docks} | station


@settings(max_examples=15, deadline=None)
@given(
    starts=st.lists(st.none() | st.integers(-5, 5), unique=True, max_size=4),
    gap=st.booleans(),
    reports=st.lists(st.integers(-7, 7), unique=True, min_size=1, max_size=5),
)
def test_a_report_belongs_to_the_version_of_its_moment_and_before_the_first_to_the_first(warehouse, starts, gap, reports):
    ordered = sorted(starts, key=lambda start: (start is not None, start or 0))
    ends = [*ordered[1:], 0 if gap else None]
    rows = [version(start, end, f"from {start}") for start, end in zip(ordered, ends, strict=False)]
    sql = warehouse(bikes_stations=rows, bikes_station_status=[report(at) for at in reports])
    result = sql(
        "SELECT s.name FROM run.gold.fact_bike_status JOIN run.gold.dim_bike_station AS s USING (station_key) ORDER BY reported_at"
    )

    def expected(at):
        begun = [start for start in ordered if start is None or start <= at] or ordered[:1]
        return f"from {begun[-1]}" if begun else "n/a"

    assert [row[0] for row in result] == [expected(at) for at in sorted(reports)]


def test_the_key_of_a_station_s_first_version_is_its_own_so_that_later_ones_change_no_fact(warehouse):
    keys = "SELECT f.station_key FROM run.gold.fact_bike_status AS f ORDER BY reported_at"
    first = warehouse(bikes_stations=[version(0, None, "A")], bikes_station_status=[report(1), report(9)])(keys)
    assert first[0] == first[1] != (-1,)
    rows = [version(0, 5, "A"), version(5, None, "B"), version(0, None, "Lyon's", city="Lyon")]
    later = warehouse(bikes_stations=rows, bikes_station_status=[report(1), report(9)])(keys)
    assert later[0] == first[0]
    assert later[1] not in (first[1], (-1,))


def test_a_station_is_counted_by_day_and_under_its_latest_name(warehouse):
    rows = [version(0, 5, "Old"), version(5, None, "New"), version(0, None, "Other", station_code="2")]
    reports = [report(1, bikes=0), report(2, bikes=0, docks=0), report(6, bikes=3), report(7, bikes=4)]
    reports += [report(24 * 60, bikes=9), report(3, bikes=7, station_code="2"), report(4, station_code="3")]
    sql = warehouse(bikes_stations=rows, bikes_station_status=reports)
    result = sql(
        "SELECT day::VARCHAR, station_id, name, readings, share_without_bikes::FLOAT, share_without_docks::FLOAT, mean_bikes::FLOAT "
        "FROM run.gold.station_availability ORDER BY ALL"
    )
    assert result == [
        ("2026-03-02", "1", "New", 4, 0.5, 0.25, 1.75),
        ("2026-03-02", "2", "Other", 1, 0.0, 0.0, 7.0),
        ("2026-03-02", "n/a", "n/a", 1, 0.0, 0.0, 1.0),
        ("2026-03-03", "1", "New", 1, 0.0, 0.0, 9.0),
    ]
    assert sql("SELECT sum(readings) FROM run.gold.station_availability") == [(len(reports),)]
