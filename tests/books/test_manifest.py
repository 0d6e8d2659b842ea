"""Manifests: numbered without gaps, never changed, read as one object; whoever writes beside whom, none goes backwards."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import obstore
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse_assets.books import manifest as module
from lakehouse_assets.books.manifest import Manifest, Manifests, Pinned
from lakehouse_assets.store.root import Root

FACT, DIM = ("gold", "fact"), ("gold", "dim")


@pytest.fixture
def manifests(root):
    return Manifests(root)


def committed(root, key, number):
    """A table after one more commit."""
    uri = root.table(*key)
    write_deltalake(uri, pa.table({"n": [number]}), mode="append")
    return DeltaTable(uri)


def publish(manifests, opened, *, built=("fact", "dim"), failed=(), run_id="run"):
    return manifests.publish(opened, built=built, failed=failed, run_id=run_id)


def test_each_build_publishes_the_next_number(root, manifests):
    assert manifests.newest() is None
    first = publish(manifests, {FACT: committed(root, FACT, 0), DIM: committed(root, DIM, 0)})
    second = publish(manifests, {FACT: committed(root, FACT, 1), DIM: DeltaTable(root.table(*DIM))})
    assert (first.number, second.number) == (1, 2)
    assert {key: pinned.version for key, pinned in second.tables.items()} == {FACT: 1, DIM: 0}
    assert manifests.numbered(1) == first
    assert manifests.newest() == second


def test_a_build_that_changes_nothing_publishes_nothing(root, manifests):
    opened = {FACT: committed(root, FACT, 0)}
    first = publish(manifests, opened)
    assert publish(manifests, opened, run_id="another") == first
    assert manifests.numbered(2) is None


def test_what_failed_is_behind_until_it_is_built(root, manifests):
    opened = {FACT: committed(root, FACT, 0), DIM: committed(root, DIM, 0)}
    publish(manifests, opened)
    after = publish(manifests, opened | {DIM: committed(root, DIM, 1)}, built=["dim"], failed=["fact", "never_built"])
    assert after.behind == {"fact"}
    assert publish(manifests, opened | {DIM: committed(root, DIM, 2)}, built=["dim"]).behind == {"fact"}
    # The table is the same, and has been found to be right.
    assert publish(manifests, after_dim(root, opened), built=["fact", "dim"]).behind == frozenset()


def after_dim(root, opened):
    return opened | {DIM: DeltaTable(root.table(*DIM))}


def test_a_reader_finds_the_newest_although_its_writer_was_killed_before_the_copy(root, manifests):
    first = publish(manifests, {FACT: committed(root, FACT, 0)})
    obstore.put(root.store, "ops/manifests/2.json", first.to_json().replace('"number": 1', '"number": 2').encode())
    assert manifests.newest() == first  # the pass before
    third = publish(manifests, {FACT: committed(root, FACT, 1)})
    assert third.number == 3
    assert manifests.newest() == third


def test_writers_at_once_leave_no_gap_and_the_highest_number_is_the_newest(root, manifests):
    keys = [("gold", f"t{n}") for n in range(8)]
    opened = [{key: committed(root, key, 0)} for key in keys]
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda each: Manifests(root).publish(each, built=(), failed=(), run_id="run"), opened))
    assert len(published) == 8
    numbers = [int(path.rpartition("/")[2].removesuffix(".json")) for path in manifests.paths()]
    assert numbers == list(range(1, 9))
    assert manifests.newest().number == 8


def test_a_build_that_opened_its_tables_early_takes_no_table_back(root, manifests):
    early = {FACT: committed(root, FACT, 0), DIM: committed(root, DIM, 0)}
    publish(manifests, early | {FACT: committed(root, FACT, 1)})
    late = publish(manifests, early | {DIM: committed(root, DIM, 1)})
    assert {key: pinned.version for key, pinned in late.tables.items()} == {FACT: 1, DIM: 1}


def test_a_table_that_was_put_back_is_named_as_it_is(root, manifests):
    old = committed(root, FACT, 0)
    publish(manifests, {FACT: committed(root, FACT, 1)})
    folder = root.local_folder / "gold" / "fact" / "_delta_log"
    (folder / f"{1:020}.json").unlink()
    assert publish(manifests, {FACT: old}).tables[FACT].version == 0


def test_the_manifest_of_a_moment_is_found_among_many_without_a_listing(root, manifests, monkeypatch):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    template = publish(manifests, {FACT: committed(root, FACT, 0)})
    for number in range(1, 101):
        made = module.replace(template, number=number, time=start + timedelta(minutes=number))
        obstore.put(root.store, f"ops/manifests/{number}.json", made.to_json().encode())
    obstore.put(root.store, "ops/manifests/newest.json", made.to_json().encode())
    monkeypatch.setattr(obstore, "list", None)
    reads = []
    read = Manifests._read
    monkeypatch.setattr(Manifests, "_read", lambda self, path: reads.append(path) or read(self, path))
    assert manifests.at(start) is None
    assert [manifests.at(start + timedelta(minutes=m, seconds=30)).number for m in (1, 42, 99, 100, 500)] == [1, 42, 99, 100, 100]
    assert len(reads) <= 4 * 8 + 3
    # Those that were pruned are older than all others.
    for number in range(1, 40):
        obstore.delete(root.store, f"ops/manifests/{number}.json")
    assert [getattr(manifests.at(start + timedelta(minutes=m)), "number", None) for m in (39, 40, 55)] == [None, 40, 55]


def test_pruning_keeps_the_state_of_each_moment_that_files_are_kept_for(root, manifests):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    template = publish(manifests, {FACT: committed(root, FACT, 0)})
    for number in range(1, 11):
        made = module.replace(template, number=number, time=start + timedelta(days=number))
        obstore.put(root.store, f"ops/manifests/{number}.json", made.to_json().encode())
    obstore.put(root.store, "ops/manifests/newest.json", made.to_json().encode())
    assert manifests.prune(start + timedelta(days=7, hours=12)) == 6
    assert manifests.at(start + timedelta(days=7, hours=12)).number == 7
    assert manifests.prune(start + timedelta(days=100)) == 3
    assert manifests.newest().number == 10
    assert manifests.newest().tables == {FACT: Pinned(template.tables[FACT].table_id, 0)}


def test_on_a_store_writers_at_once_leave_no_gap(stores, monkeypatch):
    for name, value in stores("minio").items():
        monkeypatch.setenv(name, value)
    root = Root.parse(os.environ["LAKEHOUSE_ROOT"])
    with ThreadPoolExecutor(4) as pool:
        opened = [Manifest(0, datetime.now(UTC), str(n), {FACT: Pinned("id", n)}) for n in range(4)]
        list(pool.map(lambda each: Manifests(root)._publish(lambda last: each), opened))
    assert [path.rpartition("/")[2] for path in Manifests(root).paths()] == [f"{n}.json" for n in range(1, 5)]
    assert Manifests(root).newest().number == 4
    assert Manifests(root).numbered(9) is None
