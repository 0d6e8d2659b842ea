"""The look-up of keys in other partitions: with whatever it skips, it finds what a look at all rows finds."""

import json
from datetime import date, timedelta
from pathlib import Path

import obstore
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse_assets.books.set_aside import SUPERSEDED, Batch, SetAside
from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.delta import key_filter
from lakehouse_assets.delta.data_files import data_folder
from lakehouse_assets.delta.duck import connect, read_footers
from lakehouse_assets.delta.tables import DataFile, commit_files, ensure_table, live_files, open_table
from lakehouse_assets.silver import look_up
from lakehouse_assets.silver.held import Held
from lakehouse_assets.silver.look_up import LocalLookUp, Opened
from lakehouse_assets.silver.merge import changed_rows
from lakehouse_assets.silver.schema import contract_schema
from lakehouse_assets.silver.stage import Stage, staged_columns
from lakehouse_assets.store.root import Root
from tests.support.declare import one_feed

FIRST = date(2026, 1, 1)
NEW = date(2026, 3, 1)


def table_of(mode: str, *key: tuple[str, str]):
    columns = [*(Column(name, kind, "") for name, kind in key), Column("seq", "int", ""), Column("value", "string", "")]
    contract = Contract(
        table="shop_things",
        description="Things",
        owner="team:shop",
        key=tuple(name for name, _ in key),
        mode=mode,
        sequence="seq",
        columns=tuple(columns),
    )
    return one_feed(landing="shop/things", columns=(SourceColumn("id", ""),), contract=contract, function=lambda raw: raw)


class Shop:
    """A silver table whose files are written by hand, and look-ups in it."""

    def __init__(self, folder: Path, table) -> None:
        self.root, self.table = Root.parse(str(folder)), table
        self.uri = self.root.table("silver", table.name)
        self.columns = staged_columns(table.contract)
        ensure_table(self.uri, contract_schema(table.contract))
        self.aside = SetAside()
        self.files = 0

    def write(self, keys: list[tuple], day: date, *, deleted: bool = False) -> DataFile:
        """Write a staged file with a row for each key and sequence."""
        self.files += 1
        path = f"data-{self.files}/_verdict=ok/_date={day}/part-0.parquet"
        names = [*self.table.contract.key, "seq"]
        rows = {
            "value": "x",
            "_source_feed": "shop_things",
            "_source_file": "a.csv",
            "_source_etag": "e",
            "_item_number": 0,
            "_deleted": deleted,
            "_batch": f"batch-{self.files}",
            "_landed": day,
            "valid_from": None,
            "valid_to": None,
        }
        given = [dict(zip(names, key, strict=True)) | rows | {"_row_number": n} for n, key in enumerate(keys)]
        with connect(self.root) as connection:
            types = {**self.columns, "_batch": "string", "_landed": "date"}
            schema = pa.schema([(name, _arrow(kind)) for name, kind in types.items()])
            connection.register("given", pa.Table.from_pylist(given, schema=schema))
            Path(self.uri, path).parent.mkdir(parents=True)
            connection.execute(f"COPY given TO '{self.uri}/{path}' (FORMAT parquet)")
            connection.unregister("given")
            footer = read_footers(connection, [f"{self.uri}/{path}"])[f"{self.uri}/{path}"]
        return DataFile(path, Path(self.uri, path).stat().st_size, len(keys), day, footer)

    def add(self, keys: list[tuple], day: date) -> None:
        """Make live rows of a date."""
        commit_files(open_table(self.uri), [self.write(keys, day)], [], key=str(self.files), run_id="run")

    def set_aside(self, keys: list[tuple], day: date, *, bounded: bool) -> None:
        """Make superseded rows of a date."""
        file = self.write(keys, day, deleted=True)
        with connect(self.root) as connection, data_folder(self.root, "silver", self.table.name, "run") as folder:
            bounds = {file.path: Stage(folder, self.table, connection)._bounds(file.footer)} if bounded else {}
        self.aside += SetAside((Batch(f"batch-{self.files}", (file.path,), {day: len(keys)}, SUPERSEDED, bounds),))

    def held(self) -> Held:
        return Held(live_files(open_table(self.uri), self.table.contract.key), self.aside)

    def look_up(self, keys: list[tuple], held: Held | None = None) -> tuple[list[dict], int]:
        """The rows that change for staged rows with these keys and sequences, and how many files were looked into."""
        file = self.write(keys, NEW)
        with connect(self.root) as connection, data_folder(self.root, "silver", self.table.name, "run") as folder:
            stage = Stage(folder, self.table, connection, ok=[file])
            among, of = LocalLookUp(connection, folder), Opened(self.uri, open_table(self.uri))
            changes = changed_rows(among, stage, of, Held([], SetAside()), self.held() if held is None else held, {})
            views = "view_name IN ('other_ok', 'other_superseded')"
            [[files]] = connection.execute(
                f"SELECT coalesce(sum(len(regexp_extract_all(sql, 'data-[0-9]+/'))), 0) FROM duckdb_views() WHERE {views}"
            ).fetchall()
        return sorted(changes.found.to_pylist(), key=str), int(files)

    def segments(self) -> list[Path]:
        return sorted(Path(self.uri, "_keys").glob("*"))


