"""Gives each row its verdict: all rules in one pass, as columns beside the row. Pure functions over lazy frames."""

import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.contract import Contract, Outcome
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.reach import file_of, files_reached
from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.contracts.types import type_fault, type_of
from lakehouse_assets.errors import ContractError
from lakehouse_assets.silver.versions import DELETED, OWN_COLUMNS, STANDS, VALID_TO, settle

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BROKEN_RULES = "_broken_rules"
"""The names of the rules that a row breaks, with commas; NULL where it breaks none. A column of every silver table."""

_UNRESOLVED = "UNRESOLVED_COLUMN|is missing from the schema"
"""What Spark and Sail say of a name that is no column."""

VERDICT = "_verdict"
OK, SUPERSEDED, DROPPED, FAILED = "ok", "superseded", "dropped", "failed"


def contract_faults(session: "SparkSession", entity: Entity) -> list[str]:
    """What is wrong with the silver function and with the SQL of the contract, a line each. Nothing is read or computed."""
    text = [f"`{name}` string" for name in dict.fromkeys(entity.raw.column_names)]
    own = ["_source_file string", "_source_etag string", "_row_number bigint", "_date date"]
    return _typed(session.createDataFrame([], ", ".join([*text, *own])), entity)[1]


def audited(raw: "DataFrame", entity: Entity) -> "DataFrame":
    """The columns of the table in their types, `OWN_COLUMNS`, `_broken_rules`, `_deleted` and `_verdict`, for each row of `raw`.

    Verdicts: `failed` broke a `fail` rule; `dropped` broke a `drop` rule; of the others `ok` stands by the contract's write mode,
    `superseded` does not: another row given here has its place, or it is a tombstone.

    Raises:
        ContractError: the silver function does not return what the contract promises, or a rule can't be evaluated on what it returns.
    """
    from pyspark.sql import functions as F

    contract = entity.contract
    rows, faults = _typed(raw, entity)
    if faults:
        raise ContractError("\n".join(faults))
    followed = contract.all_rules[: -len(contract.rules) or None]
    type_rules, key_rules = followed[: -len(contract.key)], followed[-len(contract.key) :]
    # Types are judged on what the function returned, the other rules on columns that have their type: all of it one pass.
    not_text = (c for c in contract.columns if c.type != "string")
    judged = {f"_broken_{rule.name}": f"`_untyped_{c.name}`" for rule, c in zip(type_rules, not_text, strict=True)}
    judged |= {DELETED: f"COALESCE(({contract.deleted or 'FALSE'}), FALSE)"}
    judged |= {f"_broken_{r.name}": _broken(r.expression) for r in key_rules}
    # A tombstone says no more than its key, so what the rules ask of a row it can't have.
    declared_rules = {f"_broken_{r.name}": f"{_broken(r.expression)} AND NOT {DELETED}" for r in contract.rules}
    summed: dict[str, str] = {f"_{outcome}": _names_broken(contract, outcome) for outcome in get_args(Outcome)}
    for columns in filter(None, (judged, declared_rules, summed)):
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    rows = rows.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *OWN_COLUMNS,
        f"NULLIF(CONCAT_WS(',', _fail, _drop, _warn), '') AS {BROKEN_RULES}",
        DELETED,
        f"CASE WHEN _fail IS NOT NULL THEN '{FAILED}' WHEN _drop IS NOT NULL THEN '{DROPPED}' ELSE '{OK}' END AS _passed",
    )
    for columns in settle(contract, within=["_passed"]):
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    stands = f"_passed = '{OK}' AND {STANDS}"
    return rows.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *validity(contract, stands, VALID_TO),
        *OWN_COLUMNS,
        BROKEN_RULES,
        DELETED,
        f"CASE WHEN _passed <> '{OK}' THEN _passed WHEN {STANDS} THEN '{OK}' ELSE '{SUPERSEDED}' END AS {VERDICT}",
    )


