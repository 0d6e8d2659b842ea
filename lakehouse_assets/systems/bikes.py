"""Bike sharing: the stations of Vélib' (Paris) and Vélo'v (Lyon), polled from the cities' open data portals.

Both feeds make the same two tables: what each station reported, and how the stations themselves have changed.

Vélib': https://opendata.paris.fr/explore/dataset/velib-disponibilite-en-temps-reel. Vélo'v: the data set jcd_jcdecaux.jcdvelov of
https://data.grandlyon.com, "Stations Vélo'v de la Métropole de Lyon – disponibilités temps réel". Times of Vélo'v that name no zone are
of Lyon. In the hour that October repeats they are ambiguous, and taken for the first pass: two reports of a station just an hour apart
then share a key, the one that was polled last supersedes the other, and what was reported in the second pass counts an hour too early.
Times with an offset, as Vélib' has them, are not concerned.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Json
from lakehouse_assets.contracts.polls import OpendatasoftPoll
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.systems.cleaning import text, with_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def clean_velib(raw: "DataFrame") -> "DataFrame":
    """Name the columns alike for both cities. OUI and NON become true and false; Paris gives no address."""
    return with_columns(
        raw,
        city="'Paris'",
        station_code=text("stationcode"),
        reported_at=text("duedate"),
        is_installed=_flag("is_installed", "OUI", "NON"),
        is_renting=_flag("is_renting", "OUI", "NON"),
        is_returning=_flag("is_returning", "OUI", "NON"),
        capacity=text("capacity"),
        docks_available=text("numdocksavailable"),
        bikes_available=text("numbikesavailable"),
        mechanical_bikes=text("mechanical"),
        electric_bikes=text("ebike"),
        name=text("name"),
        address="CAST(NULL AS STRING)",
        commune=text("nom_arrondissement_communes"),
        commune_code=text("code_insee_commune"),
        latitude=text("GET_JSON_OBJECT(coordonnees_geo, '$.lat')"),
        longitude=text("GET_JSON_OBJECT(coordonnees_geo, '$.lon')"),
    )


def clean_velov(raw: "DataFrame") -> "DataFrame":
    """Name the columns alike for both cities. An open station rents and takes back bikes; Lyon doesn't say whether it is installed."""
    return with_columns(
        raw,
        city="'Lyon'",
        station_code=text("number"),
        reported_at=text("last_update"),
        is_installed="CAST(NULL AS STRING)",
        is_renting=_flag("status", "OPEN", "CLOSED"),
        is_returning=_flag("status", "OPEN", "CLOSED"),
        capacity=text("bike_stands"),
        docks_available=text("available_bike_stands"),
        bikes_available=text("available_bikes"),
        mechanical_bikes="GET_JSON_OBJECT(total_stands, '$.availabilities.mechanicalBikes')",
        electric_bikes="GET_JSON_OBJECT(total_stands, '$.availabilities.electricalBikes')",
        # '10037 - DUPEUBLE / 8 MAI 1945': the number is the station's code.
        name=text("REGEXP_REPLACE(TRIM(name), '^[0-9]+(-[0-9]+)? *- *', '')"),
        address=text("address"),
        commune=text("commune"),
        commune_code=text("code_insee"),
        latitude=text("lat"),
        longitude=text("lng"),
    )


def _flag(column: str, true: str, false: str) -> str:
    """SQL: true or false. Any other text stays as it is, so that its row goes to quarantine with it."""
    return f"CASE UPPER(TRIM({column})) WHEN '{true}' THEN 'true' WHEN '{false}' THEN 'false' ELSE {text(column)} END"


VELIB_FEED = Feed(
    "bikes/velib_stations",
    (
        SourceColumn("stationcode", "Code of the station; null for all stations in an outage"),
        SourceColumn("name", "Name of the station"),
        SourceColumn("is_installed", "OUI or NON: whether the station is in place", required=False),
        SourceColumn("capacity", "Number of docks; often not the sum of docks and bikes, as out-of-order ones count here only"),
        SourceColumn("numdocksavailable", "Number of free docks"),
        SourceColumn("numbikesavailable", "Number of bikes"),
        SourceColumn("mechanical", "Number of mechanical bikes", required=False),
        SourceColumn("ebike", "Number of electric bikes", required=False),
        SourceColumn("is_renting", "OUI or NON: whether bikes can be taken", required=False),
        SourceColumn("is_returning", "OUI or NON: whether bikes can be returned", required=False),
        SourceColumn("duedate", "When the station reported this, with offset; often the same in several polls, or years ago"),
        SourceColumn("coordonnees_geo", "Place, an object with lon and lat", required=False),
        SourceColumn("nom_arrondissement_communes", "Name of the commune", required=False),
        SourceColumn("code_insee_commune", "Code of the commune (INSEE)", required=False),
    ),
    format=Json(records="results"),
    poll=OpendatasoftPoll(
        setting="VELIB", dataset="velib-disponibilite-en-temps-reel", order_by="stationcode", url="https://opendata.paris.fr"
    ),
)

