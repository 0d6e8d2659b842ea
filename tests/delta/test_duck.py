"""Views over a table's files: which files a query opens, and what it finds in them."""

import os
import re
import subprocess
import sys
from datetime import date, timedelta

import duckdb
import pytest

from lakehouse_assets.delta.duck import connect, files_view, new_connection
from lakehouse_assets.store.root import Root

FIRST = date(2026, 1, 1)


@pytest.fixture
def root(tmp_path):
    return Root.parse(str(tmp_path / "root"))


@pytest.fixture
def connection(root):
    with connect(root) as opened:
        yield opened


@pytest.fixture
def put(root, tmp_path):
    """A writer of a file of a table, which answers with its entry as from `live_files`."""

    def write(path, day, sql):
        file = tmp_path / "root" / "silver" / "things" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as writer:
            [[count]] = writer.execute(f"COPY ({sql}) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 2048)").fetchall()
        return {"path": path, "date": day, "num_records": count, "size_bytes": file.stat().st_size}

    return write


@pytest.fixture
def dated(put):
    """Entries of ten files, whose paths have their dates."""
    days = [FIRST + timedelta(days=n) for n in range(10)]
    return [
        put(f"data-1/_verdict=ok/_date={day}/a.parquet", day, f"SELECT {n} AS id FROM range(5)") for n, day in enumerate(days)
    ]


def view(connection, root, files, columns):
    files_view(connection, "things", root.table("silver", "things"), files, columns)


def files_read(connection, sql):
    """How many files a query opens."""
    plan = connection.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
    return sum(int(number) for number in re.findall(r"Total Files Read: (\d+)", plan))


@pytest.mark.parametrize(
    ("where", "files"),
    [
        ("_date = DATE '2026-01-03'", 1),
        ("_date = '2026-01-03'", 1),
        ("_date BETWEEN '2026-01-03' AND '2026-01-05'", 3),
        ("_date IN (DATE '2026-01-01', DATE '2026-01-10')", 2),
        ("_date > '2026-02-01'", 0),
        ("TRUE", 10),
    ],
)
def test_a_query_for_some_dates_opens_their_files_alone(connection, root, dated, where, files):
    view(connection, root, dated, {"id": "int"})
    assert files_read(connection, f"SELECT sum(id) FROM things WHERE {where}") == files


def test_no_other_file_is_opened_to_plan_a_query(connection, root, dated, tmp_path):
    for file in dated[1:]:
        (tmp_path / "root" / "silver" / "things" / file["path"]).write_bytes(b"no Parquet")
    view(connection, root, dated, {"id": "int"})
    assert connection.execute("FROM things WHERE _date = '2026-01-01' LIMIT 1").fetchall() == [(0, FIRST)]


@pytest.mark.parametrize(
    "path", ["data-1/a.parquet", "_date=2030-12-31/a.parquet", "_date=2026-01-01/_date=2030-12-31/a.parquet", "_date=x/a.parquet"]
)
def test_the_date_of_a_file_is_the_log_s_whatever_its_path_says(connection, root, dated, put, path):
    view(connection, root, [*dated, put(path, date(2026, 2, 1), "SELECT 99 AS id")], {"id": "int"})
    assert connection.execute("SELECT _date FROM things WHERE id = 99").fetchall() == [(date(2026, 2, 1),)]
    assert connection.execute("SELECT id FROM things WHERE _date = '2026-02-01'").fetchall() == [(99,)]
    assert files_read(connection, "SELECT id FROM things WHERE _date = '2026-02-01'") == 1


def test_a_folder_above_the_table_may_look_like_a_partition(tmp_path):
    root = Root.parse(str(tmp_path / "_date=2030-12-31" / "root"))
    file = tmp_path / "_date=2030-12-31" / "root" / "silver" / "things" / "_date=2026-01-01" / "a.parquet"
    file.parent.mkdir(parents=True)
    duckdb.sql("SELECT 1 AS id").write_parquet(str(file))
    entry = {"path": "_date=2026-01-01/a.parquet", "date": FIRST, "num_records": 1}
    with connect(root) as connection:
        view(connection, root, [entry], {"id": "int"})
        assert connection.execute("FROM things").fetchall() == [(1, FIRST)]


