"""What a page is given: the settings, the filters, the state of the lakehouse, and the way to its tables."""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from lakehouse_assets.books.refused import Refusals, RefusedPartitions
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.dashboard.filters import Filters, address
from lakehouse_assets.dashboard.lake import BOOKS, State, current_state, existing_tables, open_lake
from lakehouse_assets.dashboard.style import system_colours, table
from lakehouse_assets.gold.models import Model
from lakehouse_assets.reconcile.plan import Plan, make_plan
from lakehouse_assets.reconcile.scan import ScanBudget
from lakehouse_assets.settings import Settings, load_catalog, load_settings

if TYPE_CHECKING:
    import duckdb

_PLANNING = threading.Lock()
"""A plan begins with no table open, so two of them don't run at once."""

PLAN_SECONDS = 20
"""For so long, what landing has is not looked at again."""


@dataclass(frozen=True)
class View:
    """The lakehouse as one run of a page sees it."""

    settings: Settings
    catalog: Catalog
    filters: Filters
    state: State

    @property
    def colours(self) -> dict[str, str]:
        """The colour of each source system."""
        return system_colours(self.catalog.systems)

    def books(self) -> "duckdb.DuckDBPyConnection":
        """Open ledger and quarantine."""
        return self.open(BOOKS)

    def open(self, tables: Collection[tuple[str, str]]) -> "duckdb.DuckDBPyConnection":
        """Open those of the tables that there are."""
        wanted = tuple(sorted({*tables} & ({*BOOKS} | _existing(self.settings, self.state))))
        return _opened(self.settings, wanted, self.state).cursor()

    def has(self, tables: Collection[tuple[str, str]]) -> bool:
        """Return whether all of the tables exist."""
        return {*tables} <= _existing(self.settings, self.state)

    def plan(self) -> tuple[Plan, Refusals]:
        """Return what the next pass would do and what is late, and what was refused; at most some seconds old."""
        return _plan(self.settings, self.state, int(datetime.now(UTC).timestamp()) // PLAN_SECONDS)

    def models(self) -> list[Model]:
        """The gold models."""
        return self.settings.gold_project.models_of(self.manifest())

    def manifest(self) -> Mapping[str, Any]:
        """Dbt's manifest."""
        return self.settings.gold_project.manifest()

    def address(self, page: str, **more: str | None) -> str:
        """The address of a page with the same filters."""
        return address(page, self.filters, more)


@st.cache_resource
def setup() -> tuple[Settings, Catalog]:
    """Read the settings and the declarations once."""
    settings = load_settings()
    return settings, load_catalog(settings)


def state_of(settings: Settings) -> State:
    """Return the current state of the lakehouse."""
    return current_state(settings.root)


@st.cache_resource(max_entries=16, show_spinner=False)
def _opened(_settings: Settings, tables: tuple[tuple[str, str], ...], state: State) -> "duckdb.DuckDBPyConnection":
    del state  # a cache key: the next state is opened anew
    return open_lake(_settings.root, setup()[1], tables)


@st.cache_resource(max_entries=2, show_spinner=False)
def _existing(_settings: Settings, state: State) -> set[tuple[str, str]]:
    del state
    return existing_tables(_settings.root)


@st.cache_resource(max_entries=1, show_spinner=False)
def _plan(_settings: Settings, state: State, moment: int) -> tuple[Plan, Refusals]:
    del state, moment
    with _PLANNING:
        plan = make_plan(_settings, setup()[1], budget=ScanBudget(), now=datetime.now(UTC))
        return plan, RefusedPartitions(_settings.root).read()


def show_empty(what: str, remedy: str) -> None:
    """Say that there is nothing to show yet, and what to do."""
    with st.container(border=True):
        st.markdown(f"**{what}**")
        st.markdown(remedy)


def show_table(
    columns: Mapping[str, str],
    rows: Collection[Mapping[Any, Any]],
    links: Mapping[str, Callable[[Mapping[Any, Any]], str | None]] | None = None,
) -> None:
    """Show a small table; `links` make the address of a cell of its row."""
    listed = list(rows)
    st.html(table(columns, listed, links={name: [make(row) for row in listed] for name, make in (links or {}).items()}))
