"""Lineage: what each table is made of and what reads it, from the contracts and the models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.gold.models import Model

Key = tuple[str, str]
"""Layer and name of a table; of a feed, `landing` and its folder."""


@dataclass(frozen=True)
class Described:
    """What is known of a table: description, owner, and its columns as (name, type, meaning)."""

    description: str
    owner: str
    columns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Lineage:
    """Which table is made of which: `parents` by table, in the order of the layers."""

    parents: Mapping[Key, tuple[Key, ...]]

    @property
    def tables(self) -> list[Key]:
        """All tables and feeds."""
        return list(self.parents)

    def children(self, table: Key) -> list[Key]:
        """Return the tables that read a table directly."""
        return [key for key, parents in self.parents.items() if table in parents]

    def around(self, table: Key) -> list[tuple[Key, Key]]:
        """Return all edges on the ways that lead to a table and from it."""
        edges: list[tuple[Key, Key]] = []
        for step in (self._up, self._down):
            seen, todo = {table}, [table]
            while todo:
                key = todo.pop()
                for edge, other in step(key):
                    edges.append(edge)
                    if other not in seen:
                        seen.add(other)
                        todo.append(other)
        return list(dict.fromkeys(edges))

    def _up(self, key: Key) -> Iterable[tuple[tuple[Key, Key], Key]]:
        return [((parent, key), parent) for parent in self.parents.get(key, ())]

    def _down(self, key: Key) -> Iterable[tuple[tuple[Key, Key], Key]]:
        return [((key, child), child) for child in self.children(key)]


def lineage(catalog: Catalog, models: Sequence[Model]) -> Lineage:
    """Return the lineage of all feeds, tables and models."""
    parents: dict[Key, tuple[Key, ...]] = {("landing", feed.landing): () for feed in catalog.feeds}
    parents |= {("raw", feed.table): (("landing", feed.landing),) for feed in catalog.feeds}
    parents |= {("silver", t.name): tuple(("raw", feed.table) for feed in t.feeds) for t in catalog.tables}
    known = {t.name for t in catalog.tables}
    for model in models:
        silver = (("silver", name) for name in model.sources if name in known)
        parents["gold", model.name] = (*silver, *(("gold", name) for name in model.refs))
    return Lineage(parents)


def described(catalog: Catalog, manifest: Mapping[str, Any], table: Key) -> Described:
    """Return what contracts and models say of a table."""
    layer, name = table
    if layer == "silver":
        contract = next(t.contract for t in catalog.tables if t.name == name)
        return Described(
            contract.description, contract.owner, tuple((c.name, c.type, c.description) for c in contract.table_columns)
        )
    if layer == "gold":
        node = next(n for n in manifest["nodes"].values() if n["resource_type"] == "model" and n["name"] == name)
        columns = tuple((c["name"], c.get("data_type") or "", c.get("description", "")) for c in node["columns"].values())
        return Described(node["description"], node["config"].get("meta", {}).get("owner", ""), columns)
    feed = next(f for f in catalog.feeds if name in (f.table, f.landing))
    what = f"Files below landing/{feed.landing}/DATE/" if layer == "landing" else f"The rows of landing/{feed.landing} as text"
    columns = tuple((n, "text", c.description) for n, c in zip(feed.column_names, feed.columns, strict=True))
    return Described(what, ", ".join(catalog.owners(feed)), columns)


def dot(edges: Iterable[tuple[Key, Key]], table: Key, colours: Mapping[str, str]) -> str:
    """Return the edges in the language of Graphviz, from left to right, with a colour for each layer."""
    edges = list(edges)
    nodes = dict.fromkeys([table, *(key for edge in edges for key in edge)])
    quoted = {key: '"' + ".".join(key).replace('"', "") + '"' for key in nodes}
    lines = [f'{quoted[key]} [label="{key[1]}" color="{colours[key[0]]}" penwidth={3 if key == table else 1.5}]' for key in nodes]
    lines += [f"{quoted[source]} -> {quoted[target]}" for source, target in edges]
    style = (
        'rankdir=LR bgcolor=transparent; edge [color="#8a929c"]; '
        'node [shape=box style="rounded,filled" fillcolor=white fontcolor="#1f2328" fontname="sans-serif"]'
    )
    return "digraph { " + style + "; " + "; ".join(lines) + " }"
