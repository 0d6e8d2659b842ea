"""`lakehouse quarantine`: what it shows, exports and refuses."""

import json
from datetime import date

import duckdb
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine, quarantine_schema
from lakehouse_assets.cli import app
from lakehouse_assets.errors import LandingError, QueryError
from lakehouse_assets.store.root import Root

PAYLOAD = '7,"a ""quoted"" text,\nover two lines",\'=1+1;|\t\\'
COLUMNS = [name for name in quarantine_schema().names if name != "batch"]


def row(layer="raw", table="crm_customers", day=1, file="a.csv", number=2, rule="row_is_csv", payload=PAYLOAD):
    day = date(2026, 1, day)
    return dict(
        zip(COLUMNS, (layer, table, day, file, number, rule, f"why {rule}", payload, "run-1", 1, table, 0, None), strict=True)
    )


ROWS = [
    *(row(number=number) for number in range(2, 8)),
    row(day=2, file="b.csv", number=None, rule="file_has_header", payload=""),
    row(day=3, rule="row_is_utf8", payload=None),
    row("silver", "crm_customers", 2, rule="customer_id_present"),
    row("silver", "crm_sales", 3, file="it's.csv", rule="price_positive"),
]


@pytest.fixture
def quarantine(tmp_path, monkeypatch):
    """A function that runs the command over a lakehouse whose quarantine has `ROWS`."""
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)
    store = Quarantine(Root.parse(str(tmp_path / "root")))
    for layer, table in {(r["layer"], r["table_name"]) for r in ROWS}:
        group_rows = [r for r in ROWS if (r["layer"], r["table_name"]) == (layer, table)]
        rows = pa.Table.from_pylist([r | {"batch": "b1"} for r in group_rows], schema=quarantine_schema())
        store.add(rows, "run-1")
        records = [
            PartitionRecord(layer, table, day, 0, 0, 0, 0, 1, "run-1", "f1", batches=["b1"])
            for day in {r["date"] for r in group_rows}
        ]
        Ledger(store.root).record(layer, [table], lambda known, records=records: records, "run-1")

    def run(*options):
        done = CliRunner().invoke(app, ["quarantine", *options], catch_exceptions=True)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def groups(quarantine, *options):
    return json.loads(quarantine("--json", *options).stdout)


def counts(quarantine, *options):
    return {(g["layer"], g["table_name"], g["date"][-1], g["rule"]): g["rows"] for g in groups(quarantine, *options)}


ALL = {
    ("raw", "crm_customers", "1", "row_is_csv"): 6,
    ("raw", "crm_customers", "2", "file_has_header"): 1,
    ("raw", "crm_customers", "3", "row_is_utf8"): 1,
    ("silver", "crm_customers", "2", "customer_id_present"): 1,
    ("silver", "crm_sales", "3", "price_positive"): 1,
}


@pytest.mark.parametrize(
    ("options", "indexes"),
    [
        ((), (0, 1, 2, 3, 4)),
        (("--layer", "silver"), (3, 4)),
        (("--table", "crm_sales"), (4,)),
        (("--date", "2026-01-02"), (1, 3)),
        (("--from", "2026-01-02"), (1, 2, 3, 4)),
        (("--to", "2026-01-02"), (0, 1, 3)),
        (("--from", "2026-01-02", "--to", "2026-01-02"), (1, 3)),
        (("--rule", "row_is_utf8"), (2,)),
        (("--file", "it's.csv"), (4,)),
        (("--layer", "silver", "--table", "crm_customers", "--from", "2026-01-01", "--rule", "customer_id_present"), (3,)),
        (("--layer", "silver", "--rule", "row_is_csv"), ()),
        (("--table", "erp_customer_locations"), ()),
        (("--file", "' OR 1 = 1 --"), ()),
    ],
)
def test_filters_choose_rows(quarantine, options, indexes):
    expected = list(ALL.items())
    assert counts(quarantine, *options) == dict(expected[index] for index in indexes)


@pytest.mark.parametrize("number", [0, 1, 5, 100])
def test_as_many_samples_are_shown_as_are_asked_for(quarantine, number):
    [group] = groups(quarantine, "--date", "2026-01-01", "--samples", str(number))
    assert [s["row_number"] for s in group["samples"]] == list(range(2, 8))[:number]


