"""Each cleaning rule of the bikes, on a row or two. The feeds of both cities make the same tables."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.systems import bikes


def only(table: SilverTable, number: int) -> SilverTable:
    """The table as made of one of its feeds; it has the city's name, so that the cities' cases are told apart."""
    given = table.inputs[number]
    return replace(table, contract=replace(table.contract, table=f"{table.name}_{number}"), inputs=(given,))


VELIB, VELIB_STATIONS = only(bikes.STATION_STATUS, 0), only(bikes.STATIONS, 0)
VELOV, VELOV_STATIONS = only(bikes.STATION_STATUS, 1), only(bikes.STATIONS, 1)


def paris(**given):
    usual = {"stationcode": "16107", "name": "Lilas - Moulin", "is_installed": "OUI", "capacity": "35", "numdocksavailable": "20"}
    usual |= {"numbikesavailable": "12", "mechanical": "9", "ebike": "3", "is_renting": "OUI", "is_returning": "NON"}
    usual |= {"duedate": "2026-01-31T08:00:28+01:00", "coordonnees_geo": '{"lon": 2.275725, "lat": 48.865983}'}
    return usual | {"nom_arrondissement_communes": "Paris", "code_insee_commune": "75056"} | given


def lyon(**given):
    stands = '{"capacity": 20, "availabilities": {"bikes": 7, "stands": 13, "mechanicalBikes": 5, "electricalBikes": 2}}'
    usual = {"number": "10037", "name": "10037 - LILAS / MOULIN", "address": "1 rue Moulin", "commune": "VILLEURBANNE"}
    usual |= {"code_insee": "69266", "bike_stands": "20", "available_bike_stands": "13", "available_bikes": "7", "status": "OPEN"}
    return usual | {"lat": "45.77", "lng": "4.89", "last_update": "2026-01-31T07:00:28+00:00", "total_stands": stands} | given


WHEN = datetime(2026, 1, 31, 7, 0, 28)


def at(row):
    moment = row["reported_at"]
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


class TestStatus:
    def test_paris_by_the_names_of_both_cities(self, clean):
        [row] = clean(VELIB, paris())
        assert (row["_verdict"], row["city"], row["station_code"], at(row)) == ("ok", "Paris", "16107", WHEN)
        assert (row["is_installed"], row["is_renting"], row["is_returning"]) == (True, True, False)
        assert (row["capacity"], row["docks_available"], row["bikes_available"]) == (35, 20, 12)
        assert (row["mechanical_bikes"], row["electric_bikes"], row["_broken_rules"]) == (9, 3, None)

    def test_lyon_by_the_names_of_both_cities(self, clean):
        [row] = clean(VELOV, lyon())
        assert (row["_verdict"], row["city"], row["station_code"], at(row)) == ("ok", "Lyon", "10037", WHEN)
        assert (row["is_installed"], row["is_renting"], row["is_returning"]) == (None, True, True)
        assert (row["capacity"], row["docks_available"], row["bikes_available"]) == (20, 13, 7)
        assert (row["mechanical_bikes"], row["electric_bikes"], row["_broken_rules"]) == (5, 2, None)

    def test_a_closed_station_of_lyon_neither_rents_nor_takes_back(self, clean):
        [row] = clean(VELOV, lyon(status="CLOSED"))
        assert (row["is_renting"], row["is_returning"]) == (False, False)

    def test_a_time_of_lyon_without_a_zone_is_lyon_s(self, clean):
        [row] = clean(VELOV, lyon(last_update="2026-01-31 08:00:28"))
        assert at(row) == WHEN

    def test_lyon_may_leave_out_the_kinds_of_bikes(self, clean):
        [row] = clean(VELOV, lyon(total_stands=None))
        assert (row["_verdict"], row["mechanical_bikes"], row["_broken_rules"]) == ("ok", None, None)

    def test_of_repeated_reports_the_last_one_stays(self, clean):
        rows = clean(VELIB, paris(), paris(numbikesavailable="13"), paris(duedate="2026-01-31T08:01:00+01:00"))
        assert [row["_verdict"] for row in rows] == ["superseded", "ok", "ok"]

    @pytest.mark.parametrize(
        ("given", "rule"),
        [
            ({"stationcode": None, "name": None}, "station_code_present"),
            ({"stationcode": " "}, "station_code_present"),
            ({"duedate": None}, "reported_at_present"),
            ({"duedate": "31/01/2026 08:00"}, "reported_at_is_timestamp"),
            ({"duedate": "2026-02-02T00:30:00+00:00"}, "reported_at_not_in_future"),
            ({"numbikesavailable": "-1"}, "bikes_available_not_negative"),
            ({"numbikesavailable": None}, "bikes_available_not_negative"),
            ({"numdocksavailable": None}, "docks_available_not_negative"),
            ({"is_renting": "PEUT-ETRE"}, "is_renting_is_boolean"),
            ({"capacity": "many"}, "capacity_is_int"),
        ],
    )
    def test_what_goes_to_quarantine(self, clean, given, rule):
        [row] = clean(VELIB, paris(**given))
        assert row["_verdict"] == "dropped"
        assert rule in row["_broken_rules"].split(",")

    def test_a_report_of_the_day_after_the_landing_date_is_not_of_the_future(self, clean):
        [row] = clean(VELIB, paris(duedate="2026-02-01T23:59:59+00:00"))
        assert row["_verdict"] == "ok"

    @pytest.mark.parametrize(
        ("given", "rule"),
        [
            (
                {"capacity": "0", "numbikesavailable": "0", "numdocksavailable": "0", "mechanical": "0", "ebike": "0"},
                "capacity_positive",
            ),
            ({"numdocksavailable": "24"}, "bikes_and_docks_fit"),
            ({"ebike": "4"}, "bikes_by_kind_add_up"),
        ],
    )
    def test_what_stays_with_a_warning(self, clean, given, rule):
        [row] = clean(VELIB, paris(**given))
        assert (row["_verdict"], row["_broken_rules"]) == ("ok", rule)


class TestStations:
    def test_paris(self, clean):
        [row] = clean(VELIB_STATIONS, paris())
        assert (row["name"], row["capacity"], row["address"]) == ("Lilas - Moulin", 35, None)
        assert (row["commune"], row["commune_code"], row["latitude"], row["longitude"]) == ("Paris", "75056", 48.865983, 2.275725)
        assert row["_broken_rules"] is None

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("10037 - DUPEUBLE / 8 MAI 1945", "DUPEUBLE / 8 MAI 1945"),
            ("1006- SUBSISTANCES", "SUBSISTANCES"),
            ("0-555 - ATELIER", "ATELIER"),
            ("8 MAI 1945", "8 MAI 1945"),
        ],
    )
    def test_names_of_lyon_lose_the_number(self, clean, given, name):
        [row] = clean(VELOV_STATIONS, lyon(name=given))
        assert (row["name"], row["address"], row["latitude"], row["longitude"]) == (name, "1 rue Moulin", 45.77, 4.89)

    def test_a_change_makes_a_row_version_and_a_repetition_does_not(self, clean):
        rows = clean(
            VELIB_STATIONS,
            paris(),
            paris(duedate="2026-01-31T09:00:00+01:00", numbikesavailable="3"),
            paris(duedate="2026-01-31T10:00:00+01:00", capacity="41"),
        )
        assert [row["_verdict"] for row in rows] == ["ok", "superseded", "ok"]

    def test_an_outage_changes_no_station(self, clean):
        rows = clean(
            VELIB_STATIONS,
            paris(),
            paris(duedate="2026-01-31T09:00:00+01:00", stationcode=None, name=None),
            paris(duedate="2026-01-31T09:00:00+01:00", name=None, capacity="0"),
        )
        assert [row["_verdict"] for row in rows] == ["ok", "dropped", "dropped"]

    def test_a_station_that_has_never_reported_is_one(self, clean):
        [row] = clean(VELOV_STATIONS, lyon(last_update=None))
        assert (row["_verdict"], row["reported_at"]) == ("ok", None)

    @pytest.mark.parametrize("place", ['{"lon": 0, "lat": 0}', None])
    def test_a_place_elsewhere_is_a_warning(self, clean, place):
        [row] = clean(VELIB_STATIONS, paris(coordonnees_geo=place), day=date(2026, 1, 31))
        assert (row["_verdict"], row["_broken_rules"]) == ("ok", "place_in_france")
