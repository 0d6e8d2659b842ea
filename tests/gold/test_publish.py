"""Publishing a model writes the partitions whose rows differ, and no others."""

import random
from collections import Counter
from datetime import date, timedelta

import duckdb
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.delta.tables import compact, open_table, table_facts
from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.gold import publish as publishing
from lakehouse_assets.gold.models import Model, Seed
from lakehouse_assets.gold.publish import TablesRead, fill_database, publish_model, rows_of_grain
from lakehouse_assets.store.root import Root

D1 = date(2026, 1, 1)
MODEL = Model("things", "marts", (), (), "checksum", (), "Things", key="n", foreign_keys=("customer_key", "product_key"))


@pytest.fixture
def publish(tmp_path):
    root = Root.parse(str(tmp_path / "root"))
    count = iter(range(100))

    def run(sql: str):
        with duckdb.connect() as connection:
            connection.execute(f"CREATE SCHEMA gold; CREATE TABLE gold.things AS {sql}")
            published = publish_model(connection, root, MODEL, fingerprint=str(next(count)), run_id="run")
        run.rows_rekeyed = published.rows_rekeyed
        return published.commit.changed, table_facts(published.table).rows_by_date

    run.root = root
    return run


def live_rows(publish):
    table = open_table(publish.root.table("gold", "things"))
    return sorted(tuple(row.values()) for row in table.to_pyarrow_table().to_pylist())


def test_the_rows_of_a_grain_are_counted_in_the_books_or_by_the_sql_that_says_how_many_a_row_makes():
    sales = PartitionRecord("silver", "sales", D1, None, 7, 0, 0, 1, "run", "")
    items = [PartitionRecord("silver", "items", D1 + timedelta(n), None, 3, 0, 0, 1, "run", "") for n in range(2)]
    records = {(r.layer, r.table_name, r.date): r for r in (sales, *items)}
    model = Model(
        "fact", "facts", ("items", "sales"), (), "", (("sales", None), ("items", "(parent IS NULL)::INT + returned")), ""
    )
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE SCHEMA silver; CREATE TABLE silver.items AS SELECT *, DATE '2026-01-01' AS _date "
            "FROM (VALUES (NULL, 0), (NULL, 2), (1, 0)) AS t (parent, returned)"
        )
        assert rows_of_grain(connection, model, records) == {D1: 7 + 4, D1 + timedelta(1): 0}


def test_a_silver_table_that_was_never_written_is_empty_and_a_seed_has_its_types(tmp_path):
    (tmp_path / "channels.csv").write_text('name,active\n"Shop, web",true\n007,\n')
    seed = Seed("channels", tmp_path / "channels.csv", {"name": "varchar", "active": "boolean"})
    database = tmp_path / "run.duckdb"
    columns = {("silver", "sales"): {"id": "int", "_date": "date"}}
    fill_database(database, Root.parse(str(tmp_path / "root")), TablesRead({}, {}), [], columns, [seed])
    with duckdb.connect(str(database)) as connection:
        described = [row[:2] for row in connection.execute("DESCRIBE silver.sales").fetchall()]
        assert described == [("id", "INTEGER"), ("_date", "DATE")]
        assert connection.execute("SELECT count(*) FROM silver.sales").fetchall() == [(0,)]
        assert connection.execute("FROM gold.channels").fetchall() == [("Shop, web", True), ("007", None)]


def test_a_model_that_came_out_the_same_is_not_committed(publish):
    publish("SELECT 1 AS n, DATE '2026-01-01' AS _date")
    assert publish("SELECT 1 AS n, DATE '2026-01-01' AS _date")[0] is False


def test_rows_that_now_refer_to_another_row_of_a_dimension_are_counted_by_foreign_key(publish):
    sales = (
        "SELECT n, CASE WHEN n < {merged} THEN 1 ELSE n END AS customer_key, 7 AS product_key, DATE '2026-01-01' AS _date {rows}"
    )
    publish(sales.format(merged=0, rows="FROM range(4) AS t (n)"))
    assert publish.rows_rekeyed == {}
    publish(sales.format(merged=4, rows="FROM range(6) AS t (n)"))
    assert publish.rows_rekeyed == {"customer_key": 3}
    publish(sales.format(merged=4, rows="FROM range(6) AS t (n)"))
    assert publish.rows_rekeyed == {}


def test_only_differing_partitions_are_written(publish):
    publish("SELECT n, DATE '2026-01-01' + n::INTEGER AS _date FROM range(3) AS t (n)")
    before = {f for f in open_table(publish.root.table("gold", "things")).file_uris() if "2026-01-02" not in f}
    publish("SELECT CASE n WHEN 1 THEN 9 ELSE n END AS n, DATE '2026-01-01' + n::INTEGER AS _date FROM range(3) AS t (n)")
    assert before <= set(open_table(publish.root.table("gold", "things")).file_uris())
    assert [row[0] for row in live_rows(publish)] == [0, 2, 9]


