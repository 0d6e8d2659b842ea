import io
import json
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine, quarantine_schema
from lakehouse_assets.delta.tables import dates_predicate, open_table, replace_rows
from lakehouse_assets.errors import QueryError
from lakehouse_assets.serving import query as serving
from lakehouse_assets.serving import versions
from lakehouse_assets.serving.query import as_json, query, refuse_unless_harmless, write_csv
from lakehouse_assets.store.root import Root

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as opened:
        yield opened


NO_QUERIES = [
    "INSERT INTO raw.notes VALUES (1)",
    "UPDATE raw.notes SET text = 'x'",
    "DELETE FROM raw.notes",
    "TRUNCATE raw.notes",
    "MERGE INTO raw.notes USING raw.notes AS n ON FALSE WHEN MATCHED THEN DELETE",
    "CREATE TABLE t AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "DROP TABLE raw.notes",
    "ALTER TABLE raw.notes ADD COLUMN x INT",
    "COPY raw.notes TO 'notes.csv'",
    "COPY raw.notes FROM 'notes.csv'",
    "COPY (SELECT 1) TO '/tmp/one.parquet'",
    "EXPORT DATABASE 'folder'",
    "IMPORT DATABASE 'folder'",
    "ATTACH 'other.db'",
    "DETACH other",
    "USE raw",
    "SET enable_external_access = true",
    "RESET allowed_directories",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN ANALYZE SELECT 1",
    "VACUUM",
    "CHECKPOINT",
    "BEGIN",
    "CREATE SECRET (TYPE s3)",
]


@pytest.mark.parametrize("sql", NO_QUERIES)
def test_a_statement_that_is_no_query_is_refused(connection, sql):
    with pytest.raises(QueryError, match="Only SELECT is allowed"):
        refuse_unless_harmless(connection, sql)


@pytest.mark.parametrize(
    ("sql", "count"), [("SELECT 1; SELECT 2", 2), ("SELECT 1; SELECT 2; SELECT 3;", 3), ("", 0), ("-- x", 0)]
)
def test_anything_but_one_statement_is_refused(connection, sql, count):
    with pytest.raises(QueryError, match=f"One query at a time is allowed, not {count}"):
        refuse_unless_harmless(connection, sql)


@pytest.mark.parametrize("sql", ["SELECT 1; DROP TABLE raw.notes", "COPY raw.notes TO 'x.csv'; SELECT 1"])
def test_a_query_does_not_cover_for_another_statement(connection, sql):
    with pytest.raises(QueryError):
        refuse_unless_harmless(connection, sql)


def test_what_can_t_be_read_is_refused_with_the_parser_s_words(connection):
    with pytest.raises(QueryError, match='syntax error at or near "SELEC"'):
        refuse_unless_harmless(connection, "SELEC 1")


