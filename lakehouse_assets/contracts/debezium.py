"""Debezium change events as a feed: the columns of its files, and the source table's rows from them.

    SilverTable(
        contract=Contract(
            table="shop_customers", ..., key=("customer_id",), sequence=LOG_POSITION.name, deleted="is_delete",
            columns=(Column("customer_id", "int", ...), Column("email", "string", ...), CHANGED_AT, LOG_POSITION),
            rules=(*change_rules(), ...),
        ),
        inputs=(
            Input(
                change_feed("shop/customers"),
                lambda raw: rows_of_changes(raw, {"customer_id": "id", "email": "email"}),
            ),
        ),
    )

An event describes a change of one row: `op` is c (created), u (updated), d (deleted) or r (read by a snapshot), `before` and
`after` are the row before and after the change, `source` has the position in the database's log. The files are JSON Lines, one
event a line, plain or wrapped with its schema (`{"schema": ..., "payload": ...}`). docs/what-arrives.md lists the supported types
and connectors.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Json
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.errors import ContractError

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame

CHANGED_AT = Column("changed_at", "timestamp", "When the source committed the change")
LOG_POSITION = Column(
    "log_position", "string", "Where the change stands in the source's log, as text of fixed width: a later change is greater"
)
UNAVAILABLE = "__debezium_unavailable_value"
"""Debezium writes this for a long value that PostgreSQL did not send because it did not change."""

_DIGITS_OF_AN_INT64 = 20
_SECOND = 1_000_000
_FIRST_SECOND, _SECOND_AFTER_LAST = -62_135_596_800, 253_402_300_800
"""The first second of year 1, and the second after year 9999, counted from 1970."""


def change_columns() -> tuple[SourceColumn, ...]:
    """Return the columns of an event. Only those that every event has are required: a truncate, for example, has no row."""
    return (
        SourceColumn("op", "c created, u updated, d deleted, r read by a snapshot, t truncated, m message"),
        SourceColumn("before", "The row as it was, JSON", required=False),
        SourceColumn("after", "The row as it is, JSON", required=False),
        SourceColumn("source", "Connector, database, table and position in its log, JSON"),
        SourceColumn("ts_ms", "When Debezium handled the event, milliseconds since 1970", required=False),
    )


def change_feed(landing: str) -> Feed:
    """Return a feed of change events, which may be wrapped with their schema."""
    return Feed(landing, columns=change_columns(), format=Json(unwrap="payload"))


def change_rules() -> tuple[Rule, ...]:
    """Return the rules for change events: an event without a row goes to quarantine."""
    return (
        Rule(
            "op_changes_a_row",
            "op IN ('c', 'u', 'd', 'r')",
            "drop",
            "The event is about one row: no truncate (t), no message (m).",
        ),
        Rule(
            "change_has_its_row",
            "op NOT IN ('c', 'u', 'r') OR after IS NOT NULL",
            "drop",
            "The event has the row as it is.",
        ),
        Rule(
            "change_has_all_values",
            f"NOT COALESCE(CONTAINS(after, '\"{UNAVAILABLE}\"'), FALSE)",
            "warn",
            "No value is missing because PostgreSQL did not send it; give the table REPLICA IDENTITY FULL.",
        ),
    )


def rows_of_changes(raw: "DataFrame", fields: Mapping[str, str]) -> "DataFrame":
    """Add the row's fields as text, and `changed_at` (timestamp), `log_position` (text) and `is_delete` (boolean).

    `fields` maps the columns to add to the source's fields. Values come from `after`; for a delete, from `before`.

    Raises:
        ContractError: a column has the name of an event's own column, or a field's name contains a quote.
    """
    from pyspark.sql import functions as F

    own = {*(c.name for c in change_columns()), CHANGED_AT.name, LOG_POSITION.name, "is_delete"}
    if taken := sorted(own & fields.keys()):
        raise ContractError(
            f"Change events have columns of their own named {', '.join(taken)}: name the field's column otherwise."
        )
    if quoted := [field for field in fields.values() if "'" in field]:
        raise ContractError(f"Fields with a quote in their name can't be read out of change events: {', '.join(quoted)}.")
    is_delete = F.coalesce(F.col("op") == "d", F.lit(False))
    row = F.when(is_delete, F.col("before")).otherwise(F.col("after"))
    return raw.select(
        "*",
        *(F.get_json_object(row, f"$['{field}']").alias(column) for column, field in fields.items()),
        _committed_at().alias(CHANGED_AT.name),
        _log_position().alias(LOG_POSITION.name),
        is_delete.alias("is_delete"),
    )


def rows_as_read(raw: "DataFrame") -> "DataFrame":
    """Add to the rows of an export or API what `rows_of_changes` adds, so that they go into one table with change events.

    They are like rows that a snapshot read: `op` is r, `changed_at` and `log_position` are NULL, none is a delete. Give the table a
    sequence that both have, such as the row's own time of change, with `log_position` after it.
    """
    return raw.selectExpr(
        "*",
        "'r' AS op",
        "'{}' AS after",
        f"CAST(NULL AS TIMESTAMP) AS {CHANGED_AT.name}",
        f"CAST(NULL AS STRING) AS {LOG_POSITION.name}",
        "FALSE AS is_delete",
    )


def date_of_days(column: str) -> str:
    """SQL: the date that `io.debezium.time.Date` writes as days since 1970. Any other text stays, and breaks the type's rule."""
    return _since_1970("DATE_FROM_UNIX_DATE", column, "int", 86_400 * _SECOND)


