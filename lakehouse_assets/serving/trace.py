"""Where a row comes from, and what became of one: from a key of gold or silver back to file, row and original text; and forward.

A row of silver says of which file and row it is; `rows_of` of a model says of which rows its own are made. So each step is a look-up
in one table, of one date where it is known.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.provenance import BROKEN_RULES, DATE_COLUMN, FEED, FILE, IDENTITY, ITEM, PROVENANCE, ROW
from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.delta.duck import new_connection
from lakehouse_assets.delta.tables import sql_date, sql_name, sql_text
from lakehouse_assets.errors import QueryError
from lakehouse_assets.gold.models import Model
from lakehouse_assets.serving.query import open_views
from lakehouse_assets.serving.tables import Key, find_table
from lakehouse_assets.serving.versions import Tell, Versions
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 20
"""How many rows of one table are shown at most."""

_NAMED = 5


@dataclass(frozen=True)
class Origin:
    """A row of a landing file: the file below landing, the row's number (see `ROW` in `contracts/provenance.py`), its original text.

    `item` is the item of the row, from 1; 0 if it is the row itself. `text` has the columns of the source; None if raw lacks the row.
    """

    file: str
    row: int
    item: int = 0
    text: Mapping[str, str | None] | None = None


@dataclass(frozen=True)
class Rejected:
    """An entry of the quarantine: the layer and table that rejected the row, why, and its text."""

    layer: str
    table: str
    file: str
    row: int | None
    rule: str
    reason: str
    text: str | None


@dataclass(frozen=True)
class Traced:
    """A row of silver or gold.

    `state` is `live`, or `superseded` by another row of its key. `rules_met` and `rules_broken` are rules of the contract: a row that
    is live has broken none but those that warn. `rivals` are the rows that it superseded. `made_of` are the rows of other tables from
    which a row of gold is made, and `cut` says of which tables not all are listed.
    """

    layer: str
    table: str
    values: Mapping[str, Any]
    state: str = "live"
    origin: Origin | None = None
    rules_met: tuple[str, ...] = ()
    rules_broken: tuple[str, ...] = ()
    rivals: tuple["Traced", ...] = ()
    made_of: tuple["Traced", ...] = ()
    cut: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """What was found of a key, or of a row of a file: rows of silver or gold, and entries of the quarantine.

    `origin` is the row of the file, if one was asked for. `missing` says what is not known, for a person.
    """

    rows: tuple[Traced, ...]
    rejected: tuple[Rejected, ...] = ()
    origin: Origin | None = None
    missing: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values; dates and decimals are left to the writer."""
        return asdict(self)


