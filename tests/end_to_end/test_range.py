"""A range of many dates is one run and one commit a table, and each date has its own accounts."""

from datetime import date, timedelta

import pytest

from lakehouse_assets.reconcile.runs import rows_runs
from tests.support.retail import HEADER, LINES

DATES = [date(2026, 1, 1) + timedelta(days=n) for n in range(60) if n % 7 != 6]


def day_file(number: int) -> str:
    """Ten lines, of which one repeats another and one has no price."""
    lines = [f"{number}{n:02},SKU{n},Mug,{n},2026-01-01 08:00:00,{n % 9}.5,{n}.0,France" for n in range(8)]
    return "\n".join([",".join(HEADER), *lines, lines[3], f"{number}99,SKU9,Mug,1,2026-01-01 08:00:00,0.0,,France"]) + "\n"


@pytest.mark.worlds("sail-folder", "spark-folder", "sail-minio")
def test_many_dates_are_one_run_and_one_commit_a_table(make_lakehouse):
    shop = make_lakehouse(LINES)
    for number, day in enumerate(DATES):
        shop.land("retail/lines", day.isoformat(), f"{day}.csv", day_file(number))
    [run] = rows_runs(shop.plan())
    assert (run.start, run.end) == (DATES[0], DATES[-1])
    assert shop.build_by_dagster() == {}
    assert shop.versions() == {"raw.retail_lines": 1, "silver.retail_lines": 1}
    assert shop.accounts("raw", "retail_lines") == {day.isoformat(): (10, 10, 0, 0) for day in DATES}
    assert shop.accounts("silver", "retail_lines") == {day.isoformat(): (10, 8, 1, 1) for day in DATES}

    assert len(shop.rows("silver.retail_lines")) == 8 * len(DATES)

    shop.land("retail/lines", DATES[20].isoformat(), "late.csv", day_file(99))
    [run] = rows_runs(shop.plan())
    assert (run.start, run.end) == (DATES[20], DATES[20])
    assert shop.build_by_dagster() == {}
    assert shop.accounts("silver", "retail_lines")[DATES[20].isoformat()] == (20, 16, 2, 2)
    assert {r.delta_version for r in shop.records("silver", "retail_lines").values()} == {1, 2}
    assert shop.plan().is_empty
