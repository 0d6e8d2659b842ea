"""Upserts under arrivals in any order: after each, the table equals that of a lakehouse built at once from what lies in landing."""

from dataclasses import replace
from datetime import date

import dagster as dg
import pytest

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.contracts.contract import Column
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.silver import build
from lakehouse_assets.silver.judge import decide
from tests.support.orders import DAY1, DAY2, DAY3, ORDERS, csv

pytestmark = pytest.mark.worlds("sail-folder", "spark-folder")


@pytest.fixture
def shop(make_lakehouse):
    return make_lakehouse(ORDERS)


@pytest.fixture
def expect(shop, make_lakehouse):
    """Builds, and asserts that tables and accounts are those of a fresh build of the same landing."""

    def check() -> dict[str, tuple[int, int]]:
        assert shop.build() == {}
        fresh = make_lakehouse(ORDERS)
        fresh.copy_landing(shop)
        assert fresh.build() == {}
        for table in ("raw.shop_orders", "silver.shop_orders"):
            assert shop.rows(table) == fresh.rows(table)
        for layer in ("raw", "silver"):
            ours = {day: account for day, account in shop.accounts(layer, "shop_orders").items() if any(account)}
            assert ours == fresh.accounts(layer, "shop_orders")
            assert all(r.adds_up for r in shop.records(layer, "shop_orders").values())
        return {r["order_id"]: (r["changed_at"], r["total"]) for r in shop.rows("silver.shop_orders")}

    return check


def test_a_newer_row_supersedes_one_of_an_earlier_date(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    assert expect() == {"A": (2, 20), "B": (1, 10)}
    assert shop.accounts("silver", "shop_orders") == {DAY1: (2, 1, 0, 1), DAY2: (1, 1, 0, 0)}


def test_a_late_older_row_changes_nothing(shop, expect):
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    shop.build()
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    assert expect() == {"A": (2, 20)}
    assert shop.accounts("silver", "shop_orders") == {DAY1: (1, 0, 0, 1), DAY2: (1, 1, 0, 0)}


def test_an_earlier_date_may_hold_the_higher_sequence(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 9, 90)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    assert expect() == {"A": (9, 90)}


def test_a_file_sent_again_with_fewer_rows_takes_them_back_out(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY1, "a.csv", csv(("B", 1, 10)))
    assert expect() == {"B": (1, 10)}


def test_an_older_version_comes_back_when_the_newer_is_taken_out(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 11)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    shop.build()
    shop.land("shop/orders", DAY3, "c.csv", csv(("A", 3, 30), ("B", 3, 31)))
    shop.build()
    shop.remove("shop/orders", DAY3, "c.csv")
    assert expect() == {"A": (2, 20), "B": (1, 11)}
    assert shop.accounts("silver", "shop_orders")[DAY1] == (2, 1, 0, 1)


@pytest.mark.parametrize("mode", ["upsert", "snapshot", "history"])
def test_of_a_large_date_the_engine_sorts_no_rows_and_the_table_is_the_same(make_lakehouse, monkeypatch, mode):
    deleted = "total = 0" if mode != "snapshot" else None
    table = replace(ORDERS, contract=replace(ORDERS.contract, mode=mode, deleted=deleted))
    found = []
    for large, by_key in ((1, False), (100_000, True)):
        asked = set()
        monkeypatch.setattr(build, "LARGE_DATE", large)
        monkeypatch.setattr(build, "decide", lambda *args, by_key, asked=asked: asked.add(by_key) or decide(*args, by_key=by_key))
        shop = make_lakehouse(table)
        shop.land("shop/orders", DAY1, "a.csv", csv(("A", 2, 20), ("A", 1, 10), ("B", 1, 10), ("C", 1, -1), ("C", 2, 5)))
        shop.land("shop/orders", DAY2, "b.csv", csv(("A", 1, 11), ("B", 2, 0), ("D", 1, 7), ("D", 1, 8)))
        assert shop.build() == {}
        assert asked == {by_key}
        found.append((shop.rows("silver.shop_orders"), shop.accounts("silver", "shop_orders")))
    assert found[0] == found[1]
    assert (
        found[0][1]
        == {
            "upsert": {DAY1: (5, 2, 1, 2), DAY2: (4, 1, 0, 3)},
            "snapshot": {DAY1: (5, 3, 1, 1), DAY2: (4, 3, 0, 1)},
            "history": {DAY1: (5, 3, 1, 1), DAY2: (4, 2, 0, 2)},
        }[mode]
    )


def test_a_corrected_row_may_lower_its_sequence(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 5, 50)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 9, 90)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    assert expect() == {"A": (5, 50)}


