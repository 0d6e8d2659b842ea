"""Names of columns in SQL that a person reads: in backquotes only where they need them."""

import re
from functools import cache

EVALUATED = frozenset(
    {
        *("current_catalog", "current_database", "current_date", "current_role", "current_schema", "current_time"),
        *("current_timestamp", "current_timezone", "current_user", "localtime", "localtimestamp", "now", "session_user"),
        *("sysdate", "system_user", "systimestamp", "today", "user"),
    }
)
"""Names that an engine may evaluate, even without parentheses, rather than read a column of that name."""

_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


def column(name: str) -> str:
    """Return SQL for a column of this name."""
    return name if _PLAIN.fullmatch(name) and name not in _keywords() | EVALUATED else f"`{name}`"


@cache
def _keywords() -> frozenset[str]:
    """The words that SQL may take for something else."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'").fetchall()
    return frozenset(name for (name,) in rows)
