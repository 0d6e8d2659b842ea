"""Queries read versions that belong together, or those of a former state; and what changed between two of them."""

from datetime import UTC, date, datetime, timedelta

import obstore
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.errors import QueryError
from lakehouse_assets.serving.changes import Changes, key_of, parse_changes
from lakehouse_assets.serving.query import query
from lakehouse_assets.serving.versions import AsOf, parse_as_of
from lakehouse_assets.systems import catalog

DAY = date(2026, 1, 5)
FACT, DIM, ROWS = ("gold", "fact"), ("gold", "dim"), ("silver", "rows")


def write(root, key, **columns):
    """Make the next version of a table, with these columns."""
    size = len(next(iter(columns.values())))
    write_deltalake(
        root.table(*key),
        pa.table({**columns, "_date": [DAY] * size}),
        mode="overwrite",
        partition_by=["_date"],
        schema_mode="overwrite",
    )


def publish(root, *keys):
    opened = {key: DeltaTable(root.table(*key)) for key in keys}
    return Manifests(root).publish(opened, built=[name for _, name in keys], failed=(), run_id="run")


@pytest.fixture
def star(root):
    """A fact and a dimension of one pass, and the fact of a pass that has not ended."""
    for key, numbers in ((DIM, [1]), (FACT, [1]), (ROWS, [1])):
        write(root, key, n=numbers)
    publish(root, DIM, FACT, ROWS)
    write(root, ROWS, n=[1, 2])
    write(root, FACT, n=[1, 2])
    return root


def numbers(root, table, *given, **options):
    return sorted(n for (n,) in query(root, f"SELECT n FROM {table}", *given, **options).fetchall())


def test_a_pass_that_is_under_way_shows_nothing_of_itself(star):
    assert numbers(star, "gold.fact") == [1]
    assert query(star, "SELECT count(*) FROM gold.fact LEFT JOIN gold.dim USING (n) WHERE dim.n IS NULL").fetchone() == (0,)
    write(star, DIM, n=[1, 2])
    publish(star, DIM, FACT, ROWS)
    assert numbers(star, "gold.fact") == [1, 2]


def test_silver_beside_gold_is_what_gold_was_built_from_and_alone_it_is_the_newest(star):
    assert query(star, "SELECT count(*) FROM gold.fact FULL JOIN silver.rows USING (n)").fetchone() == (1,)
    assert numbers(star, "silver.rows") == [1, 2]


def test_a_table_that_no_manifest_names_is_read_at_its_newest(star):
    write(star, ("gold", "mart"), n=[1])
    write(star, ("gold", "mart"), n=[2])
    assert numbers(star, "gold.mart") == [2]


def test_a_table_that_was_made_anew_is_read_at_its_newest_and_that_is_said(star):
    said = []
    for path, _ in star.files("gold/fact"):
        obstore.delete(star.store, path)
    write(star, FACT, n=[7])
    assert numbers(star, "gold.fact", tell=said.append) == [7]
    assert said == [
        "gold.fact is read at its newest version, 0: its version 0, which pass:1 names, is gone: it was made anew or put back since. "
        "The next pass mends that."
    ]


def test_a_table_whose_last_build_failed_is_said_to_be_older(star):
    said = []
    opened = {key: DeltaTable(star.table(*key)) for key in (DIM, FACT)}
    Manifests(star).publish(opened, built=["dim"], failed=["fact"], run_id="run")
    numbers(star, "gold.dim", tell=said.append)
    assert said == []
    numbers(star, "gold.fact", tell=said.append)
    assert said == ["gold.fact is older than the other tables: its last build failed."]