VELOV_FEED = Feed(
    "bikes/velov_stations",
    (
        SourceColumn("number", "Number of the station"),
        SourceColumn("name", "Number and name of the station: 10037 - DUPEUBLE / 8 MAI 1945"),
        SourceColumn("address", "Address", required=False),
        SourceColumn("commune", "Name of the commune or of Lyon's arrondissement", required=False),
        SourceColumn("code_insee", "Code of the commune (INSEE)", required=False),
        SourceColumn("bike_stands", "Number of stands"),
        SourceColumn("available_bike_stands", "Number of free stands"),
        SourceColumn("available_bikes", "Number of bikes"),
        SourceColumn("status", "OPEN or CLOSED", required=False),
        SourceColumn("lat", "Latitude", required=False),
        SourceColumn("lng", "Longitude", required=False),
        SourceColumn("last_update", "When the station reported this; missing if it has not for long", required=False),
        SourceColumn("total_stands", "Capacity and availabilities by kind of bike, an object", required=False),
    ),
    format=Json(records="results"),
    zone="Europe/Paris",
    poll=OpendatasoftPoll(setting="VELOV", dataset="jcd_jcdecaux.jcdvelov", order_by="number"),
)

_INPUTS = (Input(VELIB_FEED, clean_velib), Input(VELOV_FEED, clean_velov))

_KEY = (
    Column("city", "string", "Paris (Vélib') or Lyon (Vélo'v)"),
    Column("station_code", "string", "Code of the station, unique in its city"),
)

_NOT_IN_FUTURE = Rule(
    "reported_at_not_in_future",
    "reported_at IS NULL OR CAST(reported_at AS DATE) <= DATE_ADD(_date, 1)",
    "drop",
    "No station reports later than the day after the landing date: its clock would be wrong.",
)

STATION_STATUS = SilverTable(
    Contract(
        table="bikes_station_status",
        description="What stations reported, one row a station and time of report: of repeated ones, what was polled last.",
        owner="team:mobility",
        key=("city", "station_code", "reported_at"),
        columns=(
            *_KEY,
            Column("reported_at", "timestamp", "When the station reported this"),
            Column("is_installed", "boolean", "Whether the station is in place; NULL for Lyon, which doesn't say"),
            Column("is_renting", "boolean", "Whether bikes can be taken"),
            Column("is_returning", "boolean", "Whether bikes can be returned"),
            Column("capacity", "int", "Number of docks, those out of order included"),
            Column("docks_available", "int", "Number of free docks"),
            Column("bikes_available", "int", "Number of bikes that can be taken"),
            Column("mechanical_bikes", "int", "Of these, mechanical ones"),
            Column("electric_bikes", "int", "Of these, electric ones"),
        ),
        rules=(
            _NOT_IN_FUTURE,
            Rule("bikes_available_not_negative", "bikes_available >= 0", "drop", "A report says how many bikes there are."),
            Rule("docks_available_not_negative", "docks_available >= 0", "drop", "A report says how many docks are free."),
            Rule("capacity_positive", "capacity > 0", "warn", "A station has docks."),
            Rule(
                "bikes_and_docks_fit",
                "bikes_available + docks_available <= capacity",
                "warn",
                "There are no more bikes and free docks than docks.",
            ),
            Rule(
                "bikes_by_kind_add_up",
                "COALESCE(mechanical_bikes + electric_bikes = bikes_available, TRUE)",
                "warn",
                "A bike is mechanical or electric.",
            ),
        ),
        freshness=timedelta(days=2),
    ),
    _INPUTS,
)

STATIONS = SilverTable(
    Contract(
        table="bikes_stations",
        description="The stations themselves, one row a station and period in which nothing about it changed. A station that a poll "
        "lacks stays: an outage is no reason to think that it is gone.",
        owner="team:mobility",
        mode="history",
        key=("city", "station_code"),
        sequence="reported_at",
        columns=(
            *_KEY,
            Column("name", "string", "Name of the station, without its code"),
            Column("capacity", "int", "Number of docks, those out of order included"),
            Column("address", "string", "Address; NULL for Paris, which gives none"),
            Column("commune", "string", "Name of the commune, in Lyon of the arrondissement"),
            Column("commune_code", "string", "Code of the commune (INSEE)"),
            Column("latitude", "double", "Latitude in degrees (WGS 84)"),
            Column("longitude", "double", "Longitude in degrees (WGS 84)"),
            Column("reported_at", "timestamp", "When the station first reported this; NULL if it has never reported"),
        ),
        rules=(
            _NOT_IN_FUTURE,
            Rule(
                "name_present", "name IS NOT NULL", "drop", "A station has a name: what comes without is a fault of the portal."
            ),
            Rule("capacity_positive", "capacity > 0", "warn", "A station has docks."),
            Rule(
                "place_in_france",
                "latitude BETWEEN 41 AND 52 AND longitude BETWEEN -6 AND 10",
                "warn",
                "A station has a place, in France.",
            ),
        ),
        freshness=timedelta(days=2),
    ),
    _INPUTS,
)

SYSTEM = System(
    name="bikes",
    description="Bike sharing in Paris (Vélib') and Lyon (Vélo'v): stations, and how many bikes they have.",
    tables=(STATION_STATUS, STATIONS),
)
