"""Transforms raw rows of one feed to rows of the table: the input's function, then the contract's types. Pure functions."""

import re
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.code_digest import file_of, files_reached
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.provenance import CURRENCY, FEED, IDENTITY, ITEM, ITEM_TEXT, typed_columns
from lakehouse_assets.contracts.styles import own_form
from lakehouse_assets.contracts.system import Input, SilverTable
from lakehouse_assets.contracts.types import type_fault, type_of
from lakehouse_assets.errors import ContractError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_UNRESOLVED = "UNRESOLVED_COLUMN|is missing from the schema"
"""Matches the messages of Spark and Sail for a name that is not a column."""


UNREAD = "_unread"
"""A column of the transformed rows: each text that its column's type does not take, as `name=text`; NULL if there is none."""

_SEPARATOR, _SHOWN = "\x1f", 100


def contract_faults(session: "SparkSession", table: SilverTable) -> list[str]:
    """Return the mistakes in a table's functions and its contract's SQL, a line each. Reads and computes no rows."""
    faults = []
    for given in table.inputs:
        faults += _transformed(_no_rows(session, given), table, given)[1]
    return list(dict.fromkeys(faults))


def computed(session: "SparkSession", table: SilverTable, given: Input) -> "DataFrame":
    """Return what an input's function makes of no rows, for a look at its plan. Computes nothing."""
    return given.function(_given_rows(_no_rows(session, given), table, given))


def _no_rows(session: "SparkSession", given: Input) -> "DataFrame":
    """Return raw rows of an input, none, with all columns that the feed declares."""
    text = [f"`{name}` string" for name in dict.fromkeys(given.feed.column_names)]
    own = [f"`{name}` {kind}" for name, kind in typed_columns(given.feed.provenance).items()]
    return session.createDataFrame([], ", ".join([*text, *own]))


def transform(raw: "DataFrame", table: SilverTable, given: Input) -> "DataFrame":
    """Transform raw rows of an input to rows of the table, with any other columns that the function returns.

    The contract's columns have their types. For each, `_untyped_…` says whether its value could not be converted; `_unread` has
    the texts of those.

    Raises:
        ContractError: the function does not return what the contract promises, or a rule can't be evaluated on the result.
    """
    rows, faults = _transformed(raw, table, given)
    if faults:
        raise ContractError("\n".join(faults))
    return rows


def each_item(raw: "DataFrame", column: str) -> "DataFrame":
    """Return a row for each item of a column's JSON list, with `_item` and `_item_number`; number 0 if it is not a list."""
    text = f"TRIM(`{column}`)"
    items = f"CASE WHEN {text} LIKE '[%' AND {text} LIKE '%]' THEN FROM_JSON({text}, 'array<string>') END"
    nothing = "FROM_JSON('[]', 'array<string>')"
    one = "ARRAY(CAST(NULL AS STRING))"
    listed = raw.selectExpr("*", f"{items} AS _items")
    made = f"CASE WHEN _items IS NOT NULL THEN _items WHEN COALESCE({text}, '') = '' THEN {nothing} ELSE {one} END"
    return (
        listed.selectExpr("*", f"POSEXPLODE({made}) AS (_place, {ITEM_TEXT})")
        .selectExpr("*", f"CASE WHEN _items IS NULL THEN 0L ELSE CAST(_place AS BIGINT) + 1L END AS {ITEM}")
        .drop("_items", "_place")
    )


def _given_rows(raw: "DataFrame", table: SilverTable, given: Input) -> "DataFrame":
    """Return the rows that an input's function gets."""
    from pyspark.sql import functions as F

    feed = given.feed
    # A column that the source added later, with the name of a contract's column, must not conflict with it.
    rows = raw.drop(*(name for name in table.contract.column_names if name not in feed.column_names))
    rows = rows.withColumn(FEED, F.lit(feed.table))
    rows = rows.withColumn(CURRENCY, F.lit(feed.currency)) if feed.currency else rows
    return each_item(rows, given.each) if given.each else rows.withColumn(ITEM, F.expr("0L"))