def test_a_sample_tells_the_original_text(quarantine):
    [group] = groups(quarantine, "--date", "2026-01-01", "--samples", "1")
    assert group["samples"] == [{"source_file": "a.csv", "row_number": 2, "item_number": 0, "payload": PAYLOAD}]


def test_people_see_a_table(quarantine):
    shown = quarantine("--date", "2026-01-02", "--samples", "0").stdout
    assert "why file_has_header" in shown
    assert "b.csv" not in shown
    assert "b.csv" in quarantine("--date", "2026-01-02").stdout
    assert quarantine("--date", "2025-01-01").stderr == "No such row is in quarantine.\n"


READERS = {
    ".csv": "read_csv(?, header = true, all_varchar = true, allow_quoted_nulls = false)",
    ".parquet": "read_parquet(?)",
    ".json": "read_json_auto(?)",
}


def read(file):
    result = duckdb.execute(f"FROM {READERS[file.suffix]}", [str(file)])
    names = [c[0] for c in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_an_export_holds_all_rows_with_all_columns(quarantine, tmp_path, suffix):
    file = tmp_path / f"it's bad{suffix}"
    assert quarantine("--export", str(file)).stderr == f"10 rows are in {file}.\n"
    exported = read(file)
    assert [list(r) for r in exported] == [COLUMNS] * 10
    assert [(r["layer"], str(r["date"]), r["source_file"], str(r["row_number"])) for r in exported[:2]] == [
        ("raw", "2026-01-01", "a.csv", "2"),
        ("raw", "2026-01-01", "a.csv", "3"),
    ]
    assert [r["payload"] for r in exported] == [PAYLOAD] * 6 + ["", None] + [PAYLOAD] * 2
    if suffix == ".parquet":
        assert exported == sorted(ROWS, key=lambda r: (r["layer"], r["table_name"], r["date"], r["source_file"]))
    if suffix == ".json":
        assert json.loads(file.read_text())[6]["row_number"] is None


def test_an_export_holds_the_chosen_rows(quarantine, tmp_path):
    file = tmp_path / "rows.parquet"
    done = quarantine("--table", "crm_customers", "--layer", "silver", "--export", str(file), "--json")
    assert json.loads(done.stdout) == {"file": str(file), "rows": 1}
    assert [r["rule"] for r in read(file)] == ["customer_id_present"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_an_export_of_no_row_is_a_file_all_the_same(quarantine, tmp_path, suffix):
    file = tmp_path / f"rows{suffix}"
    quarantine("--date", "2025-01-01", "--export", str(file))
    assert read(file) == []


def test_a_file_is_overwritten_only_by_force(quarantine, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("mine")
    with pytest.raises(QueryError, match=r"already exists.*--force"):
        quarantine("--export", str(file))
    assert file.read_text() == "mine"
    quarantine("--export", str(file), "--force", "--layer", "silver")
    assert len(read(file)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "root"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--table", "crm_costumers"), "'crm_costumers' is not a table.*crm_customers, crm_products"),
        (("--rule", "no_such"), "'no_such' is not a rule.*product_id_present.*row_is_csv"),
        (("--export", "rows.xlsx"), r"rows.xlsx: rows can be exported as \.csv, \.parquet, \.json"),
        (("--export", "rows"), "Give the file one of these suffixes"),
        (("--export", "nowhere/rows.csv"), "nowhere is not a folder"),
        (("--date", "2026-01-01", "--from", "2026-01-01"), "one or the other"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "is after"),
    ],
)
def test_what_cannot_be_is_told(quarantine, options, sentence):
    with pytest.raises(QueryError, match=sentence):
        quarantine(*options)


def test_a_date_that_is_none_is_told(quarantine):
    with pytest.raises(LandingError, match="is not a date"):
        quarantine("--from", "yesterday")


def test_an_empty_quarantine_is_told(tmp_path, monkeypatch, quarantine):
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "other"))
    assert quarantine().stderr == "The quarantine is empty.\n"
    assert groups(quarantine) == []
