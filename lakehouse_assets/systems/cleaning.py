"""What silver functions share: Spark SQL expressions over a text column, with the same result on every engine."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.types import typed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def with_columns(raw: "DataFrame", **columns: str) -> "DataFrame":
    """Add columns, or replace them: each the SQL of its value, over the columns of `raw`."""
    from pyspark.sql import functions as F

    return raw.withColumns({name: F.expr(sql) for name, sql in columns.items()})


def text(column: str) -> str:
    """SQL: the trimmed text; NULL if it is empty."""
    return f"NULLIF(TRIM({column}), '')"


def words(column: str, meanings: Mapping[str, str], otherwise: str = "n/a") -> str:
    """SQL: the meaning of a code. `meanings` has codes in upper case; the source may use any case."""
    cases = " ".join(f"WHEN '{code}' THEN '{meaning}'" for code, meaning in meanings.items())
    return f"CASE UPPER(TRIM({column})) {cases} ELSE '{otherwise}' END"


def yyyymmdd(column: str) -> str:
    """SQL: a date from eight digits; NULL for anything else, such as 0 or a date that does not exist."""
    digits = f"TRIM({column})"
    return typed(f"CONCAT(SUBSTRING({digits}, 1, 4), '-', SUBSTRING({digits}, 5, 2), '-', SUBSTRING({digits}, 7))", "date")


def whole(column: str) -> str:
    """SQL: the text of a whole number that an export wrote as a float: `17850.0` is `17850`. Any other text is only trimmed."""
    return f"REGEXP_REPLACE(TRIM({column}), '^([+-]?[0-9]+)[.]0+$', '$1')"
