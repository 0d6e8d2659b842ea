"""Bike sharing in Paris (Vélib') and Lyon (Vélo'v): what a poller gets from the portals three times a day, a JSON document each.

Nothing of the world is in it, but the days.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws
from lakehouse_assets.generate.options import Options
from lakehouse_assets.generate.vocabulary import LAST_NAMES, STREETS
from lakehouse_assets.generate.world import World

HOURS = (8, 12, 18)
READING_DIRT = ("reading of before", "time in the future", "bikes below zero", "bikes don't add up")
OUTAGE = 0.02
"""The share of polls in which the portal of Paris has neither codes nor names."""


@dataclass(frozen=True)
class Station:
    """A station. From `rebuilt` on, it has five docks more."""

    code: str
    name: str
    docks: int
    latitude: float
    longitude: float
    rebuilt: date | None

    def docks_on(self, day: date) -> int:
        """Return the number of docks on a day."""
        return self.docks + 5 if self.rebuilt is not None and day >= self.rebuilt else self.docks


@dataclass(frozen=True)
class Reading:
    """What a station reported, and when. `docks` and `bikes` are those of that moment."""

    moment: datetime
    docks: int
    bikes: int


def deliver(world: World, out: Deliveries) -> None:
    """Write the polls of both cities."""
    for city, most, share in (("velib", 1500, 40), ("velov", 450, 20)):
        stations = _stations(world.options, city, min(most, world.options.sized(share)))
        before: dict[str, Reading] = {}
        for day in world.days:
            for hour in HOURS:
                random = draws(world.options.seed, city, day, hour)
                is_out = city == "velib" and world.options.dirt > 0 and random.random() < OUTAGE
                records = _poll(out, city, stations, datetime(day.year, day.month, day.day, hour), before, random, is_out)
                name = f"{day}T{hour:02d}-00Z.json"
                out.json(f"{city}_stations", day, name, records, within="results")


def _stations(options: Options, city: str, count: int) -> list[Station]:
    random = draws(options.seed, city)
    latitude, longitude = {"velib": (48.86, 2.35), "velov": (45.76, 4.84)}[city]
    return [
        Station(
            str(1001 + n),
            f"{random.choice(LAST_NAMES)} - {random.choice(STREETS)}",
            random.randrange(15, 60),
            round(latitude + random.uniform(-0.05, 0.05), 6),
            round(longitude + random.uniform(-0.05, 0.05), 6),
            random.choice(options.days[1:]) if random.random() < 0.05 and len(options.days) > 1 else None,
        )
        for n in range(count)
    ]


def _poll(
    out: Deliveries,
    city: str,
    stations: list[Station],
    polled: datetime,
    before: dict[str, Reading],
    random: Random,
    is_out: bool,
) -> Iterator[dict[str, Any]]:
    """Yield what a portal answers, and count it."""
    status, history = out.table("station_status", bikes_available=0), out.table("stations")
    for station in stations:
        kind = out.dirt(f"{city}_stations").pick(READING_DIRT)
        docks = station.docks_on(polled.date())
        reading = Reading(polled - timedelta(seconds=random.randrange(3600)), docks, random.randrange(docks + 1))
        if kind == "reading of before":
            reading = before.get(station.code, reading)
        moment = reading.moment + timedelta(days=30) if kind == "time in the future" else reading.moment
        bikes = -1 if kind == "bikes below zero" else reading.bikes
        if is_out:
            status.refuse("reported_at_not_in_future" if kind == "time in the future" else _out_status(kind))
            history.refuse("reported_at_not_in_future" if kind == "time in the future" else "name_present")
        elif kind == "time in the future":
            status.refuse("reported_at_not_in_future")
            history.refuse("reported_at_not_in_future")
        else:
            if kind == "bikes below zero":
                status.refuse("bikes_available_not_negative")
            else:
                status.row((city, station.code, moment), bikes)
            # Another number of docks opens a row version; all other readings of a version are superseded.
            history.row((city, station.code, reading.docks))
            before[station.code] = reading
        tell = _velib if city == "velib" else _velov
        yield tell(station, moment, reading.docks, bikes, kind == "bikes don't add up", is_out)


def _out_status(kind: str | None) -> str:
    return "bikes_available_not_negative" if kind == "bikes below zero" else "station_code_present"


def _velib(station: Station, moment: datetime, docks: int, bikes: int, is_wrong: bool, is_out: bool) -> dict[str, Any]:
    return {
        "stationcode": None if is_out else station.code,
        "name": None if is_out else station.name,
        "is_installed": "OUI",
        "capacity": docks,
        "numdocksavailable": docks - max(bikes, 0),
        "numbikesavailable": bikes,
        "mechanical": bikes + 1 if is_wrong else bikes,
        "ebike": 0,
        "is_renting": "OUI",
        "is_returning": "OUI",
        "duedate": f"{(moment + timedelta(hours=1)).isoformat()}+01:00",
        "coordonnees_geo": {"lon": station.longitude, "lat": station.latitude},
        "nom_arrondissement_communes": "Paris",
        "code_insee_commune": "75056",
    }


def _velov(station: Station, moment: datetime, docks: int, bikes: int, is_wrong: bool, is_out: bool) -> dict[str, Any]:
    kinds = {"bikes": bikes, "stands": docks - max(bikes, 0), "electricalBikes": 0, "mechanicalBikes": bikes + is_wrong}
    return {
        "number": int(station.code),
        "name": f"{station.code} - {station.name.upper()}",
        "address": station.name.split(" - ")[1],
        "commune": "Lyon 3e",
        "code_insee": "69383",
        "bike_stands": docks,
        "available_bike_stands": docks - max(bikes, 0),
        "available_bikes": bikes,
        "status": "OPEN",
        "lat": station.latitude,
        "lng": station.longitude,
        "last_update": f"{moment.isoformat()}+00:00",
        "total_stands": {"capacity": docks, "availabilities": kinds},
    }
