"""Two processes write one table at the same moment, on a real store: no commit is lost, and no row stands twice."""

import multiprocessing
from datetime import date

import dagster as dg
import pytest

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, RANGE_END_TAG, RANGE_START_TAG
from tests.support.lakehouse import QUIET
from tests.support.orders import ORDERS, csv

pytestmark = pytest.mark.worlds("sail-minio")

ROUNDS = 4
SECONDS = 120
KEYS = [dg.AssetKey(["raw", "shop_orders"]), dg.AssetKey(["silver", "shop_orders"])]


def work(settings, barrier, failed, turn):
    """A process of its own: in each round it materializes one partition, together with the other process."""
    engine = Engine(settings.engine_config)
    job = build_definitions(settings, catalog=Catalog.from_tables([ORDERS]), engine=engine).resolve_job_def(LAKEHOUSE_JOB)
    engine.session()
    barrier.wait(SECONDS)
    for number in range(ROUNDS):
        day = turn(number).isoformat()
        barrier.wait(SECONDS)
        with dg.DagsterInstance.ephemeral() as instance:  # one each, so that no pool keeps the two apart
            tags = {RANGE_START_TAG: day, RANGE_END_TAG: day}
            done = job.execute_in_process(
                instance=instance, run_config=QUIET, asset_selection=KEYS, tags=tags, raise_on_error=False
            )
        for event in done.get_step_failure_events():
            error = event.event_specific_data.error
            while error.cause is not None:
                error = error.cause
            failed.put(f"round {number}: {error.message[:2000]}")
        barrier.wait(SECONDS)
    engine.stop_session()


def odd(number):
    return date(2026, 1, 2 * number + 1)


def even(number):
    return date(2026, 1, 2 * number + 2)


@pytest.mark.parametrize("turns", [(odd, even), (odd, odd)], ids=["different partitions", "the same partition"])
def test_two_writers_at_once_lose_nothing_and_double_nothing(turns, world, make_lakehouse):
    shop = make_lakehouse(ORDERS)
    spawn = multiprocessing.get_context("spawn")
    barrier, failed = spawn.Barrier(3), spawn.Queue()
    workers = [spawn.Process(target=work, args=(shop.settings, barrier, failed, turn)) for turn in turns]
    for worker in workers:
        worker.start()
    try:
        barrier.wait(SECONDS)
        for number in range(ROUNDS):
            days = {turn(number) for turn in turns}
            for day in days:
                # One key is the round's own, one goes through all rounds, so that each merge touches older partitions.
                rows = csv((f"{day}", 1, 10), ("all", number, day.day))
                shop.land("shop/orders", day.isoformat(), "a.csv", rows)
            barrier.wait(SECONDS)
            barrier.wait(SECONDS)
            assert failed.empty(), failed.get()
            landed = {turn(n).isoformat() for n in range(number + 1) for turn in turns}
            assert len(shop.rows("raw.shop_orders")) == 2 * len(landed)
            keys = [row["order_id"] for row in shop.rows("silver.shop_orders")]
            assert sorted(keys) == sorted([*landed, "all"])
    finally:
        barrier.abort()
        for worker in workers:
            worker.join(30)
            worker.kill()
    assert shop.plan().is_empty
    assert all(record.adds_up for layer in ("raw", "silver") for record in shop.records(layer, "shop_orders").values())
    fresh = make_lakehouse(ORDERS)
    fresh.copy_landing(shop)
    assert fresh.build() == {}
    assert shop.rows("silver.shop_orders") == fresh.rows("silver.shop_orders")
    assert shop.accounts("silver", "shop_orders") == fresh.accounts("silver", "shop_orders")
