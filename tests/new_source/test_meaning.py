"""What the names of columns say."""

import pytest

from lakehouse_assets.new_source.meaning import confidential, sequence_among
from lakehouse_assets.new_source.sql import column


@pytest.mark.parametrize(
    ("name", "kind", "is_sequence"),
    [
        ("updated_at", "timestamp", True),
        ("last_update", "date", True),
        ("version", "int", True),
        ("row_version", "bigint", True),
        ("revision_number", "int", True),
        ("sequence", "bigint", True),
        ("days_since_update", "int", False),
        ("update", "bigint", False),
        ("modified", "int", False),
        ("version", "string", False),
    ],
)
def test_a_number_is_a_sequence_only_if_its_name_counts_versions(name, kind, is_sequence):
    assert sequence_among([(name, kind)]) == (name if is_sequence else None)


@pytest.mark.parametrize(
    "name", ["api_key", "apikey", "access_token", "client_secret", "password", "pin", "iban", "card_no", "dob"]
)
def test_columns_of_secrets_and_persons_are_confidential(name):
    assert confidential(name)


@pytest.mark.parametrize("name", ["shipping", "spine", "cardinality", "status", "discarded"])
def test_other_columns_are_not(name):
    assert not confidential(name)


@pytest.mark.parametrize(
    "name",
    ["current_user", "current_date", "current_timestamp", "current_time", "localtime", "localtimestamp", "user", "session_user"],
)
def test_a_word_that_an_engine_evaluates_is_quoted(name):
    assert column(name) == f"`{name}`"
