"""A remote engine looks up rows where they are: none comes to this machine, and the tables are the same."""

import random
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from lakehouse_assets.delta.tables import live_files, open_table
from lakehouse_assets.engine import session
from lakehouse_assets.engine.session import Engine, is_remote
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver import additions, look_up
from lakehouse_assets.silver.look_up import RemoteLookUp
from lakehouse_assets.silver.stage import is_staged
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.lakehouse import Lakehouse
from tests.support.orders import DAY1, DAY2, ORDERS, csv
from tests.support.things import DATES, Shop, entity


@pytest.mark.worlds("sail-folder", "sail-versitygw")
def test_only_an_engine_at_an_address_is_remote(engine, world):
    assert is_remote(engine.session()) == world.engine.startswith("sc://")


@pytest.mark.worlds("sail-versitygw")  # a server in a process of its own; the tables are in a folder all the same
@pytest.mark.skipif(sys.platform != "linux", reason="reads how many bytes this process has read from /proc")
def test_what_this_process_reads_and_fetches_does_not_grow_with_the_table(engine, tmp_path, monkeypatch):
    small = _of_an_increment(engine, tmp_path / "small", 10_000, monkeypatch)
    large = _of_an_increment(engine, tmp_path / "large", 200_000, monkeypatch)
    assert large.fetched == small.fetched > 0
    assert large.read < small.read + 50_000
    # The same increment, looked up by DuckDB: that the keys are read is seen.
    monkeypatch.setattr(session, "_remote", set())
    assert _of_an_increment(engine, tmp_path / "here", 200_000, monkeypatch).read > large.read + 1_000_000


@pytest.mark.usefixtures("remote")
@pytest.mark.worlds("sail-folder", "spark-folder")
def test_rows_in_compacted_files_are_found_too(make_lakehouse, monkeypatch):
    monkeypatch.setattr(additions, "FEW_ROWS", 0)
    shop = make_lakehouse(ORDERS)
    for name, keys in (("a.csv", "AB"), ("b.csv", "CD")):  # of the second file only its rows are built: the date has two files
        shop.land("shop/orders", DAY1, name, csv(*((key, 1, 10) for key in keys)))
        shop.materialize(ORDERS, DATES[:1])
    list(maintain(shop.settings.root, timedelta(days=7)))
    [file] = live_files(open_table(shop.settings.root.table("silver", "shop_orders")))
    assert not is_staged(file["path"])
    shop.land("shop/orders", DAY2, "c.csv", csv(("A", 2, 20), ("D", 2, 0)))
    shop.materialize(ORDERS, DATES[1:2])
    rows = shop.rows("silver.shop_orders", "order_id, changed_at, total")
    assert [tuple(row.values()) for row in rows] == [("A", 2, 20), ("B", 1, 10), ("C", 1, 10), ("D", 2, 0)]
    assert shop.accounts("silver", "shop_orders") == {DAY1: (4, 2, 0, 2), DAY2: (2, 2, 0, 0)}
    shop.remove("shop/orders", DAY2, "c.csv")
    shop.materialize(ORDERS, DATES[1:2])
    assert {row["total"] for row in shop.rows("silver.shop_orders")} == {10}  # the rows that were set aside are live again
    assert shop.accounts("silver", "shop_orders")[DAY1] == (4, 4, 0, 0)


@pytest.mark.worlds("sail-folder")
def test_files_whose_bounds_exclude_the_keys_are_not_read(make_lakehouse, monkeypatch, remote):
    shop, read = make_lakehouse(ORDERS), {}
    live = RemoteLookUp.live
    monkeypatch.setattr(
        RemoteLookUp,
        "live",
        lambda self, name, of, files, columns: read.update({name: files}) or live(self, name, of, files, columns),
    )
    for day, keys in ((DAY1, "AB"), (DAY2, "MN"), ("2026-01-03", "AC")):
        shop.land("shop/orders", day, "a.csv", csv(*((key, 1, 10) for key in keys)))
        shop.materialize(ORDERS, [date.fromisoformat(day)])
    assert [file["date"] for file in read["other_ok"]] == DATES[:1]
    monkeypatch.setattr(look_up, "FEW_KEYS", 0)
    shop.land("shop/orders", "2026-01-04", "a.csv", csv(("A", 2, 10)))
    shop.materialize(ORDERS, DATES[3:4])
    assert sorted(file["date"] for file in read["other_ok"]) == DATES[:3]


@pytest.mark.worlds("cluster-minio")
@pytest.mark.parametrize("mode", ["upsert", "history"])
def test_on_a_cluster_the_table_is_that_of_the_oracle(mode, make_lakehouse, world):
    shop = Shop(make_lakehouse(), entity(mode), random.Random(mode), fatal=0)
    for dates in (DATES[:2], DATES[1:3]):
        for _ in range(4):
            shop.arrive()
        shop.build(dates)
        shop.check()
    assert world.cluster.executors() >= 2


class _Cost:
    """What silver's build of 50 new and 50 changed rows takes on this machine: bytes read, rows that the engine sends."""

    read = fetched = 0


def _of_an_increment(engine: Engine, folder: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> _Cost:
    """Build a table of so many rows, whose keys have no order, then measure an increment."""
    from pyspark.sql.connect.client import SparkConnectClient

    shop = Lakehouse(Settings(lakehouse_root=str(folder)), [ORDERS], engine)
    keys = [f"{number * 7919 % 1_000_003:07}-{number * 104_729 % 1_000_003:07}" for number in range(rows + 50)]
    shop.land("shop/orders", DAY1, "a.csv", csv(*((key, 1, 1) for key in keys[:rows])))
    shop.land("shop/orders", DAY2, "b.csv", csv(*((key, 2, 1) for key in [*keys[rows:], *keys[: rows : rows // 50]])))
    shop.materialize(ORDERS, DATES[:1])
    shop.build_raw(ORDERS, DATES[1:2])
    cost = _Cost()
    to_table = SparkConnectClient.to_table

    def counted(*args, **kwargs):
        found = to_table(*args, **kwargs)
        cost.fetched += found[0].num_rows
        return found

    with monkeypatch.context() as patch:
        patch.setattr(SparkConnectClient, "to_table", counted)
        before = _bytes_read()
        shop.build_silver(ORDERS, DATES[1:2])
        cost.read = _bytes_read() - before
    [counted] = shop.rows("silver.shop_orders", "count(*) AS rows, count(*) FILTER (changed_at = 2) AS changed")
    assert counted == {"rows": rows + 50, "changed": 100}
    return cost


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])
