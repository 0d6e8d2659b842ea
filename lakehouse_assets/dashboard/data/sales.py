"""Sales: revenue, orders and lines of `gold.fact_sales`, in US dollars, by the day of the order."""

from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.dashboard.filters import Filters, of_dates, of_sources

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

TABLES = {("gold", "fact_sales"), ("gold", "dim_product"), ("gold", "dim_customer")}

_CHOSEN = f"{of_dates('order_date')} AND {of_sources('source_system')}"


def newest_order(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> date | None:
    """Return the newest day of an order of the sources."""
    found = connection.execute(
        f"SELECT max(order_date) FROM gold.fact_sales WHERE {of_sources('source_system')}", {"sources": list(filters.sources)}
    ).fetchone()
    return found[0] if found else None


def totals(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> dict[str, float]:
    """Return `usd_amount`, `orders`, `lines`, `quantity`, and `without_rate`: lines whose amount in US dollars is not known."""
    found = connection.execute(
        f"""SELECT coalesce(sum(usd_amount), 0), count(DISTINCT (source_system, order_id)), count(*),
                coalesce(sum(quantity), 0), count(*) FILTER (usd_amount IS NULL)
            FROM gold.fact_sales WHERE {_CHOSEN}""",
        filters.parameters,
    ).fetchone()
    names = ("usd_amount", "orders", "lines", "quantity", "without_rate")
    return dict(zip(names, map(float, found or (0,) * len(names)), strict=True))


def unit(filters: Filters) -> str:
    """Return what `by_day` sums over: `day`, or `month` where the filters span more than half a year."""
    return "day" if filters.first and filters.last and (filters.last - filters.first).days <= _DAYS_SHOWN else "month"


def by_day(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return `day`, `source_system`, `usd_amount`, by day, or by month where the filters span more than half a year."""
    return connection.execute(
        f"""SELECT date_trunc('{unit(filters)}', order_date)::DATE AS day, source_system, sum(usd_amount)::DOUBLE AS usd_amount
            FROM gold.fact_sales WHERE {_CHOSEN} GROUP BY ALL ORDER BY ALL""",
        filters.parameters,
    ).df()


_DAYS_SHOWN = 184


def by_category(connection: "duckdb.DuckDBPyConnection", filters: Filters, limit: int = 10) -> "pd.DataFrame":
    """Return the categories that sold most: `category`, `usd_amount`."""
    return connection.execute(
        f"""SELECT coalesce(p.category, 'unknown') AS category, sum(usd_amount)::DOUBLE AS usd_amount
            FROM (SELECT product_key, sum(usd_amount) AS usd_amount FROM gold.fact_sales WHERE {_CHOSEN} GROUP BY ALL)
            JOIN gold.dim_product AS p USING (product_key)
            GROUP BY ALL ORDER BY usd_amount DESC NULLS LAST, category LIMIT {limit:d}""",
        filters.parameters,
    ).df()


def by_country(connection: "duckdb.DuckDBPyConnection", filters: Filters, limit: int = 10) -> "pd.DataFrame":
    """Return the customers' countries that bought most: `country`, `usd_amount`."""
    return connection.execute(
        f"""SELECT coalesce(c.country, 'unknown') AS country, sum(usd_amount)::DOUBLE AS usd_amount
            FROM (SELECT customer_key, sum(usd_amount) AS usd_amount FROM gold.fact_sales WHERE {_CHOSEN} GROUP BY ALL)
            JOIN gold.dim_customer AS c USING (customer_key)
            GROUP BY ALL ORDER BY usd_amount DESC NULLS LAST, country LIMIT {limit:d}""",
        filters.parameters,
    ).df()