def test_a_missing_sequence_is_below_any_other(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", None, 20), ("B", None, 21)))
    assert expect() == {"A": (1, 10), "B": (None, 21)}
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", None, 22), ("B", None, 23)))
    assert expect() == {"A": (1, 10), "B": (None, 23)}


def test_equal_sequences_are_settled_by_landing_date_file_and_row(shop, expect):
    shop.land("shop/orders", DAY1, "b.csv", csv(("A", 1, 10), ("A", 1, 11)))
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 12)))
    shop.build()
    assert expect() == {"A": (1, 11)}
    shop.land("shop/orders", DAY2, "a.csv", csv(("A", 1, 13)))
    assert expect() == {"A": (1, 13)}


def test_dropped_rows_do_not_compete(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("A", 2, -5), (None, 1, 1)))
    assert expect() == {"A": (1, 10)}
    assert shop.accounts("silver", "shop_orders") == {DAY1: (3, 1, 2, 0)}
    reasons = shop.rows("quarantine.rows", "rule, row_number, payload", "row_number")
    assert reasons == [
        {"rule": "total_not_negative", "row_number": 3, "payload": '{"id":"A","at":"2","amount":"-5"}'},
        {"rule": "order_id_present", "row_number": 4, "payload": '{"id":null,"at":"1","amount":"1"}'},
    ]


def test_a_broken_fail_rule_keeps_its_partition_only_from_being_published(shop):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("B", 1, 2_000_000), ("C", 1, 5)))
    errors = shop.build_by_dagster()
    assert "nothing was built of 2026-01-02" in errors["silver__shop_orders"]
    assert "total_below_a_million" in errors["silver__shop_orders"]
    assert [r["order_id"] for r in shop.rows("silver.shop_orders")] == ["A"]
    shop.land("shop/orders", DAY2, "b.csv", csv(("B", 1, 200), ("C", 1, 5)))
    assert shop.build() == {}
    assert [r["order_id"] for r in shop.rows("silver.shop_orders")] == ["A", "B", "C"]


def test_a_repeated_pass_commits_nothing(shop):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    before = shop.versions()
    assert shop.plan().of_layers("raw", "silver") == []
    assert shop.materialize(ORDERS, [date.fromisoformat(DAY1)]) is None
    assert shop.versions() == before


def test_a_late_row_superseded_by_a_built_date_of_the_same_run_is_accounted_for(shop, expect):
    shop.land("shop/orders", DAY3, "c.csv", csv(("A", 9, 90)))
    shop.build()
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("B", 1, 10)))
    assert expect() == {"A": (9, 90), "B": (1, 10)}


def test_a_row_of_an_unpublished_date_supersedes_none(shop, expect):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 5, 50), ("B", 1, 2_000_000)))
    assert "nothing was built of 2026-01-02" in shop.build()["silver__shop_orders"]
    assert [(r["order_id"], r["total"]) for r in shop.rows("silver.shop_orders")] == [("A", 10)]
    shop.land("shop/orders", DAY2, "b.csv", csv(("B", 1, 20)))
    assert expect() == {"A": (1, 10), "B": (1, 20)}


def test_a_key_does_not_fall_back_to_an_unpublished_date(shop):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 9, 90), ("C", 1, 1)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 5, 50), ("B", 1, 2_000_000)))
    shop.build()
    shop.land("shop/orders", DAY1, "a.csv", csv(("C", 1, 1)))
    shop.build()
    assert [r["order_id"] for r in shop.rows("silver.shop_orders")] == ["C"]


class KilledError(Exception):
    """Stands for a kill right after a table's commit: the ledger never hears of it."""


@pytest.fixture
def killed_after_commit(shop, monkeypatch):
    """Runs a pass in which the given layer's step is killed between its commit and the ledger."""

    def run(layer: str) -> None:
        write = Ledger.record

        def dies(self, of_layer, *rest):
            if of_layer == layer:
                raise KilledError
            return write(self, of_layer, *rest)

        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "record", dies)
            with pytest.raises(KilledError):
                shop.build()

    return run


def test_a_silver_step_killed_after_its_commit_is_healed(shop, expect, killed_after_commit):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    killed_after_commit("silver")
    assert expect() == {"A": (2, 20), "B": (1, 10)}
    assert shop.plan().is_empty


def test_a_silver_step_killed_after_its_commit_is_healed_though_other_files_came_meanwhile(shop, expect, killed_after_commit):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("B", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 2, 20)))
    killed_after_commit("silver")
    shop.land("shop/orders", DAY3, "c.csv", csv(("B", 3, 30)))
    assert expect() == {"A": (2, 20), "B": (3, 30)}


