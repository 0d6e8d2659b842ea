"""A trial shows how tables would differ if they were built by the code as it is now, and leaves nothing behind."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.orchestration import trial
from lakehouse_assets.orchestration.trial import TableDifference, compare
from lakehouse_assets.store.root import Root
from tests.support.command import Command

DAY = date(2026, 1, 31)


def write(root: Root, layer: str, name: str, rows: list[dict[str, object]]) -> None:
    write_deltalake(root.table(layer, name), pa.Table.from_pylist([{"_date": DAY, **row} for row in rows]), partition_by="_date")


@pytest.fixture
def roots(tmp_path) -> tuple[Root, Root]:
    return Root(str(tmp_path / "live")), Root(str(tmp_path / "other"))


def test_rows_are_compared_by_key_and_amounts_by_their_sums(roots):
    amounts = [Decimal("1.50"), Decimal("2.00"), Decimal("4.00")]
    before = [{"id": n, "name": "a", "amount": amount, "_file": "x"} for n, amount in enumerate(amounts)]
    after = [before[0] | {"_file": "y"}, before[1] | {"amount": Decimal("3.00"), "name": "b"}, before[2] | {"id": 9}]
    for root, rows in zip(roots, (before, after), strict=True):
        write(root, "gold", "sales", rows)
        write(root, "silver", "sales", rows)
    expected = TableDifference("gold", "sales", 1, 1, 1, {"amount": 1, "name": 1}, {"amount": (7.5, 8.5)})
    assert compare(*roots, "gold", "sales", ["id"]) == expected
    assert compare(*roots, "silver", "sales", ["id"]).totals == {}, "sums are of gold"
    assert not compare(roots[0], roots[0], "gold", "sales", ["id"]).differs


def test_a_table_that_only_one_has_differs(roots):
    write(roots[1], "gold", "sales", [{"id": 1}])
    assert compare(*roots, "gold", "sales", ["id"]) == TableDifference("gold", "sales", only="trial")
    assert compare(roots[1], roots[0], "gold", "sales", ["id"]).only == "live"


def test_a_trial_reads_the_live_landing_and_leaves_nothing_behind(roots):
    live, _ = roots
    (live.local_folder / "landing/crm/sales/2026-01-31").mkdir(parents=True)
    (live.local_folder / "landing/crm/sales/2026-01-31/sales.csv").write_text("a\n1\n")
    killed = live.local_folder / "ops/trials" / (datetime.now(UTC) - timedelta(days=2)).strftime("%Y%m%dT%H%M%S-0a")
    (killed / "silver").mkdir(parents=True)
    (killed / "silver/file").touch()
    with trial._scratch(live) as root:
        assert not killed.exists()
        assert [o.name for o in Landing(root).listing("crm/sales", DAY).objects] == ["sales.csv"]
        assert root.table("silver", "t").startswith(live.path("ops", "trials"))
        (root.local_folder / "silver").mkdir()
    assert list((live.local_folder / "ops/trials").iterdir()) == []


@pytest.mark.worlds("sail-folder")
def test_changed_code_is_tried_out_beside_the_live_tables(world, tmp_path):
    command = Command(world, tmp_path)
    command.write("finance/exchange_rates/2026-01-31/rates.csv", "date,currency,usd_rate\n2026-01-30,EUR,1.10\n")
    command.run("sync")
    before = command.versions()
    # Something that the current code would not build.
    write_deltalake(command.root.table("gold", "old_mart"), pa.Table.from_pylist([{"_date": DAY, "id": 1}]), partition_by="_date")
    shown = json.loads(command.run("plan", "--diff", "--json").stdout)
    assert [(t["layer"], t["table"], t["only"]) for t in shown["tables"]] == [("gold", "old_mart", "live")]
    assert shown["errors"] == []
    assert {**command.versions(), "gold/old_mart": 0} == {**before, "gold/old_mart": 0}
