"""Flow: how many rows went from landing to raw, silver and the facts of gold, as bands that add up.

All numbers are those of `ops.row_accounts`. Where a node would not add up by itself, a band says why: a feed that two tables read
comes in once more for the second one; an item of a list is a row of its own; a fact may make two rows of one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.dashboard.filters import Filters, of_dates
from lakehouse_assets.gold.models import Model

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Kind = Literal["landing", "raw", "silver", "gold", "again", "split", "quarantine", "superseded", "unread", "kept"]
"""What a node is: a layer; rows that are read once more, or made of one row; where rows end before gold."""

Node = tuple[Kind, str]
"""Its kind, and the table or system. The ends of bands that go nowhere further have the layer that they leave as their name."""


@dataclass(frozen=True)
class Band:
    """Rows that go from a node to another."""

    source: Node
    target: Node
    rows: int

    @property
    def key(self) -> str:
        """The band in an address, such as `raw.crm_sales>silver.crm_sales`."""
        return ">".join(".".join(node) for node in (self.source, self.target))


@dataclass(frozen=True)
class _Account:
    rows_in: int
    rows_out: int
    quarantined: int
    superseded: int


_Accounts = dict[tuple[str, str], dict[date, _Account]]


def bands(connection: "duckdb.DuckDBPyConnection", catalog: Catalog, models: Sequence[Model], filters: Filters) -> list[Band]:
    """Return the bands between tables on the dates and of the sources.

    `connection` has `ops.partitions`, and the silver tables that `fact_tables` names.
    """
    accounts: _Accounts = defaultdict(dict)
    for layer, name, day, *counts in connection.execute(
        f"""SELECT layer, table_name, date, coalesce(rows_in, 0), rows_out, rows_quarantined, rows_superseded
            FROM ops.partitions WHERE {of_dates("date")}""",
        {"first": filters.parameters["first"], "last": filters.parameters["last"]},
    ).fetchall():
        accounts[(layer, name)][day] = _Account(*counts)
    chosen = [t for t in catalog.tables if not filters.sources or t.system in filters.sources]
    found: Counter[tuple[Node, Node]] = Counter()
    for feed in catalog.feeds:
        if filters.sources and feed.system not in filters.sources:
            continue
        node: Node = ("raw", feed.table)
        for account in accounts.get(("raw", feed.table), {}).values():
            found[("landing", feed.system), node] += account.rows_in
            found[node, ("quarantine", "raw")] += account.quarantined
            found[node, ("superseded", "raw")] += account.superseded
    for table in chosen:
        node = ("silver", table.name)
        for day, account in accounts.get(("silver", table.name), {}).items():
            for feed_table, rows in _read_from(table, day, account.rows_in, accounts).items():
                found[("raw", feed_table), node] += rows
            found[node, ("quarantine", "silver")] += account.quarantined
            found[node, ("superseded", "silver")] += account.superseded
    for (table_name, model), rows in _made(connection, models, {t.name for t in chosen}, accounts, filters).items():
        found[("silver", table_name), ("gold", model)] += rows
    _balance(found, accounts)
    return [Band(source, target, rows) for (source, target), rows in found.items() if rows]


def fact_tables(models: Iterable[Model]) -> set[tuple[str, str]]:
    """Return the silver tables that have to be open to count how many rows of facts they make."""
    counted = {name for model in models if model.grain_of for name in (*(t for t, made in model.grain_of if made),)}
    read = {source for model in models if model.grain_of and counted & {t for t, _ in model.grain_of} for source in model.sources}
    return {("silver", name) for name in counted | read}


def _read_from(table: SilverTable, day: date, rows: int, accounts: _Accounts) -> dict[str, int]:
    """Split the rows that a table has read on a date by feed. A feed gives its rows; a list of items gives what is left."""
    landed = {
        i.feed.table: account.rows_out for i in table.inputs if (account := accounts.get(("raw", i.feed.table), {}).get(day))
    }
    whole = [i.feed.table for i in table.inputs if i.each is None]
    lists = [i.feed.table for i in table.inputs if i.each is not None and landed.get(i.feed.table)]
    split: dict[str, int] = {}
    left = rows
    for name in whole:
        split[name] = min(left, landed.get(name, 0))
        left -= split[name]
    # What no feed accounts for, such as rows of a file that has changed since, goes to the last one.
    last = (lists or whole or [table.feeds[0].table])[-1]
    split[last] = split.get(last, 0) + left
    return {name: count for name, count in split.items() if count}


def _made(
    connection: "duckdb.DuckDBPyConnection",
    models: Sequence[Model],
    chosen: set[str],
    accounts: _Accounts,
    filters: Filters,
) -> dict[tuple[str, str], int]:
    """Return how many rows of each fact each silver table makes on the dates."""
    made: dict[tuple[str, str], int] = {}
    dates = {"first": filters.parameters["first"], "last": filters.parameters["last"]}
    for model in models:
        if ("gold", model.name) not in accounts:
            continue
        for name, rows in model.grain_of:
            if name not in chosen or ("silver", name) not in accounts:
                continue
            if rows is None:
                made[name, model.name] = sum(a.rows_out for a in accounts["silver", name].values())
            else:
                counted = connection.execute(
                    f"SELECT coalesce(sum({rows}), 0)::BIGINT FROM silver.{name} WHERE {of_dates('_date')}", dates
                ).fetchone()
                made[name, model.name] = int(counted[0]) if counted else 0
    return made


def _balance(found: "Counter[tuple[Node, Node]]", accounts: _Accounts) -> None:
    """Add the bands that make each raw and silver node add up, and say why it would not."""
    into, out = totals(Band(source, target, rows) for (source, target), rows in found.items())
    for node in sorted({node for pair in found for node in pair if node[0] in ("raw", "silver")}):
        difference = into[node] - out[node]
        more: Kind = "again" if node[0] == "raw" else "split"
        less: Kind = "unread" if node[0] == "raw" else "kept"
        if difference < 0:
            found[(more, node[0]), node] -= difference
        elif difference > 0:
            found[node, (less, node[0])] += difference


def totals(found: Iterable[Band]) -> tuple[Mapping[Node, int], Mapping[Node, int]]:
    """Return by node how many rows go in and out."""
    into: Counter[Node] = Counter()
    out: Counter[Node] = Counter()
    for band in found:
        into[band.target] += band.rows
        out[band.source] += band.rows
    return into, out


def by_system(found: Iterable[Band], catalog: Catalog) -> list[Band]:
    """Merge the raw and silver tables of each system into one node."""
    systems = {("raw", f.table): f.system for f in catalog.feeds} | {("silver", t.name): t.system for t in catalog.tables}
    merged: Counter[tuple[Node, Node]] = Counter()
    for band in found:
        source, target = ((node[0], systems.get(node, node[1])) for node in (band.source, band.target))
        merged[source, target] += band.rows
    return [Band(source, target, rows) for (source, target), rows in merged.items()]


def parse(key: str | None) -> tuple[Node, Node] | None:
    """Return the nodes of a band's `key`; None if it is none."""
    parts = [tuple(part.split(".", 1)) for part in (key or "").split(">")]
    if len(parts) != 2 or any(len(part) != 2 for part in parts):
        return None
    return parts[0], parts[1]  # type: ignore[return-value]


