"""Support: tickets of the help desk, from `gold.fact_support_tickets`."""

from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.dashboard.filters import Filters, of_dates, of_sources

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

TABLES = {("gold", "fact_support_tickets"), ("gold", "dim_date"), ("gold", "dim_support_agent")}

OPEN = ("Open", "Pending")
"""The states of a ticket that somebody still has to work on."""

_TICKETS = f"""FROM gold.fact_support_tickets JOIN gold.dim_date ON date_key = ticket_created_date_key
    WHERE {of_dates("date_value")} AND {of_sources("source_system")}"""


def newest_ticket(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> date | None:
    """Return the newest day on which a ticket was created."""
    found = connection.execute(f"SELECT max(date_value) {_TICKETS}", Filters(sources=filters.sources).parameters).fetchone()
    return found[0] if found else None


def totals(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> dict[str, float | None]:
    """Return `tickets`, `open`, `escalated`, and the medians `first_response` and `resolution` in minutes, None without any."""
    found = connection.execute(
        f"""SELECT count(*), count(*) FILTER (status IN {OPEN}), count(*) FILTER (is_escalated),
                median(first_response_minutes), median(resolution_minutes) {_TICKETS}""",
        filters.parameters,
    ).fetchone()
    names = ("tickets", "open", "escalated", "first_response", "resolution")
    return dict(zip(names, found or (0, 0, 0, None, None), strict=True))


def by_day(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return tickets by the day on which they were created, and by what became of them: `day`, `status`, `tickets`."""
    return connection.execute(
        f"SELECT date_value AS day, status, count(*) AS tickets {_TICKETS} GROUP BY ALL ORDER BY ALL", filters.parameters
    ).df()


def by_priority(connection: "duckdb.DuckDBPyConnection", filters: Filters) -> "pd.DataFrame":
    """Return `priority`, `tickets`, `open`, the median minutes to the first response (`first_response`) and to the end."""
    return connection.execute(
        f"""SELECT priority, count(*) AS tickets, count(*) FILTER (status IN {OPEN}) AS open,
                median(first_response_minutes) AS first_response, median(resolution_minutes) AS resolution
            {_TICKETS} GROUP BY priority
            ORDER BY coalesce(list_position(['Urgent', 'High', 'Medium', 'Low'], priority), 9), priority""",
        filters.parameters,
    ).df()


def oldest_open(connection: "duckdb.DuckDBPyConnection", filters: Filters, limit: int = 15) -> "pd.DataFrame":
    """Return the open tickets that were created first: `ticket_id`, `created`, `priority`, `status`, `category`, `agent`."""
    return connection.execute(
        f"""SELECT ticket_id, date_value AS created, priority, status, category, agent_name AS agent
            FROM (SELECT * {_TICKETS} AND status IN {OPEN}) JOIN gold.dim_support_agent USING (agent_key)
            ORDER BY created, ticket_id LIMIT {limit:d}""",
        filters.parameters,
    ).df()
