"""Gives each row its verdict: all rules in one pass, as columns beside the row. Pure functions over lazy frames."""

import re
from typing import TYPE_CHECKING, get_args

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.contract import Contract, Outcome
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.contracts.types import type_of
from lakehouse_assets.errors import ContractError
from lakehouse_assets.silver.versions import DELETED, OWN_COLUMNS, STANDS, VALID_TO, settle

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

BROKEN_RULES = "_broken_rules"
"""The names of the rules that a row breaks, with commas; NULL where it breaks none. A column of every silver table."""

VERDICT = "_verdict"
OK, SUPERSEDED, DROPPED, FAILED = "ok", "superseded", "dropped", "failed"


def audited(raw: "DataFrame", entity: Entity) -> "DataFrame":
    """The columns of the table in their types, `OWN_COLUMNS`, `_broken_rules`, `_deleted` and `_verdict`, for each row of `raw`.

    Verdicts: `failed` broke a `fail` rule; `dropped` broke a `drop` rule; of the others `ok` stands by the contract's write mode,
    `superseded` does not: another row given here has its place, or it is a tombstone.

    Raises:
        ContractError: the silver function does not return what the contract promises, or a rule can't be evaluated on what it returns.
    """
    from pyspark.sql import functions as F

    contract = entity.contract
    followed = len(contract.all_rules) - len(contract.rules)
    type_rules, key_rules = (
        contract.all_rules[: followed - len(contract.key)],
        contract.all_rules[followed - len(contract.key) : followed],
    )
    rows, kinds = _returned(raw, entity)
    # Types are judged on what the function returned, the other rules on columns that have their type: all of it one pass.
    typed = {f"_typed_{c.name}": type_of(c.type).of_value(f"`{c.name}`", kinds[c.name]) for c in contract.columns}
    judged = {
        f"_broken_{rule.name}": f"`{c.name}` IS NOT NULL AND `_typed_{c.name}` IS NULL"
        for rule, c in zip(type_rules, (c for c in contract.columns if c.type != "string"), strict=True)
    }
    renamed = {c.name: f"`_typed_{c.name}`" for c in contract.columns}
    judged_typed = {DELETED: f"COALESCE(({contract.deleted or 'FALSE'}), FALSE)"}
    judged_typed |= {f"_broken_{r.name}": _broken(r.expression) for r in key_rules}
    # A tombstone says no more than its key, so what the rules ask of a row it can't have.
    declared_rules = {f"_broken_{r.name}": f"{_broken(r.expression)} AND NOT {DELETED}" for r in contract.rules}
    summed: dict[str, str] = {f"_{outcome}": _names_broken(contract, outcome) for outcome in get_args(Outcome)}
    for columns in filter(None, (typed, judged, renamed)):
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    _refuse_unknown_names(rows, entity)
    for columns in filter(None, (judged_typed, declared_rules, summed)):
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


def _returned(raw: "DataFrame", entity: Entity) -> tuple["DataFrame", dict[str, str]]:
    """What the silver function makes of raw rows, and the Spark types of the columns by name.

    Raises:
        ContractError: a column of the contract or of the raw rows is missing, or has a type that can't become the contract's.
    """
    from pyspark.errors import AnalysisException, IllegalArgumentException, UnsupportedOperationException

    contract, function = entity.contract, getattr(entity.silver, "__name__", "the silver function")
    # A column that the source has added since, under the name of one of the contract's, must not stand in its way.
    declared = {snake_case(c.name) for c in entity.raw.columns}
    try:
        rows = entity.silver(raw.drop(*(name for name in contract.column_names if name not in declared)))
        if not hasattr(rows, "schema"):
            raise ContractError(f"{entity.place}: {function} returns {rows!r:.40}: it has to return the rows, a DataFrame.")
        kinds = {field.name.lower(): field.dataType.simpleString() for field in rows.schema}
    except (AnalysisException, IllegalArgumentException, UnsupportedOperationException) as error:
        raise ContractError(f"{entity.place}: {function} can't be evaluated: {_said(error)}") from error
    problems = [
        f"{function} does not return the column {name!r}{nearest(name, kinds.keys() - set(contract.column_names))}"
        for name in contract.column_names
        if name not in kinds
    ]
    problems += [
        f"{function} does not return {name}: keep all columns that it is given, with '*'"
        for name in OWN_COLUMNS
        if name not in kinds
    ]
    problems += [
        f"{function} returns column {c.name!r} as {kinds[c.name]}, which can't become {c.type}"
        for c in contract.columns
        if c.name in kinds and not type_of(c.type).takes(kinds[c.name])
    ]
    if problems:
        raise ContractError("\n".join(f"{entity.place}: {problem}." for problem in problems))
    return rows, kinds


def _refuse_unknown_names(rows: "DataFrame", entity: Entity) -> None:
    """Have the engine look at the SQL of the contract before it computes anything.

    Raises:
        ContractError: `deleted` or a rule can't be evaluated on the columns that there are.
    """
    from pyspark.errors import AnalysisException, IllegalArgumentException, UnsupportedOperationException

    contract = entity.contract
    written = {f"rule {rule.name!r}": rule.expression for rule in contract.rules}
    written |= {"deleted": contract.deleted} if contract.deleted else {}

    def fault(*expressions: str) -> Exception | None:
        try:
            _ = rows.selectExpr(*(_broken(expression) for expression in expressions)).schema
        except (AnalysisException, IllegalArgumentException, UnsupportedOperationException) as error:
            return error
        return None

    if not written or fault(*written.values()) is None:
        return
    columns = [name for name in rows.columns if not name.startswith(("_typed_", "_broken_"))]
    faults = {what: (sql, found) for what, sql in written.items() if (found := fault(sql)) is not None}
    raise ContractError(
        "\n".join(f"{entity.place}: {what} {_unknown(sql, columns, found)}" for what, (sql, found) in faults.items())
    )


def _unknown(sql: str, columns: list[str], error: Exception) -> str:
    """What is wrong with an expression: the name in it that is no column, else the engine's own words."""
    words = re.findall(r"[^\W\d]\w*", re.sub("'[^']*'", "", sql))
    for word in (w for w in words if w.lower() not in {c.lower() for c in columns} and re.search(f'["`]{w}["`]', str(error))):
        if f"{word}(" not in sql:
            return f"names {word!r}, which is not a column here{nearest(word, columns)}."
    return f"can't be evaluated: {_said(error)}"


def _said(error: Exception) -> str:
    """The first line of what the engine said."""
    return str(error).strip().splitlines()[0][:160]


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