def rows_behind(source: Node, target: Node) -> tuple[str, str] | None:
    """Return the table, by schema and name, that has the rows of a band; None if no table has."""
    ends = {"quarantine": "quarantine", "superseded": "superseded"}
    if target[0] in ends and source[0] == "silver":
        return (ends[target[0]], "rows" if target[0] == "quarantine" else source[1])
    if target[0] == "quarantine":
        return ("quarantine", "rows")
    if target[0] == "gold" or target[0] == "kept":
        return ("silver", source[1])
    if source[0] == "landing":
        return ("raw", target[1])
    if source[0] == "raw" and target[0] != "superseded":
        return ("raw", source[1])
    return (target[0], target[1]) if source[0] in ("again", "split") else None


def rows_of(connection: "duckdb.DuckDBPyConnection", table: tuple[str, str], of: str, filters: Filters, limit: int) -> "pa.Table":
    """Return rows of a table on the dates; of the quarantine, those of the table `of`."""
    schema, name = table
    dates = {"first": filters.parameters["first"], "last": filters.parameters["last"]}
    if schema == "quarantine":
        return connection.execute(
            f"""SELECT table_name, date, rule, reason, source_file, row_number, payload FROM quarantine.rows
                WHERE table_name = $of AND {of_dates("date")} ORDER BY date, source_file, row_number LIMIT {limit:d}""",
            {**dates, "of": of},
        ).to_arrow_table()
    return connection.execute(
        f'SELECT * FROM {schema}."{name}" WHERE {of_dates("_date")} LIMIT {limit:d}', dates
    ).to_arrow_table()
