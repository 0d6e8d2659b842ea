"""Inventory: what is about to run out."""

import plotly.express as px
import streamlit as st

from lakehouse_assets.dashboard.data import inventory as data
from lakehouse_assets.dashboard.style import LIVE, REJECTED
from lakehouse_assets.dashboard.view import View, show_empty, show_table

_DAYS = 90


def show(view: View) -> None:
    """Show stock, its moves, and the products whose stock ends first."""
    if not view.has(data.TABLES):
        show_empty("No stock is known yet.", "Land `magento/inventory` or `odoo/inventory` and run `lakehouse sync`.")
        return
    connection = view.open(data.TABLES)
    newest = data.newest_stock(connection, view.filters)
    filters = view.filters.within(newest, _DAYS)
    levels = {row["level"]: int(row["products"]) for row in data.levels(connection, view.filters).to_dict("records")}
    st.caption(f"Stock as of {newest or '-'}, in pieces; moves of {filters.words}. Shop and ERP count the same pieces.")
    if not levels:
        show_empty("These sources keep no stock.", "Choose others on the left.")
        return
    columns = st.columns(max(len(levels) + 1, 3))
    columns[0].metric("Products", f"{sum(levels.values()):,}", border=True)
    for column, (level, products) in zip(columns[1:], levels.items(), strict=False):
        column.metric(f"Stock is {level}", f"{products:,}", border=True)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Ends first")
        rows = data.shortest(connection, view.filters).to_dict("records")
        for row in rows:
            for name in ("current_stock", "daily_quantity", "days_of_cover"):
                row[name] = f"{row[name]:,.1f}" if row[name] == row[name] else "not sold"
        show_table(
            {
                "product_code": "Code",
                "product_name": "Product",
                "source_system": "Source",
                "current_stock": "Pieces",
                "daily_quantity": "Sold a day",
                "days_of_cover": "Days left",
                "level": "Level",
            },
            rows[:15],
        )
    with right:
        st.subheader("Pieces in and out")
        moves = data.moves(connection, filters).groupby("day", as_index=False)[["moved_in", "sold", "moved_out"]].sum()
        moves[["sold", "moved_out"]] *= -1
        long = moves.melt("day", var_name="move", value_name="pieces").replace(
            {"moved_in": "in", "moved_out": "out", "sold": "sold"}
        )
        figure = px.bar(
            long,
            x="day",
            y="pieces",
            color="move",
            color_discrete_map={"in": LIVE, "sold": "#2a9d6f", "out": REJECTED},
            labels={"day": "", "move": ""},
        )
        figure.update_layout(height=380, margin={"l": 0, "r": 0, "t": 10, "b": 0})
        st.plotly_chart(figure, alt="Pieces that came in, were sold and went out, by day")