FILES = {
    "read_csv": "read_csv('x.csv')",
    "read_csv_auto": "read_csv_auto('x.csv')",
    "READ_CSV": "READ_CSV('x.csv')",
    "read_parquet": "read_parquet('x.parquet')",
    "parquet_scan": "parquet_scan('x.parquet')",
    "parquet_metadata": "parquet_metadata('x.parquet')",
    "read_json": "read_json('x.json')",
    "read_text": "read_text('/etc/passwd')",
    "read_blob": "read_blob('/etc/passwd')",
    "glob": "glob('/*')",
    "sniff_csv": "sniff_csv('x.csv')",
    "delta_scan": "delta_scan('folder')",
    "sqlite_scan": "sqlite_scan('x.db', 't')",
    "a function by its schema": "main.read_text('/etc/passwd')",
    "query": "query('SELECT 1')",
    "query_table": "query_table('x.csv')",
    "duckdb_secrets": "duckdb_secrets()",
    "duckdb_settings": "duckdb_settings()",
    "a system catalog": "pg_catalog.pg_settings",
    "a system catalog by its catalog": "system.pg_catalog.pg_settings",
    "a system view": "pg_settings",
    "a system view in capitals": "PG_SETTINGS",
    "DuckDB's views": "duckdb_databases",
    "DuckDB's views by their schema": "main.duckdb_logs",
    "SQLite's view": "sqlite_master",
    "databases": "pragma_database_list",
    "a list that is none of tables": "information_schema.schemata",
    "all databases": "(SHOW DATABASES)",
    "variables": "(SHOW VARIABLES)",
    "schemas of another catalog": "(SHOW TABLES FROM pg_catalog)",
    "the columns of a system view": "(DESCRIBE pg_settings)",
    "another database": "system.notes",
    "a table without its schema": "notes",
    "a file": "'file.csv'",
    "a file in a folder": "'/etc/passwd'",
    "a file on Windows": r"'C:\x'",
    "a pattern": "'*'",
    "an address": "'https://example.org/x.parquet'",
    "an object": "'s3://bucket/key'",
    "a file in double quotes": '"file.parquet"',
    "a file in a schema": 'raw."file.csv"',
}
CONTEXTS = {
    "FROM": "SELECT * FROM {}",
    "FROM first": "FROM {}",
    "subquery": "SELECT * FROM (SELECT * FROM (SELECT * FROM {}))",
    "CTE": "WITH x AS (SELECT * FROM {}) SELECT * FROM x",
    "CTE that is not used": "WITH x AS (SELECT * FROM {}) SELECT 1",
    "CTE of a subquery": "SELECT * FROM (WITH x AS (FROM {}) FROM x)",
    "recursive CTE": "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n FROM x, {}) FROM x",
    "UNION": "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT count(*) FROM {}",
    "EXCEPT": "SELECT 1 EXCEPT SELECT count(*) FROM {}",
    "scalar subquery": "SELECT (SELECT count(*) FROM {})",
    "WHERE": "SELECT 1 WHERE EXISTS (FROM {})",
    "IN": "SELECT 1 WHERE 1 IN (SELECT count(*) FROM {})",
    "GROUP BY": "SELECT 1 GROUP BY (SELECT count(*) FROM {})",
    "HAVING": "SELECT 1 HAVING (SELECT count(*) FROM {}) > 0",
    "ORDER BY": "SELECT 1 ORDER BY (SELECT count(*) FROM {})",
    "LIMIT": "SELECT 1 LIMIT (SELECT count(*) FROM {})",
    "QUALIFY": "SELECT 1 AS a QUALIFY row_number() OVER () = (SELECT count(*) FROM {})",
    "window": "SELECT sum(1) OVER (ORDER BY (SELECT count(*) FROM {}))",
    "FILTER": "SELECT count(*) FILTER ((SELECT count(*) FROM {}) > 0)",
    "CASE": "SELECT CASE WHEN TRUE THEN (SELECT count(*) FROM {}) END",
    "lambda": "SELECT list_transform([1], lambda n: n + (SELECT count(*) FROM {}))",
    "JOIN": "SELECT * FROM raw.notes JOIN {} ON TRUE",
    "JOIN condition": "SELECT * FROM raw.notes a JOIN raw.notes b ON (SELECT count(*) FROM {}) > 0",
    "LATERAL": "SELECT * FROM raw.notes, LATERAL (SELECT * FROM {})",
    "VALUES": "VALUES ((SELECT count(*) FROM {}))",
    "argument of a table function": "SELECT * FROM range((SELECT count(*) FROM {}))",
    "DESCRIBE": "DESCRIBE SELECT * FROM {}",
    "SUMMARIZE": "SUMMARIZE SELECT * FROM {}",
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS.keys())
def test_a_file_or_address_is_refused_wherever_it_stands(connection, context):
    for source in FILES.values():
        with pytest.raises(QueryError, match="not allowed"):
            refuse_unless_harmless(connection, context.format(source))


@pytest.mark.parametrize(
    "sql", ["DESCRIBE 'file.csv'", "SUMMARIZE 'file.csv'", "SHOW 'file.csv'", "TABLE 'file.csv'", "PIVOT 'file.csv' ON a"]
)
def test_a_file_in_place_of_a_table_s_name_is_refused(connection, sql):
    with pytest.raises(QueryError):
        refuse_unless_harmless(connection, sql)


