"""Column types: how values are written, and the name of each type in Spark SQL, Arrow, DuckDB and Delta.

Each type has a grammar, a regular expression that the whole text must match, and a range. Both are checked in addition to the
engine's cast, because casts accept more (`10:00` for today, `1e3` for an int, `１２` for 12), depending on the engine and its
release. docs/what-arrives.md shows the table.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.clock import LAST_YEAR, last_offset
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa

TYPE_NAMES = ("string", "int", "bigint", "double", "boolean", "date", "timestamp", "decimal(p,s)")

_DECIMAL = re.compile(r"decimal\(([0-9]{1,2}), ?([0-9]{1,2})\)")
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?"
_OFFSET = "(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)"

_GRAMMARS = {
    "int": "[+-]?[0-9]+",
    "bigint": "[+-]?[0-9]+",
    "double": "[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?",
    "boolean": "[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]",
    "date": _DATE,
    "timestamp": f"{_DATE}[ T]{_TIME}{_OFFSET}?",
}
_RANGES = {
    "double": "ABS({value}) <= 1.7976931348623157E308",  # false for NaN, too
    "date": "{value} BETWEEN DATE'0001-01-01' AND DATE'9999-12-31'",
    "timestamp": "{value} BETWEEN TIMESTAMP'0001-01-01 00:00:00Z' AND TIMESTAMP'9999-12-31 23:59:59.999999Z'",
}
_SURELY_IN_RANGE = "{text} >= '0001-01-02' AND {text} < '9999-12-31'"
"""Whether a text of the grammar of a date or timestamp is a day, and so more than any offset, from the ends of the range."""
_WHOLE = ("tinyint", "smallint", "int", "bigint")
_FAMILIES = ((*_WHOLE, "float", "double", "decimal"), ("date", "timestamp", "timestamp_ntz"), ("boolean",))


@dataclass(frozen=True)
class Type:
    """A column type, by its name in Spark SQL. All SQL here is Spark's, and means the same on every engine."""

    name: str
    precision: int = 0
    scale: int = 0

    @property
    def grammar(self) -> str | None:
        """A regular expression for the whole text, in the syntax that Java, Rust, RE2 and Python share; None allows any text."""
        if not self.precision:
            return _GRAMMARS.get(self.name)
        # Refuse more digits than the type holds, never round; zeros at either end don't count as digits.
        whole = f"0*[0-9]{{1,{self.precision - self.scale}}}" if self.precision > self.scale else "0+"
        return f"[+-]?{whole}([.]" + (f"[0-9]{{1,{self.scale}}}0*)?" if self.scale else "0+)?")

    def of_text(self, sql: str, zone: str | None = None) -> str:
        """SQL: a text as a value of this type; NULL if it does not match the grammar. `zone` is that of times that name none."""
        if self.grammar is None:
            return sql
        value = _moment(sql, zone) if self.name == "timestamp" else f"TRY_CAST({sql} AS {self.name})"
        if self.name in ("date", "timestamp"):
            # A range names its value three times, and an engine may cast a text each time. Sail reads a text as a moment without zone
            # in half the time that it takes as a date.
            quick = f"CAST(TRY_CAST({sql} AS TIMESTAMP_NTZ) AS DATE)" if self.name == "date" else value
            value = f"CASE WHEN {_SURELY_IN_RANGE.format(text=sql)} THEN {quick} ELSE {self._in_range(value)} END"
        else:
            value = self._in_range(value)
        # Not `$`: in Java it also matches before a final line feed.
        return f"CASE WHEN {sql} RLIKE '^({self.grammar})\\\\z' THEN {value} END"

    def of_value(self, sql: str, kind: str, zone: str | None = None) -> str:
        """SQL: a value of the Spark type `kind` as one of this type; NULL if it can't be one. `zone` applies to texts, see `of_text`.

        Computed numbers are rounded half up to a decimal's scale. But int and bigint accept whole numbers only.
        """
        cast = f"TRY_CAST({sql} AS {self.name})"
        if kind == "string":
            return self.of_text(sql, zone)
        if kind == self.name:
            return self._in_range(sql)
        if self.precision and kind in ("float", "double"):
            # Via the shortest text: engines round the binary fraction differently.
            return f"TRY_CAST(CAST({sql} AS STRING) AS {self.name})"
        if self.name in _WHOLE and kind not in _WHOLE:
            return f"CASE WHEN {cast} = {sql} THEN {cast} END"
        return self._in_range(cast)

    def takes(self, kind: str) -> bool:
        """Return whether a value of the Spark type `kind` can become one of this type."""
        if kind in ("string", "void") or self.name == "string":
            return True
        return any(_plain(self.name) in family and _plain(kind) in family for family in _FAMILIES)

    @property
    def in_arrow(self) -> "pa.DataType":
        """The Arrow type, as in the table's schema."""
        import pyarrow as pa

        if self.precision:
            return pa.decimal128(self.precision, self.scale)
        types = {"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}
        return (types | {"date": pa.date32(), "timestamp": pa.timestamp("us", "UTC")})[self.name]

    def _in_range(self, value: str) -> str:
        if self.name not in _RANGES:
            return value
        return f"CASE WHEN {_RANGES[self.name].format(value=value)} THEN {value} END"


@lru_cache
def type_of(name: str) -> Type:
    """Return the type with this name, such as `date` or `decimal(12,2)`.

    Raises:
        ContractError: there is no such type.
    """
    if fault := type_fault(name):
        raise ContractError(f"{fault}.")
    decimal = _DECIMAL.fullmatch(name)
    return Type(name, int(decimal[1]), int(decimal[2])) if decimal else Type(name)


def type_fault(name: str) -> str | None:
    """Return why there is no type with this name, as half a sentence; None if there is one."""
    if decimal := _DECIMAL.fullmatch(name):
        is_one = 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1])
        return None if is_one else f"{name} is not a type: a decimal has 1 to 38 digits, and no more of them behind the point"
    if name in TYPE_NAMES and not name.startswith("decimal"):
        return None
    near = nearest(name.split("(")[0], [n.split("(")[0] for n in TYPE_NAMES])
    return f"{name!r} is not a type, one of {', '.join(TYPE_NAMES)}{near}"


