"""Tables published to a real PostgreSQL."""

import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from math import isnan
from pathlib import Path

import psycopg2
import pytest
from deltalake import DeltaTable
from pydantic import SecretStr

from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.errors import PublishError, SettingsError
from lakehouse_assets.publish.postgres import Postgres, PostgresConfig
from lakehouse_assets.publish.served import Served, unpublished
from tests.support.database import PASSWORD, Database
from tests.support.served import DAY1, DAY2, DAY3, SALES, VALUES, all_types, rewrite, sales, write

DIM = Served("gold", "dim_store", "Stores", {}, ("sale_key",))


def target(database: Database, *tables: Served, password: str = PASSWORD) -> Postgres:
    return Postgres(PostgresConfig(database.url, SecretStr(password), "lakehouse_reader"), tables or (SALES,))


def publish(root, to: Postgres) -> dict[str, tuple[int, int]]:
    """By table: the partitions and rows that were sent."""
    done = list(to.publish(root, to.tables, "run"))
    assert not [d.refusal for d in done if d.refusal]
    return {d.served.title: (d.partitions, d.rows) for d in done}


def refusal(root, to: Postgres) -> str:
    (done,) = to.publish(root, to.tables, "run")
    assert done.refusal is not None
    return done.refusal


def stale(root, to: Postgres) -> dict[str, set]:
    return {d.served.title: set(d.dates) for d in unpublished(root, to)}


def plain(value):
    if isinstance(value, memoryview):
        return bytes(value)
    return "nan" if isinstance(value, float) and isnan(value) else value


def test_every_type_arrives_with_the_values_that_delta_has(root, database):
    write(root, SALES, all_types())
    publish(root, target(database))
    # Python's date and time end with the year 9999, as the tables do; psycopg2 reads both ends.
    found = database.rows("SET TimeZone = 'UTC'; SELECT * FROM gold.fact_sales ORDER BY sale_key")
    assert [tuple(map(plain, row)) for row in found] == [tuple(map(plain, row)) for row in VALUES]
    types = database.rows(
        """SELECT format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = 'gold.fact_sales'::regclass AND attnum > 0 ORDER BY attnum"""
    )
    assert [kind for (kind,) in types] == [
        *("bigint", "integer", "smallint", "smallint", "numeric(18,2)", "numeric(38,10)", "double precision", "real", "text"),
        *("boolean", "date", "timestamp with time zone", "timestamp without time zone", "bytea", "date"),
    ]


def test_a_text_with_the_one_character_that_postgresql_lacks_is_published(root, database):
    write(root, SALES, sales(DAY1, [1], why="a\x00b"))
    publish(root, target(database))
    assert database.rows("SELECT why FROM gold.fact_sales") == [("a�b",)]


def test_gold_is_published_by_the_newest_manifest_so_that_a_fact_never_meets_an_older_dimension(root, database):
    to = target(database, SALES, DIM)

    def pass_over() -> None:
        opened = {(s.layer, s.name): DeltaTable(root.table(s.layer, s.name)) for s in to.tables}
        Manifests(root).publish(opened, built=[], failed=[], run_id="run")

    for served in to.tables:
        write(root, served, sales(DAY1, [1]))
    pass_over()
    publish(root, to)
    write(root, SALES, sales(DAY1, [1, 2]))  # a pass is under way: its dimension is not built yet
    assert stale(root, to) == {}
    write(root, DIM, sales(DAY1, [1, 2]))
    assert publish(root, to) == {"gold.fact_sales": (0, 0), "gold.dim_store": (0, 0)}
    pass_over()
    assert stale(root, to) == {"gold.fact_sales": {DAY1}, "gold.dim_store": {DAY1}}
    publish(root, to)
    assert database.rows("SELECT count(*) FROM gold.fact_sales JOIN gold.dim_store USING (sale_key)") == [(2,)]


def test_columns_of_lists_are_refused(root, database):
    write(root, SALES, sales(DAY1, [1], tags=["a"]))
    assert "tags (list" in refusal(root, target(database))