def timestamp_of_millis(column: str) -> str:
    """SQL: the moment that `io.debezium.time.Timestamp` writes as milliseconds since 1970. Any other text stays."""
    return _since_1970("TIMESTAMP_MILLIS", column, "bigint", _SECOND // 1000)


def timestamp_of_micros(column: str) -> str:
    """SQL: the moment that `io.debezium.time.MicroTimestamp` writes as microseconds since 1970. Any other text stays."""
    return _since_1970("TIMESTAMP_MICROS", column, "bigint", 1)


def _since_1970(function: str, column: str, number_type: str, micros: int) -> str:
    """SQL: apply a function to a number, if the result is in the years 1 to 9999: engines fail differently beyond them."""
    number = typed(column, number_type)
    within = f"{number} BETWEEN {_FIRST_SECOND * _SECOND // micros} AND {_SECOND_AFTER_LAST * _SECOND // micros - 1}"
    return f"CASE WHEN {within} THEN CAST({function}({number}) AS STRING) ELSE {column} END"


def decimal_of_bytes(column: str, scale: int) -> str:
    """SQL: the number that `decimal.handling.mode=precise` writes as the Base64 of an unscaled integer, up to 18 digits.

    Anything else gets a prefix that breaks the type's rule: Base64 may look like a number.
    """
    digits = f"HEX(UNBASE64({column}))"
    # In two halves, because not every engine can parse 64 bits as an unsigned number.
    high = f"CAST(CONV(CAST(CONCAT('0', LEFT({digits}, GREATEST(LENGTH({digits}) - 8, 0))) AS STRING), 16, 10) AS DECIMAL(10, 0))"
    low = f"CAST(CONV(CAST(RIGHT({digits}, 8) AS STRING), 16, 10) AS DECIMAL(10, 0))"
    powers = " ".join(f"WHEN {2 * size} THEN {2 ** (8 * size)}" for size in range(1, 9))
    below_zero = f"CAST(CASE WHEN {digits} >= '8' THEN CASE LENGTH({digits}) {powers} END ELSE 0 END AS DECIMAL(20, 0))"
    unit = f"CAST('{Decimal(1).scaleb(-scale):f}' AS DECIMAL({scale + 1}, {scale}))"
    number = f"({high} * {2**32} + {low} - {below_zero}) * {unit}"
    is_base64 = f"{column} RLIKE '^([A-Za-z0-9+/]{{4}})*([A-Za-z0-9+/]{{2}}==|[A-Za-z0-9+/]{{3}}=)?\\\\z'"
    fits = f"LENGTH({column}) <= 12 AND {column} NOT RLIKE '^.{{11}}[^=]\\\\z' AND {column} <> ''"
    return (
        f"CASE WHEN {column} IS NULL THEN NULL WHEN {is_base64} AND {fits} THEN CAST({number} AS STRING) "
        f"ELSE CONCAT('not a decimal of up to 18 digits: ', {column}) END"
    )


def _committed_at() -> "Expression":
    """Return when the source committed the change; else, when Debezium handled the event."""
    from pyspark.sql import functions as F

    # Snapshots by older versions of Debezium have 0 here.
    millis = "COALESCE(NULLIF({}, 0), {})".format(
        *(typed(text, "bigint") for text in ("GET_JSON_OBJECT(source, '$.ts_ms')", "ts_ms"))
    )
    in_years = f"{millis} BETWEEN {_FIRST_SECOND * 1000} AND {_SECOND_AFTER_LAST * 1000 - 1}"
    return F.expr(f"CASE WHEN {in_years} THEN TIMESTAMP_MILLIS({millis}) END")


def _log_position() -> "Expression":
    """Build the log position from zero-padded numbers: one text column then sorts correctly for all databases."""
    from pyspark.sql import functions as F

    connector = _source("connector")
    file_number = F.regexp_extract(_source("file"), "([0-9]+)$", 1)
    binlog = F.concat_ws(":", _padded(file_number), _padded(_source("pos")), _padded(F.coalesce(_source("row"), F.lit("0"))))
    serial = _padded(F.coalesce(_source("event_serial_no"), F.lit("0")))
    commit_table = F.concat_ws(":", _source("commit_lsn"), F.coalesce(_source("change_lsn"), F.lit("")), serial)
    scn = F.concat_ws(":", _padded(F.coalesce(_source("commit_scn"), _source("scn"))), _padded(_source("scn")))
    return (
        F.when(connector == "postgresql", _padded(_source("lsn")))
        .when(connector.isin("mysql", "mariadb") & _source("pos").isNotNull(), binlog)
        .when((connector == "sqlserver") & _source("commit_lsn").isNotNull(), commit_table)
        .when((connector == "oracle") & _source("scn").isNotNull(), scn)
    )


def _source(field: str) -> "Expression":
    """Return a field of the event's `source`, as text."""
    from pyspark.sql import functions as F

    return F.get_json_object("source", f"$.{field}")


def _padded(number: "Expression") -> "Expression":
    """Pad a number with zeros to the width of an int64."""
    from pyspark.sql import functions as F

    return F.lpad(number, _DIGITS_OF_AN_INT64, "0")
