from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
import pytest

from lakehouse_assets.books.accounts import account_faults
from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.delta.tables import dates_predicate, replace_rows
from lakehouse_assets.materialization import row_accounts
from lakehouse_assets.materialization.row_accounts import dates_table, row_accounts_result
from lakehouse_assets.store.root import Root

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    """A check looks again before it fails: here nobody else is writing."""
    monkeypatch.setattr(row_accounts, "_FIRST_PAUSE_SECONDS", 0.001)


def account(day, rows_in, rows_out, quarantined=0, superseded=0):
    return PartitionRecord("silver", "notes", day, rows_in, rows_out, quarantined, superseded, 1, "run-1", "f1")


def test_accounts_that_add_up_and_agree_have_no_fault():
    records = [account(D1, 10, 7, 2, 1), account(D2, 3, 3)]
    assert account_faults(records, {D1: 7, D2: 3}, {D1: 2}) == []


def test_superseded_rows_are_held_against_those_that_are_kept():
    fault = "2026-01-01: 2 rows are kept as superseded, the ledger says 1."
    assert account_faults([account(D1, 8, 7, 0, 1)], {D1: 7}, {}, {D1: 2}) == [fault]
    assert account_faults([account(D1, 8, 7, 0, 1)], {D1: 7}, {}, {D1: 1}) == []


def test_no_records_and_no_rows_have_no_fault():
    assert account_faults([], {}, {}) == []


def test_a_date_without_rows_has_no_fault():
    assert account_faults([account(D1, 0, 0)], {}, {}) == []


def test_a_table_of_another_grain_has_nothing_to_add_up():
    assert account_faults([account(D1, None, 7)], {D1: 7}, {}) == []


@pytest.mark.parametrize(
    ("record", "live", "quarantined", "fault"),
    [
        (
            account(D1, 10, 7, 1, 1),
            {D1: 7},
            {D1: 1},
            "2026-01-01: 10 rows came in, but 7 are live, 1 are in quarantine and 1 were superseded.",
        ),
        (
            account(D1, 1, 2),
            {D1: 2},
            {},
            "2026-01-01: 1 rows came in, but 2 are live, 0 are in quarantine and 0 were superseded.",
        ),
        (account(D1, 7, 7), {D1: 6}, {}, "2026-01-01: 6 rows are in the table, the ledger says 7."),
        (account(D1, 7, 7), {}, {}, "2026-01-01: 0 rows are in the table, the ledger says 7."),
        (account(D1, None, 7), {D1: 6}, {}, "2026-01-01: 6 rows are in the table, the ledger says 7."),
        (account(D1, 9, 7, 2), {D1: 7}, {D1: 3}, "2026-01-01: 3 rows are in quarantine, the ledger says 2."),
        (account(D1, 9, 7, 2), {D1: 7}, {}, "2026-01-01: 0 rows are in quarantine, the ledger says 2."),
        (
            account(D1, 7, 7),
            {D1: 7, D2: 4},
            {},
            "2026-01-02: 4 rows are in the table, but the ledger has no record of them.",
        ),
    ],
    ids=[
        "rows are missing",
        "rows are too many",
        "the table lost rows",
        "the table lost all rows",
        "a table of another grain lost rows",
        "quarantine has more rows",
        "quarantine lost all rows",
        "rows of an unknown date",
    ],
)
def test_a_fault_is_told(record, live, quarantined, fault):
    assert account_faults([record], live, quarantined) == [fault]


def test_rows_in_quarantine_for_an_unknown_date_are_a_fault():
    assert len(account_faults([account(D1, 7, 7)], {D1: 7}, {D2: 4})) == 1


def test_every_fault_of_every_date_is_told():
    assert len(account_faults([account(D1, 1, 2, 3), account(D2, 1, 2)], {}, {})) == 5


def test_failing_dates_are_shown_first_and_the_newest_before_others():
    days = [D1 + timedelta(days=n) for n in range(4)]
    table = dates_table(("rows", "said"), {day: (day.day, None) for day in days}, failing=[days[1], days[2]])
    assert [tuple(record.data.values()) for record in table["by_date"].records] == [
        ("2026-01-03", "fails", 3, None),
        ("2026-01-02", "fails", 2, None),
        ("2026-01-04", "passes", 4, None),
        ("2026-01-01", "passes", 1, None),
    ]


@pytest.mark.parametrize(("dates", "more"), [(31, None), (32, 1), (240, 209)])
def test_of_many_dates_so_many_are_shown_and_the_others_counted(dates, more):
    shown = dates_table((), {D1 + timedelta(days=n): () for n in range(dates)}, failing=[])
    assert len(shown["by_date"].records) == 31
    assert shown.get("by_date_not_shown") == more


def test_without_dates_there_is_no_table():
    assert dates_table(("rows",), {}, failing=[]) == {}


@pytest.fixture
def root(tmp_path):
    """A table of two dates with three rows each; by the ledger the first date has one more."""
    root = Root.parse(str(tmp_path / "root"))
    rows = pa.table({"n": [1, 2, 3] * 2, "_date": pa.array([D1] * 3 + [D2] * 3, pa.date32())})
    replace_rows(root.table("silver", "notes"), rows, predicate=dates_predicate([D1, D2]), key="k", run_id="run-1")
    records = [account(D1, 4, 4), account(D2, 3, 3)]
    Ledger(root).record("silver", ["notes"], lambda known: records, "run-1")
    return root


@pytest.mark.parametrize(("dates", "passed"), [([D1], False), ([D2], True), ([D1, D2], False), (None, False)])
def test_the_check_speaks_of_the_dates_that_are_asked_for(root, dates, passed):
    result = row_accounts_result(root, "silver", "notes", dates)
    assert result.passed == passed
    assert result.metadata["dates"].value == len(dates or [D1, D2])
    if not passed:
        assert result.description == "2026-01-01: 3 rows are in the table, the ledger says 4."
        told = "2026-01-01: 3 rows are in the table, the ledger says 4."
        assert tuple(result.metadata["by_date"].records[0].data.values()) == ("2026-01-01", "fails", 4, 4, 0, 0, told)


def test_rows_that_the_ledger_does_not_know_are_found(root):
    stray = pa.table({"n": [1], "_date": pa.array([date(2026, 1, 9)], pa.date32())})
    replace_rows(root.table("silver", "notes"), stray, predicate=dates_predicate([date(2026, 1, 9)]), key="x", run_id="run-2")
    assert not row_accounts_result(root, "silver", "notes", [D2, date(2026, 1, 9)]).passed
    assert row_accounts_result(root, "silver", "notes", [D2]).passed


def test_a_table_that_was_never_built_has_no_fault(tmp_path):
    assert row_accounts_result(Root.parse(str(tmp_path)), "raw", "notes", None).passed


def test_another_writer_between_its_commit_and_its_record_is_waited_for(lakehouse, monkeypatch):
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", "CID,CNTRY\nAW-1,DE\nAW-2,DE\n")
    lakehouse.build()
    [record] = lakehouse.records("raw", "erp_customer_locations").values()
    old = {("raw", "erp_customer_locations", record.date): replace(record, rows_in=1, rows_out=1)}
    read, looks = Ledger.read, []

    def overtaken(self, *args, **kwargs):
        looks.append(args)
        return old if len(looks) < 3 else read(self, *args, **kwargs)

    monkeypatch.setattr(Ledger, "read", overtaken)
    assert row_accounts_result(lakehouse.settings.root, "raw", "erp_customer_locations", None).passed
    assert len(looks) == 3