@dataclass
class _Tracer:
    root: Root
    catalog: Catalog
    models: Mapping[str, Model]
    tell: Tell
    opened: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.silver = {table.name: table for table in self.catalog.tables}
        self.feeds = {feed.table: feed for feed in self.catalog.feeds}
        self.written = {(layer, name) for layer in ("raw", "silver", "gold") for name in self.root.table_names(layer)}
        self.written |= {("superseded", name) for layer, name in self.written if layer == "silver"}
        self.connection: duckdb.DuckDBPyConnection = new_connection(self.root)

    def open(self, tables: Iterable[Key]) -> None:
        """Open views of all tables that a trace may read; gold, and silver beside it, as one pass left them."""
        read = {*tables} & self.written | {("quarantine", "rows")}
        open_views(self.connection, self.root, read, Versions(self.root, None, self.tell))
        named = "SELECT schema_name, view_name FROM duckdb_views() UNION ALL SELECT schema_name, table_name FROM duckdb_tables()"
        self.opened = {*self.connection.execute(named).fetchall()} & read

    def rows(self, table: Key, condition: str, most: int = MOST_ROWS, given: str = "") -> list[dict[str, Any]]:
        """The rows of a table, as `s`, that meet a condition; `given` are further relations that it names."""
        if table not in self.opened:
            return []
        layer, name = table
        found = self.connection.execute(f"SELECT s.* FROM {layer}.{sql_name(name)} AS s{given} WHERE {condition} LIMIT {most}")
        columns = [column[0] for column in found.description or []]
        return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def types(self, table: Key) -> dict[str, str]:
        """The columns of a table with DuckDB's types."""
        layer, name = table
        return {column: kind for column, kind, *_ in self.connection.execute(f"DESCRIBE {layer}.{sql_name(name)}").fetchall()}

    def origin(self, row: Mapping[str, Any]) -> Origin | None:
        """The row of the file that a row of silver came from."""
        feed = self.feeds.get(row[FEED])
        return None if feed is None else self.origin_of(feed.table, row[DATE_COLUMN], row[FILE], row[ROW], row[ITEM] or 0)

    def origin_of(self, feed: str, day: date, file: str, number: int, item: int = 0) -> Origin:
        """The row of a feed's file, with its text if raw has it."""
        where = f"s.{DATE_COLUMN} = {sql_date(day)} AND s.{FILE} = {sql_text(file)} AND s.{ROW} = {int(number)}"
        found = self.rows(("raw", feed), where, 1)
        text = {name: value for name, value in found[0].items() if name not in PROVENANCE} if found else None
        return Origin(f"{self.feeds[feed].landing}/{day}/{file}", number, item, text)

    def of_silver(self, table: SilverTable, row: Mapping[str, Any], state: str = "live", *, rivals: bool = True) -> Traced:
        """A row of silver with its origin, its rules, and the rows that it superseded."""
        broken = tuple(filter(None, str(row.get(BROKEN_RULES) or "").split(",")))
        met = tuple(rule.name for rule in table.all_rules if rule.name not in broken)
        values = {name: value for name, value in row.items() if name not in PROVENANCE}
        traced = Traced("silver", table.name, values, state, self.origin(row), met if state == "live" else (), broken)
        if not rivals:
            return traced
        same_key = " AND ".join(f"s.{sql_name(k)} IS NOT DISTINCT FROM {_literal(row[k])}" for k in table.contract.key)
        lost = self.rows(("superseded", table.name), same_key)
        return replace(traced, rivals=tuple(self.of_silver(table, other, "superseded", rivals=False) for other in lost))

    def of_gold(self, model: Model, row: Mapping[str, Any]) -> Traced:
        """A row of gold with the rows that it is made of."""
        made_of: list[Traced] = []
        cut: list[str] = []
        for name, condition in model.rows_of:
            layer = "gold" if name in self.models else "silver"
            given = ", ".join(f"{_literal(value)} AS {sql_name(column)}" for column, value in row.items())
            found = self.rows((layer, name), f"({condition})", MOST_ROWS + 1, f", (SELECT {given}) AS g")
            if len(found) > MOST_ROWS:
                cut.append(f"{layer}.{name}")
            for other in found[:MOST_ROWS]:
                if layer == "gold":
                    made_of.append(self.of_gold(self.models[name], other))
                elif name in self.silver:
                    made_of.append(self.of_silver(self.silver[name], other))
        return Traced("gold", model.name, row, made_of=tuple(made_of), cut=tuple(cut))

    def rejected(self, condition: str) -> tuple[Rejected, ...]:
        """The entries of the quarantine, as `s`, that meet a condition."""
        names = "layer, table_name, source_feed, date, source_file, row_number, rule, reason, payload"
        found = self.connection.execute(f"SELECT {names} FROM quarantine.rows AS s WHERE {condition} LIMIT {MOST_ROWS}")
        return tuple(
            Rejected(layer, table, f"{self._landing(feed, table)}/{day}/{file}", number, rule, reason, text)
            for layer, table, feed, day, file, number, rule, reason, text in found.fetchall()
        )

    def _landing(self, feed: str | None, table: str) -> str:
        known = self.feeds.get(feed or table)
        return known.landing if known is not None else (feed or table)


def _literal(value: Any) -> str:
    """A value that a table has, as SQL of its type."""
    if value is None or isinstance(value, bool | int | float):
        return "NULL" if value is None else str(value)
    if isinstance(value, bytes):
        return "NULL"
    kind = {"date": "DATE", "datetime": "TIMESTAMPTZ" if getattr(value, "tzinfo", None) else "TIMESTAMP", "time": "TIME"}
    text = sql_text(str(value))
    name = type(value).__name__
    if name == "Decimal":
        return f"CAST({text} AS DECIMAL(38, {max(-value.as_tuple().exponent, 0)}))"
    return f"CAST({text} AS {kind[name]})" if name in kind else text