def _arrow(kind: str) -> pa.DataType:
    types = {"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}
    return types.get(kind, pa.timestamp("us", "UTC"))


@pytest.fixture
def spread(tmp_path, monkeypatch):
    """Ten dates with a hundred keys each, spread at random. A filter is worthwhile from 100 rows on."""
    monkeypatch.setattr(key_filter, "WORTHWHILE", 100)
    shop = Shop(tmp_path, table_of("upsert", ("id", "string")))
    for n in range(10):
        shop.add([(_spread(n * 100 + k), 1) for k in range(100)], FIRST + timedelta(days=n))
    return shop


def _spread(number: int) -> str:
    """A key, in no order."""
    return f"{number * 7919 % 10_007:05}"


def test_recent_keys_are_looked_for_in_recent_files_alone(tmp_path):
    shop = Shop(tmp_path, table_of("upsert", ("id", "bigint")))
    for n in range(10):
        shop.add([(n * 100 + k, 1) for k in range(100)], FIRST + timedelta(days=n))
    assert shop.look_up([(key, 2) for key in range(950, 1050)])[1] == 1
    assert shop.look_up([(key, 2) for key in (5, 250, 999)])[1] == 3
    assert shop.look_up([(key, 2) for key in range(2000, 2010)]) == ([], 0)


def test_the_files_that_are_skipped_need_not_be_there(tmp_path):
    shop = Shop(tmp_path, table_of("upsert", ("id", "bigint")))
    for n in range(3):
        shop.add([(n * 100 + k, 1) for k in range(100)], FIRST + timedelta(days=n))
    held = shop.held()
    for file in held.files:
        if file["date"] != FIRST:
            Path(shop.uri, file["path"]).unlink()
    changes, _ = shop.look_up([(7, 2)], held)
    assert [row["_row_number"] for row in changes] == [7]


def test_spread_keys_are_looked_for_in_a_filter_once_there_is_one(spread):
    unknown = [(_spread(5000 + k), 2) for k in range(3)]
    assert spread.look_up(unknown) == ([], 10)  # which writes it
    assert spread.look_up(unknown) == ([], 0)
    changes, files = spread.look_up([*unknown, (_spread(730), 2)])
    assert ([row["_row_number"] for row in changes], files) == ([30], 1)


def test_new_files_come_into_the_filter_when_they_are_many(spread):
    unknown = [(_spread(5000), 2)]
    spread.look_up(unknown)
    spread.add([(_spread(2000 + k), 1) for k in range(60)], FIRST + timedelta(days=20))
    assert spread.look_up(unknown) == ([], 1)
    assert len(spread.segments()) == 1
    spread.set_aside([(_spread(3000 + k), 1) for k in range(60)], FIRST + timedelta(days=21), bounded=True)
    assert spread.look_up(unknown) == ([], 2)
    assert len(spread.segments()) == 2
    assert spread.look_up(unknown) == ([], 0)
    changes, files = spread.look_up([(_spread(2007), 2)])
    assert ([row["_row_number"] for row in changes], files) == ([7], 1)


def test_segments_are_merged_and_forget_files_that_are_gone(spread):
    unknown = [(_spread(5000), 2)]
    spread.look_up(unknown)
    table = open_table(spread.uri)
    early = [file for file in live_files(table) if file["date"] < FIRST + timedelta(days=5)]
    commit_files(table, [], early, key="gone", run_id="run")
    for n in range(16):
        spread.add([(_spread(2000 + n * 100 + k), 1) for k in range(100)], FIRST + timedelta(days=30 + n))
        spread.look_up(unknown)
        assert len(spread.segments()) <= 5
    named = {
        file
        for segment in spread.segments()
        for file in json.loads(segment.read_bytes()[: int(segment.name.split("-")[1])])["files"]
    }
    assert named == {file["path"] for file in spread.held().files}
    assert spread.look_up(unknown) == ([], 0)
    for number in (999, 2000, 2650, 3199):
        changes, files = spread.look_up([(_spread(number), 2)])
        assert ([row["_row_number"] for row in changes], files) == ([number % 100], 1)


def test_no_filter_is_written_where_most_files_have_a_key(spread):
    spread.look_up([(_spread(n * 100), 2) for n in range(8)])
    assert spread.segments() == []


@pytest.mark.parametrize("kind", ["double", "decimal(12,2)", "boolean"])
def test_keys_of_other_types_have_no_filter(kind, tmp_path):
    assert key_filter.key_filter(Root.parse(str(tmp_path)), "silver", "things", {"id": "string", "other": kind}) is None


def test_a_lost_segment_is_no_harm(spread):
    unknown = [(_spread(5000), 2)]
    spread.look_up(unknown)
    [segment] = spread.segments()
    segment.unlink()
    changes, files = spread.look_up([*unknown, (_spread(730), 2)])
    assert ([row["_row_number"] for row in changes], files) == ([30], 10)


def test_a_segment_that_another_writer_merges_meanwhile_is_no_harm(spread, monkeypatch):
    spread.look_up([(_spread(5000), 2)])
    opened = look_up.key_filter

    def late(*args):
        result = opened(*args)
        [segment] = spread.segments()
        segment.unlink()
        return result

    monkeypatch.setattr(look_up, "key_filter", late)
    changes, files = spread.look_up([(_spread(730), 2)])
    assert ([row["_row_number"] for row in changes], files) == ([30], 10)


@pytest.mark.parametrize("most_rows", [700, 2500], ids=["two segments", "one segment in place of another"])
@pytest.mark.parametrize("left", [1, 2])
@pytest.mark.parametrize("done", [True, False])
def test_a_filter_survives_a_kill_at_each_of_its_writes(spread, monkeypatch, most_rows, left, done):
    unknown = [(_spread(5000), 2)]
    spread.look_up(unknown)
    monkeypatch.setattr(key_filter, "_LARGEST", most_rows)

    class Killed(BaseException):
        pass

    def dying(function):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0 and not done:
                raise Killed
            result = function(*args, **kwargs)
            if left == 0:
                raise Killed
            return result

        return call

    for n in range(12):
        spread.add([(_spread(2000 + n * 100 + k), 1) for k in range(100)], FIRST + timedelta(days=30 + n))
    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", dying(obstore.put))
        patch.setattr(obstore, "delete", dying(obstore.delete))
        with pytest.raises(Killed):
            spread.look_up(unknown)
    for number in (0, 2650, 3199):
        changes, _ = spread.look_up([(_spread(number), 2), *unknown])
        assert [row["_row_number"] for row in changes] == [number % 100]
    assert spread.look_up(unknown) == ([], 0)


def without_sequence(values: tuple) -> tuple:
    return values[:-1]


KEYS = {
    "bigint": st.one_of(st.integers(0, 40), st.integers(-(2**63), 2**63 - 1)),
    "string": st.one_of(st.sampled_from("abcdefg"), st.text(max_size=3), st.text(max_size=2).map(lambda t: "k" * 64 + t)),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
}


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("upsert", ("bigint",)),
        ("upsert", ("string",)),
        ("upsert", ("date",)),
        ("upsert", ("string", "bigint")),
        ("history", ("string", "bigint")),
    ],
)
def test_what_is_skipped_changes_nothing(mode, kinds, tmp_path_factory, monkeypatch):
    key = st.tuples(*(KEYS[kind] for kind in kinds), st.integers(1, 5))
    some = st.lists(key, max_size=8, unique_by=without_sequence)

    @given(
        st.lists(some.filter(bool), max_size=6),
        st.lists(st.tuples(some.filter(bool), st.booleans()), max_size=3),
        st.lists(st.tuples(some, st.integers(1, 12)), min_size=1, max_size=3),
        st.data(),
    )
    @settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def run(live, superseded, staged, data) -> None:
        shop = Shop(tmp_path_factory.mktemp("shop"), table_of(mode, *((f"k{n}", kind) for n, kind in enumerate(kinds))))
        for n, keys in enumerate(live):
            shop.add(keys, FIRST + timedelta(days=n))
        for n, (keys, bounded) in enumerate(superseded):
            shop.set_aside(keys, FIRST + timedelta(days=n), bounded=bounded)
        known = [k for keys in [*live, *(keys for keys, _ in superseded)] for k in keys]
        for keys, worthwhile in staged:
            if known:
                keys = [*keys, *data.draw(st.lists(st.sampled_from(known), max_size=3))]
            with monkeypatch.context() as patch:
                patch.setattr(look_up, "files_with_keys", lambda _connection, _keys, _key, files: [True] * len(files))
                everywhere, _ = shop.look_up(keys)
            with monkeypatch.context() as patch:
                patch.setattr(key_filter, "WORTHWHILE", worthwhile)
                result, _ = shop.look_up(keys)
            assert result == everywhere

    run()
