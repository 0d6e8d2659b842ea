"""What silver functions share: Spark SQL expressions over a text column, with the same result on every engine."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.types import typed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def with_columns(raw: "DataFrame", /, **columns: str) -> "DataFrame":
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


def plain(column: str) -> str:
    """SQL: the trimmed text with a plain hyphen and blank for those that don't break a line; NULL if it is empty.

    Word processors and web pages put them into names and codes, which then equal no other system's.
    """
    return text(f"TRANSLATE({column}, '\u2011\u00a0', '- ')")


def capitals(column: str) -> str:
    """SQL: each word with a capital first and small letters after it. A blank ends a word: `T-SHIRT xl` is `T-shirt Xl`.

    Not INITCAP: some engines begin a word after a hyphen, too.
    """
    word = "CONCAT(UPPER(SUBSTRING(word, 1, 1)), LOWER(SUBSTRING(word, 2)))"
    return f"ARRAY_JOIN(TRANSFORM(SPLIT({column}, ' '), word -> {word}), ' ')"
