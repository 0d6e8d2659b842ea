"""Measures the look-up of 1,000 keys in 10 million rows of 245 dates: `python benchmarks/look_up.py`.

Keys are order numbers, which grow with time, or random UUIDs. The files are written by DuckDB, the look-up is that of a silver build.
Prints, for the keys of a batch: bytes read as a percentage of the bytes of the key's column, CPU seconds, and the rows that change. The
bytes are those that this process reads (`rchar`, Linux only), so the figures are for a folder. The first look-up of UUIDs writes the
key filter.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pandas  # noqa: F401  as the engine's client has imported it before a look-up

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from lakehouse_assets.books.set_aside import SetAside  # noqa: E402
from lakehouse_assets.contracts.contract import Column, Contract  # noqa: E402
from lakehouse_assets.contracts.feeds import SourceColumn  # noqa: E402
from lakehouse_assets.contracts.system import SilverTable  # noqa: E402
from lakehouse_assets.delta.data_files import data_folder  # noqa: E402
from lakehouse_assets.delta.duck import connect, read_footers  # noqa: E402
from lakehouse_assets.delta.tables import DataFile, commit_files, ensure_table, live_files, open_table  # noqa: E402
from lakehouse_assets.silver.held import Held  # noqa: E402
from lakehouse_assets.silver.look_up import LocalLookUp, Opened  # noqa: E402
from lakehouse_assets.silver.merge import changed_rows  # noqa: E402
from lakehouse_assets.silver.schema import contract_schema  # noqa: E402
from lakehouse_assets.silver.stage import Stage  # noqa: E402
from lakehouse_assets.store.root import Root  # noqa: E402
from tests.support.declare import one_feed  # noqa: E402

DATES, ROWS_A_DATE = 245, 40_816
ROWS = DATES * ROWS_A_DATE
FIRST, NEW = date(2025, 1, 1), date(2026, 1, 1)
KEYS = {"order numbers": ("bigint", "i"), "UUIDs": ("string", "CAST(md5(CAST(i AS VARCHAR)) AS VARCHAR)")}
BATCHES = {
    "new": f"SELECT {ROWS} + i AS i FROM range(1000) r(i)",
    "new, again": f"SELECT {ROWS} + 1000 + i AS i FROM range(1000) r(i)",
    "half new, half of the last date": f"SELECT {ROWS} - 500 + i AS i FROM range(1000) r(i)",
    "20 of any date, others new": f"SELECT {ROWS} + i AS i FROM range(980) r(i) UNION ALL SELECT i * 499979 FROM range(20) r(i)",
    "all of any date": f"SELECT CAST(hash(i) % {ROWS} AS BIGINT) AS i FROM range(1000) r(i)",
}


def table_of(kind: str) -> SilverTable:
    """Return a silver table with a key of the type."""
    contract = Contract(
        table="bench_orders",
        description="Orders",
        owner="team:bench",
        key=("id",),
        sequence="seq",
        columns=(Column("id", kind, ""), Column("note", "string", ""), Column("seq", "bigint", "")),
    )
    return one_feed(landing="bench/orders", columns=(SourceColumn("id", ""),), contract=contract, function=lambda raw: raw)


def rows(key: str, numbers: str, sequence: int) -> str:
    """Return SQL for staged rows."""
    return f"""SELECT {key} AS id, 'note ' || (i % 1000) AS note, CAST({sequence} AS BIGINT) AS seq, 'bench_orders' AS _source_feed,
        'export.csv' AS _source_file, 'etag' AS _source_etag, CAST(i % {ROWS_A_DATE} AS BIGINT) AS _row_number,
        CAST(0 AS BIGINT) AS _item_number, CAST(NULL AS VARCHAR) AS _broken_rules, FALSE AS _deleted FROM ({numbers})"""


def write(uri: str, name: str, day: date, sql: str) -> DataFile:
    """Write a data file."""
    path = f"data-{name}/_verdict=ok/_date={day}/part-0.parquet"
    file = Path(uri, path)
    file.parent.mkdir(parents=True)
    with connect(Root.parse(uri)) as connection:
        connection.execute(f"COPY ({sql}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
        footer = read_footers(connection, [str(file)])[str(file)]
    return DataFile(path, file.stat().st_size, sum(chunk.rows for chunk in footer["id"]), day, footer)


def look_ups(root: Root, kind: str, key: str) -> Iterator[tuple[str, float, float, int]]:
    """Write the table, then yield for each batch: its name, percentage of bytes, CPU seconds, changed rows."""
    table = table_of(kind)
    uri = root.table("silver", table.name)
    opened = ensure_table(uri, contract_schema(table.contract))
    days = [FIRST + timedelta(days=n) for n in range(DATES)]
    numbers = (f"SELECT i FROM range({n * ROWS_A_DATE}, {(n + 1) * ROWS_A_DATE}) r(i)" for n in range(DATES))
    files = [write(uri, str(day), day, rows(key, sql, 1)) for day, sql in zip(days, numbers, strict=True)]
    commit_files(opened, files, [], key="base", run_id="bench")
    for batch, sql in BATCHES.items():
        staged = write(uri, batch, NEW, rows(key, sql, 2))
        with connect(root) as connection, data_folder(root, "silver", table.name, "bench") as folder:
            stage, among = Stage(folder, table, connection, ok=[staged]), LocalLookUp(connection, folder)
            paths = ", ".join(f"'{uri}/{file.path}'" for file in files)
            size = f"SELECT sum(total_compressed_size) FROM parquet_metadata([{paths}]) WHERE path_in_schema = 'id'"
            [[key_bytes]] = connection.execute(size).fetchall()
            current = open_table(uri)
            assert current is not None
            nothing = Held([], SetAside())
            read, cpu = bytes_read(), time.process_time()
            others = Held(live_files(current, ["id"]), SetAside())
            changes = changed_rows(among, stage, Opened(uri, current), nothing, others, {}).found
            yield batch, 100 * (bytes_read() - read) / key_bytes, time.process_time() - cpu, len(changes)


def bytes_read() -> int:
    """Return how many bytes this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def main() -> None:
    """Measure and print."""
    print(f"{'keys':14} {'batch':32} {'read':>8} {'CPU':>8} {'changed':>8}")
    for name, (kind, key) in KEYS.items():
        with tempfile.TemporaryDirectory(prefix="lakehouse-look-up-") as folder:
            for batch, percent, cpu, changed in look_ups(Root.parse(folder), kind, key):
                print(f"{name:14} {batch:32} {percent:6.1f} % {cpu:6.2f} s {changed:8,}")


if __name__ == "__main__":
    main()