CALLS = [
    "getenv('HOME')",
    "GETENV('HOME')",
    "main.getenv('HOME')",
    "current_setting('home_directory')",
    "pg_catalog.current_setting('home_directory')",
    "('home_directory').current_setting()",
    "pg_postmaster_start_time()",
    "pg_conf_load_time()",
    "pg_sleep(9)",
    "sleep_ms(9)",
    "inet_server_addr()",
    "current_connection_id()",
    "version()",
    "write_log('x')",
    "json_serialize_plan('FROM pg_settings')",
    "getvariable('x')",
    "read_text('x')",
]


@pytest.mark.parametrize(
    "context",
    [
        "SELECT {}",
        "SELECT upper({})",
        "SELECT 1 WHERE {} = 'x'",
        "SELECT 1 ORDER BY {}",
        "SELECT (SELECT {})",
        "WITH x AS (SELECT {}) SELECT 1",
        "SELECT 'a' UNION SELECT {}",
        "SELECT list_transform(['HOME'], lambda n: {})",
        "VALUES ({})",
        "SELECT * FROM unnest([{}])",
        "SELECT * FROM range(length({}))",
    ],
)
def test_a_function_that_tells_of_the_machine_is_refused_wherever_it_stands(connection, context):
    for call in CALLS:
        with pytest.raises(QueryError, match="not allowed"):
            refuse_unless_harmless(connection, context.format(call))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1;",
        "select * from raw.notes",
        "FROM raw.notes",
        "TABLE raw.notes",
        "VALUES (1), (2)",
        "WITH x AS (SELECT 1 AS n) SELECT * FROM x",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x WHERE n < 9) SELECT * FROM x",
        "SELECT * FROM raw.notes a JOIN silver.notes b USING (id) LEFT JOIN gold.notes c ON a.id = c.id",
        "SELECT * FROM raw.notes, LATERAL (SELECT 1)",
        "SELECT 1 UNION ALL SELECT 2",
        "SELECT (SELECT max(id) FROM raw.notes)",
        "SELECT count(*) FILTER (id > 1) FROM raw.notes GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1",
        "SELECT row_number() OVER (PARTITION BY id ORDER BY text) FROM raw.notes",
        "SELECT unnest([1, 2])",
        "SELECT * FROM unnest([1, 2])",
        "SELECT * FROM range(3)",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT * FROM raw.notes TABLESAMPLE 10 ROWS",
        "DESCRIBE raw.notes",
        "DESCRIBE SELECT 1",
        "SHOW ALL TABLES",
        "SHOW TABLES",
        "SELECT * FROM information_schema.columns",
        "FROM memory.RAW.notes",
        "WITH Notes AS (FROM raw.notes) FROM notes",
        "SELECT pg_typeof(id), now(), has_all FROM raw.notes",
        "SUMMARIZE raw.notes",
        "SUMMARIZE SELECT 1",
        "SELECT 'read_csv(''x.csv'')'",
        "SELECT '/etc/passwd'",
        'SELECT "a.b/c" FROM raw.notes',
    ],
)
def test_a_query_over_tables_is_allowed(connection, sql):
    refuse_unless_harmless(connection, sql)


def test_a_subquery_s_name_does_not_cover_for_a_system_view_elsewhere(connection):
    with pytest.raises(QueryError, match="pg_settings is not allowed"):
        refuse_unless_harmless(connection, "SELECT (WITH pg_settings AS (SELECT 1) SELECT 1) FROM pg_settings")


HARMLESS = {
    *("current_database", "current_date", "current_schema", "current_schemas", "error", "format_pg_type", "format_type"),
    *("gen_random_uuid", "get_current_time", "get_current_timestamp", "map_to_pg_oid", "now", "pg_size_pretty", "pg_typeof"),
    *("random", "setseed", "today", "transaction_timestamp", "uuid", "uuidv4", "uuidv7"),
}
"""Impure functions that reveal only the time and the query, by DuckDB's names."""


def test_of_the_functions_that_are_not_pure_only_known_ones_are_allowed(connection):
    """The list comes from DuckDB itself, so that a new version can't add one unnoticed."""
    impure = connection.execute(
        """SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro')
           AND (schema_name = 'pg_catalog' OR stability IS NULL AND function_type = 'scalar' OR stability <> 'CONSISTENT')"""
    ).fetchall()
    assert {name for (name,) in impure if not serving._is_forbidden({"function_name": name})} == HARMLESS