def _transformed(raw: "DataFrame", table: SilverTable, given: Input) -> tuple["DataFrame", list[str]]:
    """Return the transformed rows, and the mistakes in function and contract, a line each. Use the rows only without mistakes."""
    from pyspark.sql import functions as F

    contract, feed = table.contract, given.feed
    rows = _given_rows(raw, table, given)
    location = _location(table, given)
    try:
        rows = given.function(rows)
        if not hasattr(rows, "schema"):
            return raw, [f"{location}: {given.name} returns {rows!r:.40}: it has to return the rows, a DataFrame."]
        kinds = {field.name.lower(): field.dataType.simpleString() for field in rows.schema}
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        # Any error from the function's own code is a mistake in it; an error of a lost server is not.
        if not isinstance(error, mistakes()) and Path(frames[-1].filename) not in files_reached(given.function):
            raise
        lines = [frame.lineno for frame in frames if Path(frame.filename) == file_of(given.function)]
        where = f"{given.name}{f', line {lines[-1]},' if lines else ''}"
        return raw, [f"{location}: {where} {_fault(error, raw.columns)}"]
    faults = [
        f"{given.name} does not return the column {name!r}{nearest(name, kinds.keys() - set(contract.column_names))}."
        for name in contract.column_names
        if name not in kinds
    ]
    faults += [
        f"{given.name} does not return {name}: keep all columns that it is given, with '*'."
        for name in IDENTITY
        if name not in kinds
    ]
    # An unknown type is reported as a mistake of the contract.
    types = {c.name: type_of("string" if type_fault(c.type) else c.type) for c in contract.columns}
    faults += [
        f"{given.name} returns column {name!r} as {kinds[name]}, which can't become {type_.name}."
        for name, type_ in types.items()
        if name in kinds and not type_.takes(kinds[name])
    ]
    unusable = {name: f"CAST(NULL AS {t.name})" for name, t in types.items() if name not in kinds or not t.takes(kinds[name])}
    styled = {c.name: f"_styled_{c.name}" for c in contract.columns if c.styles and kinds.get(c.name) == "string"}
    rewritten = {styled[c.name]: own_form(f"`{c.name}`", c.type, c.styles) for c in contract.columns if c.name in styled}
    typed = {f"_typed_{n}": unusable.get(n) or t.of_value(f"`{styled.get(n, n)}`", kinds[n], feed.zone) for n, t in types.items()}
    untyped = {f"_untyped_{n}": f"`{n}` IS NOT NULL AND `_typed_{n}` IS NULL" for n in types if n not in unusable}
    renamed = {UNREAD: _unread(types.keys() - unusable.keys())} | {n: f"`_typed_{n}`" for n in types}
    for columns in filter(None, (rewritten, typed, untyped, renamed)):
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    return rows, [f"{location}: {fault}" for fault in [*faults, *_sql_faults(rows, table)]]


def _unread(names: Iterable[str]) -> str:
    """SQL for the column `UNREAD`: of these columns, those whose text could not be converted, with the beginning of it."""
    beginning = f"SUBSTRING(REPLACE(CAST(`{{n}}` AS STRING), '{_SEPARATOR}', ' '), 1, {_SHOWN})"
    return joined({f"`_untyped_{n}`": f"CONCAT('{n}=', {beginning.format(n=n)})" for n in sorted(names)}, _SEPARATOR)


def joined(texts: Mapping[str, str], separator: str) -> str:
    """SQL: those texts whose condition is true, with a separator between them; NULL if there are none. Both are SQL."""
    if not texts:
        return "CAST(NULL AS STRING)"
    listed = ", ".join(f"CASE WHEN {condition} THEN {text} END" for condition, text in texts.items())
    # Of most rows no condition is true: for these no text is made.
    return f"CASE WHEN {' OR '.join(f'({condition})' for condition in texts)} THEN CONCAT_WS('{separator}', {listed}) END"


def unread_texts(value: str | None) -> dict[str, str]:
    """Return the texts in a value of the column `UNREAD`, by column."""
    return dict(text.split("=", 1) for text in (value or "").split(_SEPARATOR) if "=" in text)


def _location(table: SilverTable, given: Input) -> str:
    """Say where to fix an input: the file of its function, and the table."""
    file = file_of(given.function)
    return f"{file.parent.name}/{file.name}: {table.name}" if file else table.name


def _sql_faults(rows: "DataFrame", table: SilverTable) -> list[str]:
    """Ask the engine which of the contract's rules, and `deleted`, can't be evaluated on these columns."""
    contract = table.contract
    expressions = {f"rule {rule.name!r}": rule.expression for rule in contract.rules}
    expressions |= {"deleted": contract.deleted} if contract.deleted else {}

    def fault(*expressions: str) -> Exception | None:
        try:
            _ = rows.selectExpr(*expressions).schema
        except mistakes() as error:
            return error
        return None

    if not expressions or fault(*map(broken, expressions.values())) is None:
        return []
    columns = [name for name in rows.columns if not name.startswith(("_styled_", "_typed_", "_untyped_", UNREAD))]
    # First as it is written, so that a position in the engine's message is one in the contract.
    faults = {what: (sql, fault(sql) or fault(broken(sql))) for what, sql in expressions.items()}
    return [f"{what} {_fault(error, columns, sql)}" for what, (sql, error) in faults.items() if error is not None]


def broken(expression: str) -> str:
    """SQL: whether a row breaks a rule: its expression is false or NULL."""
    return f"NOT COALESCE(({expression}), FALSE)"


def _fault(error: Exception, columns: list[str], sql: str | None = None) -> str:
    """Describe the error in an expression: the name in it that is not a column, else the engine's message."""
    known = {column.lower() for column in columns}
    written = re.findall(r"\w+", sql) if sql is not None else None
    for name in re.findall(r'["`]([^\W\d]\w*)["`]', str(error)) if re.search(_UNRESOLVED, str(error)) else ():
        if name.lower() not in known and (written is None or name in written):
            return f"names {name!r}, which is not a column here{nearest(name, columns)}."
    return f"can't be evaluated: {_message(error)}"


def mistakes() -> tuple[type[Exception], ...]:
    """Return the errors that a mistake in SQL or Python raises, but an unreachable server does not."""
    from pyspark.errors import AnalysisException, IllegalArgumentException, UnsupportedOperationException

    engine = (AnalysisException, IllegalArgumentException, UnsupportedOperationException)
    return (*engine, ContractError, NameError, AttributeError, TypeError, LookupError)


def _message(error: Exception) -> str:
    """Return the message of the engine or Python, shortened to one line."""
    from pyspark.errors import PySparkException

    kind = "" if isinstance(error, PySparkException | ContractError) else f"{type(error).__name__}: "
    line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return kind + (f"{line[:160]} …" if len(line) > 160 else f"{line}.")
