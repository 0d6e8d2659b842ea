"""Read-only SQL over all tables, run by DuckDB: schemas `raw`, `silver`, `gold`, `quarantine`, `superseded`, `ops`.

A query is refused unless it is one SELECT that names only these tables and the lists of them. The check uses the syntax tree from
DuckDB's own parser. The connection that runs the query can't read files outside the root, use the network or change its settings.
"""

import csv
import json
import logging
import math
import re
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from lakehouse_assets.books.incidents import Incidents, incidents_schema
from lakehouse_assets.books.ledger import Ledger, ledger_schema
from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.runs import Runs
from lakehouse_assets.books.set_aside import SUPERSEDED, SetAside, listed_set_aside, rows_set_aside
from lakehouse_assets.delta.duck import column_types, new_connection, rows_of_schema, table_view
from lakehouse_assets.delta.tables import file_paths, open_table, sql_name, sql_text
from lakehouse_assets.errors import QueryError
from lakehouse_assets.serving.changes import CHANGES, Changes, changed_rows
from lakehouse_assets.serving.versions import AsOf, Tell, Versions
from lakehouse_assets.store.errors import unquoted
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable

SCHEMAS = ("raw", "silver", "gold", "quarantine", "superseded", "ops")

ALLOWED_TABLE_FUNCTIONS = ("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree")
"""Functions in FROM that read nothing outside the query."""

LISTS = ("tables", "columns")
"""The tables of `information_schema` that a query may read."""

_SHOWN = ('"tables"', "__show_tables_expanded")
"""What SHOW may list: DuckDB's internal names for TABLES and ALL TABLES."""

_SHOW_TABLES = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
_ALL_TABLES = "SELECT table_schema AS schema, table_name AS name FROM information_schema.tables ORDER BY ALL"
"""DuckDB's SHOW TABLES lists those of the schema `main`, which is empty."""

_FORBIDDEN = re.compile(
    r"getenv|getvariable|current_(setting|query|query_id|connection_id|transaction_id)|txid_current|version|stats|vector_type"
    r"|pg_(?!typeof$|size_pretty$).*|inet_.*|has_.*_privilege|(col|obj|shobj)_description|in_search_path|get_block_size"
    r"|json_serialize_plan|json_execute_serialized_sql|parse_duckdb_log_message|nextval|currval|sleep_ms|(read|write|http|load)_.*"
)
"""Scalar functions that reveal the process or the machine rather than the tables, run SQL from text, or waste time."""

_ROW_ACCOUNTS = "layer, table_name, date, rows_in, rows_out, rows_quarantined, rows_superseded, delta_version, run_id"
_QUARANTINE = (
    "layer, table_name, date, source_file, row_number, rule, reason, payload, run_id, rows, source_feed, item_number, place"
)


_LOG = logging.getLogger(__name__)

Tables = set[tuple[str, str]]
"""Tables by schema and name."""

_PASSES, _RUNS, _INCIDENTS = ("ops", "passes"), ("ops", "runs"), ("ops", "incidents")
_BOOKS: Tables = {("ops", "partitions"), ("ops", "row_accounts"), _PASSES, _RUNS, _INCIDENTS, ("quarantine", "rows")}


def query(
    root: Root,
    sql: str,
    as_of: AsOf | None = None,
    changes: Changes | None = None,
    tell: Tell = _LOG.warning,
) -> "duckdb.DuckDBPyRelation":
    """Run a query and return its result.

    `as_of` is the state of the tables that it reads, see `versions.py`. With `changes`, the query may read `ops.changes`: what changed
    in a table. `tell` gets a sentence for each table that is not read at the version that belongs to the others.

    Raises:
        QueryError: the query is refused, or DuckDB can't run it; the message says why.
    """
    import duckdb

    if _SHOW_TABLES.fullmatch(sql):
        sql = _ALL_TABLES
    connection = new_connection(root)
    read = refuse_unless_harmless(connection, sql)
    if changes is not None:
        read = None if read is None else read - {CHANGES}
    open_views(connection, root, read, Versions(root, as_of, tell), as_of)
    if changes is not None:
        connection.execute(f"CREATE VIEW {'.'.join(CHANGES)} AS {changed_rows(root, changes, tell)}")
    lock(connection, root)
    try:
        result = connection.sql(sql)
    except duckdb.Error as error:
        raise QueryError(f"{unquoted(root, _without_position(error))}\n{_TABLES}") from None
    return result


