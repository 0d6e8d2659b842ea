"""Scans of a part of landing: their cost, and that round-robin scans find what a full scan finds."""

import random
import shutil
from dataclasses import replace
from datetime import timedelta
from math import ceil

import pyarrow as pa
import pytest

from lakehouse_assets.books import ledger as ledger_module
from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.tables import dates_predicate, replace_rows
from lakehouse_assets.landing import store as landing_store
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.reconcile.scan import ScanBudget
from tests.support.declare import feed_of
from tests.support.recorded import CATEGORIES, FIRST, LOCATIONS, land, say_built, settings_from_first


@pytest.fixture
def counted(monkeypatch):
    """The cost of a scan: listings requested, objects listed, and partitions whose files were read."""
    cost = {"folders": 0, "listings": 0, "objects": 0, "requests": 0, "files": 0}

    def count(name, number=1):
        cost[name] += number

    for kind in (landing_store.Folder, landing_store.Bucket):
        folders, result = kind.folders, kind.found

        def counted_folders(self, prefix, folders=folders):
            count("folders")
            return folders(self, prefix)

        def counted_found(self, *what, result=result):
            count("listings")
            for stored in result(self, *what):
                count("objects")
                yield stored

        monkeypatch.setattr(kind, "folders", counted_folders)
        monkeypatch.setattr(kind, "found", counted_found)
    ask = landing_store._client

    def client():
        result = ask()
        result.meta.events.register("before-send.s3", lambda **_: count("requests"), unique_id="counted")
        return result

    monkeypatch.setattr(landing_store, "_client", client)
    record = ledger_module._record
    monkeypatch.setattr(ledger_module, "_record", lambda row: count("files", "files" in row) or record(row))
    yield cost
    ask().meta.events.unregister("before-send.s3", unique_id="counted")


@pytest.mark.worlds("sail-folder", "sail-minio")
def test_a_look_at_ten_times_as_many_old_objects_costs_the_same(make_lakehouse, counted):
    costs = []
    for days in (40, 400):
        lakehouse = make_lakehouse(LOCATIONS, CATEGORIES)
        lakehouse.settings = settings_from_first(lakehouse)
        for entity in lakehouse.tables:
            land(lakehouse, entity, range(days), files=2)
        say_built(lakehouse, *lakehouse.tables)
        cursor = f"{feed_of(CATEGORIES).landing}/{FIRST + timedelta(days=5)}"
        counted.update(dict.fromkeys(counted, 0))
        plan = make_plan(lakehouse.settings, lakehouse.catalog, budget=ScanBudget(cursor, newest_dates=3, objects=20))
        assert plan.is_empty
        costs.append(dict(counted))
    assert costs[0] == costs[1]
    newest, older = 2 * 3 * 2, 20
    assert costs[0]["folders"] == 2
    assert costs[0]["listings"] == 3
    assert costs[0]["objects"] in (newest + older, newest + older + 1)  # one more shows that a date is complete
    assert costs[0]["files"] == 2 * 3 + 10


def differing(plan):
    return {(f.table, f.date, f.name, f.change) for f in plan.files} | {(t.key, d) for t in plan.tables for d in t.dates}


def disturb(lakehouse, dice):
    """Make a few random differences of any kind."""
    root, entities = lakehouse.settings.root, lakehouse.tables
    for _ in range(dice.randint(1, 5)):
        entity, day = dice.choice(entities), FIRST + timedelta(days=dice.randrange(40))
        folder = root.local_folder / "landing" / feed_of(entity).landing / str(day)
        match dice.choice(["new", "changed", "vanished", "gone", "unverified"]):
            case "new":
                lakehouse.land(feed_of(entity).landing, str(day), "late.csv", "late")
            case "changed":
                lakehouse.land(feed_of(entity).landing, str(day), "0.csv", f"{dice.random()}")
            case "vanished":
                (folder / "0.csv").unlink(missing_ok=True)
            case "gone":
                shutil.rmtree(folder, ignore_errors=True)
            case "unverified":
                if day in {key[2] for key in Ledger(root).read("raw", entity.name)}:
                    make_unverified(root, entity, day)


@pytest.mark.worlds("sail-folder")
@pytest.mark.parametrize("seed", range(12))
def test_looks_by_turns_see_what_a_look_at_all_sees_in_as_many_looks_as_promised(make_lakehouse, seed):
    dice = random.Random(seed)
    lakehouse = make_lakehouse(*dice.choice([(LOCATIONS,), (LOCATIONS, CATEGORIES)]))
    lakehouse.settings = settings_from_first(lakehouse)
    for entity in lakehouse.tables:
        land(lakehouse, entity, sorted(dice.sample(range(40), dice.randint(1, 40))), files=dice.randint(1, 4))
    say_built(lakehouse, *lakehouse.tables)
    assert make_plan(lakehouse.settings, lakehouse.catalog).is_empty
    disturb(lakehouse, dice)
    all_differences = differing(make_plan(lakehouse.settings, lakehouse.catalog))
    scan_budget = ScanBudget(
        cursor=dice.choice(["", "nonsense", "zzz", "\n", f"{feed_of(LOCATIONS).landing}/2025-01-20", "erp/gone/2025-01-01"]),
        newest_dates=dice.randint(1, 5),
        objects=dice.randint(1, 20),
        new_objects=dice.randint(1, 20),
    )
    objects = sum(len(Landing(lakehouse.settings.root).listing(feed_of(e).landing, FIRST).objects) for e in lakehouse.tables)
    seen = set()
    for _ in range(ceil(objects / scan_budget.objects)):
        plan = make_plan(lakehouse.settings, lakehouse.catalog, budget=scan_budget)
        seen |= differing(plan)
        scan_budget = replace(scan_budget, cursor=plan.next_cursor)
    assert seen == all_differences


@pytest.mark.worlds("sail-folder")
def test_what_is_new_gone_or_unsettled_is_seen_by_every_look(make_lakehouse):
    lakehouse = make_lakehouse(LOCATIONS)
    lakehouse.settings = settings_from_first(lakehouse)
    root = lakehouse.settings.root
    land(lakehouse, LOCATIONS, range(0, 40, 2))
    say_built(lakehouse, LOCATIONS)
    land(lakehouse, LOCATIONS, [5])
    shutil.rmtree(root.local_folder / "landing" / feed_of(LOCATIONS).landing / str(FIRST + timedelta(days=10)))
    make_unverified(root, LOCATIONS, FIRST + timedelta(days=20))
    for date_text in ("2025-01-01", "2025-01-31"):
        plan = make_plan(
            lakehouse.settings,
            Catalog.from_tables([LOCATIONS]),
            budget=ScanBudget(f"{feed_of(LOCATIONS).landing}/{date_text}", newest_dates=1, objects=1),
        )
        [raw] = plan.of_layers("raw")
        assert raw.dates == tuple(FIRST + timedelta(days=days) for days in (5, 10, 20))
        assert [f.change for f in plan.files] == ["new", "vanished", "new"]


def make_unverified(root, entity, day):
    """Change a raw partition without a record, like a step that is killed before it records it."""
    rows = pa.table({"_date": pa.array([day], pa.date32())})
    replace_rows(root.table("raw", entity.name), rows, predicate=dates_predicate([day]), key=f"killed {day}", run_id="killed")
