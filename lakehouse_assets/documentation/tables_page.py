"""Generates the docs page on all tables from the contracts and dbt's descriptions, so that it can't differ from them.

Run it as `python -m lakehouse_assets.documentation.tables_page`, or by `make docs`. A test compares the page with its output.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.provenance import PROVENANCE
from lakehouse_assets.contracts.system import SilverTable, System
from lakehouse_assets.gold.models import read_models
from lakehouse_assets.settings import load_settings
from lakehouse_assets.systems import all_systems, catalog

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"

_INTRODUCTION = """\
# Tables

Written by `make docs` from the contracts in `lakehouse_assets/systems/` and the models in `dbt_project/`: change those, not this
page.

Every raw and silver table also has columns that say where a row came from:

{provenance}

Only raw tables have `_source_etag`, `_sheet` (where the feed takes workbooks) and `_dialect` (where it has dialects). Only silver
tables have `_source_feed`, `_item_number` and `_broken_rules`. A gold row's `_date` is the landing date of what last changed it.

A rule's outcome: `warn` keeps the row and counts it; `drop` sends it to quarantine; `fail` keeps its whole partition from being
committed. A row that *waits* for a partner stays in quarantine until the partner arrives.
"""


def tables_page(systems: list[System], manifest: Mapping[str, Any]) -> str:
    """Return the page as Markdown."""
    provenance = "\n".join(f"| {c.name} | {c.type} | {c.description} |" for c in PROVENANCE.values())
    parts = [_INTRODUCTION.format(provenance=f"| column | type | meaning |\n|---|---|---|\n{provenance}")]
    for system in systems:
        parts += _system(system)
    parts.append("## gold\n")
    nodes = {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}
    parts += [part for model in read_models(manifest) for part in _model(nodes[model.name])]
    return "\n".join(parts)


def _system(system: System) -> Iterator[str]:
    yield f"## {system.name}\n\n{system.description}\n"
    written: set[str] = set()
    for table in system.tables:
        yield from _table(table, written)
    for feed in system.feeds:
        if feed.table not in written:
            yield from _raw_table(feed, written)


def _table(table: SilverTable, written: set[str]) -> Iterator[str]:
    """Yield the section of a silver table, and before it those of its feeds that are not on the page yet."""
    contract, own = table.contract, [f for f in table.feeds if f.table == table.name]
    for feed in table.feeds:
        if feed.table not in written and not own:
            yield from _raw_table(feed, written)
    landing = " and ".join(f"`landing/{feed.landing}/<date>/`" for feed in table.feeds)
    yield f"### {table.name}\n\n{contract.description} Owner: {contract.owner}. Lands at {landing}.\n"
    for feed in (f for f in own if f.table not in written):
        written.add(feed.table)
        yield from _raw_columns(feed)
    for feed in (f for f in table.feeds if own and f.table not in written):
        yield from _raw_table(feed, written)
    grain = [*contract.key, "version"] if contract.mode == "history" else contract.key
    yield f"Silver columns; one row per {', '.join(grain)}, write mode `{contract.mode}`:\n"
    yield "| column | type | meaning |\n|---|---|---|"
    yield "\n".join(f"| {c.name} | {c.type} | {c.description} |" for c in contract.table_columns) + "\n"
    if contract.split_by:
        yield f"Within a date, the files are split by {contract.split_by}.\n"
    yield "Rules:\n\n| rule | outcome | meaning |\n|---|---|---|"
    yield "\n".join(f"| {r.name} | {r.outcome} | {r.description} |" for r in table.all_rules) + "\n"
    if contract.relationships:
        waits = {r.name for r in contract.waits_for}
        named = (
            f"{r.column} in {r.to_table}.{r.to_column}{' (waits)' if r.name in waits else ''}" for r in contract.relationships
        )
        yield f"Relationships: {', '.join(named)}.\n"


def _raw_table(feed: Feed, written: set[str]) -> Iterator[str]:
    written.add(feed.table)
    yield f"### {feed.table}\n\nLands at `landing/{feed.landing}/<date>/`.\n"
    yield from _raw_columns(feed)


def _raw_columns(feed: Feed) -> Iterator[str]:
    yield "Raw columns, all text:\n\n| column | in the file | meaning |\n|---|---|---|"
    yield "\n".join(f"| {snake_case(c.name)} | {c.name} | {c.description} |" for c in feed.columns) + "\n"
    if feed.dialects:
        yield "Dialects:\n\n| dialect | its records have | it calls |\n|---|---|---|"
        yield "\n".join(f"| {d.name} | {', '.join(d.marks)} | {_calls(d)} |" for d in feed.dialects) + "\n"


def _calls(dialect: Dialect) -> str:
    return ", ".join(f"{column} {name}" for column, name in dialect.names.items())


def _model(node: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {node['name']}\n\n{node['description']}\n\n| column | type | meaning |\n|---|---|---|"
    yield "\n".join(f"| {c['name']} | {c['data_type']} | {c['description']} |" for c in node["columns"].values()) + "\n"


def current_page() -> str:
    """Return the page for the current systems and models."""
    return tables_page(all_systems(), load_settings().gold_project.manifest())


if __name__ == "__main__":
    load_settings().gold_project.write_sources(catalog())
    PAGE.write_text(current_page())
    sys.exit(0)
