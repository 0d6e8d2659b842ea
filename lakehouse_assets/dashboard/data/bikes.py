"""Bikes: what stations last reported, and how often they were empty, from `gold.fact_bike_status` and `gold.station_availability`."""

from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.dashboard.filters import Filters, of_dates

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

TABLES = {("gold", "fact_bike_status"), ("gold", "dim_bike_station"), ("gold", "station_availability")}


def cities(connection: "duckdb.DuckDBPyConnection") -> list[str]:
    """Return the cities that have stations."""
    found = connection.execute("SELECT DISTINCT city FROM gold.dim_bike_station WHERE station_key <> -1 ORDER BY city").fetchall()
    return [city for (city,) in found if city]


def newest_reading(connection: "duckdb.DuckDBPyConnection") -> date | None:
    """Return the newest day of which readings are known."""
    found = connection.execute("SELECT max(day) FROM gold.station_availability").fetchone()
    return found[0] if found else None


def stations(connection: "duckdb.DuckDBPyConnection", filters: Filters, city: str) -> "pd.DataFrame":
    """Return the last report of each station of a city within the dates (UTC), with its place.

    Columns: `station_id`, `name`, `latitude`, `longitude`, `capacity`, `bikes`, `docks`, `reported_at`, `share` (bikes of capacity).
    """
    return connection.execute(
        f"""SELECT s.station_id, any_value(s.name) AS name, any_value(s.latitude) AS latitude, any_value(s.longitude) AS longitude,
                arg_max(coalesce(f.capacity, s.capacity), reported_at) AS capacity, arg_max(bikes_available, reported_at) AS bikes,
                arg_max(docks_available, reported_at) AS docks, max(reported_at) AS reported_at,
                least(1, arg_max(bikes_available / nullif(coalesce(f.capacity, s.capacity), 0), reported_at)) AS share
            FROM gold.fact_bike_status AS f JOIN gold.dim_bike_station AS s USING (station_key)
            WHERE s.city = $city AND {of_dates("reported_at::DATE")}
            GROUP BY s.station_id ORDER BY s.station_id""",
        {"city": city, "first": filters.parameters["first"], "last": filters.parameters["last"]},
    ).df()


def emptiest(connection: "duckdb.DuckDBPyConnection", filters: Filters, city: str, limit: int = 15) -> "pd.DataFrame":
    """Return the stations most often without a bike: `station_id`, `name`, `readings`, and the shares `empty` and `full`."""
    return connection.execute(
        f"""SELECT station_id, any_value(name) AS name, sum(readings)::BIGINT AS readings,
                sum(share_without_bikes * readings)::DOUBLE / sum(readings) AS empty,
                sum(share_without_docks * readings)::DOUBLE / sum(readings) AS full
            FROM gold.station_availability WHERE city = $city AND {of_dates("day")}
            GROUP BY station_id ORDER BY empty DESC, station_id LIMIT {limit:d}""",
        {"city": city, "first": filters.parameters["first"], "last": filters.parameters["last"]},
    ).df()