def _typed(raw: "DataFrame", entity: Entity) -> tuple["DataFrame", list[str]]:
    """What the silver function makes of raw rows, and what is wrong with function and contract, a line each: then the rows are no use.

    The contract's columns have their types; beside each stands, as `_untyped_…`, whether its value could not be read as one.
    """
    from pyspark.sql import functions as F

    contract = entity.contract
    function = getattr(entity.silver, "__name__", "<lambda>").replace("<lambda>", "the silver function")
    # A column that the source has added since, under the name of one of the contract's, must not stand in its way.
    declared = {snake_case(c.name) for c in entity.raw.columns}
    try:
        rows = entity.silver(raw.drop(*(name for name in contract.column_names if name not in declared)))
        if not hasattr(rows, "schema"):
            return raw, [f"{entity.place}: {function} returns {rows!r:.40}: it has to return the rows, a DataFrame."]
        kinds = {field.name.lower(): field.dataType.simpleString() for field in rows.schema}
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        # What the function itself raises is a mistake in it, whatever it is; what a lost server raises is none.
        if not isinstance(error, _mistakes()) and Path(frames[-1].filename) not in files_reached(entity.silver).values():
            raise
        lines = [frame.lineno for frame in frames if Path(frame.filename) == file_of(entity.silver)]
        where = f"{function}{f', line {lines[-1]},' if lines else ''}"
        return raw, [f"{entity.place}: {where} {_fault(error, raw.columns)}"]
    faults = [
        f"{function} does not return the column {name!r}{nearest(name, kinds.keys() - set(contract.column_names))}."
        for name in contract.column_names
        if name not in kinds
    ]
    faults += [
        f"{function} does not return {name}: keep all columns that it is given, with '*'."
        for name in OWN_COLUMNS
        if name not in kinds
    ]
    # A type that is none is the contract's own fault, and told as such.
    types = {c.name: type_of("string" if type_fault(c.type) else c.type) for c in contract.columns}
    faults += [
        f"{function} returns column {name!r} as {kinds[name]}, which can't become {type_.name}."
        for name, type_ in types.items()
        if name in kinds and not type_.takes(kinds[name])
    ]
    wrong = {name: f"CAST(NULL AS {t.name})" for name, t in types.items() if name not in kinds or not t.takes(kinds[name])}
    typed = {f"_typed_{n}": wrong.get(n) or t.of_value(f"`{n}`", kinds[n]) for n, t in types.items()}
    untyped = {f"_untyped_{n}": f"`{n}` IS NOT NULL AND `_typed_{n}` IS NULL" for n in types if n not in wrong}
    renamed = {n: f"`_typed_{n}`" for n in types}
    for columns in filter(None, (typed, untyped, renamed)):
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    return rows, [f"{entity.place}: {fault}" for fault in [*faults, *_faults_of_sql(rows, contract)]]


def _faults_of_sql(rows: "DataFrame", contract: Contract) -> list[str]:
    """Which of the contract's rules, and `deleted`, can't be evaluated on the columns that there are, by the engine's own judgement."""
    written = {f"rule {rule.name!r}": rule.expression for rule in contract.rules}
    written |= {"deleted": contract.deleted} if contract.deleted else {}

    def fault(*expressions: str) -> Exception | None:
        try:
            _ = rows.selectExpr(*expressions).schema
        except _mistakes() as error:
            return error
        return None

    if not written or fault(*map(_broken, written.values())) is None:
        return []
    columns = [name for name in rows.columns if not name.startswith(("_typed_", "_untyped_"))]
    # First as it is written, so that a place that the engine names is one in the contract.
    found = {what: (sql, fault(sql) or fault(_broken(sql))) for what, sql in written.items()}
    return [f"{what} {_fault(error, columns, sql)}" for what, (sql, error) in found.items() if error is not None]


def _fault(error: Exception, columns: list[str], sql: str | None = None) -> str:
    """What is wrong with an expression: the name in it that is no column, else the engine's own words."""
    known = {column.lower() for column in columns}
    written = re.findall(r"\w+", sql) if sql is not None else None
    for name in re.findall(r'["`]([^\W\d]\w*)["`]', str(error)) if re.search(_UNRESOLVED, str(error)) else ():
        if name.lower() not in known and (written is None or name in written):
            return f"names {name!r}, which is not a column here{nearest(name, columns)}."
    return f"can't be evaluated: {_said(error)}"


def _mistakes() -> tuple[type[Exception], ...]:
    """What somebody's mistake in SQL or Python raises, and a server that can't be reached does not."""
    from pyspark.errors import AnalysisException, IllegalArgumentException, UnsupportedOperationException

    engine = (AnalysisException, IllegalArgumentException, UnsupportedOperationException)
    return (*engine, ContractError, NameError, AttributeError, TypeError, LookupError)


def _said(error: Exception) -> str:
    """What the engine or Python said, in one line."""
    from pyspark.errors import PySparkException

    kind = "" if isinstance(error, PySparkException | ContractError) else f"{type(error).__name__}: "
    line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return kind + (f"{line[:160]} …" if len(line) > 160 else f"{line}.")


def validity(contract: Contract, stands: str, valid_to: str) -> list[str]:
    """SQL for the columns that a history adds, NULL where a row does not stand; nothing for other modes."""
    if not contract.validity:
        return []
    moment = contract.validity[0].type
    return [
        f"CASE WHEN {stands} THEN `{contract.valid_from}` END AS valid_from",
        f"CAST(CASE WHEN {stands} THEN {valid_to} END AS {moment}) AS valid_to",
        f"CASE WHEN {stands} THEN {valid_to} IS NULL END AS is_current",
    ]


def table_columns(contract: Contract) -> list[str]:
    """The columns of a silver table, in their order."""
    return [*(c.name for c in contract.table_columns), *OWN_COLUMNS, BROKEN_RULES]


def _broken(expression: str) -> str:
    return f"NOT COALESCE(({expression}), FALSE)"


def _names_broken(contract: Contract, outcome: Outcome) -> str:
    """SQL for the names of the broken rules of one outcome, NULL where there are none."""
    cases = ", ".join(f"CASE WHEN `_broken_{r.name}` THEN '{r.name}' END" for r in contract.all_rules if r.outcome == outcome)
    return f"NULLIF(CONCAT_WS(',', {cases}), '')" if cases else "CAST(NULL AS STRING)"
