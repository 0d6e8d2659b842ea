"""Measures upserts of 100,000 changes into 1,000,000 rows, by the product and by a bare MERGE: `python benchmarks/upsert.py`.

The product audits the changes, quarantines rows that break a rule, keeps superseded rows, commits, and writes row accounts. The
MERGE only merges typed Parquet into a Delta table of the same rows. Both use one session of the engine that `LAKEHOUSE_ENGINE`
names, for three alternating batches of 50,000 updates, 40,000 inserts and 10,000 deletes, one in twenty of them stale. Prints the
seconds of each and the ratio of the medians, and fails if the two tables differ.
"""

import logging
import os
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from uuid import uuid4

import duckdb
from pyspark.sql import DataFrame

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from lakehouse_assets.books.ledger import Ledger  # noqa: E402
from lakehouse_assets.contracts.contract import Column, Contract, Rule  # noqa: E402
from lakehouse_assets.contracts.feeds import SourceColumn  # noqa: E402
from lakehouse_assets.delta.handlers import Target  # noqa: E402
from lakehouse_assets.delta.tables import open_table  # noqa: E402
from lakehouse_assets.engine.session import Engine  # noqa: E402
from lakehouse_assets.landing.objects import Landing  # noqa: E402
from lakehouse_assets.raw.write import load_partitions  # noqa: E402
from lakehouse_assets.settings import Settings, load_settings  # noqa: E402
from lakehouse_assets.silver.build import build_partitions  # noqa: E402
from tests.support.declare import feed_of, one_feed  # noqa: E402

BASE, BATCHES = 1_000_000, 3
NAMES = ("id", "name", "email", "amount", "category", "note", "seq")
COLUMNS = ", ".join(NAMES)


def take(raw: DataFrame) -> DataFrame:
    """Return the columns unchanged, and the key."""
    return raw.selectExpr("*", "id AS customer_id")


TABLE = one_feed(
    landing="bench/customers",
    columns=tuple(SourceColumn(name, "") for name in (*NAMES, "op")),
    contract=Contract(
        table="bench_customers",
        description="Customers",
        owner="team:bench",
        key=("customer_id",),
        sequence="seq",
        deleted="op = 'D'",
        columns=(
            Column("customer_id", "bigint", ""),
            *(Column(name, "double" if name == "amount" else "string", "") for name in NAMES[1:-1]),
            Column("seq", "bigint", ""),
        ),
        rules=(
            Rule("amount_not_negative", "amount >= 0", "drop", "An amount is not negative."),
            Rule("category_known", "category <> 'none'", "warn", "The category is known."),
        ),
    ),
    function=take,
)
TYPED = (
    "CAST(id AS BIGINT) AS customer_id, name, email, CAST(amount AS DOUBLE) AS amount, category, note, CAST(seq AS BIGINT) AS seq"
)


def row(i: str, version: int) -> str:
    """Return SQL for the columns of one customer."""
    return f"""{i} AS id, 'customer ' || {i} || '-{version}' AS name, 'user' || {i} || '@example.com' AS email,
        round((hash({i} + {version}) % 1000000) / 100.0, 2) AS amount,
        ['gold','silver','bronze','none'][1 + CAST(hash({i} * 3 + {version}) % 4 AS INT)] AS category,
        md5(CAST({i} + {version} AS VARCHAR)) AS note"""


def write_input(folder: Path) -> None:
    """Write the base and the batches, as CSV and as typed Parquet."""
    with duckdb.connect() as connection:

        def write(name: str, sql: str) -> None:
            connection.execute(f"CREATE OR REPLACE TABLE rows AS {sql}")
            connection.execute(f"COPY rows TO '{folder}/{name}.csv' (HEADER)")
            connection.execute(f"COPY (SELECT {TYPED}, op FROM rows) TO '{folder}/{name}.parquet'")

        write("base", f"SELECT {row('i', 0)}, 1000 AS seq, 'I' AS op FROM range({BASE}) r(i)")
        for batch in range(1, BATCHES + 1):
            first_new = BASE + 40_000 * (batch - 1)
            write(
                str(batch),
                # No customer changes twice: a MERGE does not remember deleted keys, and would insert a stale row of one.
                f"""SELECT {row("i", batch)}, CASE WHEN n % 20 = 0 THEN 1 ELSE 1000 + {batch} END AS seq,
                        CASE WHEN n % 6 > 0 THEN 'U' ELSE 'D' END AS op
                    FROM (SELECT i, row_number() OVER (ORDER BY hash(i)) AS n FROM range({BASE}) r(i)
                          QUALIFY n BETWEEN {60_000 * (batch - 1) + 1} AND {60_000 * batch})
                    UNION ALL SELECT {row("i", batch)}, 1000 + {batch}, 'I' FROM range({first_new}, {first_new + 40_000}) r(i)""",
            )


