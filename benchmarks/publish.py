"""Measures what a publish to PostgreSQL costs: `python benchmarks/publish.py [ROWS]`, a million else.

A Delta table of so many rows over 40 dates is published to a server of its own, first whole, then with one date that changed, then with
nothing that did. Beside it, the same rows are sent by a bare COPY in the binary format from a file, into a table without key or
index and with them. Prints seconds, rows a second and the peak memory of this process.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

import duckdb  # noqa: E402
from deltalake import write_deltalake  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from lakehouse_assets.delta.tables import dates_predicate  # noqa: E402
from lakehouse_assets.publish.postgres import Postgres, PostgresConfig  # noqa: E402
from lakehouse_assets.publish.served import Served  # noqa: E402
from lakehouse_assets.store.root import Root  # noqa: E402
from tests.support.database import PASSWORD, Database, postgres_server  # noqa: E402

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
DATES = 40
SALES = Served("gold", "fact_sales", "Sales", {"sales_key": "Surrogate key"}, ("sales_key",))

SQL = f"""
SELECT range AS sales_key, (range * 7919) % 50000 AS customer_key, (range % 730)::INTEGER AS order_date_key,
    'order-' || (range // 3) AS order_id, ['crm', 'magento', 'odoo', 'retail'][1 + range % 4] AS source_system,
    ((range % 1000) / 3)::DECIMAL(18, 4) AS quantity, ((range % 100000) / 100)::DECIMAL(18, 2) AS usd_amount,
    TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(range % 86400) AS ordered_at,
    DATE '2026-01-01' + (range % 365)::INTEGER AS order_date, range % 2 = 0 AS amount_is_allocated,
    CASE WHEN range % 10 > 0 THEN 'n/a, "Überweisung"' END AS payment_method, (range * 1.5)::DOUBLE AS score,
    DATE '2026-01-01' + (range * {DATES} // {ROWS})::INTEGER AS _date
FROM range({ROWS})"""


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(what: str, took: float, rows: int) -> None:
    """Print a line."""
    print(f"{what:52} {took:8.2f} s  {rows / took if rows else 0:12,.0f} rows/s")


def bare_copy(database: Database, file: Path, after: str) -> float:
    """Return the seconds of a bare COPY of a file into a table like the published one, and of `after`."""
    database.rows("DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE gold.fact_sales)")
    connection = database.connect()
    connection.autocommit = False
    with connection, connection.cursor() as cursor, file.open("rb") as opened:
        took = seconds(lambda: cursor.copy_expert("COPY bare FROM STDIN (FORMAT binary)", opened, 1 << 18))
        took += seconds(lambda: cursor.execute(after)) if after else 0
    took += seconds(connection.close)
    return took


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(prefix="publish-") as folder, postgres_server() as server, duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        root, database = Root.parse(f"{folder}/lakehouse"), server.new_database()
        target = Postgres(PostgresConfig(database.url, SecretStr(PASSWORD), "lakehouse_reader"), (SALES,))
        uri = root.table("gold", "fact_sales")
        write_deltalake(uri, duck.execute(SQL).to_arrow_reader(65_536), partition_by=["_date"])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        def publish() -> None:
            list(target.publish(root, target.tables, "run"))

        show("first publish, with key and index", seconds(publish), ROWS)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        day = date(2026, 1, 1) + timedelta(DATES - 1)
        changed = duck.execute(f"SELECT * REPLACE (usd_amount + 1 AS usd_amount) FROM ({SQL}) WHERE {dates_predicate([day])}")
        write_deltalake(uri, changed.to_arrow_reader(65_536), mode="overwrite", predicate=dates_predicate([day]))
        show(f"one date of {DATES} changed", seconds(publish), ROWS // DATES)
        show("nothing changed", seconds(publish), 0)
        file = Path(folder, "rows")
        connection = database.connect()
        with connection.cursor() as cursor, file.open("wb") as opened:
            cursor.copy_expert("COPY gold.fact_sales TO STDOUT (FORMAT binary)", opened)
        connection.close()
        show("bare COPY of a binary file", bare_copy(database, file, ""), ROWS)
        indexes = "ALTER TABLE bare ADD PRIMARY KEY (sales_key); "
        show(
            "bare COPY of a binary file, then key and index",
            bare_copy(database, file, indexes + "CREATE INDEX ON bare (_date)"),
            ROWS,
        )
        print(f"peak memory {peak / 1024:,.0f} MB, of which {before / 1024:,.0f} MB before the first publish")


main()
