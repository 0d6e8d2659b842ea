"""Measures what a publish to PostgreSQL costs: `python benchmarks/publish.py [ROWS]`, a million else.

A Delta table of so many rows over 40 dates is published to a server of its own, first whole, then with one date that changed, then with
nothing that did. Beside it, the same rows are sent by a bare COPY in the binary format from a file, into a table without key or
index and with them. Prints seconds, rows a second, CPU seconds of this process and of the server, and the peak memory of this process.
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
import psutil  # noqa: E402
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


def server_cpu() -> float:
    """Return the CPU seconds of the servers that this process has started, with those of sessions that have ended."""
    programs = [child for child in psutil.Process().children() if child.name() == "postgres"]
    times = [program.cpu_times() for server in programs for program in (server, *server.children(recursive=True))]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def measured(what: str, rows: int, work: Callable[[], object]) -> None:
    """Do some work, and print what it takes."""
    began, own, server = time.perf_counter(), time.process_time(), server_cpu()
    work()
    took, own, server = time.perf_counter() - began, time.process_time() - own, server_cpu() - server
    print(f"{what:50} {took:7.2f} s {rows / took:10,.0f} rows/s   CPU {own:6.2f} s here, {server:6.2f} s the server's")


def bare_copy(database: Database, file: Path, after: str) -> None:
    """COPY a file into a table like the published one, and run `after`."""
    database.rows("DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE gold.fact_sales)")
    connection = database.connect()
    connection.autocommit = False
    with connection, connection.cursor() as cursor, file.open("rb") as opened:
        cursor.copy_expert("COPY bare FROM STDIN (FORMAT binary)", opened, 1 << 18)
        cursor.execute(after)
    connection.close()


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

        measured("first publish, with key and index", ROWS, publish)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        day = date(2026, 1, 1) + timedelta(DATES - 1)
        changed = duck.execute(f"SELECT * REPLACE (usd_amount + 1 AS usd_amount) FROM ({SQL}) WHERE {dates_predicate([day])}")
        write_deltalake(uri, changed.to_arrow_reader(65_536), mode="overwrite", predicate=dates_predicate([day]))
        measured(f"one date of {DATES} changed", ROWS // DATES, publish)
        measured("nothing changed", 0, publish)
        file = Path(folder, "rows")
        connection = database.connect()
        with connection.cursor() as cursor, file.open("wb") as opened:
            cursor.copy_expert("COPY gold.fact_sales TO STDOUT (FORMAT binary)", opened)
        connection.close()
        measured("bare COPY of a binary file", ROWS, lambda: bare_copy(database, file, "SELECT 1"))
        indexes = "ALTER TABLE bare ADD PRIMARY KEY (sales_key); CREATE INDEX ON bare (_date)"
        measured("bare COPY of a binary file, then key and index", ROWS, lambda: bare_copy(database, file, indexes))
        print(f"peak memory {peak / 1024:,.0f} MB, of which {before / 1024:,.0f} MB before the first publish")


main()
