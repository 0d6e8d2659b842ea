"""Tables published to an Iceberg catalog, read back by PyIceberg and DuckDB, which have code of their own for it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from math import isnan
from pathlib import Path

import duckdb
import duckdb_extension_avro
import duckdb_extension_iceberg
import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.utils.config import Config

from lakehouse_assets.delta.tables import compact, open_table
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.publish.iceberg import EMBEDDED, Iceberg
from lakehouse_assets.publish.served import Served, unpublished
from lakehouse_assets.serving.query import query
from lakehouse_assets.store.root import Root
from tests.support.served import DAY1, DAY2, DAY3, SALES, VALUES, all_types, rewrite, sales, write

ORDERS = Served("silver", "orders", "Orders", {})


def target(root: Root, *tables: Served) -> Iceberg:
    return Iceberg(EMBEDDED, root, Path(root.uri, "iceberg", "catalog.db"), tables or (SALES,))


def publish(root: Root, to: Iceberg) -> dict[str, tuple[int, int]]:
    """By table: the partitions and rows that are new."""
    done = list(to.publish(root, to.tables, "run"))
    assert not [d.refusal for d in done if d.refusal]
    return {d.served.title: (d.partitions, d.rows) for d in done}


def stale(root, to) -> dict[str, set]:
    return {d.served.title: set(d.dates) for d in unpublished(root, to)}


def load(to: Iceberg, title: str = "gold.fact_sales"):
    with to.opened() as catalog:
        return catalog.load_table(title)


def by_duckdb(to: Iceberg, columns: str = "*", where: str = "TRUE") -> list[tuple]:
    with duckdb.connect() as connection:
        for package in (duckdb_extension_avro, duckdb_extension_iceberg):
            (file,) = Path(package.__file__).parent.rglob("*.duckdb_extension")
            connection.execute(f"LOAD '{file}'")
        connection.execute("SET TimeZone = 'UTC'")
        source = f"iceberg_scan('{load(to).metadata_location}')"
        return connection.execute(f"SELECT {columns} FROM {source} WHERE {where} ORDER BY 1").fetchall()


def plain(row: tuple) -> tuple:
    return tuple("nan" if isinstance(value, float) and isnan(value) else value for value in row)


def test_every_type_reads_as_delta_has_it(root):
    write(root, SALES, all_types())
    to = target(root)
    assert publish(root, to) == {"gold.fact_sales": (2, 3)}
    wanted = list(map(plain, VALUES))
    assert list(map(plain, by_duckdb(to))) == wanted
    result = load(to).scan().to_arrow().sort_by("sale_key")
    assert [plain(tuple(row.values())) for row in result.to_pylist()] == wanted
    schema = load(to).schema()
    assert [str(field.field_type) for field in schema.fields] == [
        *("long", "int", "int", "int", "decimal(18, 2)", "decimal(38, 10)", "double", "float", "string", "boolean", "date"),
        *("timestamptz", "timestamp", "binary", "date"),
    ]
    assert schema.find_field("sale_key").doc == "Surrogate key"
    assert load(to).properties["comment"] == SALES.description


def test_readers_skip_files_by_the_date_that_only_the_metadata_has(root):
    for day, key in ((DAY1, 1), (DAY2, 2), (DAY3, 3)):
        write(root, SALES, sales(day, [key]))
    to = target(root)
    publish(root, to)
    assert by_duckdb(to, "sale_key, _date", f"_date = DATE '{DAY2}'") == [(2, DAY2)]
    scan = load(to).scan(f"_date = '{DAY2}'")
    assert len(list(scan.plan_files())) == 1
    assert scan.to_arrow().column("sale_key").to_pylist() == [2]
    # Statistics of the columns come from the footers.
    assert len(list(load(to).scan("sale_key > 2").plan_files())) == 1


def test_a_snapshot_is_made_only_of_what_changed_and_copies_nothing(root):
    to = target(root, SALES, ORDERS)
    assert publish(root, to) == {}
    write(root, SALES, sales(DAY1, range(5)))
    write(root, ORDERS, sales(DAY1, range(2)))
    assert stale(root, to) == {"gold.fact_sales": {DAY1}, "silver.orders": {DAY1}}
    publish(root, to)
    assert stale(root, to) == {}
    first = load(to, "silver.orders").metadata_location
    write(root, SALES, sales(DAY2, range(5, 7), amount=2))
    assert publish(root, to) == {"gold.fact_sales": (1, 2), "silver.orders": (0, 0)}
    write(root, SALES, sales(DAY3, []), DAY1)
    assert publish(root, to)["gold.fact_sales"] == (1, 0)
    assert by_duckdb(to, "sale_key, amount") == [(5, Decimal(2)), (6, Decimal(2))]
    assert load(to, "silver.orders").metadata_location == first
    assert len(load(to).snapshots()) == 3
    before = load(to).snapshots()[0].snapshot_id
    assert load(to).scan(snapshot_id=before).to_arrow().num_rows == 5
    assert not list(Path(root.uri, "iceberg").rglob("*.parquet"))
    # Compacted, the rows lie in other files.
    write(root, SALES, sales(DAY2, [7]), DAY3)
    compact(open_table(root.table("gold", "fact_sales")), run_id="run")
    publish(root, to)
    assert by_duckdb(to, "sale_key") == query(root, "SELECT sale_key FROM gold.fact_sales ORDER BY 1").fetchall() == [(7,)]


def test_what_another_program_changed_is_found_and_put_right(root):
    to = target(root)
    write(root, SALES, sales(DAY1, range(5)))
    publish(root, to)
    load(to).delete("sale_key > 2")
    assert stale(root, to) == {"gold.fact_sales": {DAY1}}
    publish(root, to)
    assert len(by_duckdb(to)) == 5
    with to.opened() as catalog:
        catalog.drop_table("gold.fact_sales")
    assert stale(root, to) == {"gold.fact_sales": {DAY1}}
    publish(root, to)
    assert len(by_duckdb(to)) == 5
    assert stale(root, to) == {}


def test_columns_follow(root):
    to = target(root)
    write(root, SALES, sales(DAY1, [1], pieces=1, channel="web"))
    publish(root, to)
    write(root, SALES, sales(DAY2, [2], store="Köln"))
    publish(root, to)
    assert by_duckdb(to, "sale_key, channel, store") == [(1, "web", None), (2, None, "Köln")]
    rewrite(root, SALES, sales(DAY1, [1], pieces="two", amount=3))
    publish(root, to)
    assert by_duckdb(to, "* EXCLUDE note") == [(1, Decimal(3), DAY1, "two")]
    assert load(to).scan().to_arrow().column("pieces").to_pylist() == ["two"]
    assert stale(root, to) == {}
    described = target(root, replace(SALES, columns={"pieces": "How many"}))
    assert stale(root, described) == {"gold.fact_sales": set()}
    publish(root, described)
    assert load(to).schema().find_field("pieces").doc == "How many"
    assert stale(root, described) == {}


def test_publishers_at_once_make_one_snapshot(root):
    write(root, SALES, sales(DAY1, range(10)))
    publish(root, target(root))
    write(root, SALES, sales(DAY2, range(10, 20)))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: publish(root, target(root)), range(2)))
    to = target(root)
    assert len(by_duckdb(to)) == 20
    assert len(load(to).snapshots()) == 2


def test_a_table_of_others_and_lists_are_refused(root):
    to = target(root)
    write(root, SALES, sales(DAY1, [1]))
    with to.opened() as catalog:
        catalog.create_namespace("gold")
        catalog.create_table("gold.fact_sales", pa.schema([("mine", pa.int64())]))
    (done,) = to.publish(root, to.tables, "run")
    assert "has not made" in (done.refusal or "")
    write(root, ORDERS, sales(DAY1, [1], tags=["a"]))
    (done,) = target(root, ORDERS).publish(root, (ORDERS,), "run")
    assert "tags" in (done.refusal or "")


def test_a_catalog_of_pyiceberg_s_own_settings(root, tmp_path, monkeypatch):
    def configure(**settings: str) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
        monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())  # a process reads it once

    write(root, SALES, sales(DAY1, range(3)))
    named = replace(target(root), catalog="lake")
    configure()
    with pytest.raises(SettingsError, match="PYICEBERG_CATALOG__LAKE__URI"):
        publish(root, named)
    configure(TYPE="sql", URI="postgresql+psycopg2://ann:hunter2@127.0.0.1:1/lake")
    with pytest.raises(SettingsError, match="OperationalError") as away:
        publish(root, named)
    assert "hunter2" not in str(away.value) + repr(away.value.__cause__)
    configure(URI=f"sqlite:///{tmp_path}/lake.db", WAREHOUSE=f"file://{tmp_path}/warehouse")
    publish(root, named)
    assert load_catalog("lake").load_table("gold.fact_sales").scan().to_arrow().num_rows == 3