def test_no_view_of_duckdb_itself_is_read_but_the_lists_of_tables(connection):
    views = connection.execute("SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE internal").fetchall()
    assert len(views) > 40
    for database, schema, view in views:
        for name in (view, f"{schema}.{view}", f"{database}.{schema}.{view}"):
            if name not in ("information_schema.tables", "information_schema.columns"):
                with pytest.raises(QueryError, match="not allowed"):
                    refuse_unless_harmless(connection, f"FROM {name}")


def test_no_table_function_of_duckdb_reaches_beyond_the_query(connection):
    found = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type LIKE 'table%'"
    ).fetchall()
    allowed = set()
    for (name,) in found:
        try:
            refuse_unless_harmless(connection, f"FROM {name}()")
        except QueryError:
            continue
        allowed.add(name)
    assert allowed == set(serving.ALLOWED_TABLE_FUNCTIONS)


def test_a_variable_of_this_program_is_no_table(notes):
    with pytest.raises(QueryError, match="not allowed"):
        query(notes, "FROM sql")


@pytest.fixture
def notes(root):
    """A root with the table raw.notes, one row in quarantine and one in the ledger."""
    rows = pa.table({"id": [1, 2], "text": ["a", "=b"], "_date": pa.array([D1, D2], pa.date32())})
    replace_rows(root.table("raw", "notes"), rows, predicate=dates_predicate([D1, D2]), key="1", run_id="run-1")
    refused = {"layer": "raw", "table_name": "notes", "date": D1, "source_file": "a.csv", "row_number": 3, "run_id": "run-1"}
    faults = {"rule": "row_has_all_fields", "reason": "expected 2 fields, found 1", "payload": "3", "rows": 1}
    # Only a row that the ledger names counts; the other was left by a step that was killed.
    rejects = [refused | faults | {"batch": "named"}, refused | faults | {"batch": "left", "row_number": 4}]
    Quarantine(root).add(pa.Table.from_pylist(rejects, schema=quarantine_schema()), "run-1")
    record = PartitionRecord("raw", "notes", D1, 2, 1, 1, 0, 1, "run-1", "f1", batches=["named"])
    Ledger(root).record("raw", ["notes"], lambda known: [record], "run-1")
    return root


def test_a_table_is_read(notes):
    assert query(notes, "SELECT id, text, _date FROM raw.notes ORDER BY id").fetchall() == [(1, "a", D1), (2, "=b", D2)]


def test_a_table_is_read_as_its_newest_version(notes):
    rows = pa.table({"id": [3], "text": ["c"], "_date": pa.array([D2], pa.date32())})
    replace_rows(notes.table("raw", "notes"), rows, predicate=dates_predicate([D2]), key="2", run_id="run-2")
    assert query(notes, "SELECT id FROM raw.notes ORDER BY id").fetchall() == [(1,), (3,)]


@pytest.mark.parametrize(
    ("sql", "opened"),
    [
        ("SELECT 1", []),
        ("FROM RAW.notes", ["raw/notes"]),
        ("WITH n AS (FROM raw.notes) SELECT (SELECT count(*) FROM n), id FROM silver.notes", ["raw/notes", "silver/notes"]),
        ("FROM ops.row_accounts", ["ops/partitions"]),
        ("FROM quarantine.rows JOIN raw.notes USING (date)", ["raw/notes", "ops/partitions"]),
        ("SHOW ALL TABLES", ["raw/notes", "silver/notes", "ops/incidents", "ops/partitions"]),
        ("SELECT table_name FROM information_schema.tables", ["raw/notes", "silver/notes", "ops/incidents", "ops/partitions"]),
    ],
)
def test_a_query_opens_the_tables_that_it_reads(notes, monkeypatch, sql, opened):
    rows = pa.table({"id": [1], "date": pa.array([D1], pa.date32()), "_date": pa.array([D1], pa.date32())})
    for layer in ("raw", "silver"):
        replace_rows(notes.table(layer, "notes"), rows, predicate=dates_predicate([D1]), key="2", run_id="run-2")
    found = []
    for module in (serving, versions):
        monkeypatch.setattr(module, "open_table", lambda uri: found.append(uri.removeprefix(f"{notes.uri}/")) or open_table(uri))
    query(notes, sql).fetchall()
    assert found == opened


