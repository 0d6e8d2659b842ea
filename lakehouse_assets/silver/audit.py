"""Gives each row its verdict: all rules in one pass, as columns beside the row. Pure functions over lazy frames."""

from typing import TYPE_CHECKING, get_args

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.contract import Contract, Outcome
from lakehouse_assets.contracts.system import Entity
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
    """
    from pyspark.sql import functions as F

    contract = entity.contract
    followed = len(contract.all_rules) - len(contract.rules)
    type_rules, key_rules = (
        contract.all_rules[: followed - len(contract.key)],
        contract.all_rules[followed - len(contract.key) : followed],
    )
    # A column that the source has added since, under the name of one of the contract's, must not stand in its way.
    declared = {snake_case(c.name) for c in entity.raw.columns}
    rows = entity.silver(raw.drop(*(name for name in contract.column_names if name not in declared)))
    # Types are judged on what the function returned, the other rules on columns that have their type: all of it one pass.
    judged = {f"_broken_{r.name}": _broken(r.expression) for r in type_rules}
    typed = {c.name: f"TRY_CAST(`{c.name}` AS {c.type})" for c in contract.columns}
    judged_typed = {DELETED: f"COALESCE(({contract.deleted or 'FALSE'}), FALSE)"}
    judged_typed |= {f"_broken_{r.name}": _broken(r.expression) for r in key_rules}
    # A tombstone says no more than its key, so what the rules ask of a row it can't have.
    declared_rules = {f"_broken_{r.name}": f"{_broken(r.expression)} AND NOT {DELETED}" for r in contract.rules}
    summed: dict[str, str] = {f"_{outcome}": _names_broken(contract, outcome) for outcome in get_args(Outcome)}
    for columns in filter(None, (judged, typed, judged_typed, declared_rules, summed)):
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
