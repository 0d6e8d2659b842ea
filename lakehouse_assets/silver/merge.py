"""What a merge of staged rows into a silver table concerns: other partitions that hold their keys, and keys that fall back."""

from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.storage.duck import files_view

if TYPE_CHECKING:
    import duckdb


def touched_dates(
    uri: str, contract: Contract, connection: "duckdb.DuckDBPyConnection", standing: list[dict[str, Any]]
) -> list[date]:
    """The other partitions of the table that hold a key of a staged row."""
    if not standing:
        return []
    key_columns = {c.name: c.type for c in contract.columns if c.name in contract.key}
    files_view(connection, "standing", uri, standing, key_columns)
    keys = ", ".join(f'"{k}"' for k in contract.key)
    found = connection.execute(f"SELECT DISTINCT _date FROM standing SEMI JOIN staged_ok USING ({keys}) ORDER BY _date")
    return [row[0] for row in found.fetchall()]


def some_key_retreats(
    uri: str, contract: Contract, connection: "duckdb.DuckDBPyConnection", removed: list[dict[str, Any]]
) -> bool:
    """Whether a key that stands by these partitions now has a lower row there, or none: an older one may come back."""
    if not removed:
        return False
    columns = {c.name: c.type for c in contract.columns if c.name in {*contract.key, contract.sequence}}
    columns |= {"_source_file": "string", "_row_number": "bigint"}
    files_view(connection, "void", uri, removed, columns)
    same_key = " AND ".join(f's."{k}" = v."{k}"' for k in contract.key)
    # A NULL sequence is below any other; in a comparison of rows it must not make the whole NULL.
    order = f'{{t}}."{contract.sequence}" IS NOT NULL, {{t}}."{contract.sequence}", ' if contract.sequence else ""
    as_row = f"ROW({order}{{t}}._date, {{t}}._source_file, {{t}}._row_number)"
    found = connection.execute(
        f"""SELECT count(*) FROM void AS v WHERE NOT EXISTS (
                FROM staged_ok AS s WHERE {same_key} AND {as_row.format(t="s")} >= {as_row.format(t="v")})"""
    ).fetchone()
    return bool(found and found[0])
