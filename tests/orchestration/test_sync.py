"""One pass over tables of which one waits for another ends with every row in its place, whatever failed before."""

from dataclasses import replace

import pytest

from lakehouse_assets.contracts.contract import Rule
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.errors import AuditError
from lakehouse_assets.orchestration.sync import sync
from lakehouse_assets.reconcile.plan import make_plan, make_system_plan
from lakehouse_assets.reconcile.scan import ScanBudget
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from tests.support.group import DATES, DOCS_FEED, ITEMS, ORDERS, ORDERS_FEED, START, Group

pytestmark = pytest.mark.worlds("sail-folder")

FATAL = Rule("value_not_fatal", "value IS NULL OR value <> 'fatal'", "fail", "A value is not fatal.")
CATALOG = Catalog.from_tables([ITEMS, replace(ORDERS, contract=replace(ORDERS.contract, rules=(*ORDERS.contract.rules, FATAL)))])


@pytest.fixture
def group(tmp_path, engine, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Group(tmp_path / "root", engine.session)


def one_pass(group, engine):
    settings = Settings(lakehouse_root=str(group.folder), lakehouse_engine="sail", lakehouse_start_date=START)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    plan = make_plan(settings, CATALOG)
    result = sync(settings, CATALOG, plan, build_definitions(settings, catalog=CATALOG, engine=engine), lambda text: None)
    return result, make_plan(settings, CATALOG)


def items(group):
    return query(group.settings.root, "SELECT order_id, line FROM silver.shop_items ORDER BY ALL").fetchall()


def test_a_pass_brings_in_what_waited_for_what_it_brings(group, engine):
    group.land(DOCS_FEED, DATES[0], "a", [{"id": "k0", "at": 1, "items": [{"line": 1, "said": "x"}]}])
    assert one_pass(group, engine)[0].succeeded
    assert items(group) == []
    group.land(ORDERS_FEED, DATES[1], "a", [{"id": "k0", "at": 1, "said": "x", "op": "u"}])
    result, remaining = one_pass(group, engine)
    assert result.succeeded
    assert remaining.is_empty
    assert items(group) == [("k0", 1)]
    # The partner is deleted: only a second look shows which rows that affects.
    group.land(ORDERS_FEED, DATES[2], "a", [{"id": "k0", "at": 2, "said": "x", "op": "d"}])
    result, remaining = one_pass(group, engine)
    assert result.succeeded
    assert remaining.is_empty
    assert items(group) == []


def test_a_partner_that_fails_keeps_no_other_rows_back(group, engine):
    group.land(ORDERS_FEED, DATES[0], "a", [{"id": "k0", "at": 1, "said": "x", "op": "u"}])
    group.land(ORDERS_FEED, DATES[1], "a", [{"id": "k1", "at": 1, "said": "fatal", "op": "u"}])
    group.land(DOCS_FEED, DATES[1], "a", [{"id": key, "at": 1, "items": [{"line": 1, "said": "x"}]} for key in ("k0", "k1")])
    result, remaining = one_pass(group, engine)
    errors = {t.table: t.error for t in result.tables if t.layer == "silver" and t.error}
    assert errors.keys() == {"shop_orders"}
    assert items(group) == [("k0", 1)]
    # The history of runs has the table that failed, with the date that was built all the same.
    history = query(
        group.settings.root, "SELECT layer, table_name, status, rows_in, rows_out, dates, error FROM ops.runs ORDER BY started"
    ).fetchall()
    failed = next(run for run in history if run[2] == "failed")
    assert failed[:6] == ("silver", "shop_orders", "failed", 1, 1, 1)
    assert errors["shop_orders"] == failed[6]
    assert {run[2] for run in history if run[0] == "raw"} == {"built"}
    assert ("silver", "shop_items", "skipped", None, 0, 0, None) in history
    assert sum(run[4] for run in history if run[1] == "shop_items" and run[2] == "built") == 1
    assert ("shop_orders", (DATES[1],)) in [(t.table, t.dates) for t in remaining.of_layers("silver")]


def test_a_feed_that_rests_makes_no_work_of_a_table_that_it_shares_with_another(group):
    """Rows built from the feed stay live; new files of it wait."""
    for feed in ORDERS.feeds:
        group.land(feed, DATES[0], "a", [{"id": f"k{feed.table[-1]}", "at": 1, "said": "x", "op": "u"}])
    group.settle()
    both = Catalog.from_tables([ORDERS])
    for resting in ([], [ORDERS_FEED.table], [feed.table for feed in ORDERS.feeds]):
        assert make_system_plan(group.settings, both, "shop", ScanBudget(), resting).is_empty
    group.land(ORDERS_FEED, DATES[1], "a", [{"id": "k0", "at": 1, "said": "x", "op": "u"}])
    assert make_system_plan(group.settings, both, "shop", ScanBudget(), [ORDERS_FEED.table]).is_empty
    assert not make_system_plan(group.settings, both, "shop", ScanBudget()).is_empty


def test_a_partner_that_comes_is_no_reason_to_try_again_what_was_refused(group):
    """The live date has a waiting row. What has landed since is refused, with or without the partner."""
    items_strict = replace(ITEMS, contract=replace(ITEMS.contract, rules=(*ITEMS.contract.rules, FATAL)))
    both = Catalog.from_tables([items_strict, ORDERS])
    group.land(DOCS_FEED, DATES[0], "a", [{"id": "k0", "at": 1, "items": [{"line": 1, "said": "x"}]}])
    group.build(items_strict, [DATES[0]])
    group.land(DOCS_FEED, DATES[0], "b", [{"id": "k1", "at": 1, "items": [{"line": 1, "said": "fatal"}]}])
    with pytest.raises(AuditError):
        group.build(items_strict, [DATES[0]])
    assert make_system_plan(group.settings, both, "shop", ScanBudget()).is_empty
    group.land(ORDERS_FEED, DATES[1], "a", [{"id": "k0", "at": 1, "said": "x", "op": "u"}])
    group.build(ORDERS, [DATES[1]])
    assert make_system_plan(group.settings, both, "shop", ScanBudget()).is_empty
    assert not make_plan(group.settings, both).is_empty
