"""Draws the star schema in `docs/star-schema.md` from the models: their columns, and what dbt's tests say of keys.

Run it as `python -m lakehouse_assets.documentation.star_schema_page`, or by `make docs`. A test compares the page with its output. The
rest of the page is written by hand.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.settings import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "star-schema.md"

_BEGIN = "<!-- Written by `make docs` from the models: change those, not this diagram. -->\n"

_END = "<!-- End of the diagram. -->\n"

_FOLDERS = ("dimensions", "facts")

_REF = re.compile(r"ref\(['\"](\w+)['\"]\)")


def with_diagram(page: str, manifest: Mapping[str, Any]) -> str:
    """Return the page with the diagram of the current models between its two marks."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n```mermaid\n{diagram(manifest)}```\n\n{_END}{after}"


def diagram(manifest: Mapping[str, Any]) -> str:
    """Return the entity relationship diagram of dimensions and facts, as Mermaid.

    A model's key is its first column that is tested to be unique; its foreign keys are those with a test of relationships.
    """
    models = {
        node["unique_id"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and Path(node["path"]).parent.name in _FOLDERS
    }
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test" and node.get("test_metadata")]
    unique: dict[str, set[str]] = {}
    references: dict[str, dict[str, str]] = {}
    for test in tests:
        model, column, metadata = test.get("attached_node"), test.get("column_name"), test["test_metadata"]
        if model not in models or column is None:
            continue
        if metadata["name"] == "unique":
            unique.setdefault(model, set()).add(column)
        elif metadata["name"] == "relationships" and (match := _REF.search(metadata["kwargs"]["to"])):
            references.setdefault(model, {})[column] = match[1]
    ordered = sorted(models.items(), key=lambda item: (_FOLDERS.index(Path(item[1]["path"]).parent.name), item[1]["name"]))
    lines = ["erDiagram"]
    for unique_id, model in ordered:
        lines += _entity(model, unique.get(unique_id, set()), references.get(unique_id, {}))
    for unique_id, model in ordered:
        to = references.get(unique_id, {})
        lines += [f'    {to[c].upper()} ||--o{{ {model["name"].upper()} : "{c}"' for c in model["columns"] if c in to]
    return "\n".join(lines) + "\n"


def _entity(model: Mapping[str, Any], unique: set[str], references: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a table. All have the landing date. A type has no digits: Mermaid knows no comma in it."""
    key = next((name for name in model["columns"] if name in unique), None)
    yield f"    {model['name'].upper()} {{"
    for name, column in model["columns"].items():
        if name == DATE_COLUMN:
            continue
        mark = " PK" if name == key else " FK" if name in references else ""
        yield f"        {column['data_type'].partition('(')[0]} {name}{mark}"
    yield "    }"


def current_page() -> str:
    """Return the page with the diagram of the current models."""
    return with_diagram(PAGE.read_text(), load_settings().gold_project.manifest())


if __name__ == "__main__":
    PAGE.write_text(current_page())
    sys.exit(0)
