"""Lineage: what a table is made of, what reads it, and what its columns mean."""

import streamlit as st

from lakehouse_assets.dashboard.data import lineage as data
from lakehouse_assets.dashboard.data.lineage import Key
from lakehouse_assets.dashboard.style import LAYERS
from lakehouse_assets.dashboard.view import View, show_table


def show(view: View) -> None:
    """Show the lineage of the table that is chosen."""
    lineage = data.lineage(view.catalog, view.models())
    names = {".".join(key): key for key in lineage.tables if key[0] != "landing"}
    default = "gold.fact_sales" if "gold.fact_sales" in names else next(iter(names))
    name = st.selectbox("Table", list(names), index=list(names).index(default), key="table", bind="query-params")
    key = names[name or default]
    found = data.described(view.catalog, view.manifest(), key)
    st.markdown(f"{found.description}  \nOwner: `{found.owner or '-'}`")
    st.graphviz_chart(data.dot(lineage.around(key), key, LAYERS))
    left, right = st.columns(2)
    with left:
        _links(view, "Made of", lineage.parents[key])
    with right:
        _links(view, "Read by", lineage.children(key))
    st.subheader("Columns")
    rows = [{"name": n, "type": t, "meaning": m} for n, t, m in found.columns]
    show_table({"name": "Column", "type": "Type", "meaning": "Meaning"}, rows)


def _links(view: View, title: str, keys: "tuple[Key, ...] | list[Key]") -> None:
    st.subheader(title)
    if not keys:
        st.markdown("Nothing.")
    rows = [{"layer": layer, "table": name} for layer, name in keys]
    if rows:
        show_table(
            {"layer": "Layer", "table": "Table"},
            rows,
            {"table": lambda r: view.address("lineage", table=f"{r['layer']}.{r['table']}") if r["layer"] != "landing" else None},
        )