@pytest.mark.parametrize("layer", ["raw", "silver"])
def test_a_step_killed_after_its_commit_is_healed_though_landing_went_back(shop, expect, killed_after_commit, layer):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 2, 20)))
    shop.land("shop/orders", DAY1, "b.csv", csv(("B", 1, 10), (None, 1, 1)))
    killed_after_commit(layer)
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.remove("shop/orders", DAY1, "b.csv")
    assert expect() == {"A": (1, 10)}
    assert shop.rows("quarantine.rows") == []


def test_an_interrupt_during_the_commit_leaves_no_table_with_holes(shop, expect, monkeypatch):
    from lakehouse_assets.silver import build

    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    commit = build.commit_files

    def interrupted(*arguments, **named):
        commit(*arguments, **named)
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(build, "commit_files", interrupted)
        with pytest.raises(KilledError):
            shop.build()
    assert expect() == {"A": (1, 10)}


def test_a_contract_may_gain_a_column_and_change_a_type(shop, make_lakehouse):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("B", 1, 20)))
    shop.build()
    columns = (*ORDERS.contract.columns[:2], Column("total", "decimal(12,2)", ""), Column("amount", "string", ""))
    shop.tables = [replace(ORDERS, contract=replace(ORDERS.contract, columns=columns))]
    assert shop.build() == {}
    shop.land("shop/orders", DAY3, "c.csv", csv(("A", 3, 30)))
    assert shop.build() == {}
    assert [(r["order_id"], str(r["total"]), r["amount"]) for r in shop.rows("silver.shop_orders")] == [
        ("A", "30.00", "30"),
        ("B", "20.00", "20"),
    ]


def test_a_new_source_column_named_like_one_of_the_contract_does_no_harm(shop):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10)))
    shop.build()
    shop.land("shop/orders", DAY2, "b.csv", "id,at,amount,Total,filename\nB,1,20,x,y\nC,1,-1,x,y\n")
    shop.land("shop/orders", DAY3, "c.csv", csv(("D", 1, -1)))
    assert shop.build() == {}
    assert [(r["order_id"], r["total"]) for r in shop.rows("silver.shop_orders")] == [("A", 10), ("B", 20)]
    shop.remove("shop/orders", DAY2, "b.csv")
    assert shop.build() == {}
    assert [r["total"] for r in shop.rows("raw.shop_orders", "total", "_date")] == [None, None]


def test_a_snapshot_keeps_the_rows_of_each_date(make_lakehouse):
    entity = replace(ORDERS, contract=replace(ORDERS.contract, mode="snapshot"))
    shop = make_lakehouse(entity)
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 10), ("A", 2, 11)))
    shop.land("shop/orders", DAY2, "b.csv", csv(("A", 1, 20)))
    assert shop.build() == {}
    assert [(str(r["_date"]), r["total"]) for r in shop.rows("silver.shop_orders", order="_date")] == [(DAY1, 11), (DAY2, 20)]
    assert shop.accounts("silver", "shop_orders") == {DAY1: (2, 1, 0, 1), DAY2: (1, 1, 0, 0)}


def test_a_date_without_files_may_be_asked_for(shop):
    definitions = shop.definitions()
    keys = [dg.AssetKey(["raw", "shop_orders"]), dg.AssetKey(["silver", "shop_orders"])]
    job = definitions.resolve_job_def("lakehouse")
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance, asset_selection=keys, partition_key=DAY1).success
    assert shop.rows("silver.shop_orders") == []


def test_a_root_may_have_blanks_and_letters_of_any_language(shop, tmp_path, world, monkeypatch):
    if world.name.startswith("sail"):
        monkeypatch.setattr(world, "engine", "sail")
        with pytest.raises(SettingsError, match="because it has spaces or non-ASCII characters"):
            world.settings(root=str(tmp_path / "Jörg's data"))
        return
    shop.settings = shop.settings.model_copy(update={"lakehouse_root": str(tmp_path / "Jörg's data")})
    shop.land("shop/orders", DAY1, "a b.csv", csv(("A", 1, 10), (None, 1, 1)))
    assert shop.build() == {}
    shop.land("shop/orders", DAY2, "ü#1.csv", csv(("A", 2, 20)))
    assert shop.build() == {}
    assert [(r["order_id"], r["total"]) for r in shop.rows("silver.shop_orders")] == [("A", 20)]
    assert len(shop.rows("quarantine.rows")) == 1
