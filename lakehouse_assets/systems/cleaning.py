"""SQL that silver functions share: each is an expression of Spark SQL over a text column, and means the same on every engine."""

from collections.abc import Mapping

from lakehouse_assets.contracts.types import typed


def text(column: str) -> str:
    """The text without blanks around it; NULL where nothing is left."""
    return f"NULLIF(TRIM({column}), '')"


def words(column: str, meanings: Mapping[str, str], otherwise: str = "n/a") -> str:
    """What a code means; codes are written in upper case here, and in any case in the source."""
    cases = " ".join(f"WHEN '{code}' THEN '{meaning}'" for code, meaning in meanings.items())
    return f"CASE UPPER(TRIM({column})) {cases} ELSE '{otherwise}' END"


def yyyymmdd(column: str) -> str:
    """A date from eight digits; NULL from anything else, such as 0 or a date that does not exist."""
    digits = f"TRIM({column})"
    return typed(f"CONCAT(SUBSTRING({digits}, 1, 4), '-', SUBSTRING({digits}, 5, 2), '-', SUBSTRING({digits}, 7))", "date")