def test_a_row_that_moves_to_another_date_leaves_its_old_one(publish):
    publish("SELECT 1 AS n, DATE '2026-01-01' AS _date")
    publish("SELECT 1 AS n, DATE '2026-01-05' AS _date")
    assert [str(row[1]) for row in live_rows(publish)] == ["2026-01-05"]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 1.5::DOUBLE AS n, DATE '2026-01-01' AS _date", [1.5]),
        ("SELECT 'x' AS n, DATE '2026-01-01' AS _date", ["x"]),
        ("SELECT 5000000000 AS n, DATE '2026-01-01' AS _date", [5000000000]),
    ],
)
def test_a_column_may_change_its_type(publish, sql, rows):
    publish("SELECT 1 AS n, DATE '2026-01-01' AS _date")
    publish(sql)
    assert [row[0] for row in live_rows(publish)] == rows
    assert publish(sql)[0] is False


def test_a_column_may_go_and_another_come(publish):
    publish("SELECT 1 AS n, 2 AS m, DATE '2026-01-01' AS _date")
    publish("SELECT 1 AS n, 3 AS k, DATE '2026-01-01' AS _date")
    table = open_table(publish.root.table("gold", "things"))
    assert [f.name for f in table.schema().fields] == ["n", "k", "_date"]
    assert publish("SELECT 1 AS n, 3 AS k, DATE '2026-01-01' AS _date")[0] is False


def test_a_model_without_a_row_is_a_table(publish):
    assert publish("SELECT 1 AS n, DATE '2026-01-01' AS _date WHERE FALSE") == (False, {})
    assert live_rows(publish) == []


def test_what_another_writer_has_put_there_meanwhile_is_replaced_too(publish, monkeypatch):
    publish("SELECT 1 AS n, DATE '2026-01-01' AS _date")
    differing, others = publishing.built_sums, iter(["SELECT 5 AS n, DATE '2026-01-02' AS _date"])

    def overtaken(*args):
        found = differing(*args)
        if sql := next(others, None):
            with monkeypatch.context() as patch:
                patch.setattr(publishing, "built_sums", differing)
                publish(sql)
        return found

    monkeypatch.setattr(publishing, "built_sums", overtaken)
    publish("SELECT 1 AS n, DATE '2026-01-01' AS _date UNION ALL SELECT 3, DATE '2026-01-03'")
    assert [row[0] for row in live_rows(publish)] == [1, 3]


def test_a_row_without_a_date_is_refused(publish):
    with pytest.raises(PartitionGuardError, match=r"1 rows have no _date.*models/marts/things\.sql"):
        publish("SELECT 1 AS n, CAST(NULL AS DATE) AS _date")


@pytest.fixture
def reads(monkeypatch):
    """An entry for each time that a live table was read."""
    found = []
    live = publishing.live_sums
    monkeypatch.setattr(publishing, "live_sums", lambda *args: found.append(args) or live(*args))
    return found


def query_of(rows):
    """A model of these rows: a number or NULL, and a date."""
    values = ", ".join(f"({'NULL' if n is None else n}::INTEGER, DATE '{day}')" for n, day in rows or [(0, D1)])
    return f"SELECT * FROM (VALUES {values}) AS t (n, _date) WHERE {bool(rows)}"


def done_by_hand(uri, chance, day):
    """Somebody else appends or deletes rows, restores a version, compacts files."""
    table = DeltaTable(uri)
    what = chance.choice(["append", "delete", "restore", "compact"])
    if what == "append":
        write_deltalake(
            uri, duckdb.sql(f"SELECT {chance.randrange(4)}::INTEGER AS n, DATE '{day}' AS _date").to_arrow_table(), mode="append"
        )
    elif what == "delete":
        table.delete(f"_date = DATE '{day}'")
    elif what == "restore":
        table.restore(chance.randrange(table.version() + 1))
    else:
        compact(table, run_id="upkeep")


def test_whatever_others_do_to_the_table_it_is_the_model_again(publish):
    chance, rows = random.Random(13), [(0, D1)]
    days = [D1 + timedelta(days=n) for n in range(4)]
    for _ in range(40):
        if chance.random() < 0.7:
            rows = [(chance.choice([None, 0, 1, 2]), chance.choice(days)) for _ in range(chance.randrange(5))]
        publish(query_of(rows))
        table = open_table(publish.root.table("gold", "things")).to_pyarrow_table()
        assert Counter(tuple(row.values()) for row in table.to_pylist()) == Counter(rows)
        if chance.random() < 0.3:
            done_by_hand(publish.root.table("gold", "things"), chance, chance.choice(days))


def test_what_was_published_last_is_not_read_again(publish, reads):
    rows = [(1, D1), (None, D1 + timedelta(days=1))]
    publish(query_of(rows))
    reads.clear()
    assert publish(query_of(rows))[0] is False
    assert publish(query_of([(1, D1), (0, D1 + timedelta(days=1))]))[0] is True
    assert reads == []


def test_what_another_writer_has_committed_is_read(publish, reads):
    publish(query_of([(1, D1)]))
    reads.clear()
    DeltaTable(publish.root.table("gold", "things")).delete()
    assert publish(query_of([(1, D1)]))[0] is True
    assert len(reads) == 1


def test_columns_in_another_order_are_the_same_rows(publish):
    publish("SELECT 1 AS n, 2 AS m, DATE '2026-01-01' AS _date")
    assert publish("SELECT 2 AS m, 1 AS n, DATE '2026-01-01' AS _date")[0] is False
