"""The docs page on all tables, written from the contracts and from dbt's descriptions, so that it can't differ from them.

Run as `python -m lakehouse_assets.automation.tables_page`; `make docs` does it. A test holds the page against this module.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.system import Entity, System
from lakehouse_assets.gold.models import read_models
from lakehouse_assets.gold.project import read_manifest
from lakehouse_assets.systems import all_systems

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"

_INTRODUCTION = """\
# Tables

Written by `make docs` from the contracts in `lakehouse_assets/systems/` and the models in `dbt_project/`: change those, not this page.

Every raw and silver table also has `_source_file` (name of the landing file), `_row_number` (the line on which the row starts, the
file's first being 1) and `_date` (the date under which the file landed: the partition). Raw tables have `_source_etag` (MD5 of the
file), silver tables `_broken_rules` (names of the `warn` rules that the row breaks). A gold row's `_date` is the landing date of what
last changed it.

What a rule's outcome means: `warn`, the row stays and is counted; `drop`, it goes to quarantine; `fail`, nothing of its partition is
published.
"""


def tables_page(systems: list[System], manifest: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    parts = [_INTRODUCTION]
    for system in systems:
        parts.append(f"## {system.name}\n\n{system.description}\n")
        parts += [part for entity in system.entities for part in _entity(entity)]
    parts.append("## gold\n")
    nodes = {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}
    parts += [part for model in read_models(manifest) for part in _model(nodes[model.name])]
    return "\n".join(parts)


def _entity(entity: Entity) -> Iterator[str]:
    contract = entity.contract
    yield f"### {entity.table}\n\n{contract.description} Owner: {contract.owner}. Lands at `landing/{entity.landing}/<date>/`.\n"
    yield "Raw columns, all text:\n\n| column | in the file | meaning |\n|---|---|---|"
    yield "\n".join(f"| {snake_case(c.name)} | {c.name} | {c.description} |" for c in entity.raw.columns) + "\n"
    grain = [*contract.key, "version"] if contract.mode == "history" else contract.key
    yield f"Silver columns; one row per {', '.join(grain)}, write mode `{contract.mode}`:\n"
    yield "| column | type | meaning |\n|---|---|---|"
    yield "\n".join(f"| {c.name} | {c.type} | {c.description} |" for c in contract.table_columns) + "\n"
    yield "Rules:\n\n| rule | outcome | meaning |\n|---|---|---|"
    yield "\n".join(f"| {r.name} | {r.outcome} | {r.description} |" for r in contract.all_rules) + "\n"
    if contract.relationships:
        told = ", ".join(f"{r.column} in {r.to_table}.{r.to_column}" for r in contract.relationships)
        yield f"Relationships: {told}.\n"


def _model(node: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {node['name']}\n\n{node['description']}\n\n| column | type | meaning |\n|---|---|---|"
    yield "\n".join(f"| {c['name']} | {c['data_type']} | {c['description']} |" for c in node["columns"].values()) + "\n"


def current_page() -> str:
    """The page for the systems and models as they are."""
    return tables_page(all_systems(), read_manifest())


if __name__ == "__main__":
    PAGE.write_text(current_page())
    sys.exit(0)