def test_a_table_without_rows_has_its_columns(notes):
    rows = pa.table({"id": pa.array([], pa.int64()), "_date": pa.array([], pa.date32())})
    replace_rows(notes.table("silver", "notes"), rows, predicate=dates_predicate([D1]), key="1", run_id="run-1")
    assert query(notes, "FROM silver.notes").columns == ["id", "_date"]


def test_quarantine_is_read(notes):
    assert query(notes, "SELECT table_name, row_number, payload FROM quarantine.rows").fetchall() == [("notes", 3, "3")]


def test_row_accounts_are_read(notes):
    sql = "SELECT table_name, rows_in, rows_out, rows_quarantined FROM ops.row_accounts"
    assert query(notes, sql).fetchall() == [("notes", 2, 1, 1)]


def test_quarantine_has_the_columns_that_are_promised(root):
    assert ", ".join(query(root, "FROM quarantine.rows").columns) == (
        "layer, table_name, date, source_file, row_number, rule, reason, payload, run_id, rows, source_feed, item_number, place"
    )


def test_row_accounts_have_the_columns_that_are_promised(root):
    assert ", ".join(query(root, "FROM ops.row_accounts").columns) == (
        "layer, table_name, date, rows_in, rows_out, rows_quarantined, rows_superseded, delta_version, run_id"
    )


def test_tables_are_listed(notes):
    listed = query(notes, "SELECT schema, name FROM (SHOW ALL TABLES)").fetchall()
    assert {("raw", "notes"), ("quarantine", "rows"), ("ops", "row_accounts")} <= set(listed)


def test_only_the_schemas_tables_are_listed(notes):
    assert {s for (s,) in query(notes, "SELECT DISTINCT schema FROM (SHOW ALL TABLES)").fetchall()} <= set(serving.SCHEMAS)


@pytest.mark.parametrize("sql", ["FROM raw.letters", "SELECT nothing FROM raw.notes", "SELECT no_function(1)"])
def test_a_query_that_duckdb_can_t_bind_is_refused_with_a_way_on(notes, sql):
    with pytest.raises(QueryError, match="`SHOW ALL TABLES` lists them"):
        query(notes, sql)


def test_a_table_that_is_named_without_its_schema_is_refused_with_a_way_on(notes):
    with pytest.raises(QueryError, match=r"notes is not allowed: it is not a table .* Tables are in the schemas raw, silver"):
        query(notes, "FROM notes")


def test_a_refused_query_reads_nothing(notes):
    with pytest.raises(QueryError, match="not allowed"):
        query(notes, "SELECT * FROM read_text('/etc/passwd')")


def test_a_root_may_have_a_quote_in_its_name(tmp_path):
    assert query(Root.parse(str(tmp_path / "it's")), "SELECT 1").fetchall() == [(1,)]


@pytest.fixture
def outside(tmp_path):
    """A file beside the root."""
    file = tmp_path / "secret.csv"
    file.write_text("word\nhunter2\n")
    return file


@pytest.fixture
def unchecked(monkeypatch, notes):
    """A function that runs any SQL, as if it had passed the parser's check."""
    monkeypatch.setattr(serving, "refuse_unless_harmless", lambda connection, sql: None)
    return lambda sql: query(notes, sql).fetchall()


def test_the_locks_let_files_of_the_root_through(unchecked, notes):
    file = Path(notes.path("landing", "a.csv"))
    file.parent.mkdir()
    file.write_text("word\nmine\n")
    assert unchecked(f"FROM read_csv('{file}')") == [("mine",)]


@pytest.mark.parametrize("source", ["read_csv('{}')", "read_text('{}')", "read_blob('{}')", "sniff_csv('{}')", "'{}'"])
def test_past_the_check_no_file_outside_the_root_is_read(unchecked, outside, source):
    with pytest.raises((QueryError, duckdb.Error)):
        unchecked(f"FROM {source.format(outside)}")


def test_past_the_check_no_folder_outside_the_root_is_listed(unchecked, outside):
    try:
        found = unchecked(f"FROM glob('{outside.parent}/*.csv')")
    except (QueryError, duckdb.Error):
        found = []
    assert found == []


def test_past_the_check_no_way_up_leads_out_of_the_root(unchecked, notes, outside):
    with pytest.raises((QueryError, duckdb.Error)):
        unchecked(f"FROM read_text('{notes.uri}/../{outside.name}')")


