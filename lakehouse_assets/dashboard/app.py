"""What Streamlit runs: the menu, the filters, and the page that the address names."""

from collections.abc import Callable
from datetime import date

import streamlit as st

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.dashboard.filters import Filters
from lakehouse_assets.dashboard.lake import State
from lakehouse_assets.dashboard.pages import bikes, flow, inventory, lineage, quality, sales, support, today
from lakehouse_assets.dashboard.style import CSS
from lakehouse_assets.dashboard.view import View, setup, show_empty, state_of
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.preflight import check_readable, check_there

PAGES: dict[str, tuple[str, Callable[[View], None]]] = {
    "Today": (":material/wb_sunny:", today.show),
    "Flow": (":material/account_tree:", flow.show),
    "Quality": (":material/fact_check:", quality.show),
    "Sales": (":material/payments:", sales.show),
    "Inventory": (":material/inventory_2:", inventory.show),
    "Support": (":material/support_agent:", support.show),
    "Bikes": (":material/pedal_bike:", bikes.show),
    "Lineage": (":material/family_history:", lineage.show),
}


def main() -> None:
    """Run the page that is asked for. What is wrong with the lakehouse is said on it, in a sentence."""
    st.set_page_config(page_title="Lakehouse", page_icon=":material/water_drop:", layout="wide")
    st.html(CSS)

    try:
        settings, catalog = setup()
        # Outside of the pages, so that they are the same on all of them.
        filters = _filters(catalog.systems)
    except LakehouseError as error:
        st.error(str(error), icon=":material/error:")
        return

    def runner(show: Callable[[View], None]) -> Callable[[], None]:
        return lambda: _run(show, settings, catalog, filters)

    page = st.navigation(
        [
            st.Page(runner(show), title=title, icon=icon, url_path=title.lower(), default=title == "Today")
            for title, (icon, show) in PAGES.items()
        ]
    )
    st.title(page.title)
    page.run()


def _run(show: Callable[[View], None], settings: Settings, catalog: Catalog, filters: Filters) -> None:
    root = settings.root
    try:
        if root.local_folder is not None and not root.local_folder.is_dir():
            check_there(root)
        with Unquoted(root):
            check_readable(root)
            state = state_of(settings)
            _footer(root.local_folder.name if root.local_folder else root.uri, state)
            if not state.ledger:
                show_empty(
                    "Nothing has been loaded yet.",
                    "Land a file with `lakehouse land SYSTEM/ENTITY FILE` and run `lakehouse sync`, or try `lakehouse demo`.",
                )
                return
            show(View(settings, catalog, filters, state))
    except LakehouseError as error:
        st.error(str(error), icon=":material/error:")


def _filters(systems: list[str]) -> Filters:
    """Show the filters, which are in the address, too."""
    with st.sidebar:
        first = st.date_input("From", value=None, key="from", bind="query-params", format="YYYY-MM-DD")
        last = st.date_input("To", value=None, key="to", bind="query-params", format="YYYY-MM-DD")
        sources = st.multiselect("Sources", systems, key="source", bind="query-params", placeholder="All sources")
    return Filters(first if isinstance(first, date) else None, last if isinstance(last, date) else None, tuple(sources))


def _footer(root: str, state: State) -> None:
    with st.sidebar:
        published = f"published {state.published:%Y-%m-%d %H:%M} UTC" if state.published else "not published yet"
        st.caption(f"Gold: pass {state.manifest}, {published}  \nLakehouse: `{root}`")


if __name__ == "__main__":  # what Streamlit runs it as
    main()
