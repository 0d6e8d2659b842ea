"""What is served elsewhere: tables with what their readers need to know, and the one interface of all targets.

A target keeps in itself what it holds of each table. What it should hold follows from the Delta table. Both are a `State`: where they
differ, the target is published to. So nothing is remembered here, and a target that was emptied, restored or replaced is found.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from deltalake import DeltaTable

from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.books.records import contents, table_id
from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.provenance import IN_SILVER, PROVENANCE
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.tables import newest_table, open_table, open_version
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.gold.models import read_models
from lakehouse_assets.silver.winners import identity
from lakehouse_assets.store.root import Root


@dataclass(frozen=True)
class Served:
    """A table: its description, those of its columns by name, and its key.

    `key` names columns that are never NULL and together unique; empty if no such columns are promised. `looked_up` names columns by
    which readers look rows up, in addition to the key.
    """

    layer: str
    name: str
    description: str
    columns: Mapping[str, str] = field(hash=False)
    key: tuple[str, ...] = ()
    looked_up: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name under which readers find it, such as `gold.fact_sales`."""
        return f"{self.layer}.{self.name}"


@dataclass(frozen=True)
class State:
    """What a target holds of a table, or should hold.

    `columns` are the target's types by column, `contents` a hash of each partition's rows by date, and `meaning` a hash of whatever
    else readers see: descriptions, keys.
    """

    columns: Mapping[str, str]
    contents: Mapping[date, str]
    meaning: str

    def differing(self, other: "State | None") -> set[date]:
        """Return the dates whose rows differ from the other's, or all if there is no other."""
        if other is None:
            return set(self.contents)
        return {day for day, _ in self.contents.items() ^ other.contents.items()}


@dataclass(frozen=True)
class Published:
    """What became of a table. `rows` and `partitions` are those that were sent. `refusal` says why the table was left as it was."""

    served: Served
    delta_version: int
    rows: int = 0
    partitions: int = 0
    columns: Mapping[str, str] | None = None
    refusal: str | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the figures for a person to read."""
        return {"delta_version": self.delta_version, "rows_sent": self.rows, "partitions_sent": self.partitions}


class Target(Protocol):
    """A system that serves tables. Making one opens nothing."""

    @property
    def name(self) -> str:
        """The name of the target: the first part of its assets' keys."""

    @property
    def tables(self) -> Sequence[Served]:
        """The tables that it serves, once they exist."""

    @property
    def kinds(self) -> set[str]:
        """How the UI marks its assets."""

    def held(self, wanted: Mapping[str, State]) -> Mapping[str, State]:
        """Return what it holds, by title of the table. `wanted` is what it should hold.

        Raises:
            SettingsError: it can't be reached.
        """

    def wanted(self, served: Served, table: DeltaTable, contents: Mapping[date, str]) -> State:
        """Return what it should hold of the open version of a table, whose partitions have these contents."""

    def publish(self, root: Root, tables: Sequence[Served], run_id: str) -> Iterator[Published]:
        """Bring these tables up to date. Those that have never been written are left out.

        Raises:
            PublishError: the target can't take what is there.
            SettingsError: it can't be reached.
        """


@dataclass(frozen=True)
class Unpublished:
    """A table that a target does not hold as it is: the dates whose rows differ, and a hash of all that it should hold."""

    served: Served
    dates: frozenset[date]
    wanted: State


def tables_to_serve(
    root: Root, tables: Iterable[Served], open_newest: Callable[[str], DeltaTable | None] = open_table
) -> dict[Served, DeltaTable]:
    """Open tables at the versions that belong together: gold by the newest manifest, like a query, and others at their newest.

    A gold table that no manifest names, or whose named version is gone, is opened at its newest version, too. Tables that have never
    been written are left out.
    """
    manifest = Manifests(root).newest()
    opened = {}
    for served in tables:
        uri = root.table(served.layer, served.name)
        if (table := open_newest(uri)) is None:
            continue
        pinned = manifest.tables.get((served.layer, served.name)) if manifest is not None and served.layer == "gold" else None
        if pinned is not None and pinned.version != table.version():
            named = open_version(uri, pinned.version)
            table = named if named is not None and table_id(named) == pinned.table_id else table
        opened[served] = table
    return opened


def unpublished(root: Root, target: Target) -> list[Unpublished]:
    """Compare what a target should hold with what it holds. Of one that can't be reached, nothing is known: it may lack all."""
    wanted = {
        served: target.wanted(served, table, contents(root, served.layer, served.name, table))
        for served, table in tables_to_serve(root, target.tables, newest_table).items()
    }
    try:
        held = target.held({served.title: state for served, state in wanted.items()})
    except LakehouseError:
        held = {}  # the run that is to publish says why
    return [
        Unpublished(served, frozenset(state.differing(held.get(served.title))), state)
        for served, state in wanted.items()
        if state != held.get(served.title)
    ]


def served_tables(catalog: Catalog, manifest: Mapping[str, Any], layers: Sequence[str]) -> tuple[Served, ...]:
    """Return the tables of some layers, with the descriptions and keys of contracts and dbt models."""
    of_layer = {"raw": _raw(catalog), "silver": _silver(catalog), "gold": _gold(manifest)}
    return tuple(served for layer in layers for served in of_layer[layer])


def _raw(catalog: Catalog) -> list[Served]:
    return [
        Served(
            "raw",
            feed.table,
            f"What landed at {feed.landing}, all of it text.",
            {snake_case(c.name): c.description for c in feed.columns} | _provenance(feed.provenance),
        )
        for feed in catalog.feeds
    ]


def _silver(catalog: Catalog) -> list[Served]:
    contracts = [table.contract for table in catalog.tables]
    return [
        Served(
            "silver",
            contract.table,
            contract.description,
            {c.name: c.description for c in contract.table_columns} | _provenance(IN_SILVER),
            # Of a history, a row version may be valid since ever: its start is then NULL.
            () if contract.mode == "history" else tuple(identity(contract)),
            tuple(contract.key) if contract.mode == "history" else (),
        )
        for contract in contracts
    ]


def _gold(manifest: Mapping[str, Any]) -> list[Served]:
    nodes = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    keys = _tested_keys(manifest)
    return [
        Served(
            "gold",
            model.name,
            nodes[model.name]["description"],
            {c["name"]: c["description"] for c in nodes[model.name]["columns"].values()},
            keys.get(nodes[model.name]["unique_id"], ()),
        )
        for model in read_models(manifest)
    ]


def _tested_keys(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return for each model its first column that dbt's own tests hold unique and not NULL."""
    tested: dict[tuple[str, str], set[str]] = {}
    for node in manifest["nodes"].values():
        if (
            node["resource_type"] == "test"
            and node.get("column_name")
            and node["config"].get("severity", "ERROR").upper() == "ERROR"
        ):
            test = (node.get("test_metadata") or {}).get("name", "")
            tested.setdefault((node.get("attached_node") or "", node["column_name"]), set()).add(test)
    keys: dict[str, tuple[str, ...]] = {}
    for node in manifest["nodes"].values():
        for column in node["columns"] if node["resource_type"] == "model" else ():
            if tested.get((node["unique_id"], column), set()) >= {"unique", "not_null"}:
                keys.setdefault(node["unique_id"], (column,))
    return keys


def _provenance(names: Sequence[str]) -> dict[str, str]:
    return {name: PROVENANCE[name].description for name in names}