def _condition(types: Mapping[str, str], key: Sequence[str], given: Sequence[str], table: str) -> str:
    """SQL for the rows of a key: values of the key's columns in their order, or `column=value`, of any columns.

    Raises:
        QueryError: a column is unknown, or there are fewer or more values than the key has columns.
    """
    named = [text.partition("=") for text in given if text.partition("=")[0] in types and "=" in text]
    plain = [text for text in given if not ("=" in text and text.partition("=")[0] in types)]
    unknown = [name for name, equals, _ in (text.partition("=") for text in plain) if equals and name.isidentifier()]
    if unknown and (len(plain) != len(key) or nearest(unknown[0], types)):
        raise QueryError(f"{unknown[0]!r} is not a column of {table}{nearest(unknown[0], types)}.")
    if plain and (named or len(plain) != len(key)):
        wanted = " ".join(name.upper() for name in key) or "COLUMN=VALUE"
        raise QueryError(f"The key of {table} is {', '.join(key) or 'not declared'}: write `lakehouse trace {table} {wanted}`.")
    pairs = [(column, value) for column, _, value in named] or list(zip(key, plain, strict=True))
    # A constant of the column's type, so that statistics of files can be looked at.
    return " AND ".join(f"s.{sql_name(column)} = TRY_CAST({sql_text(value)} AS {types[column]})" for column, value in pairs)


def trace_key(root: Root, catalog: Catalog, models: Sequence[Model], table: str, key: Sequence[str], tell: Tell) -> Trace:
    """Trace the rows of a key of a gold or silver table back to their files.

    Of a key of silver without a live row, rows that were superseded and entries of the quarantine whose text has it are returned.

    Raises:
        QueryError: there is no such table, or the key can't be understood.
    """
    tracer = _Tracer(root, catalog, {model.name: model for model in models}, tell)
    layer, name = find_table(table, {known for known in tracer.written if known[0] in ("silver", "gold")})
    if layer == "gold":
        return _trace_gold(tracer, name, key)
    if name not in tracer.silver:
        raise QueryError(f"silver.{name} is not declared by any system, so nothing is known of its rows' origin.")
    declared = tracer.silver[name]
    tracer.open([(layer, name), ("superseded", name), *(("raw", feed.table) for feed in declared.feeds)])
    condition = _condition(tracer.types((layer, name)), declared.contract.key, key, f"silver.{name}")
    rows = tuple(tracer.of_silver(declared, row) for row in tracer.rows((layer, name), condition))
    if rows:
        return Trace(rows)
    lost = tuple(tracer.of_silver(declared, r, "superseded", rivals=False) for r in tracer.rows(("superseded", name), condition))
    texts = [text.rpartition("=")[2] for text in key]
    names = ", ".join(sql_text(n) for n in (name, *(feed.table for feed in declared.feeds)))
    has_key = " AND ".join(f"contains(s.payload, {sql_text(text)})" for text in texts)
    rejected = tracer.rejected(f"s.table_name IN ({names}) AND {has_key}")
    found = "no live row" if lost or rejected else "no row, live, superseded or in quarantine,"
    return Trace(lost, rejected, missing=f"silver.{name} has {found} of {' '.join(key)}.")


def _trace_gold(tracer: _Tracer, name: str, key: Sequence[str]) -> Trace:
    model = tracer.models.get(name)
    if model is None:
        raise QueryError(f"gold.{name} is not a model of the dbt project any more.")
    tables = _reached(tracer, model)
    tracer.open(tables)
    condition = _condition(tracer.types(("gold", name)), [model.key] if model.key else [], key, f"gold.{name}")
    rows = tracer.rows(("gold", name), condition)
    if not rows:
        return Trace((), missing=f"gold.{name} has no row of {' '.join(key)}.")
    missing = None
    if not model.rows_of:
        read = ", ".join([*(f"gold.{ref}" for ref in model.refs), *(f"silver.{source}" for source in model.sources)])
        missing = f"gold.{name} doesn't declare `rows_of`, so its rows lead no further. It reads {read}."
    return Trace(tuple(tracer.of_gold(model, row) for row in rows), missing=missing)


def _reached(tracer: _Tracer, model: Model) -> set[Key]:
    """The tables that a trace of a model's rows may read."""
    # What conditions of `rows_of` name is among what the model reads.
    reached: set[Key] = {("gold", model.name), *(("gold", ref) for ref in model.refs)}
    for name, _ in model.rows_of:
        if name in tracer.models:
            reached |= _reached(tracer, tracer.models[name])
        elif name in tracer.silver:
            reached |= {("silver", name), ("superseded", name), *(("raw", feed.table) for feed in tracer.silver[name].feeds)}
    return reached


