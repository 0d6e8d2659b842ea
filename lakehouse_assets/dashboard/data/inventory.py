"""Inventory: pieces in stock and how long they last, from `gold.stock_alerts` and `gold.fact_inventory_snapshot`."""

from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.dashboard.filters import Filters, of_dates, of_sources

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

TABLES = {("gold", "stock_alerts"), ("gold", "fact_inventory_snapshot")}


def newest_stock(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> date | None:
    """Return the newest day of which stock is known."""
    found = connection.execute(
        f"SELECT max(snapshot_date) FROM gold.fact_inventory_snapshot WHERE {of_sources('source_system')}",
        {"sources": list(filters.sources)},
    ).fetchone()
    return found[0] if found else None


def levels(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return how many products are at each level of stock now: `level`, `products`."""
    return connection.execute(
        f"""SELECT level, count(*) AS products FROM gold.stock_alerts WHERE {of_sources("source_system")}
            GROUP BY level ORDER BY level""",
        {"sources": list(filters.sources)},
    ).df()


def shortest(connection: "duckdb.DuckDBPyConnection", filters: Filters, limit: int = 25) -> "pd.DataFrame":
    """Return the products whose stock ends first: code, name, system, pieces now, pieces sold a day, days of cover, level."""
    return connection.execute(
        f"""SELECT product_code, product_name, source_system, current_stock::DOUBLE AS current_stock,
                daily_quantity::DOUBLE AS daily_quantity, days_of_cover::DOUBLE AS days_of_cover, level, stock_date
            FROM gold.stock_alerts WHERE {of_sources("source_system")}
            ORDER BY days_of_cover NULLS LAST, current_stock, product_code, source_system LIMIT {limit:d}""",
        {"sources": list(filters.sources)},
    ).df()


def moves(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return pieces by `day` and `source_system`: `moved_in`, `moved_out`, `sold`, `adjusted`."""
    return connection.execute(
        f"""SELECT snapshot_date AS day, source_system, sum(moved_in)::DOUBLE AS moved_in, sum(moved_out)::DOUBLE AS moved_out,
                sum(quantity_sold)::DOUBLE AS sold, sum(adjustment)::DOUBLE AS adjusted
            FROM gold.fact_inventory_snapshot WHERE {of_dates("snapshot_date")} AND {of_sources("source_system")}
            GROUP BY ALL ORDER BY ALL""",
        filters.parameters,
    ).df()