def test_as_of_a_version_a_time_or_a_pass(star):
    before = datetime.now(UTC)
    write(star, DIM, n=[1, 2])
    publish(star, DIM, FACT, ROWS)
    assert numbers(star, "gold.fact", AsOf("0", version=0)) == [1]
    assert numbers(star, "gold.fact", AsOf("pass:1", number=1)) == [1]
    assert numbers(star, "gold.fact", AsOf("pass:2", number=2)) == [1, 2]
    assert numbers(star, "gold.fact", AsOf("then", time=before)) == [1]
    assert numbers(star, "gold.dim", AsOf("later", time=before + timedelta(days=1))) == [1, 2]
    # Silver alone is what it was at that moment, not what gold had read.
    assert numbers(star, "silver.rows", AsOf("then", time=before)) == [1, 2]
    assert query(star, "SELECT count(*) FROM gold.fact FULL JOIN silver.rows USING (n)", AsOf("pass:1", number=1)).fetchone() == (
        1,
    )


@pytest.mark.parametrize(
    ("sql", "as_of", "reason"),
    [
        ("FROM gold.fact", "9", r"gold.fact has no version 9: its newest is 1\."),
        ("FROM gold.fact", "pass:9", r"There is no pass:9, or not any more. The newest is pass:1\."),
        ("FROM gold.fact", "2020-01-01", r"gold.fact can't be read as of 2020-01-01: it is younger"),
        (
            "FROM gold.fact JOIN gold.dim USING (n)",
            "0",
            r"versions count the commits of one table, but the query reads 2 \(gold.dim, gold.f",
        ),
        ("SELECT 1", "0", r"the query reads none"),
        ("FROM ops.partitions", "pass:1", r"ops, quarantine and lists are of now"),
        ("SHOW ALL TABLES", "pass:1", r"ops, quarantine and lists are of now"),
        ("FROM gold.fcat", "pass:1", r"fcat does not exist"),
    ],
)
def test_a_state_that_can_not_be_had_is_refused(star, sql, as_of, reason):
    with pytest.raises(QueryError, match=reason):
        query(star, sql, parse_as_of(as_of, "UTC")).fetchall()


def test_a_pass_whose_table_was_made_anew_is_refused(star):
    for path, _ in star.files("gold/fact"):
        obstore.delete(star.store, path)
    write(star, FACT, n=[7])
    with pytest.raises(QueryError, match="can't be read as of pass:1: its version 0, which pass:1 names, is gone"):
        query(star, "FROM gold.fact", AsOf("pass:1", number=1))


def test_times_are_of_the_business_day_and_a_date_is_its_end():
    assert parse_as_of("12", "UTC") == AsOf("12", version=12)
    assert parse_as_of("20260131", "UTC").version == 20260131
    assert parse_as_of("pass:7", "UTC") == AsOf("pass:7", number=7)
    assert parse_as_of("2026-01-31T14:30", "Europe/Paris").time == datetime(2026, 1, 31, 13, 30, tzinfo=UTC)
    assert parse_as_of("2026-01-31 14:30+00:00", "Europe/Paris").time == datetime(2026, 1, 31, 14, 30, tzinfo=UTC)
    assert parse_as_of("2026-01-31", "Europe/Paris").time == datetime(2026, 1, 31, 22, 59, 59, 999999, tzinfo=UTC)
    for text in ("yesterday", "pass:", "-1", "2026-13-01", ""):
        with pytest.raises(QueryError, match="is no version, time or pass"):
            parse_as_of(text, "UTC")


def changes(root, *key, before=None, after=None, name=DIM):
    rows = query(root, "SELECT * EXCLUDE (_date) FROM ops.changes ORDER BY ALL", None, Changes(*name, key, before, after))
    return rows.fetchall()


def test_changes_are_rows_added_gone_and_changed_by_key(root):
    write(root, DIM, k=[1, 2, 3, 4], name=["a", "b", "c", None], _file=["x"] * 4)
    write(root, DIM, k=[2, 3, 4, 5], name=["b", "C", "d", "e"], _file=["y"] * 4)
    assert {row[2]: row for row in changes(root, "k")} == {
        1: ("gone", None, 1, "a", "x"),
        3: ("changed", {"name": "c"}, 3, "C", "y"),
        4: ("changed", {"name": None}, 4, "d", "y"),
        5: ("added", None, 5, "e", "y"),
    }