def trace_row(root: Root, catalog: Catalog, models: Sequence[Model], file: str, number: int, tell: Tell) -> Trace:
    """Trace a row of a landing file forward: to quarantine, silver and gold. `file` is its name, or its path below landing.

    Raises:
        QueryError: no such file was loaded, or several have its name.
    """
    tracer = _Tracer(root, catalog, {model.name: model for model in models}, tell)
    feed, day, name = _landed(tracer, file)
    readers = [table for table in catalog.tables if feed in {f.table for f in table.feeds}]
    followed = _makers(tracer, {table.name for table in readers})
    tracer.open(
        [
            ("raw", feed),
            *((layer, table.name) for table in readers for layer in ("silver", "superseded")),
            *(("gold", name) for model in followed for name in (model.name, *model.refs)),
        ]
    )
    origin = tracer.origin_of(feed, day, name, number)
    of_file = f"s.source_file = {sql_text(name)} AND s.date = {sql_date(day)}"
    rejected = tracer.rejected(
        f"{of_file} AND (s.row_number = {number} OR s.row_number IS NULL) AND coalesce(s.source_feed, s.table_name) = {sql_text(feed)}"
    )
    identity = dict(zip(IDENTITY, (feed, name, number, None, day), strict=True))
    where = " AND ".join(f"s.{column} = {_literal(value)}" for column, value in identity.items() if column != ITEM)
    live = [(table, row) for table in readers for row in tracer.rows(("silver", table.name), where)]
    rows = [tracer.of_silver(table, row) for table, row in live]
    rows += [
        tracer.of_silver(table, row, "superseded", rivals=False)
        for table in readers
        for row in tracer.rows(("superseded", table.name), where)
    ]
    made = _made_of(tracer, followed, {("silver", table.name): row for table, row in live})
    missing = None
    if origin.text is None and not rejected:
        missing = f"{origin.file} has no row {number}: a row is numbered by the line on which it starts, the first line being 1."
    return Trace((*rows, *made), rejected, origin, missing)


def _makers(tracer: _Tracer, silver: Collection[str]) -> list[Model]:
    """The models whose rows are made of rows of some tables, directly or through other models; each after those that it is made of."""
    reached, followed = {*silver}, []
    for model in tracer.models.values():
        if any(name in reached for name, _ in model.rows_of):
            reached.add(model.name)
            followed.append(model)
    return followed


def _made_of(tracer: _Tracer, followed: Sequence[Model], rows: Mapping[Key, Mapping[str, Any]]) -> list[Traced]:
    """The rows of gold that are made of some rows, by table."""
    known: dict[Key, list[Mapping[str, Any]]] = {key: [row] for key, row in rows.items()}
    made = []
    for model in followed:
        key = ("gold", model.name)
        for name, condition in model.rows_of:
            for row in known.get(("gold" if name in tracer.models else "silver", name), [])[:_NAMED]:
                given = ", ".join(f"{_literal(value)} AS {sql_name(column)}" for column, value in row.items())
                # The row that is looked for is `g` in the condition.
                sql = f"SELECT g.* FROM gold.{sql_name(model.name)} AS g, (SELECT {given}) AS s WHERE ({condition}) LIMIT {MOST_ROWS}"
                if key not in tracer.opened:
                    continue
                found = tracer.connection.execute(sql)
                columns = [column[0] for column in found.description or []]
                new = [dict(zip(columns, values, strict=True)) for values in found.fetchall()]
                known.setdefault(key, []).extend(new)
                made += [Traced("gold", model.name, row) for row in new]
    return made


def _landed(tracer: _Tracer, file: str) -> tuple[str, date, str]:
    """The feed's raw table, the date and the name of a file that was loaded.

    Raises:
        QueryError: there is none, or several have the name.
    """
    landings = {feed.landing: feed.table for feed in tracer.catalog.feeds}
    folder, _, name = file.removeprefix("landing/").rpartition("/")
    files = [
        (table, day, landed.name)
        for (_, table, day), record in Ledger(tracer.root).read("raw").items()
        for landed in record.files
    ]
    landing_of = {table: landing for landing, table in landings.items()}
    paths = {f"{landing_of[table]}/{day}/{landed}": (table, day, landed) for table, day, landed in files if table in landing_of}
    found = [path for path in paths if path == f"{folder}/{name}" or (not folder and path.rpartition("/")[2] == name)]
    if not found:
        near = nearest(file.removeprefix("landing/"), paths) or nearest(name, [path.rpartition("/")[2] for path in paths])
        raise QueryError(f"No file {file!r} was loaded{near}.")
    if len(found) > 1:
        listed = ", ".join(sorted(found)[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        raise QueryError(f"{len(found)} files have the name {name!r}. Name one by its path: {listed}.")
    return paths[found[0]]
