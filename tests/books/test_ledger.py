from dataclasses import replace
from datetime import date, timedelta

import pytest

from lakehouse_assets.books import ledger as books
from lakehouse_assets.books.ledger import InputVersion, LandedFile, Ledger, PartitionRecord, RuleHits
from lakehouse_assets.delta.tables import live_files, open_table

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)

BUILT = PartitionRecord(
    layer="silver",
    table_name="crm_customers",
    date=D1,
    rows_in=10,
    rows_out=7,
    rows_quarantined=2,
    rows_superseded=1,
    delta_version=3,
    run_id="run-1",
    fingerprint="f1",
    files=[LandedFile("it's.csv", "v1", "e1", 100, 10, 9)],
    rules=[RuleHits("name_present", 2, ["id=1", "id=2"])],
    inputs=[InputVersion("crm_customers", 5)],
)


@pytest.fixture
def ledger(root):
    return Ledger(root)


def put(ledger, *records):
    first = records[0]
    return ledger.record(first.layer, [first.table_name], lambda known: records, "run-1")


def version(ledger):
    return open_table(ledger.uri).version()


def test_a_ledger_that_was_never_written_holds_nothing(ledger):
    assert ledger.read() == {}


def test_what_was_written_is_read_back(ledger):
    put(ledger, BUILT)
    assert ledger.read() == {("silver", "crm_customers", D1): BUILT}


def test_rows_in_may_be_unknown(ledger):
    put(ledger, replace(BUILT, rows_in=None))
    assert ledger.read()["silver", "crm_customers", D1].rows_in is None


def test_files_rules_and_inputs_may_be_none(ledger):
    bare = replace(BUILT, files=[], rules=[], inputs=[])
    put(ledger, bare)
    assert list(ledger.read().values()) == [bare]


def test_records_of_the_dates_are_replaced(ledger):
    put(ledger, BUILT, replace(BUILT, date=D2))
    put(ledger, replace(BUILT, date=D2, fingerprint="f2"))
    assert {key[2]: r.fingerprint for key, r in ledger.read().items()} == {D1: "f1", D2: "f2"}


def test_what_to_record_is_decided_by_what_stands_right_before(ledger, monkeypatch):
    put(ledger, BUILT)
    seen = []

    def decide(known):
        seen.append([r.fingerprint for r in known.values()])
        if len(seen) == 1:  # another writer is quicker
            put(Ledger(ledger.root), replace(BUILT, fingerprint="theirs"))
        return [replace(BUILT, fingerprint="ours")]

    ledger.record("silver", ["crm_customers"], decide, "run-2")
    assert (seen, ledger.read()["silver", "crm_customers", D1].fingerprint) == ([["f1"], ["theirs"]], "ours")


def test_many_records_come_to_lie_in_few_files(ledger):
    for number in range(100):
        put(ledger, replace(BUILT, date=D1 + timedelta(days=number)))
    assert len(ledger.read()) == 100
    assert len(live_files(open_table(ledger.uri))) <= 33


def test_the_records_of_other_tables_stay_where_they_lie_when_those_of_one_are_written_anew(ledger):
    put(ledger, replace(BUILT, table_name="crm_sales"))
    [file] = live_files(open_table(ledger.uri))
    for number in range(40):
        put(ledger, replace(BUILT, date=D1 + timedelta(days=number)))
    assert file in live_files(open_table(ledger.uri))
    assert len(ledger.read("silver", "crm_sales")) == 1


def test_records_of_other_tables_stay(ledger):
    put(ledger, BUILT)
    put(ledger, replace(BUILT, layer="raw"))
    put(ledger, replace(BUILT, table_name="crm_sales"))
    assert sorted(key[:2] for key in ledger.read()) == [
        ("raw", "crm_customers"),
        ("silver", "crm_customers"),
        ("silver", "crm_sales"),
    ]


@pytest.mark.parametrize(
    ("asked", "result"),
    [
        (("silver",), [("silver", "crm_customers"), ("silver", "crm_sales")]),
        (("silver", "crm_sales"), [("silver", "crm_sales")]),
        ((None, "crm_customers"), [("raw", "crm_customers"), ("silver", "crm_customers")]),
        (("gold",), []),
    ],
    ids=str,
)
def test_one_layer_or_table_can_be_read(ledger, asked, result):
    put(ledger, BUILT)
    put(ledger, replace(BUILT, layer="raw"))
    put(ledger, replace(BUILT, table_name="crm_sales"))
    assert sorted(key[:2] for key in ledger.read(*asked)) == result


def test_brief_records_are_the_newest_whoever_wrote_them(ledger):
    for number in range(36):  # so many that files are compacted
        put(Ledger(ledger.root), replace(BUILT, date=D1 + timedelta(days=number % 25), fingerprint=f"f{number}"))
        if number % 12 in (0, 11):
            full = {key: replace(r, files=[], rules=[]) for key, r in ledger.read().items()}
            assert ledger.read(brief=True) == full
            assert ledger.read("silver", "crm_customers", brief=True) == full


def test_a_process_reads_a_file_of_the_ledger_once_for_brief_records(ledger, monkeypatch):
    put(ledger, BUILT)
    known = ledger.read(brief=True)
    monkeypatch.setattr(books, "connect", None)
    assert ledger.read(brief=True) == known


def test_the_newest_landing_is_that_of_a_date_with_files(ledger):
    assert ledger.newest_landing() is None
    put(ledger, replace(BUILT, layer="raw"), replace(BUILT, layer="raw", date=D2, files=[]))
    put(ledger, replace(BUILT, date=D2))
    assert ledger.newest_landing() == D1


def test_a_replacement_is_one_commit(ledger):
    put(ledger, BUILT)
    before = version(ledger)
    put(ledger, replace(BUILT, fingerprint="f2"), replace(BUILT, date=D2))
    assert version(ledger) == before + 1


def test_the_same_records_again_are_no_second_commit(ledger):
    put(ledger, BUILT)
    before = version(ledger)
    put(ledger, BUILT)
    assert version(ledger) == before


@pytest.mark.parametrize(
    ("counts", "adds_up"),
    [((10, 7, 2, 1), True), ((10, 7, 2, 0), False), ((9, 7, 2, 1), False), ((0, 0, 0, 0), True), ((None, 7, 2, 1), True)],
    ids=str,
)
def test_a_record_adds_up_where_every_row_that_came_in_stands_somewhere(counts, adds_up):
    names = ("rows_in", "rows_out", "rows_quarantined", "rows_superseded")
    assert replace(BUILT, **dict(zip(names, counts, strict=True))).adds_up is adds_up
