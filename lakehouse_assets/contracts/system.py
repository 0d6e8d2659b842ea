"""A source system: the feeds that it delivers and the silver tables that are made of them. One file under `systems/` declares it.

Feeds and tables are many to many: orders from CSV exports and from change events are two feeds and one table; a feed of orders that
hold their items makes two tables.
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
rows and all columns: which rows leave is the rules' business, and rules may look at what the source said."""


@dataclass(frozen=True)
class Input:
    """A feed of a silver table, and the function that makes the table's columns of it.

    `each` names a column of the feed that holds a JSON list. Then the function is given a row for each item of the list, with its
    text as `_item` and its place in the list as `_item_number`, beside all columns of the row that holds the list. A list without
    items, or none at all, makes no row. A value that is not a list goes to quarantine, by the rule `<each>_is_a_list`.
    """

    feed: Feed
    function: SilverFunction
    each: str | None = None

    @property
    def problems(self) -> list[str]:
        """What contradicts itself."""
        if self.each is None or self.each in self.feed.column_names:
            return []
        return [f"{self.each!r} is not a column of the feed {self.feed.landing}{nearest(self.each, self.feed.column_names)}"]

    @property
    def rules(self) -> list[Rule]:
        """The rules that follow from how the feed is taken in."""
        if self.each is None:
            return []
        return [Rule(f"{self.each}_is_a_list", f"{ITEM} > 0", "drop", f"{self.each} is a JSON list.")]

    @property
    def name(self) -> str:
        """The function's name, for messages."""
        return getattr(self.function, "__name__", "<lambda>").replace("<lambda>", f"the function for {self.feed.landing}")


@dataclass(frozen=True)
class SilverTable:
    """A silver table: its contract, and the feeds that it is made of.

    Raises:
        ContractError: there is no input or one feed is two, an input names a column that its feed has not, or a feed of complete
            deliveries does not go with the contract's mode.
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
        """Why complete deliveries do not go with the contract."""
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
        """The feeds that it is made of."""
        return [given.feed for given in self.inputs]

    @property
    def all_rules(self) -> list[Rule]:
        """The rules that follow from how the feeds are taken in, from types and key, then the declared ones."""
        from_inputs = {rule.name: rule for given in self.inputs for rule in given.rules}
        return [*from_inputs.values(), *self.contract.all_rules]

    @property
    def system(self) -> str:
        """The name of the system that it belongs to: its first feed's."""
        return self.feeds[0].system

    @property
    def place(self) -> str:
        """Where to fix it: the file of its first function, and the table."""
        file = file_of(self.inputs[0].function)
        return f"{file.parent.name}/{file.name}: {self.name}" if file else self.name

    def digest(self) -> str:
        """The code version of the table: its contract, and the code of the project that its functions reach."""
        inputs = [[i.feed.table, i.each, i.feed.complete is not None, code_digest(i.function)] for i in self.inputs]
        return hashlib.sha256(json.dumps([self.contract.digest(), sorted(inputs, key=str)]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class System:
    """A source system: its name, what it is, and its silver tables. `raw_only` are feeds of which no silver table is made.

    Raises:
        ContractError: a feed lands outside of the system's folder, where nobody would look for its files.
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
        """All feeds of the system, each once, in the order in which they are declared."""
        return list({id(f): f for f in (*(f for t in self.tables for f in t.feeds), *self.raw_only)}.values())


@dataclass(frozen=True)
class Catalog:
    """All feeds and silver tables of a lakehouse, or of one system."""

    feeds: tuple[Feed, ...]
    tables: tuple[SilverTable, ...]

    @classmethod
    def from_tables(cls, tables: Iterable[SilverTable], raw_only: Iterable[Feed] = ()) -> "Catalog":
        """The catalog of some tables and their feeds."""
        tables = tuple(tables)
        feeds = {feed.table: feed for feed in (*(f for t in tables for f in t.feeds), *raw_only)}
        return cls(tuple(feeds.values()), tables)

    def readers(self, feed: Feed) -> list[SilverTable]:
        """The silver tables that are made of a feed."""
        return [table for table in self.tables if feed.table in {f.table for f in table.feeds}]

    def by_partners(self) -> list[SilverTable]:
        """The silver tables, each after those that its rows wait for."""
        tables = {table.name: table for table in self.tables}
        waits = {t.name: [r.to_table for r in t.contract.waits_for if r.to_table in tables] for t in self.tables}
        return [tables[name] for name in TopologicalSorter(waits).static_order()]

    @property
    def systems(self) -> list[str]:
        """The names of the systems, in the order in which they are declared."""
        return list(dict.fromkeys(feed.system for feed in self.feeds))

    def of_system(self, name: str) -> "Catalog":
        """What belongs to one system."""
        return Catalog(tuple(f for f in self.feeds if f.system == name), tuple(t for t in self.tables if t.system == name))
