"""Source systems: the feeds that a system delivers, and the silver tables built from them. Each has one file under `systems/`.

Feeds and tables are many to many: orders from CSV exports and from change events are two feeds and one table; a feed of orders
with their items makes two tables.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.code_digest import code_digest, file_of
from lakehouse_assets.contracts.contract import NAME, Contract, Rule
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.problems import nearest, refuse
from lakehouse_assets.contracts.provenance import ITEM

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SilverFunction = Callable[["DataFrame"], "DataFrame"]
"""Takes rows of one feed (all text, with the provenance columns) and returns them with the contract's columns added. It keeps all
rows and all columns: the rules decide which rows to drop, and they may use the source's columns. If it makes each row from one row
alone, a date to which files are added is built from these files."""


@dataclass(frozen=True)
class Input:
    """A feed of a silver table, and the function that computes the table's columns from it.

    `each` names a column of the feed with a JSON list. The function then gets a row for each item of the list, with the item's
    text as `_item`, its position in the list as `_item_number`, and all columns of the row with the list. An empty list, or no
    value, makes no row. A value that is not a list goes to quarantine, by the rule `<each>_is_a_list`.
    """

    feed: Feed
    function: SilverFunction
    each: str | None = None

    @property
    def problems(self) -> list[str]:
        """The contradictions in this declaration."""
        if self.each is None or self.each in self.feed.column_names:
            return []
        return [f"{self.each!r} is not a column of the feed {self.feed.landing}{nearest(self.each, self.feed.column_names)}"]

    @property
    def rules(self) -> list[Rule]:
        """The rules that follow from `each`."""
        if self.each is None:
            return []
        return [Rule(f"{self.each}_is_a_list", f"{ITEM} > 0", "drop", f"{self.each} is a JSON list.")]

    @property
    def name(self) -> str:
        """The function's name, for messages."""
        return getattr(self.function, "__name__", "<lambda>").replace("<lambda>", f"the function for {self.feed.landing}")


