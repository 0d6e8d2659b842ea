"""What feeds declare of their deliveries."""

from datetime import UTC, date, datetime

import pytest

from lakehouse_assets.contracts.deliveries import Due, Manifest, Trailer
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.formats import Csv, Header, Parquet, Xlsx
from lakehouse_assets.errors import ContractError

TRAILER = Trailer(r"T;(?P<rows>\d+)")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"due": Due("6:00")}, "it is due by '6:00', which is not a time: write HH:MM"),
        ({"due": Due("24:00")}, "it is due by '24:00', which is not a time: write HH:MM"),
        ({"due": Due("06:00", not_on=("sundy",))}, "'sundy' is not a weekday (did you mean 'sunday'?)"),
        (
            {"due": Due("06:00", not_on=("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))},
            "it is due on no weekday",
        ),
        ({"due": Due("06:00", days_later=-1)}, "it is due before its date"),
        ({"totals": Manifest("*")}, "'*' would make every file a manifest"),
        ({"totals": Manifest("*.m", file="rows")}, "a manifest has 'rows' and 'rows' in one column"),
        ({"totals": Manifest("*.m", file="Row Count", rows="row_count")}, "'Row Count' and 'row_count' in one column"),
        ({"totals": Manifest("*.m", file=" ")}, "a column of the manifest has no name"),
        ({"totals": Manifest("*.m", file=None, rows="")}, "a column of the manifest has no name"),
        (
            {"totals": Manifest("*.m", format=Csv(headers=(Header(("file", "count")),)))},
            "the header file, count lacks the column rows",
        ),
        ({"totals": TRAILER, "format": Xlsx()}, "its files can't end with a trailer: none of its formats is of lines"),
        ({"totals": TRAILER, "format": (Xlsx(), Parquet())}, "its files can't end with a trailer"),
        ({"totals": Trailer("END")}, "the trailer 'END' has no group (?P<rows>…)"),
        ({"totals": Trailer("END (")}, "the trailer 'END (' is not a regular expression"),
    ],
)
def test_a_declaration_that_can_not_be_meant_is_refused(declared, message):
    with pytest.raises(ContractError) as error:
        Feed("shop/orders", (), **declared)
    assert message in str(error.value)


def test_a_delivery_is_due_at_a_time_of_day_in_a_zone():
    due = Due("06:00", days_later=1)
    assert due.at(date(2026, 7, 1), "Europe/Paris") == datetime(2026, 7, 2, 4, tzinfo=UTC)
    assert due.at(date(2026, 12, 1), "Europe/Paris") == datetime(2026, 12, 2, 5, tzinfo=UTC)


def test_no_delivery_is_due_on_the_days_that_are_left_out():
    due = Due("06:00", not_on=("sunday", date(2026, 12, 25)))
    assert [due.is_on(date(2026, 12, day)) for day in (24, 25, 26, 27, 28)] == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("T;3", 3),
        ("T;0", 0),
        ("T;003", 3),
        ("T;-3", None),
        ("T;", None),
        ("T;3;", None),
        ("x T;3", None),
        ("T;" + "9" * 30, None),
    ],
)
def test_a_trailer_is_a_whole_line(line, rows):
    assert Trailer(r"T;(?P<rows>[0-9]*)").total(line) == rows


def test_a_trailer_may_count_lines_that_are_no_rows():
    assert Trailer(r"T;(?P<rows>\d+)", besides=2).total("T;5") == 3


def test_what_decides_of_rows_is_in_the_digest_and_when_they_are_due_is_not():
    plain = Feed("shop/orders", ())
    digests = {
        Feed("shop/orders", (), totals=totals).digest()
        for totals in (
            None,
            Manifest("*.m"),
            Manifest("*.n"),
            Manifest("*.m", file=None),
            Manifest("*.m", rows="count"),
            Manifest("*.m", format=Csv(";")),
            Trailer("(?P<rows>1)"),
            Trailer("(?P<rows>1)", besides=1),
        )
    }
    assert len(digests) == 8
    assert Feed("shop/orders", (), due=Due("06:00")).digest() == plain.digest()
