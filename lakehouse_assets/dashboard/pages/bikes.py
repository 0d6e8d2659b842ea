"""Bikes: a map of the stations, by longitude and latitude on plain axes: it asks no server for tiles."""

from math import cos, radians

import plotly.express as px
import streamlit as st

from lakehouse_assets.dashboard.data import bikes as data
from lakehouse_assets.dashboard.style import count, share
from lakehouse_assets.dashboard.view import View, show_empty, show_table

_DAYS = 30


def show(view: View) -> None:
    """Show where bikes are, and which stations are empty most often."""
    if not view.has(data.TABLES):
        show_empty("There are no bike stations yet.", "Land `bikes/velib_stations` or poll it, and run `lakehouse sync`.")
        return
    connection = view.open(data.TABLES)
    filters = view.filters.within(data.newest_reading(connection), _DAYS)
    city = st.selectbox("City", data.cities(connection), key="city", bind="query-params")
    stations = data.stations(connection, filters, str(city))
    if stations.empty:
        show_empty(f"No station reported on {filters.words}.", "Widen the dates on the left.")
        return
    st.caption(f"The last report of each station on {filters.words}, UTC.")
    columns = st.columns(4)
    columns[0].metric("Stations", f"{len(stations):,}", border=True)
    columns[1].metric("Bikes", f"{int(stations['bikes'].sum()):,}", border=True)
    columns[2].metric("Free docks", f"{int(stations['docks'].sum()):,}", border=True)
    columns[3].metric("Without a bike", count((stations["bikes"] == 0).sum(), "station"), border=True)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Bikes at the stations")
        placed = stations.dropna(subset=["latitude", "longitude"])
        figure = px.scatter(
            placed,
            x="longitude",
            y="latitude",
            color="share",
            size=placed["capacity"].fillna(1).clip(lower=1),
            size_max=16,
            hover_name="name",
            hover_data={"bikes": True, "docks": True, "capacity": True, "share": ":.0%"},
            color_continuous_scale="Viridis",
            range_color=(0, 1),
            labels={"share": "Bikes of capacity", "longitude": "Longitude (°E)", "latitude": "Latitude (°N)"},
        )
        # A degree of longitude is shorter than one of latitude.
        middle = float(placed["latitude"].mean()) if len(placed) else 0.0
        figure.update_yaxes(scaleanchor="x", scaleratio=1 / cos(radians(middle)))
        figure.update_layout(height=520, margin={"l": 0, "r": 0, "t": 10, "b": 0}, coloraxis_colorbar_tickformat=".0%")
        st.plotly_chart(figure, alt=f"Map of the {len(placed)} stations of {city}, coloured by their share of bikes")
    with right:
        st.subheader("Empty most often")
        rows = [
            {**row, "empty": share(row["empty"]), "full": share(row["full"])}
            for row in data.emptiest(connection, filters, str(city)).to_dict("records")
        ]
        show_table({"name": "Station", "readings": "Reports", "empty": "Without bikes", "full": "Without docks"}, rows)
