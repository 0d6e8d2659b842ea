"""SIGKILL at seeded writes, of raw, silver and gold: the next pass makes the tables that nobody disturbed, and accounts add up.

`LAKEHOUSE_KILLS` says how many kills there are of raw and silver, in place of the number that fits a test run.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.lakehouse import Lakehouse
from tests.support.things import DATES, Shop, entity

KILLS = int(os.environ.get("LAKEHOUSE_KILLS", "8"))
KILLS_OF_ALL = int(os.environ.get("LAKEHOUSE_KILLS_OF_ALL", "1"))

Build = Callable[..., str]


@pytest.fixture(scope="module")
def builder(tmp_path_factory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process whose children build, for all worlds, and its log: what it imports takes longer than most builds."""
    folder = tmp_path_factory.mktemp("builder")
    with (
        (folder / "errors.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.killed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        ) as process,
    ):
        yield process, folder / "errors.log"
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def build(world, builder, tmp_path) -> Build:
    """Builds in a process of its own, until it is killed at a write where one is given."""
    process, errors = builder

    def ask(lakehouse: Lakehouse, mode: str | None, write: int | None = None, *, before: bool = False) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        request = {
            "root": str(lakehouse.settings.lakehouse_root),
            "engine": world.engine,
            "environment": {name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            "folder": str(tmp_path),
            "mode": mode,
            "write": write,
            "before": before,
        }
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        assert answer in ("0", "killed"), errors.read_text()[-3000:]
        return answer

    return ask


@pytest.mark.worlds("sail-folder", "sail-minio", "spark-folder")
@pytest.mark.parametrize("mode", ["upsert", "history"])
def test_raw_and_silver_heal(mode, world, build, make_lakehouse, record_property):
    chance = random.Random(f"{mode} {world.name}")
    shop = Shop(make_lakehouse(), entity(mode), chance, fatal=0)
    wanted = max(1, KILLS // 2 if world.name == "sail-folder" else KILLS // 8)
    kills = 0
    while kills < wanted:
        for _ in range(chance.randint(1, 4)):
            shop.arrive()
        kills += build(shop.lakehouse, mode, chance.randint(1, 16), before=chance.random() < 0.5) == "killed"
        if chance.random() < 0.3:
            shop.arrive()  # things move on before the next pass
        assert build(shop.lakehouse, mode) == "0"
        shop.built = {
            day: [row for (of, _), result in sorted(shop.landed.items()) if of == day for row in result] for day in DATES
        }
        shop.check()
        assert shop.lakehouse.plan_of(shop.entity).is_empty
    record_property("kills", kills)


CUSTOMERS = "cst_id,cst_key,cst_firstname,cst_lastname,cst_marital_status,cst_gndr,cst_create_date\n"
SALES = "sls_ord_num,sls_prd_key,sls_cust_id,sls_order_dt,sls_ship_dt,sls_due_dt,sls_sales,sls_quantity,sls_price\n"
STILL = {
    "crm/products": "prd_id,prd_key,prd_nm,prd_cost,prd_line,prd_start_dt,prd_end_dt\n"
    + "".join(f"{n},CO-RF-P{n},Frame {n},{n},R ,2003-07-01,\n" for n in range(1, 6)),
    "erp/customer_demographics": "CID,BDATE,GEN\n" + "".join(f"NASAW{n},1980-01-0{n},Male\n" for n in range(1, 9)),
    "erp/customer_locations": "CID,CNTRY\n" + "".join(f"AW-{n},DE\n" for n in range(1, 9)),
    "erp/product_categories": "ID,CAT,SUBCAT,MAINTENANCE\nCO_RF,Components,Road Frames,Yes\n",
}
GOLD = ("dim_customer", "dim_product", "fact_sales", "sales_performance")


def arrive(lakehouse: Lakehouse, chance: random.Random) -> None:
    """Other customers and sales on a random date."""
    day = chance.choice(DATES).isoformat()
    customers = "".join(f"{n},AW{n},Ann {chance.random()},One,S,F,{day}\n" for n in range(1, 9) if chance.random() < 0.7)
    sales = "".join(
        f"SO{chance.randrange(20)},P{chance.randint(1, 5)},{chance.randint(1, 8)},20260101,20260102,20260103,{n},1,{n}\n"
        for n in range(1, chance.randint(2, 9))
    )
    lakehouse.land("crm/customers", day, "customers.csv", CUSTOMERS + customers)
    lakehouse.land("crm/sales", day, "sales.csv", SALES + sales)


@pytest.mark.worlds("sail-folder")
def test_all_heals_gold_included(build, lakehouse, make_lakehouse, record_property):
    chance = random.Random(7)
    for landing, text in STILL.items():
        lakehouse.land(landing, DATES[0].isoformat(), "still.csv", text)
    arrive(lakehouse, chance)
    build(lakehouse, None)
    kills = 0
    while kills < KILLS_OF_ALL:
        arrive(lakehouse, chance)
        # Late writes are gold's, of which there are fewer.
        kills += (
            build(lakehouse, None, chance.choice((chance.randint(1, 26), chance.randint(20, 34))), before=chance.random() < 0.5)
            == "killed"
        )
        assert build(lakehouse, None) == "0"
    fresh = Lakehouse(make_lakehouse().settings, lakehouse.tables, lakehouse.engine)
    fresh.copy_landing(lakehouse)
    build(fresh, None)
    for table in (*(f"gold.{name}" for name in GOLD), "silver.crm_sales", "silver.crm_customers", "raw.crm_sales"):
        assert lakehouse.rows(table) == fresh.rows(table)
    accounts = "(SELECT * EXCLUDE (run_id, delta_version) FROM ops.row_accounts WHERE rows_in + rows_out > 0)"
    assert lakehouse.rows(accounts) == fresh.rows(accounts)
    assert lakehouse.rows("(FROM ops.row_accounts WHERE rows_in <> rows_out + rows_quarantined + rows_superseded)") == []
    record_property("kills", kills)