def test_only_partitions_that_changed_are_sent(root, database):
    to = target(database)
    assert publish(root, to) == {}  # never written
    write(root, SALES, sales(DAY1, range(100)))
    write(root, SALES, sales(DAY2, range(100, 110)))
    assert stale(root, to) == {"gold.fact_sales": {DAY1, DAY2}}
    assert publish(root, to) == {"gold.fact_sales": (2, 110)}
    assert stale(root, to) == {}
    assert publish(root, to) == {"gold.fact_sales": (0, 0)}
    write(root, SALES, sales(DAY2, range(100, 105), amount=2))
    assert publish(root, to) == {"gold.fact_sales": (1, 5)}
    write(root, SALES, sales(DAY3, []), DAY1)
    assert publish(root, to) == {"gold.fact_sales": (1, 0)}
    assert database.rows("SELECT sale_key, amount FROM gold.fact_sales ORDER BY 1") == [(k, Decimal(2)) for k in range(100, 105)]
    assert database.rows("SELECT delta_version, rows FROM lakehouse.published") == [
        (DeltaTable(root.table("gold", "fact_sales")).version(), 5)
    ]


@pytest.mark.parametrize(
    "accident",
    [
        "TRUNCATE gold.fact_sales",
        "DELETE FROM gold.fact_sales WHERE sale_key = 3",
        "UPDATE gold.fact_sales SET amount = 0",
        "DROP TABLE gold.fact_sales",
        "DROP SCHEMA gold CASCADE",
        "DROP SCHEMA lakehouse CASCADE; DROP TABLE gold.fact_sales",
        "ALTER TABLE gold.fact_sales DROP COLUMN amount",
        "CREATE TABLE other AS FROM_; DROP TABLE gold.fact_sales".replace("FROM_", "TABLE gold.fact_sales"),
    ],
)
def test_what_an_accident_took_out_of_the_database_is_found_and_sent_again(root, database, accident):
    to = target(database)
    write(root, SALES, sales(DAY1, range(10)))
    publish(root, to)
    database.rows(accident)
    assert stale(root, to)
    assert publish(root, to) == {"gold.fact_sales": (1, 10)}
    assert database.rows("SELECT count(*), sum(amount) FROM gold.fact_sales") == [(10, Decimal(10))]
    assert stale(root, to) == {}


def test_an_older_database_that_was_restored_gets_what_it_lacks(root, server, database):
    to = target(database)
    write(root, SALES, sales(DAY1, range(10)))
    publish(root, to)
    older = replace(database, name=f"{database.name}_older")
    replace(database, name="postgres").rows(f"CREATE DATABASE {older.name} TEMPLATE {database.name}")
    write(root, SALES, sales(DAY2, range(10, 12)))
    assert publish(root, to) == publish(root, target(older)) == {"gold.fact_sales": (1, 2)}


