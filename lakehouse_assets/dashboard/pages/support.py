"""Support: how soon the help desk answers."""

import plotly.express as px
import streamlit as st

from lakehouse_assets.dashboard.data import support as data
from lakehouse_assets.dashboard.style import minutes
from lakehouse_assets.dashboard.view import View, show_empty, show_table

_DAYS = 365
_STATES = {"Open": "#d1495b", "Pending": "#e07b39", "Resolved": "#2a9d6f", "Closed": "#2f7ed8", "Other": "#7d8597"}


def show(view: View) -> None:
    """Show tickets, response times, and what is open."""
    if not view.has(data.TABLES):
        show_empty("There are no tickets yet.", "Land `freshdesk/tickets` and run `lakehouse sync`.")
        return
    connection = view.open(data.TABLES)
    filters = view.filters.within(data.newest_ticket(connection, view.filters), _DAYS)
    totals = data.totals(connection, filters)
    st.caption(f"Tickets created on {filters.words}; times are medians, in calendar time.")
    if not totals["tickets"]:
        show_empty(f"No ticket was created on {filters.words}.", "Widen the dates on the left, or choose `freshdesk`.")
        return
    columns = st.columns(4)
    columns[0].metric("Tickets", f"{totals['tickets']:,}", border=True)
    columns[1].metric("Still open", f"{totals['open']:,}", border=True)
    columns[2].metric("First response", minutes(totals["first_response"]), border=True)
    columns[3].metric("Resolution", minutes(totals["resolution"]), border=True)
    st.subheader("Tickets by day of creation")
    figure = px.bar(
        data.by_day(connection, filters),
        x="day",
        y="tickets",
        color="status",
        color_discrete_map=_STATES,
        labels={"day": "", "tickets": "tickets", "status": "Status"},
    )
    figure.update_layout(height=300, margin={"l": 0, "r": 0, "t": 10, "b": 0})
    st.plotly_chart(figure, alt="Tickets by day of creation and status")
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("By priority")
        rows = [
            {**row, "first_response": minutes(row["first_response"]), "resolution": minutes(row["resolution"])}
            for row in data.by_priority(connection, filters).to_dict("records")
        ]
        show_table(
            {
                "priority": "Priority",
                "tickets": "Tickets",
                "open": "Open",
                "first_response": "First response",
                "resolution": "Resolution",
            },
            rows,
        )
    with right:
        st.subheader("Open longest")
        rows = [
            {**row, "created": f"{row['created']:%Y-%m-%d}"} for row in data.oldest_open(connection, filters).to_dict("records")
        ]
        show_table(
            {
                "ticket_id": "Ticket",
                "created": "Created",
                "priority": "Priority",
                "status": "Status",
                "category": "Category",
                "agent": "Agent",
            },
            rows,
        )