def test_a_column_that_a_file_lacks_is_null_in_its_rows(connection, root, put):
    files = [
        put("_date=2026-01-01/a.parquet", FIRST, "SELECT 1 AS id"),
        put("_date=2026-01-02/b.parquet", FIRST + timedelta(days=1), "SELECT 'b' AS name, 2 AS id, 'extra' AS other"),
    ]
    view(connection, root, files, {"id": "bigint", "name": "string", "at": "timestamp"})
    assert connection.execute('SELECT id, name, "at" FROM things ORDER BY id').fetchall() == [(1, None, None), (2, "b", None)]
    assert [row[0] for row in connection.execute("DESCRIBE things").fetchall()] == ["id", "name", "at", "_date"]


@pytest.mark.parametrize("name", ["filename", "FileName", "file_index", "file_row_number", 'we\'ird "name"', "_path"])
def test_a_column_may_have_any_name(connection, root, put, name):
    quoted = '"' + name.replace('"', '""') + '"'
    files = [put(f"_date=2026-01-0{n}/a.parquet", date(2026, 1, n), f"SELECT 'text {n}' AS {quoted}") for n in (1, 2)]
    view(connection, root, files, {name: "string"})
    assert connection.execute("FROM things ORDER BY 2").fetchall() == [("text 1", date(2026, 1, 1)), ("text 2", date(2026, 1, 2))]
    assert files_read(connection, "FROM things WHERE _date = '2026-01-02'") == 1


def test_a_moment_without_a_zone_keeps_its_type(connection, root, put):
    file = put("_date=2026-01-01/a.parquet", FIRST, "SELECT TIMESTAMP '2026-01-01 10:00:00' AS at")
    view(connection, root, [file], {"at": "timestamp[us]"})
    assert connection.execute('SELECT typeof("at") FROM things').fetchall() == [("TIMESTAMP",)]


def test_a_view_of_no_files_has_the_columns(connection, root):
    view(connection, root, [], {"id": "int", "filename": "string"})
    assert connection.execute("FROM things").fetchall() == []
    described = [row[:2] for row in connection.execute("DESCRIBE things").fetchall()]
    assert described == [("id", "INTEGER"), ("filename", "VARCHAR"), ("_date", "DATE")]


def test_a_join_reads_only_the_row_groups_that_can_have_a_value(root, put):
    file = put("_date=2026-01-01/a.parquet", FIRST, "SELECT i AS id, i AS amount FROM range(100000) r(i)")
    with new_connection(root) as connection:
        view(connection, root, [file], {"id": "bigint", "amount": "bigint"})
        # A few values far apart: the range from least to greatest is everything.
        connection.execute("CREATE TEMP TABLE keys AS SELECT unnest(range(0, 100)) * 3 + 90000 AS id UNION ALL SELECT 5")
        plan = connection.execute("EXPLAIN ANALYZE SELECT sum(amount) FROM things SEMI JOIN keys USING (id)").fetchall()[0][1]
        assert connection.execute("SELECT count(*) FROM things SEMI JOIN keys USING (id)").fetchall() == [(101,)]
    scanned = [int(rows.replace(",", "")) for rows in re.findall(r"([\d,]+) rows", plan)]
    assert max(scanned) <= 3 * 2048


def test_the_settings_of_a_shared_connection_do_not_depend_on_the_machine(tmp_path):
    code = (
        "import sys; from lakehouse_assets.delta.duck import connect; from lakehouse_assets.store.root import Root\n"
        "names = 'TimeZone', 'dynamic_or_filter_threshold', 'allocator_background_threads'\n"
        "asked = ', '.join(f\"current_setting('{name}')\" for name in names)\n"
        "print(*connect(Root.parse(sys.argv[1])).sql(f'SELECT {asked}').fetchone())"
    )
    environment = {**os.environ, "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.split() == ["UTC", "10000", "True"], done.stderr
