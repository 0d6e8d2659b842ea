"""`lakehouse run`: which tables a selection names, what is built in which order, and what a failure stops."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from datetime import date
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from lakehouse_assets.contracts.contract import Rule
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.errors import SelectionError
from lakehouse_assets.orchestration import run as module
from lakehouse_assets.orchestration.in_process import NOT_BUILT, BuiltTable
from lakehouse_assets.orchestration.run import Request, run
from lakehouse_assets.orchestration.selection import key_selection, selected
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from lakehouse_assets.systems import catalog
from tests.support.group import DATES, DOCS_FEED, ITEMS, ORDERS, ORDERS_FEED, PRODUCTS, PRODUCTS_FEED, START, Group

FATAL = Rule("value_not_fatal", "value IS NULL OR value <> 'fatal'", "fail", "A value is not fatal.")
CATALOG = Catalog.from_tables(
    [ITEMS, PRODUCTS, replace(ORDERS, contract=replace(ORDERS.contract, rules=(*ORDERS.contract.rules, FATAL)))]
)
ALL = tuple(key for layer in ("raw", "silver") for key in sorted(module._upstream(CATALOG, ())) if key[0] == layer)


@pytest.fixture
def group(tmp_path, engine, monkeypatch):
    """A root on which orders, items that wait for them, and products have landed. One date of the orders is fatal."""
    monkeypatch.chdir(tmp_path)
    group = Group(tmp_path / "root", engine.session)
    for day, said in zip(DATES, ("x", "fatal", "x"), strict=False):
        group.land(ORDERS_FEED, day, "a", [{"id": f"k{day.day}", "at": 1, "said": said, "op": "u"}])
        group.land(DOCS_FEED, day, "a", [{"id": f"k{day.day}", "at": 1, "items": [{"line": 1, "said": "x"}]}])
        group.land(PRODUCTS_FEED, day, "a", [{"id": "p", "at": day.day, "said": "x"}])
    return group


def ran(group, engine, keys=ALL, **how):
    settings = Settings(lakehouse_root=str(group.folder), lakehouse_engine="sail", lakehouse_start_date=START)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    said = []
    definitions = build_definitions(settings, catalog=CATALOG, engine=engine)
    result = run(settings, CATALOG, definitions, Request(keys, **how), said.append)
    return result, {f"{t.layer}/{t.table}": t for t in result.tables}, said


def dates(group, table):
    return [day for (day,) in query(group.settings.root, f"SELECT DISTINCT _date FROM silver.{table} ORDER BY ALL").fetchall()]


@pytest.mark.worlds("sail-folder")
def test_a_table_that_fails_skips_what_depends_on_it_and_nothing_else(group, engine):
    result, tables, _ = ran(group, engine)
    assert not result.succeeded
    assert {name for name, t in tables.items() if t.error is None} == {
        "raw/shop_orders",
        "raw/shop_order_docs",
        "raw/shop_products",
        "silver/shop_products",
    }
    assert "value_not_fatal" in tables["silver/shop_orders"].error
    assert tables["silver/shop_orders"].skipped_because == ()
    assert tables["silver/shop_items"].error == "skipped, because silver/shop_orders failed"
    assert tables["silver/shop_items"].skipped_because == ("silver/shop_orders",)
    assert dates(group, "shop_orders") == [DATES[0], DATES[2]]  # only the fatal date is refused
    assert dates(group, "shop_products") == [DATES[2]]
    # Of the tables alone that didn't fail, none is affected; items wait for no table of this run.
    assert ran(group, engine, (("silver", "shop_items"), ("silver", "shop_products")))[0].succeeded


@pytest.mark.worlds("sail-folder")
def test_fail_fast_begins_nothing_after_a_failure(group, engine):
    result, tables, said = ran(group, engine, fail_fast=True)
    assert len(tables) == 6
    assert "value_not_fatal" in tables["silver/shop_orders"].error
    begun = {line.split()[0].replace(".", "/") for line in said if line.startswith("  ")}
    assert {name for name, t in tables.items() if t.error is None} == begun
    after = {name: t for name, t in tables.items() if name not in begun | {"silver/shop_orders"}}
    assert after.keys() == {"silver/shop_items", "silver/shop_products"} - begun
    assert "silver/shop_items" in after
    assert {t.skipped_because for t in after.values()} == {("silver/shop_orders",)}
    assert len(result.runs) == 1


@pytest.mark.worlds("sail-folder")
def test_only_the_dates_that_are_named_are_built_and_each_range_is_a_run(group, engine):
    result, tables, _ = ran(group, engine, dates=(DATES[0], DATES[2]))
    assert result.succeeded  # the fatal date lies between
    assert len(result.runs) == 2
    assert len(tables) == len(result.tables) == 6
    assert dates(group, "shop_orders") == dates(group, "shop_items") == [DATES[0], DATES[2]]
    result, _, said = ran(group, engine, keys=(("silver", "shop_prices"), ("raw", "shop_products")), dates=DATES[1:2])
    assert said[0] == "There is nothing yet to build silver/shop_prices from."
    assert [t.table for t in result.tables] == ["shop_products"]


@pytest.mark.worlds("sail-folder")
def test_downstream_first_builds_from_what_was_there_before(group, engine):
    keys = (("raw", "shop_products"), ("silver", "shop_products"))
    first, tables, said = ran(group, engine, keys, downstream_first=True)
    assert first.succeeded
    assert (list(tables), said[0]) == (["raw/shop_products"], "There is nothing yet to build silver/shop_products from.")
    assert "shop_products" not in group.settings.root.table_names("silver")
    assert ran(group, engine, keys, downstream_first=True)[0].succeeded
    assert dates(group, "shop_products") == [DATES[2]]


REAL = Settings(lakehouse_engine="sail")


class _Dagster:
    """Does to the tables of a run what Dagster and dbt do, if some fail."""

    def __init__(self, upstream, failing):
        self.upstream, self.failing, self.order, self.broken = upstream, failing, [], set()

    def execute(self, job, planned, instance, settings, result, tell, *, fail_fast=False):
        done = set()
        for key in TopologicalSorter({key: self.upstream[key] & {*planned.keys} for key in planned.keys}).static_order():
            if fail_fast and self.broken:
                error, seconds = NOT_BUILT, 0.0
            elif self.upstream[key] & self.broken & {*planned.keys, *done}:
                error, seconds = ("gold failed", 1.0) if key[0] == "gold" else (NOT_BUILT, 0.0)
                self.broken.add(key)
            else:
                self.order.append(key)
                error, seconds = ("it fails", 1.0) if key in self.failing else (None, 1.0)
                if key in self.failing:
                    self.broken.add(key)
            done.add(key)
            result.tables.append(BuiltTable(*key, 0, 0, seconds, error))
        result.runs.append("run")


@pytest.fixture
def real(tmp_path, monkeypatch):
    """Runs over all systems and models, without engine: the tables that fail are given."""
    monkeypatch.chdir(tmp_path)
    declared = catalog()
    models = REAL.gold_project.models()
    upstream = module._upstream(declared, models)
    settings = Settings(lakehouse_root=str(tmp_path / "root"), lakehouse_engine="sail")
    settings.dagster_home.mkdir(parents=True)
    for layer, name in upstream:
        if layer != "raw":  # as if all had been written before
            (tmp_path / "root" / layer / name / "_delta_log").mkdir(parents=True)
    monkeypatch.setattr(module, "_dates", lambda s, c, m, request: {k: [START] for k in upstream if k in request.keys})

    class Definitions:
        def resolve_job_def(self, name):
            return name

    def go(request, failing):
        dagster = _Dagster(upstream, failing)
        monkeypatch.setattr(module, "execute", dagster.execute)
        result = run(settings, declared, Definitions(), request, lambda line: None)
        assert [t.key for t in result.tables] == [key for key in upstream if key in request.keys]
        return {t.key: t for t in result.tables}, dagster.order

    return go, upstream


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_only_what_depends_on_it_is_skipped_and_says_why(real, seed):
    go, upstream = real
    chance = random.Random(seed)
    keys = tuple(key for key in upstream if chance.random() < 0.8)
    failing = set(chance.sample(keys, chance.randint(0, 6)))
    tables, order = go(Request(keys), failing)
    why = {}  # by table: what has failed on the way to it
    for key in TopologicalSorter(upstream).static_order():
        if key in keys:
            causes = set().union(*(why.get(other, set()) for other in upstream[key]))
            why[key] = causes or ({key} if key in failing else set())
    for key, table in tables.items():
        was_skipped = why[key] not in (set(), {key})
        assert set(table.skipped_because) == ({"/".join(cause) for cause in why[key]} if was_skipped else set())
        assert (table.error is not None) == bool(why[key])
        assert (key in order) is not was_skipped
    assert all(order.index(other) < order.index(key) for key in order for other in upstream[key] if other in order)


@pytest.mark.parametrize("seed", range(4))
def test_downstream_first_is_the_other_way_round_and_a_failure_skips_nothing_before_it(real, seed):
    go, upstream = real
    chance = random.Random(seed)
    keys = tuple(key for key in upstream if chance.random() < 0.8)
    failing = set(chance.sample([key for key in keys if key[0] != "gold"], 3))
    tables, order = go(Request(keys, downstream_first=True), failing)
    assert {key for key, t in tables.items() if t.error is not None} == failing
    rows = [key for key in order if key[0] != "gold"]
    assert order[-len(rows) :] == rows
    assert all(rows.index(other) > rows.index(key) for key in rows for other in upstream[key] if other in rows)


def test_fail_fast_says_for_what_nothing_more_was_begun(real):
    go, upstream = real
    tables, order = go(Request(tuple(upstream), fail_fast=True), {("silver", "erp_customer_locations")})
    assert order[-1] == ("silver", "erp_customer_locations")
    others = [t for key, t in tables.items() if key not in order]
    assert {t.skipped_because for t in others} == {("silver/erp_customer_locations",)}
    assert {t.error.partition(",")[0] for t in others} == {"not begun", "skipped"}


@pytest.fixture(scope="module")
def definitions():
    return build_definitions(REAL)


SYSTEMS = catalog().systems


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("crm_sales", 'key:"raw/crm_sales" or key:"silver/crm_sales"'),
        ("silver/crm_sales", 'key:"silver/crm_sales"'),
        ("silver.crm_sales", 'key:"silver/crm_sales"'),
        ("fact_sales", 'key:"gold/fact_sales"'),
        ("+fact_sales", '+key:"gold/fact_sales"'),
        ("raw/crm_sales+1", 'key:"raw/crm_sales" or key:"silver/crm_sales"'),
        ("silver", "tag:layer=silver"),
        ("silver", 'key:"silver/*"'),
        ("crm", "tag:system=crm"),
        ("crm", 'group:"raw_crm" or group:"silver_crm"'),
        ("silver and not (crm or erp)", "tag:layer=silver and not tag:system=crm and not tag:system=erp"),
        ("gold", "kind:dbt"),
        ("(crm_sales or crm_products)+", 'key:"*/crm_sales"+ or key:"*/crm_products"+'),
        ("roots(+silver/crm_sales)", 'key:"raw/crm_sales"'),
        ("*", "raw or silver or gold"),
    ],
)
def test_a_selection_is_dagster_s_and_plain_names_stand_for_tables_layers_and_systems(definitions, text, same):
    result = selected(text, definitions, SYSTEMS)
    assert result == selected(same, definitions, SYSTEMS) == selected(key_selection(result), definitions, SYSTEMS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crm_sale", r"There is no table 'crm_sale' \(did you mean 'crm_sales'\?\)"),
        ("+crm_sales or silvr", r"There is no table 'silvr' \(did you mean 'silver'\?\)"),
        ("gold/crm_sales", "There is no table 'gold/crm_sales' "),
        ('key:"silver/crm_sale"+', r"'silver/crm_sale' \(did you mean 'silver/crm_sales'\?\)"),
        ("tag:system=cmr", "selects no table. Layers are raw, silver, gold; systems are bikes, crm"),
        ("crm_sales and", "is not a selection in Dagster's syntax"),
        ("crm_sales crm_products", "is not a selection in Dagster's syntax"),
        ("tag:layer", "selects no table"),
        ('status:"healthy"', "is not a selection in Dagster's syntax"),
        ('key:"landing/*"', "selects no table: polls run by their schedules"),
    ],
)
def test_a_selection_of_nothing_is_refused_with_the_nearest_name(definitions, text, message):
    with pytest.raises(SelectionError, match=message):
        selected(text, definitions, SYSTEMS)


TOY = '''"""{name}."""
from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.system import Input, SilverTable, System

def take(raw):
    return raw.selectExpr("*", "id AS thing_id")

THINGS = SilverTable(
    Contract(table="{name}_things", description="Things", owner="team:{name}", key=("thing_id",),
             columns=(Column("thing_id", "string", ""),), rules=(Rule("not_fatal", "thing_id <> 'fatal'", "fail", ""),)),
    (Input(Feed("{name}/things", (SourceColumn("id", ""),)), take),),
)
SYSTEM = System("{name}", "{name}", (THINGS,))
'''


def test_systems_that_have_nothing_to_do_with_each_other_run_side_by_side(tmp_path, monkeypatch):
    """Each in a process of its own; a failure of one is none of the other."""
    for name, key in (("north", "a"), ("south", "fatal")):
        (tmp_path / "toys").mkdir(exist_ok=True)
        (tmp_path / "toys" / f"{name}.py").write_text(TOY.format(name=name))
        folder = tmp_path / "root" / "landing" / name / "things" / str(date(2026, 1, 2))
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(f"id\n{key}\n")
    for name, value in {"ROOT": tmp_path / "root", "SYSTEMS": tmp_path / "toys", "ENGINE": "sail", "PARALLEL_RUNS": 2}.items():
        monkeypatch.setenv(f"LAKEHOUSE_{name}", str(value))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lakehouse")), "run", "raw or silver", "--dates", "2026-01-01..2026-01-03", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert len(result["runs"]) == 2
    errors = {f"{t['layer']}/{t['table']}": t["error"] for t in result["tables"]}
    assert [name for name, error in errors.items() if error] == ["silver/south_things"]
    assert errors.keys() == {"raw/north_things", "raw/south_things", "silver/north_things", "silver/south_things"}
    assert "not_fatal" in errors["silver/south_things"]