def test_past_the_check_a_folder_whose_name_begins_like_the_root_is_outside(unchecked, notes):
    other = Path(f"{notes.uri}_other", "secret.csv")
    other.parent.mkdir()
    other.write_text("word\nhunter2\n")
    with pytest.raises((QueryError, duckdb.Error)):
        unchecked(f"FROM read_text('{other}')")


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{}.db' AS other",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "RESET lock_configuration",
        "INSTALL httpfs",
        "FROM 'https://example.org/x.csv'",
    ],
)
def test_past_the_check_no_statement_reaches_out(unchecked, outside, sql):
    with pytest.raises((QueryError, duckdb.Error), match=r"disabled by configuration|has been locked|Cannot access"):
        unchecked(sql.format(outside))


def test_past_the_check_nothing_is_written_outside_the_root(unchecked, outside):
    with pytest.raises((QueryError, duckdb.Error)):
        unchecked(f"COPY (SELECT 1) TO '{outside}.copy'")
    assert not Path(f"{outside}.copy").exists()


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("1", 1),
        ("NULL", None),
        ("TRUE", True),
        ("'ä'", "ä"),
        ("1.50::DECIMAL(12,2)", 1.5),
        ("1.5::DOUBLE", 1.5),
        ("DATE '2026-01-31'", "2026-01-31"),
        ("TIMESTAMP '2026-01-31 10:00:00'", "2026-01-31T10:00:00"),
        ("TIME '10:00:00'", "10:00:00"),
        ("[1, 2]", [1, 2]),
        ("{'day': DATE '2026-01-31', 'n': 1.5::DECIMAL(4,2)}", {"day": "2026-01-31", "n": 1.5}),
        ("MAP {'a': 1}", {"a": 1}),
    ],
)
def test_json_holds_plain_values(root, sql, value):
    assert as_json(query(root, f"SELECT {sql} AS found")) == [{"found": value}]


@pytest.mark.parametrize(
    "sql", ["'nan'::DOUBLE", "'infinity'::DOUBLE", "MAP {DATE '2026-01-31': 1}", "'x'::BLOB", "uuid()", "INTERVAL 1 DAY"]
)
def test_json_can_be_made_of_any_value(root, sql):
    [row] = json.loads(json.dumps(as_json(query(root, f"SELECT {sql} AS found")), allow_nan=False))
    assert row.keys() == {"found"}


def test_json_keeps_both_of_two_columns_with_one_name(root):
    [row] = as_json(query(root, "SELECT * FROM (SELECT 1 AS id) a JOIN (SELECT 2 AS id) b ON TRUE"))
    assert sorted(row.values()) == [1, 2]


def test_json_of_no_rows_is_an_empty_list(root):
    assert as_json(query(root, "FROM quarantine.rows")) == []


def csv_of(root, sql):
    out = io.StringIO()
    write_csv(query(root, sql), out)
    return out.getvalue()


def test_csv_has_a_header_and_the_rows(root):
    assert csv_of(root, "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) t (id, text)") == "id,text\n1,a\n2,\n"


def test_csv_of_no_rows_is_the_header(root):
    assert csv_of(root, "SELECT 1 AS id, 'a' AS text WHERE FALSE") == "id,text\n"


def test_csv_quotes_what_needs_it(root):
    assert csv_of(root, """SELECT 'a,b "c"' AS text""") == 'text\n"a,b ""c"""\n'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_csv_makes_text_of_what_a_spreadsheet_would_take_for_a_formula(root, text):
    assert csv_of(root, f"SELECT '{text}' AS text") == f"text\n'{text}\n"


@pytest.mark.parametrize(("sql", "text"), [("-1", "-1"), ("-1.5::DECIMAL(4,2)", "-1.50"), ("'1=1'", "1=1"), ("''", '""')])
def test_csv_leaves_other_values_as_they_are(root, sql, text):
    assert csv_of(root, f"SELECT {sql} AS text") == f"text\n{text}\n"


def test_csv_holds_more_rows_than_are_fetched_at_once(root):
    assert csv_of(root, "SELECT range AS n FROM range(25000)").count("\n") == 25_001