def lock(connection: "duckdb.DuckDBPyConnection", root: Root) -> None:
    """Let a connection read nothing outside the root from now on, and keep it from changing its settings."""
    connection.execute(f"SET allowed_directories = [{sql_text(root.uri)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def refuse_unless_harmless(connection: "duckdb.DuckDBPyConnection", sql: str) -> Tables | None:
    """Refuse anything but a single SELECT (or SHOW, DESCRIBE, SUMMARIZE) over tables. Return the tables that it reads.

    None stands for all tables: the query lists them.

    Raises:
        QueryError: the query is refused; the message says why.
    """
    parsed = json.loads((connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone() or ("{}",))[0])
    if parsed.get("error"):
        if parsed.get("error_type") == "not implemented":
            raise QueryError("Only SELECT is allowed: tables are changed by landing files, not by queries.")
        raise QueryError(f"The query can't be parsed: {parsed.get('error_message')}")
    statements = parsed["statements"]
    if len(statements) != 1:
        raise QueryError(f"One query at a time is allowed, not {len(statements)}.")
    nodes = list(_nodes(statements[0]))
    named = {str(node["key"]).lower() for node in nodes if "key" in node and "value" in node} - _internal_views(connection)
    for node in nodes:
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in ALLOWED_TABLE_FUNCTIONS:
                raise QueryError(f"The function {name} is not allowed: queries read tables, not files or the network. {_TABLES}")
        elif node.get("class") == "FUNCTION" and _is_forbidden(node):
            raise QueryError(f"The function {node['function_name']} is not allowed: it reveals the machine, not the tables.")
        elif kind == "BASE_TABLE":
            _refuse_unless_table(node, named)
        elif kind == "SHOW_REF" and not (node.get("query") or node["table_name"] in _SHOWN or node["schema_name"] in SCHEMAS):
            raise QueryError(f"This is not allowed: it reveals the machine, not the tables. {_TABLES}")
    read = {(n["schema_name"].lower(), n["table_name"].lower()) for n in nodes if n.get("type") == "BASE_TABLE"}
    lists_tables = any(n.get("type") == "SHOW_REF" for n in nodes) or any(schema not in ("", *SCHEMAS) for schema, _ in read)
    return None if lists_tables else {table for table in read if table[0]}


_TABLES = f"Tables are in the schemas {', '.join(SCHEMAS)}; `SHOW ALL TABLES` lists them."


def _internal_views(connection: "duckdb.DuckDBPyConnection") -> set[str]:
    """Return the names of DuckDB's built-in views, which it finds without a schema."""
    return {name for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()}


def _is_forbidden(function: dict[str, Any]) -> bool:
    return function.get("schema") == "pg_catalog" or _FORBIDDEN.fullmatch(str(function["function_name"]).lower()) is not None


def _refuse_unless_table(node: dict[str, Any], named: set[str]) -> None:
    """Check that a name in FROM is a table of the lakehouse, or a subquery that the query itself defines (`named`)."""
    catalog, schema, table = (node[part].lower() for part in ("catalog_name", "schema_name", "table_name"))
    if any(c in table for c in "/\\.*:"):
        raise QueryError(f"{node['table_name']!r} is not a table: files and addresses are not allowed. {_TABLES}")
    if schema:
        known = catalog in ("", "memory") and (schema in SCHEMAS or (schema == "information_schema" and table in LISTS))
    else:
        known = not catalog and table in named
    if not known:
        name = ".".join(node[part] for part in ("catalog_name", "schema_name", "table_name") if node[part])
        raise QueryError(f"{name} is not allowed: it is not a table of the lakehouse. {_TABLES}")


def open_views(
    connection: "duckdb.DuckDBPyConnection",
    root: Root,
    read: Tables | None = None,
    versions: Versions | None = None,
    as_of: AsOf | None = None,
) -> None:
    """Create views of some tables below a root, or of all, each at its version; without `versions`, at its newest.

    If one of them does not exist, all are opened too: DuckDB's message then names those with a similar name.

    Raises:
        QueryError: the state `as_of` can't be had of them.
    """
    if as_of is not None:
        _refuse_unless_dated(read, as_of)
    for schema in SCHEMAS:
        connection.execute(f"CREATE SCHEMA {schema}")
    existing = [(layer, name) for layer in ("raw", "silver", "gold") for name in root.table_names(layer)]
    existing += [("superseded", name) for layer, name in existing if layer == "silver"]
    if read is None or not read <= {*existing, *_BOOKS}:
        read, versions = {*existing, *_BOOKS}, None
    beside_gold = any(layer == "gold" for layer, _ in read)
    opened: dict[str, DeltaTable | None] = {}  # each once: rows and superseded rows of a table are those of one version
    for layer, name in sorted(read - _BOOKS):
        uri = root.table("silver" if layer == "superseded" else layer, name)
        if uri not in opened:
            table_layer = "silver" if layer == "superseded" else layer
            opened[uri] = versions.open(table_layer, name, beside_gold=beside_gold) if versions else open_table(uri)
        if (table := opened[uri]) is None:
            continue
        if layer == "superseded":
            _superseded_view(connection, root, name, table)
        else:
            table_view(connection, f'{layer}."{name}"', uri, table)
    if _PASSES in read:
        connection.execute(f"CREATE VIEW {'.'.join(_PASSES)} AS {_passes(root)}")
    if _RUNS in read:
        connection.execute(f"CREATE VIEW {'.'.join(_RUNS)} AS {Runs(root).sql()}")
    if _INCIDENTS in read:
        connection.execute(f"CREATE VIEW {'.'.join(_INCIDENTS)} AS {_incidents(connection, root)}")
    if read & _BOOKS - {_PASSES, _RUNS, _INCIDENTS}:
        _open_books(connection, root)


def _refuse_unless_dated(read: Tables | None, as_of: AsOf) -> None:
    """Refuse a query of which a former state can't be told.

    Raises:
        QueryError: it lists tables or reads the books, or it reads several tables and a version is asked for.
    """
    if read is None or read & _BOOKS:
        raise QueryError("--as-of holds for tables of raw, silver, gold and superseded: ops, quarantine and lists are of now.")
    tables = {("silver" if layer == "superseded" else layer, name) for layer, name in read}
    if as_of.version is not None and len(tables) != 1:
        named = f"{len(tables)} ({', '.join('.'.join(table) for table in sorted(tables))})" if tables else "none"
        raise QueryError(
            f"--as-of {as_of.text} is a version, and versions count the commits of one table, but the query reads {named}. "
            "Give a time or a pass."
        )


def _superseded_view(connection: "duckdb.DuckDBPyConnection", root: Root, name: str, table: "DeltaTable") -> None:
    """Create the view of the rows that are superseded in the opened version of a silver table, with the table's columns.

    There is none if their list is missing: the next pass builds such a table again.
    """
    uri = root.table("silver", name)
    listed = SetAside() if table.version() == 0 else listed_set_aside(root, "silver", name, table)
    if listed is None:
        return
    listed = listed.with_reason(SUPERSEDED)
    rows = rows_set_aside(uri, listed.files, column_types(table), listed.count, listed.places)
    connection.execute(f"CREATE VIEW superseded.{sql_name(name)} AS {rows}")


def _open_books(connection: "duckdb.DuckDBPyConnection", root: Root) -> None:
    """Create the views of the ledger and the quarantine."""
    ledger = Ledger(root)
    ledger_table = open_table(ledger.uri)
    records = rows_of_schema(connection, file_paths(ledger_table, ledger.uri) if ledger_table else [], ledger_schema())
    connection.execute(f"CREATE VIEW ops.partitions AS {records}")
    connection.execute(f"CREATE VIEW ops.row_accounts AS SELECT {_ROW_ACCOUNTS} FROM ops.partitions WHERE rows_in IS NOT NULL")
    # Only entries of the quarantine that the ledger names count: others belong to steps that were killed or are still running.
    entries = Quarantine(root).entries(connection)
    connection.execute(
        f"""CREATE VIEW quarantine.rows AS SELECT {_QUARANTINE} FROM ({entries}) SEMI JOIN (
            SELECT layer, table_name, date, unnest(batches) AS batch FROM ops.partitions
        ) USING (layer, table_name, date, batch)"""
    )


def _passes(root: Root) -> str:
    """SQL for the manifests: which versions belong together."""
    columns = {
        "number": "BIGINT",
        "time": "TIMESTAMPTZ",
        "run_id": "VARCHAR",
        "tables": "MAP(VARCHAR, STRUCT(table_id VARCHAR, version BIGINT))",
        "behind": "VARCHAR[]",
    }
    files = ", ".join(sql_text(root.path(path)) for path in Manifests(root).paths())
    if not files:
        return f"SELECT {', '.join(f'CAST(NULL AS {kind}) AS {name}' for name, kind in columns.items())} WHERE FALSE"
    types = ", ".join(f"{name}: {sql_text(kind)}" for name, kind in columns.items())
    return f"FROM read_json([{files}], columns = {{{types}}})"


def _incidents(connection: "duckdb.DuckDBPyConnection", root: Root) -> str:
    """SQL for the incidents that are open, or were closed not long ago."""
    book = Incidents(root)
    table = open_table(book.uri)
    return rows_of_schema(connection, file_paths(table, book.uri) if table else [], incidents_schema())


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all JSON objects in a syntax tree."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _without_position(error: Exception) -> str:
    """Return DuckDB's message without the part that points into the SQL text."""
    return str(error).split("\n\nLINE")[0].strip()


def as_json(result: "duckdb.DuckDBPyRelation") -> list[dict[str, Any]]:
    """Return the rows as plain values: decimals as numbers, dates and times as ISO 8601 text, NaN and infinity as null.

    The second column of a name becomes `name_2`.
    """
    names: list[str] = []
    for name in result.columns:
        count = sum(n == name or n.startswith(f"{name}_") for n in names)
        names.append(name if name not in names else f"{name}_{count + 1}")
    return [dict(zip(names, (_json_value(v) for v in row), strict=True)) for row in result.fetchall()]


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json_value(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(v) for v in value]
    if isinstance(value, Decimal):
        return _json_value(float(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def write_csv(result: "duckdb.DuckDBPyRelation", out: TextIO) -> None:
    """Write the rows as CSV. Text that a spreadsheet would read as a formula is prefixed with a quote (OWASP, CSV injection)."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.columns)
    while rows := result.fetchmany(10_000):
        writer.writerows([_no_formula(value) for value in row] for row in rows)


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