def test_keys_comments_indexes_and_the_readers_role(root, database):
    write(root, SALES, sales(DAY1, [1, 2]))
    publish(root, target(database))
    assert database.rows("SELECT obj_description('gold.fact_sales'::regclass)") == [(SALES.description,)]
    assert database.rows("SELECT col_description('gold.fact_sales'::regclass, 1)") == [("Surrogate key",)]
    indexes = [
        text.partition(" USING ")[2] for (text,) in database.rows("SELECT indexdef FROM pg_indexes WHERE schemaname = 'gold'")
    ]
    assert sorted(indexes) == ["btree (_date)", "btree (sale_key)"]
    database.rows("CREATE INDEX own ON gold.fact_sales (note)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.rows("INSERT INTO gold.fact_sales (sale_key) VALUES (1)")

    database.rows(f"CREATE USER {database.name}_ann IN ROLE lakehouse_reader PASSWORD 'ann'")
    ann = database.connect(user=f"{database.name}_ann", password="ann")
    cursor = ann.cursor()
    cursor.execute("SELECT count(*) FROM gold.fact_sales")
    assert cursor.fetchone() == (2,)
    for forbidden in ("DELETE FROM gold.fact_sales", "CREATE TABLE gold.mine ()", "DELETE FROM lakehouse.published"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(forbidden)
    ann.close()
    # A new description is no new row.
    newer = replace(SALES, description="Sales", columns={"note": "Said"})
    assert publish(root, target(database, newer)) == {"gold.fact_sales": (0, 0)}
    assert database.rows(
        "SELECT obj_description('gold.fact_sales'::regclass), col_description('gold.fact_sales'::regclass, 3)"
    ) == [("Sales", "Said")]
    assert database.rows("SELECT count(*) FROM pg_indexes WHERE schemaname = 'gold'") == [(3,)]


def test_added_columns_go_through_and_views_stay(root, database):
    to = target(database)
    write(root, SALES, sales(DAY1, [1]))
    publish(root, to)
    database.rows("CREATE VIEW public.report AS SELECT sale_key, amount FROM gold.fact_sales")
    write(root, SALES, sales(DAY2, [2], channel="web"))
    assert publish(root, to) == {"gold.fact_sales": (1, 1)}
    assert database.rows("SELECT sale_key, channel FROM gold.fact_sales ORDER BY 1") == [(1, None), (2, "web")]
    assert database.rows("SELECT count(*) FROM public.report") == [(2,)]


def test_removed_and_retyped_columns_stop_and_name_the_views_that_read_them(root, database):
    to = target(database)
    write(root, SALES, sales(DAY1, [1], pieces=1, channel="web"))
    publish(root, to)
    database.rows(
        "CREATE VIEW report AS SELECT amount, channel FROM gold.fact_sales; CREATE VIEW keys AS SELECT sale_key FROM gold.fact_sales"
    )
    rewrite(root, SALES, sales(DAY1, [1], pieces=Decimal("1.50"), amount=3))
    said = refusal(root, to)
    assert "channel is gone; pieces was bigint and is numeric(3,2)" in said
    assert "report (channel)" in said
    assert "keys" not in said
    assert database.rows("SELECT channel, amount FROM report") == [("web", Decimal(1))]
    assert stale(root, to) == {"gold.fact_sales": {DAY1}}
    # What the text says is what helps.
    database.rows("CREATE OR REPLACE VIEW report2 AS SELECT amount FROM gold.fact_sales; DROP VIEW report")
    database.rows(said.partition("`")[2].partition("`")[0])
    assert publish(root, to) == {"gold.fact_sales": (1, 1)}
    assert database.rows("SELECT pieces, amount FROM gold.fact_sales") == [(Decimal("1.50"), Decimal(3))]


def test_a_table_that_somebody_else_made_is_left_alone_and_the_others_are_published(root, database):
    for served in (SALES, DIM):
        write(root, served, sales(DAY1, [1]))
    database.rows("CREATE SCHEMA gold; CREATE TABLE gold.fact_sales AS SELECT 1 AS mine")
    done = {d.served.title: d.refusal for d in target(database, SALES, DIM).publish(root, (SALES, DIM), "run")}
    assert done["gold.dim_store"] is None
    assert "has not made" in (done["gold.fact_sales"] or "")
    assert database.rows("SELECT * FROM gold.fact_sales") == [(1,)]


def test_readers_see_whole_states_only_of_all_tables_at_once(root, database):
    to = target(database, SALES, DIM)
    keys = range(500)

    def write_both(amount: int) -> None:
        for served in (SALES, DIM):
            write(root, served, sales(DAY1, keys, amount))

    write_both(0)
    publish(root, to)
    seen, over = [], threading.Event()

    def read() -> None:
        connection = database.connect()
        cursor = connection.cursor()
        while not over.is_set():
            cursor.execute(
                """SELECT count(*), min(amount), max(amount) FROM
                (SELECT amount FROM gold.fact_sales UNION ALL SELECT amount FROM gold.dim_store) AS both_tables"""
            )
            seen.append(cursor.fetchone())
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for amount in range(1, 5):
                write_both(amount)
                publish(root, to)
        finally:
            over.set()
        for reader in readers:
            reader.result()
    assert {count for count, _, _ in seen} == {2 * len(keys)}
    assert all(low == high for _, low, high in seen)
    assert len({low for _, low, _ in seen}) > 1


_PUBLISH = """
import sys
from pydantic import SecretStr
from lakehouse_assets.publish.postgres import Postgres, PostgresConfig
from lakehouse_assets.store.root import Root
from tests.support.served import SALES
root, url, password = sys.argv[1:]
list(Postgres(PostgresConfig(url, SecretStr(password), "lakehouse_reader"), (SALES,)).publish(Root.parse(root), (SALES,), "run"))
"""


def test_a_publish_that_is_killed_leaves_the_old_state(root, database):
    to = target(database)
    write(root, SALES, sales(DAY1, range(5)))
    publish(root, to)
    write(root, SALES, sales(DAY1, range(200), amount=7))
    # So that there is time to kill it while it sends rows.
    database.rows(
        """CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;
        CREATE TRIGGER wait BEFORE INSERT ON gold.fact_sales FOR EACH ROW EXECUTE FUNCTION wait()"""
    )
    other = subprocess.Popen(
        [sys.executable, "-c", _PUBLISH, root.uri, database.url, PASSWORD], cwd=Path(__file__).parents[2], stderr=subprocess.PIPE
    )
    sending = "SELECT 1 FROM pg_stat_progress_copy WHERE datname = current_database() AND tuples_processed > 10"
    _until(lambda: database.rows(sending) or other.poll() is not None)
    assert other.poll() is None
    other.send_signal(signal.SIGKILL)
    other.communicate()
    _until(lambda: database.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == [(1,)])
    assert database.rows("SELECT count(*), max(amount) FROM gold.fact_sales") == [(5, Decimal(1))]
    assert stale(root, to) == {"gold.fact_sales": {DAY1}}
    database.rows("DROP FUNCTION wait CASCADE")
    assert publish(root, to) == {"gold.fact_sales": (1, 200)}


def _until(holds) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_of_two_publishers_at_once_one_sends_and_the_other_finds_nothing_to_do(root, database):
    write(root, SALES, sales(DAY1, range(20_000)))
    write(root, DIM, sales(DAY1, range(20_000)))
    both = [target(database, SALES, DIM), target(database, DIM, SALES)]
    with ThreadPoolExecutor(2) as pool:
        sent = sorted(tuple(sorted(p.values())) for p in pool.map(lambda to: publish(root, to), both))
    assert sent == [((0, 0), (0, 0)), ((1, 20_000), (1, 20_000))]


def test_rows_that_break_the_key_publish_nothing_and_are_not_quoted(root, database):
    write(root, SALES, sales(DAY1, [4711, 4711]))
    with pytest.raises(PublishError, match=r"postgres/gold.fact_sales: .*could not create unique index") as raised:
        publish(root, target(database))
    assert "4711" not in str(raised.value)
    assert database.rows("SELECT to_regclass('gold.fact_sales')") == [(None,)]


def test_a_password_may_have_any_character(root, database):
    odd = "sesame %/@'é:?#"
    database.rows(f"CREATE ROLE {database.name}_odd LOGIN SUPERUSER PASSWORD %s", odd)
    url = f"postgresql://{database.name}_odd@{database.address}/{database.name}"
    assert Postgres(PostgresConfig(url, SecretStr(odd), "lakehouse_reader"), (SALES,)).held({}) == {}


def test_no_text_has_the_password(root, database):
    wrong = target(database, password="wrong %/@'é")
    with pytest.raises(SettingsError, match="password authentication failed") as refused:
        wrong.held({})
    away = Postgres(replace(wrong.config, url="postgresql://ann@127.0.0.1:1/none"), (SALES,))
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1:1/none can't be reached") as unreachable:
        away.held({})
    with pytest.raises(SettingsError, match="LAKEHOUSE_POSTGRES_PASSWORD") as in_url:
        PostgresConfig("postgresql://ann:wrong@host/db", None, "reader")
    with pytest.raises(SettingsError) as in_option:
        PostgresConfig("postgresql://ann@host/db?password=wrong", None, "reader")
    said = [str(e.value) + repr(e.value.__cause__) for e in (refused, unreachable, in_url, in_option)]
    assert "wrong" not in json.dumps([*said, repr(wrong), repr(wrong.config)])
