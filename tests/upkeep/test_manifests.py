"""Upkeep and manifests: readers go on reading what the newest manifest names, whatever is compacted and deleted."""

from datetime import date, timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.serving.query import query
from lakehouse_assets.upkeep.maintain import maintain

FACT = ("gold", "fact")


def write(root, number, mode):
    rows = pa.table({"n": [number], "_date": [date(2026, 1, 5)]})
    write_deltalake(root.table(*FACT), rows, mode=mode, partition_by=["_date"])


@pytest.fixture
def published(root):
    for number in (1, 2):
        write(root, number, "append")
    Manifests(root).publish({FACT: DeltaTable(root.table(*FACT))}, built=["fact"], failed=(), run_id="run")
    return root


def numbers(root):
    said = []
    rows = sorted(n for (n,) in query(root, "SELECT n FROM gold.fact", tell=said.append).fetchall())
    assert said == []
    return rows


def test_a_compacted_table_is_read_at_the_version_that_has_the_same_rows(published):
    assert [kept.files_after for kept in maintain(published, timedelta(0))] == [1]
    assert Manifests(published).newest().tables[FACT].version == 2
    assert numbers(published) == [1, 2]
    assert list(maintain(published, timedelta(0)))
    assert numbers(published) == [1, 2]


def test_a_table_that_another_writer_has_moved_on_is_read_at_its_newest_once_the_files_of_the_manifest_go(published):
    write(published, 3, "overwrite")
    assert list(maintain(published, timedelta(days=7)))
    assert numbers(published) == [1, 2]
    assert list(maintain(published, timedelta(0)))
    assert FACT not in Manifests(published).newest().tables
    assert numbers(published) == [3]


def test_old_manifests_go(published):
    write(published, 3, "append")
    Manifests(published).publish({FACT: DeltaTable(published.table(*FACT))}, built=["fact"], failed=(), run_id="run")
    assert list(maintain(published, timedelta(0)))
    assert Manifests(published).numbered(1) is None
    assert numbers(published) == [1, 2, 3]