@dataclass(frozen=True)
class SilverTable:
    """A silver table: its contract, and its inputs.

    Raises:
        ContractError: there is no input, a feed is two inputs, an input names a column that its feed does not have, or the
            contract's mode does not allow a feed of complete deliveries.
    """

    contract: Contract
    inputs: Sequence[Input]

    def __post_init__(self) -> None:
        problems = [] if self.inputs else ["there is no input"]
        feeds = [i.feed.landing for i in self.inputs]
        problems += [
            f"the feed {name} is declared twice as its input" for name in sorted({f for f in feeds if feeds.count(f) > 1})
        ]
        problems += [problem for given in self.inputs for problem in given.problems]
        problems += self._delivery_problems() if any(feed.complete for feed in self.feeds) else []
        refuse(f"Table {self.name}", problems)

    def _delivery_problems(self) -> list[str]:
        """Return why the contract does not allow complete deliveries."""
        if self.contract.mode == "snapshot":
            return ["a snapshot has no deletes, so complete deliveries change nothing in it: use upsert or history"]
        if self.contract.mode != "history":
            return []
        moment = self.contract.validity[0].type
        problems = ["a history of complete deliveries has one input"] if len(self.inputs) > 1 else []
        if moment not in ("date", "timestamp"):
            problems.append(
                f"{self.contract.valid_from!r} is {moment}: in a history of complete deliveries a row version holds from a date or "
                "timestamp, because a delivery ends it on its date"
            )
        return problems

    @property
    def name(self) -> str:
        """The name of the table, such as `crm_customers`."""
        return self.contract.table

    @property
    def feeds(self) -> list[Feed]:
        """The feeds that the table is built from."""
        return [given.feed for given in self.inputs]

    @property
    def all_rules(self) -> list[Rule]:
        """The rules that follow from the inputs, from types and key, then the declared ones."""
        from_inputs = {rule.name: rule for given in self.inputs for rule in given.rules}
        return [*from_inputs.values(), *self.contract.all_rules]

    @property
    def system(self) -> str:
        """The name of the system that the table belongs to: its first feed's."""
        return self.feeds[0].system

    @property
    def place(self) -> str:
        """Where to fix a mistake: the file of the table's first function, and the table."""
        file = file_of(self.inputs[0].function)
        return f"{file.parent.name}/{file.name}: {self.name}" if file else self.name

    def digest(self) -> str:
        """Return the digest of the table: of its contract, and of the project code that its functions reach."""
        inputs = [
            [i.feed.table, i.each, i.feed.complete is not None, code_digest(i.function), *i.feed.meaning] for i in self.inputs
        ]
        return hashlib.sha256(json.dumps([self.contract.digest(), sorted(inputs, key=str)]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class System:
    """A source system: its name, its description and its silver tables. `raw_only` are feeds without a silver table.

    Raises:
        ContractError: a feed lands outside the system's folder, where its files would not be found.
    """

    name: str
    description: str
    tables: Sequence[SilverTable]
    raw_only: Sequence[Feed] = ()

    def __post_init__(self) -> None:
        problems = [] if NAME.fullmatch(self.name) else ["that is not a name (lower case letters, digits and _)"]
        problems += [
            f"the feed {feed.landing} lands outside of the system's folder "
            f"(did you mean {'/'.join((self.name, *feed.landing.split('/')[1:]))!r}?)"
            for feed in (self.feeds if not problems else ())
            if feed.system != self.name
        ]
        refuse(f"System {self.name!r}", problems)

    @property
    def feeds(self) -> list[Feed]:
        """All feeds of the system, each once, in declaration order."""
        return list({id(f): f for f in (*(f for t in self.tables for f in t.feeds), *self.raw_only)}.values())


@dataclass(frozen=True)
class Catalog:
    """All feeds and silver tables of a lakehouse, or of one system."""

    feeds: tuple[Feed, ...]
    tables: tuple[SilverTable, ...]

    @classmethod
    def from_tables(cls, tables: Iterable[SilverTable], raw_only: Iterable[Feed] = ()) -> "Catalog":
        """Make the catalog of some tables and their feeds."""
        tables = tuple(tables)
        feeds = {feed.table: feed for feed in (*(f for t in tables for f in t.feeds), *raw_only)}
        return cls(tuple(feeds.values()), tables)

    def readers(self, feed: Feed) -> list[SilverTable]:
        """Return the silver tables that are built from a feed."""
        return [table for table in self.tables if feed.table in {f.table for f in table.feeds}]

    def owners(self, feed: Feed) -> list[str]:
        """Return the owners of the silver tables that are built from a feed, each once."""
        return list(dict.fromkeys(table.contract.owner for table in self.readers(feed)))

    def by_partners(self) -> list[SilverTable]:
        """Return the silver tables, each after those that its rows wait for."""
        tables = {table.name: table for table in self.tables}
        waits = {t.name: [r.to_table for r in t.contract.waits_for if r.to_table in tables] for t in self.tables}
        return [tables[name] for name in TopologicalSorter(waits).static_order()]

    @property
    def systems(self) -> list[str]:
        """The names of the systems, in declaration order."""
        return list(dict.fromkeys(feed.system for feed in self.feeds))

    def of_system(self, name: str) -> "Catalog":
        """Return the feeds and tables of one system."""
        return Catalog(tuple(f for f in self.feeds if f.system == name), tuple(t for t in self.tables if t.system == name))

    def unrelated(self) -> list[frozenset[tuple[str, str]]]:
        """Return the raw and silver tables, by layer and name, in groups of systems whose tables refer to each other's."""
        system_of = {table.name: table.system for table in self.tables}
        groups = [{name} for name in self.systems]
        for table in self.tables:
            partners = (relationship.to_table for relationship in table.contract.relationships)
            related = {*(feed.system for feed in table.feeds), *(system_of[name] for name in partners if name in system_of)}
            merged = set().union(*(group for group in groups if group & related))
            groups = [group for group in groups if not group & related] + [merged]
        in_order = sorted(groups, key=lambda group: min(map(self.systems.index, group)))
        return [
            frozenset(
                {("raw", feed.table) for feed in self.feeds if feed.system in group}
                | {("silver", table.name) for table in self.tables if table.system in group}
            )
            for group in in_order
        ]
