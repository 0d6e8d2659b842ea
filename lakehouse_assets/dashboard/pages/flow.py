"""Flow: the way of the rows as a picture that adds up."""

import streamlit as st

from lakehouse_assets.dashboard.data import flow as data
from lakehouse_assets.dashboard.data.flow import Band, Node
from lakehouse_assets.dashboard.data.today import newest_landing
from lakehouse_assets.dashboard.lake import BOOKS
from lakehouse_assets.dashboard.sankey import draw
from lakehouse_assets.dashboard.style import ENDED, FLOW_CSS, LAYERS, OTHER, REJECTED
from lakehouse_assets.dashboard.view import View, show_empty, show_table

_DAYS = 30
_ROWS = 100
_picture = st.components.v2.component(
    "lakehouse_flow",
    html='<div class="scroll"></div>',
    css=FLOW_CSS,
    js="export default ({data, parentElement}) => { parentElement.querySelector('.scroll').innerHTML = data.svg }",
)
"""Shows an SVG whose parts are links. Streamlit's HTML lets none through."""

_ENDS = {
    "quarantine": "In quarantine",
    "superseded": "Superseded",
    "unread": "Read by no table",
    "kept": "Not a row of a fact",
    "again": "Read by a further table",
    "split": "Several rows of one",
}


def show(view: View) -> None:
    """Show the rows from landing to gold."""
    books = view.books()
    filters = view.filters.within(newest_landing(books, view.filters), _DAYS)
    models = view.models()
    connection = view.open(BOOKS | data.fact_tables(models) | {("gold", m.name) for m in models if m.grain_of})
    bands = data.bands(connection, view.catalog, models, filters)
    if not bands:
        show_empty(f"No row landed on {filters.words}.", "Widen the dates on the left, or choose other sources.")
        return
    alone = len(view.filters.sources) == 1
    shown = bands if alone else data.by_system(bands, view.catalog)
    st.caption(
        f"Rows that landed on {filters.words}, by {'table' if alone else 'source'}. "
        "What goes into a node comes out of it. Choose a band to see its rows."
    )

    def href(band: Band) -> str:
        if alone:
            return view.address("flow", band=band.key)
        system = next((node[1] for node in (band.target, band.source) if node[1] in view.colours), None)
        return view.address("flow", source=system)

    picture = draw(shown, colour=lambda node: _colour(view, node), label=_label, href=href)
    _picture(data={"svg": picture}, key="flow")
    _show_band(view, bands)
    with st.expander("The bands as a table"):
        rows = [{"from": _label(b.source), "to": _label(b.target), "rows": b.rows, "band": b} for b in shown]
        rows.sort(key=lambda row: -int(row["rows"]))  # type: ignore[call-overload]
        show_table({"from": "From", "to": "To", "rows": "Rows"}, rows, {"rows": lambda row: href(row["band"])})


def _colour(view: View, node: Node) -> str:
    kind, name = node
    ends = {"quarantine": REJECTED, "superseded": ENDED, "unread": ENDED, "kept": ENDED, "again": OTHER, "split": OTHER}
    if kind in ends:
        return ends[kind]
    return view.colours.get(name) or LAYERS[kind]


def _label(node: Node) -> str:
    kind, name = node
    return _ENDS.get(kind) or name


def _show_band(view: View, bands: list[Band]) -> None:
    """Show rows of the band that the address names."""
    nodes = data.parse(st.query_params.get("band"))
    band = next((b for b in bands if (b.source, b.target) == nodes), None)
    if band is None:
        return
    filters = view.filters.within(newest_landing(view.books(), view.filters), _DAYS)
    st.subheader(f"{_label(band.source)} to {_label(band.target)}: {band.rows:,} rows")
    table = data.rows_behind(band.source, band.target)
    if table is None or not (table[0] == "quarantine" or view.has({table})):
        st.markdown("Their text is in the landing files only: a file with the same bytes as another is loaded once.")
        return
    rows = data.rows_of(view.open({*BOOKS, table}), table, band.source[1], filters, _ROWS)
    st.caption(f'The first {rows.num_rows} of {".".join(table)}; all of them: `lakehouse query "FROM {".".join(table)}"`')
    st.dataframe(rows, hide_index=True, alt=f"Rows of {'.'.join(table)}")