_IN_DUCKDB = {
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}
_FROM_DELTA = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint"}


def in_duckdb(name: str) -> str:
    """Return DuckDB's name for a Spark or Arrow type; most names are the same."""
    return _IN_DUCKDB.get(name, name.replace("decimal128", "decimal"))


def from_delta(name: str) -> str:
    """Return Spark SQL's name for a primitive type of a Delta schema."""
    return _FROM_DELTA.get(name, name)


def typed(sql: str, type_name: str, zone: str | None = None) -> str:
    """SQL: a text as a value of a type, NULL if it does not match the grammar. For silver functions that compare or compute.

    `zone` is that of times that name none, as the feed declares it; UTC if None.
    """
    return type_of(type_name).of_text(sql, zone)


def _moment(sql: str, zone: str | None) -> str:
    """SQL: a text that matches the grammar as a timestamp; NULL if there is no such day."""
    in_utc = f"TRY_CAST({_timestamp_with_zone(sql)} AS timestamp)"
    if zone is None:
        return in_utc
    # It shifts by the zone's offset, whatever the session's zone is. Sail's rules of daylight saving end with the year 2099.
    at_fixed_offset = f"TRY_CAST({_timestamp_with_zone(sql, last_offset(zone))} AS timestamp)"
    by_rules = f"CASE WHEN {sql} >= '{LAST_YEAR + 1}' THEN {at_fixed_offset} ELSE TO_UTC_TIMESTAMP({in_utc}, '{zone}') END"
    return f"CASE WHEN {_NAMES_ZONE.format(text=sql)} THEN {in_utc} ELSE {by_rules} END"


_NAMES_ZONE = "SUBSTRING({text}, 17) RLIKE '[Z+-]'"


def _timestamp_with_zone(sql: str, offset: str = "Z") -> str:
    """SQL: rewrite a matching text to the form that all engines cast alike, independent of their session's time zone.

    `offset` is that of a text that names none.
    """
    seconds = f"CASE WHEN SUBSTRING({sql}, 17, 1) = ':' THEN '' ELSE ':00' END"
    zone = f"CASE WHEN {_NAMES_ZONE.format(text=sql)} THEN '' ELSE '{offset}' END"
    return f"CONCAT(SUBSTRING({sql}, 1, 10), ' ', SUBSTRING({sql}, 12, 5), {seconds}, SUBSTRING({sql}, 17), {zone})"


def _plain(name: str) -> str:
    """Return a type's name without its parameters."""
    return name.split("(")[0]