def product(settings: Settings, engine: Engine, day: date, file: Path) -> float:
    """Load a file into raw, and return the seconds of the silver step alone."""
    root, run_id, log = settings.root, uuid4().hex, logging.getLogger("bench")
    Landing(root).put(feed_of(TABLE).landing, day, file)
    load_partitions(feed_of(TABLE), Target(root, "raw", TABLE.name, [day], run_id, log), day)
    began = time.perf_counter()
    build_partitions(TABLE, engine.session, Target(root, "silver", TABLE.name, [day], run_id, log))
    return time.perf_counter() - began


def merge(engine: Engine, table: str, changes: Path) -> float:
    """Return the seconds of a MERGE of typed changes, with deletes and a check of the sequence."""
    session = engine.session()
    names = ("customer_id", *NAMES[1:])
    session.read.parquet(str(changes)).createOrReplaceTempView("changes")
    began = time.perf_counter()
    session.sql(
        f"""MERGE INTO {table} AS t USING changes AS s ON t.customer_id = s.customer_id
        WHEN MATCHED AND s.op = 'D' AND s.seq > t.seq THEN DELETE
        WHEN MATCHED AND s.op = 'U' AND s.seq > t.seq THEN UPDATE SET {", ".join(f"{n} = s.{n}" for n in names)}
        WHEN NOT MATCHED AND s.op <> 'D' THEN INSERT ({", ".join(names)}) VALUES ({", ".join(f"s.{n}" for n in names)})"""
    ).collect()
    return time.perf_counter() - began


def main() -> None:
    """Measure, compare, print."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-upsert-") as folder:
        write_input(Path(folder))
        os.environ["LAKEHOUSE_ROOT"] = f"{folder}/lakehouse"
        settings = load_settings()
        engine = Engine(settings.engine_config)
        session = engine.session()
        product(settings, engine, date(2026, 1, 1), Path(folder, "base.csv"))
        session.read.parquet(f"{folder}/base.parquet").drop("op").write.format("delta").save(f"{folder}/merged")
        if session.conf.get("spark.app.id", ""):
            target = f"delta.`{folder}/merged`"
        else:
            target = "merged"
            session.sql(f"CREATE TABLE merged USING delta LOCATION '{folder}/merged'")
        ours, bare = [], []
        for batch in range(1, BATCHES + 1):
            bare.append(merge(engine, target, Path(folder, f"{batch}.parquet")))
            ours.append(product(settings, engine, date(2026, 1, 1 + batch), Path(folder, f"{batch}.csv")))
        engine.stop_session()
        show(settings, folder, ours, bare)


def show(settings: Settings, folder: str, ours: list[float], bare: list[float]) -> None:
    """Check that both tables are equal, then print the figures."""
    silver, merged = open_table(settings.root.table("silver", TABLE.name)), open_table(f"{folder}/merged")
    assert silver is not None
    assert merged is not None
    names = ("customer_id", *NAMES[1:])
    with duckdb.connect() as connection:
        sums = []
        for table in (silver, merged):
            connection.register("rows", table.to_pyarrow_dataset().scanner(columns=list(names)).to_reader())
            sums.append(connection.execute(f"SELECT count(*), sum(hash({', '.join(names)})) FROM rows").fetchone())
    assert sums[0] == sums[1], f"the tables differ: {sums}"
    records = Ledger(settings.root).read("silver", TABLE.name).values()
    assert all(record.adds_up for record in records)
    print(f"{settings.lakehouse_engine}: {sums[0][0]:,} rows in both tables")
    for name, seconds in (("product", ours), ("bare MERGE", bare)):
        print(f"{name:12} {'  '.join(f'{s:6.2f} s' for s in seconds)}   median {statistics.median(seconds):.2f} s")
    print(f"ratio {statistics.median(ours) / statistics.median(bare):.2f}")


if __name__ == "__main__":
    main()
