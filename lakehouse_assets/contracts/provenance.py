"""The columns that say where a row came from. Their names are written nowhere else.

Feed, landing date, file, row number and item number together identify a row of silver.
"""

from dataclasses import dataclass

DATE_COLUMN = "_date"
"""The partition of every table: the landing date."""

FEED, FILE, ETAG, ROW, ITEM = "_source_feed", "_source_file", "_source_etag", "_row_number", "_item_number"

SHEET = "_sheet"
"""The sheet of a workbook, in raw tables of feeds that may deliver workbooks."""

ROWS_PER_SHEET = 1_048_576
"""How many rows a sheet has at most, in the format of Excel."""
DIALECT = "_dialect"
"""The dialect in which a row was written, in raw tables of feeds that declare dialects."""

ITEM_TEXT = "_item"
"""The text of an item, for functions over the items of a row. No table has this column."""

CURRENCY = "_source_currency"
"""The currency that a feed declares, for functions over its rows. No table has this column."""

BROKEN_RULES = "_broken_rules"
"""The names of the rules that a row breaks, separated by commas; NULL if it breaks none."""

IN_RAW = (FILE, ETAG, ROW, DATE_COLUMN)
"""The provenance columns of every raw table, in their order. `Feed.provenance` has those of one feed."""

IDENTITY = (FEED, FILE, ROW, ITEM, DATE_COLUMN)
"""The columns that identify a row of silver, in their order."""

IN_SILVER = (*IDENTITY, BROKEN_RULES)
"""The columns that a silver table has in addition to those of its contract, in their order."""


@dataclass(frozen=True)
class ProvenanceColumn:
    """A provenance column: its name, its Spark SQL type, and its meaning."""

    name: str
    type: str
    description: str


PROVENANCE = {
    column.name: column
    for column in (
        ProvenanceColumn(FEED, "string", "Feed that the row came from: the name of its raw table"),
        ProvenanceColumn(FILE, "string", "Name of the landing file that the row came from"),
        ProvenanceColumn(ETAG, "string", "MD5 of that file's bytes"),
        ProvenanceColumn(
            ROW,
            "bigint",
            "Where the row stands in the file, from 1: the line on which it starts; in a JSON document or a Parquet file its number; "
            f"in a workbook its row in the sheet, and {ROWS_PER_SHEET:,} more for each sheet before",
        ),
        ProvenanceColumn(SHEET, "string", "Sheet of the workbook that the row came from; NULL for files of another format"),
        ProvenanceColumn(DIALECT, "string", "Dialect in which the row was written, in raw tables of feeds that declare dialects"),
        ProvenanceColumn(ITEM, "bigint", "Which item of the source's row it is, from 1; 0 where it is the source's row itself"),
        ProvenanceColumn(DATE_COLUMN, "date", "The date under which the file landed: the partition"),
        ProvenanceColumn(BROKEN_RULES, "string", "Names of the `warn` rules that the row breaks; NULL where it breaks none"),
    )
}
"""Each provenance column by its name."""


def typed_columns(names: tuple[str, ...]) -> dict[str, str]:
    """Return the Spark SQL types of some provenance columns, by name."""
    return {name: PROVENANCE[name].type for name in names}
