from datetime import date

import pytest

from lakehouse_assets.storage.accounts import account_faults, accounts_table
from lakehouse_assets.storage.ledger import PartitionRecord

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)


def account(day, rows_in, rows_out, quarantined=0, superseded=0):
    return PartitionRecord("silver", "notes", day, rows_in, rows_out, quarantined, superseded, 1, "run-1", "f1")


def test_accounts_that_add_up_and_agree_have_no_fault():
    records = [account(D1, 10, 7, 2, 1), account(D2, 3, 3)]
    assert account_faults(records, {D1: 7, D2: 3}, {D1: 2}) == []


def test_no_records_and_no_rows_have_no_fault():
    assert account_faults([], {}, {}) == []


def test_a_date_without_rows_has_no_fault():
    assert account_faults([account(D1, 0, 0)], {}, {}) == []


def test_a_table_of_another_grain_has_nothing_to_add_up():
    assert account_faults([account(D1, None, 7)], {D1: 7}, {}) == []


@pytest.mark.parametrize(
    ("record", "standing", "quarantined", "fault"),
    [
        (
            account(D1, 10, 7, 1, 1),
            {D1: 7},
            {D1: 1},
            "2026-01-01: 10 rows came in, but 7 stand, 1 are in quarantine and 1 were superseded.",
        ),
        (
            account(D1, 1, 2),
            {D1: 2},
            {},
            "2026-01-01: 1 rows came in, but 2 stand, 0 are in quarantine and 0 were superseded.",
        ),
        (account(D1, 7, 7), {D1: 6}, {}, "2026-01-01: 6 rows stand in the table, the ledger says 7."),
        (account(D1, 7, 7), {}, {}, "2026-01-01: 0 rows stand in the table, the ledger says 7."),
        (account(D1, None, 7), {D1: 6}, {}, "2026-01-01: 6 rows stand in the table, the ledger says 7."),
        (account(D1, 9, 7, 2), {D1: 7}, {D1: 3}, "2026-01-01: 3 rows are in quarantine, the ledger says 2."),
        (account(D1, 9, 7, 2), {D1: 7}, {}, "2026-01-01: 0 rows are in quarantine, the ledger says 2."),
        (
            account(D1, 7, 7),
            {D1: 7, D2: 4},
            {},
            "2026-01-02: 4 rows stand in the table, of which the ledger knows nothing.",
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
def test_a_fault_is_told(record, standing, quarantined, fault):
    assert account_faults([record], standing, quarantined) == [fault]


def test_rows_in_quarantine_for_an_unknown_date_are_a_fault():
    assert len(account_faults([account(D1, 7, 7)], {D1: 7}, {D2: 4})) == 1


def test_every_fault_of_every_date_is_told():
    assert len(account_faults([account(D1, 1, 2, 3), account(D2, 1, 2)], {}, {})) == 5


def test_accounts_are_shown_as_a_table():
    assert accounts_table([account(D1, 10, 7, 2, 1), account(D2, None, 3)]).splitlines()[2:] == [
        "| 2026-01-01 | 10 | 7 | 2 | 1 |",
        "| 2026-01-02 |  | 3 | 0 | 0 |",
    ]
