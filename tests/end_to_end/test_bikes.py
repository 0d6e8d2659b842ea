"""Polls of bikes in any order of arrival: the same tables; an outage ends no station, and what repeats a report takes its place."""

from pathlib import Path

import pytest

from lakehouse_assets.bundled import bundled
from lakehouse_assets.systems import bikes

pytestmark = pytest.mark.worlds("sail-folder")

POLLS = [
    ("bikes/velib_stations", "2026-01-30", "2026-01-30T07-00Z.json"),
    ("bikes/velib_stations", "2026-01-31", "2026-01-31T10-00Z.json"),
    ("bikes/velib_stations", "2026-01-31", "2026-01-31T12-00Z.json"),  # the outage
    ("bikes/velov_stations", "2026-01-30", "2026-01-30T07-00Z.json"),
    ("bikes/velov_stations", "2026-01-31", "2026-01-31T10-00Z.json"),
]
PARIS = 48  # of which one opens on the second day
LYON = 24
IN_THE_OUTAGE = 47


@pytest.fixture
def landed(make_lakehouse):
    """A maker of lakehouses to which the polls came in an order, with a pass after each group of them."""

    def land(*groups):
        lakehouse = make_lakehouse(*bikes.SYSTEM.tables)
        for group in groups:
            for feed, day, name in group:
                file = Path(bundled("sample_data"), feed, day, name)
                lakehouse.land(feed, day, name, file.read_bytes())
            assert lakehouse.build() == {}
        return lakehouse

    return land


def test_polls_in_any_order_make_the_same_tables(landed):
    first, second, outage, *lyon = POLLS
    at_once, late = landed(POLLS), landed([outage, lyon[1]], [lyon[0], second, first])
    for table in ("silver.bikes_station_status", "silver.bikes_stations"):
        assert late.rows(table) == at_once.rows(table)
    for lakehouse in (at_once, late):
        current = lakehouse.rows("silver.bikes_stations WHERE is_current GROUP BY city", "city, count(*) AS stations")
        assert current == [{"city": "Lyon", "stations": LYON}, {"city": "Paris", "stations": PARIS}]
        refused = lakehouse.rows("quarantine.rows WHERE source_file LIKE '%T12-00Z.json' GROUP BY table_name", "count(*) AS rows")
        assert refused == [{"rows": IN_THE_OUTAGE}] * 2
