"""The tables of `books.py`, and the plan over them, with no more imports than these need."""

import sys
from datetime import date

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.settings import Settings
from tests.support.declare import one_feed

TABLES = 15
"""So many in raw, and so many in silver."""


def table(number: int) -> SilverTable:
    """Return one of the tables."""
    return one_feed(
        landing=f"bench/things_{number}",
        columns=(SourceColumn("id", ""), SourceColumn("said", "")),
        contract=Contract(
            table=f"bench_things_{number}",
            description="Things",
            owner="team:bench",
            key=("thing_id",),
            columns=(Column("thing_id", "string", ""), Column("said", "string", "")),
            rules=(Rule("said_something", "said <> 'nothing'", "drop", "It said something."),),
        ),
        function=lambda raw: raw.selectExpr("*", "id AS thing_id"),
    )


def tables_of_benchmark() -> list[SilverTable]:
    """Return all of the tables."""
    return [table(number) for number in range(TABLES)]


def plan() -> None:
    """Do what a pass with nothing to do does. Arguments: the root, and the first date."""
    settings = Settings(lakehouse_root=sys.argv[1], lakehouse_start_date=date.fromisoformat(sys.argv[2]))
    assert make_plan(settings, Catalog.from_tables(tables_of_benchmark())).is_empty