def test_without_a_key_rows_are_counted(root):
    write(root, DIM, name=["a", "a", "b"])
    write(root, DIM, name=["a", "b", "c"])
    assert changes(root) == [("added", None, "c"), ("gone", None, "a")]


def test_columns_that_come_go_or_change_their_type(root):
    write(root, DIM, k=[1, 2], size=[1, 2], old=["x", "x"])
    write(root, DIM, k=[1, 2], size=["1", "3"], new=["n", None])
    result = {row[2]: row[1] for row in changes(root, "k")}
    assert result == {1: {"new": None, "old": "x"}, 2: {"size": "2", "old": "x"}}


def test_only_files_that_one_version_lacks_are_read(root):
    write(root, DIM, k=[1], name=["a"])
    write_deltalake(root.table(*DIM), pa.table({"k": [2], "name": ["b"], "_date": [DAY]}), mode="append")
    [of_both] = DeltaTable(root.table(*DIM), version=0).get_add_actions(flatten=True).column("path").to_pylist()
    obstore.delete(root.store, f"gold/dim/{of_both}")
    assert changes(root, "k") == [("added", None, 2, "b")]


def test_changes_between_passes_are_those_of_what_readers_saw(star):
    write(star, FACT, n=[1, 2, 3])
    publish(star, DIM, FACT, ROWS)
    passes = {"before": AsOf("pass:1", number=1), "after": AsOf("pass:2", number=2)}
    assert changes(star, "n", name=FACT, **passes) == [("added", None, 2), ("added", None, 3)]
    assert changes(star, "n", name=FACT) == [("added", None, 3)]
    with pytest.raises(QueryError, match="Swap them"):
        changes(star, "n", name=FACT, before=passes["after"], after=passes["before"])


def test_what_is_asked_for_is_parsed_or_refused(root):
    assert parse_changes("gold.dim", None, "UTC") == Changes("gold", "dim")
    assert parse_changes("gold.dim", "3..7", "UTC") == Changes("gold", "dim", (), AsOf("3", version=3), AsOf("7", version=7))
    assert parse_changes("gold.dim", "pass:3..", "UTC").after is None
    for table, between in (("dim", None), ("ops.partitions", None), ("gold.dim", "3"), ("gold.dim", "..7")):
        with pytest.raises(QueryError):
            parse_changes(table, between, "UTC")
    with pytest.raises(QueryError, match=r"There is no table gold.dim\."):
        changes(root)
    write(root, DIM, k=[1])
    with pytest.raises(QueryError, match="only one version"):
        changes(root)


def test_the_key_is_that_of_the_contract_or_of_a_test():
    declared = catalog()
    assert key_of("silver", "crm_sales", declared, {})
    test = {"resource_type": "test", "attached_node": "model.lakehouse.dim"}
    model = {"resource_type": "model", "name": "dim", "columns": {"dim_key": {}, "name": {}}}
    unique = [{**test, "test_metadata": {"name": "unique", "kwargs": {"column_name": name}}} for name in ("name", "dim_key")]
    together = {**test, "test_metadata": {"name": "unique_together", "kwargs": {"columns": ["day", "city"]}}}
    assert key_of("gold", "dim", declared, {"nodes": dict(enumerate([model, *unique, together]))}) == ("dim_key",)
    assert key_of("gold", "dim", declared, {"nodes": dict(enumerate([model, together]))}) == ("day", "city")
    assert key_of("gold", "other", declared, {"nodes": dict(enumerate([model, together]))}) == ()
    assert key_of("raw", "crm_sales", declared, {}) == ()


def test_all_passes_are_listed_on_demand(star):
    [row] = query(star, "SELECT number, run_id, behind, tables['gold.fact'].version FROM ops.passes").fetchall()
    assert row == (1, "run", [], 0)
