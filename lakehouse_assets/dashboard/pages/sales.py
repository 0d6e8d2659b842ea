"""Sales: revenue in US dollars."""

import plotly.express as px
import streamlit as st

from lakehouse_assets.dashboard.data import sales as data
from lakehouse_assets.dashboard.style import LIVE, amount, count
from lakehouse_assets.dashboard.view import View, show_empty

_DAYS = 365


def show(view: View) -> None:
    """Show revenue, orders, and who bought what."""
    if not view.has(data.TABLES):
        show_empty("There are no sales yet.", "Land sales of a source, such as `crm/sales`, and run `lakehouse sync`.")
        return
    connection = view.open(data.TABLES)
    filters = view.filters.within(data.newest_order(connection, view.filters), _DAYS)
    totals = data.totals(connection, filters)
    st.caption(f"Orders of {filters.words}, in US dollars.")
    if not totals["lines"]:
        show_empty(f"Nothing was sold on {filters.words}.", "Widen the dates on the left, or choose other sources.")
        return
    revenue, orders, basket, pieces = st.columns(4)
    revenue.metric("Revenue", amount(totals["usd_amount"]), border=True)
    orders.metric("Orders", f"{totals['orders']:,.0f}", border=True)
    basket.metric("Revenue an order", amount(totals["usd_amount"] / totals["orders"]), border=True)
    pieces.metric("Pieces", f"{totals['quantity']:,.0f}", border=True)
    if totals["without_rate"]:
        st.warning(f"No exchange rate is known for {count(totals['without_rate'], 'line')}: not part of the revenue.")
    days = data.by_day(connection, filters)
    figure = px.bar(
        days,
        x="day",
        y="usd_amount",
        color="source_system",
        color_discrete_map=view.colours,
        labels={"day": "", "usd_amount": "US dollars", "source_system": "Source"},
    )
    figure.update_layout(height=320, margin={"l": 0, "r": 0, "t": 10, "b": 0})
    figure.update_xaxes(range=[filters.first, filters.last])
    if data.unit(filters) == "month":
        figure.update_traces(xperiod="M1", xperiodalignment="middle")
    st.subheader("Revenue over time")
    st.plotly_chart(figure, alt="Revenue over time by source, in US dollars")
    left, right = st.columns(2, gap="large")
    for column, title, rows, name in (
        (left, "Categories", data.by_category(connection, filters), "category"),
        (right, "Customers' countries", data.by_country(connection, filters), "country"),
    ):
        with column:
            st.subheader(title)
            bars = px.bar(
                rows,
                x="usd_amount",
                y=name,
                orientation="h",
                text=[amount(v) for v in rows["usd_amount"]],
                labels={"usd_amount": "US dollars", name: ""},
                color_discrete_sequence=[LIVE],
            )
            bars.update_layout(height=340, margin={"l": 0, "r": 0, "t": 10, "b": 0}, yaxis={"autorange": "reversed"})
            st.plotly_chart(bars, alt=f"Revenue by {name}, in US dollars")
