"""Gives each row its verdict: all rules in one pass, as columns beside the row. Pure functions over lazy frames."""

from typing import TYPE_CHECKING, get_args

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.contract import Contract, Outcome
from lakehouse_assets.contracts.system import Entity

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OWN_COLUMNS = ("_source_file", "_row_number", "_date")
"""Where a row came from: what tells it from every other row."""

BROKEN_RULES = "_broken_rules"
"""The names of the rules that a row breaks, with commas; NULL where it breaks none. A column of every silver table."""

VERDICT = "_verdict"
OK, SUPERSEDED, DROPPED, FAILED = "ok", "superseded", "dropped", "failed"


def audited(raw: "DataFrame", entity: Entity) -> "DataFrame":
    """The contract's columns in their types, `OWN_COLUMNS`, `_broken_rules` and `_verdict`, for each row of `raw`.

    Verdicts: `failed` broke a `fail` rule; `dropped` broke a `drop` rule; `superseded` has a later row of its key among the rows
    given; `ok` is the one to keep of its key.
    """
    from pyspark.sql import functions as F

    contract = entity.contract
    typed_rules = len(contract.all_rules) - len(contract.rules) - len(contract.key)
    type_rules, other_rules = contract.all_rules[:typed_rules], contract.all_rules[typed_rules:]
    # A column that the source has added since, under the name of one of the contract's, must not stand in its way.
    declared = {snake_case(c.name) for c in entity.raw.columns}
    rows = entity.silver(raw.drop(*(name for name in contract.column_names if name not in declared)))
    # Types are judged on what the function returned, the other rules on columns that have their type: two projections, one pass.
    judged = {f"_broken_{r.name}": _broken(r.expression) for r in type_rules}
    typed = {c.name: f"TRY_CAST(`{c.name}` AS {c.type})" for c in contract.columns}
    judged_typed = {f"_broken_{r.name}": _broken(r.expression) for r in other_rules}
    summed: dict[str, str] = {f"_{outcome}": _names_broken(contract, outcome) for outcome in get_args(Outcome)}
    for columns in filter(None, (judged, typed, judged_typed, summed)):
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    rows = rows.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *OWN_COLUMNS,
        f"NULLIF(CONCAT_WS(',', _fail, _drop, _warn), '') AS {BROKEN_RULES}",
        f"CASE WHEN _fail IS NOT NULL THEN '{FAILED}' WHEN _drop IS NOT NULL THEN '{DROPPED}' ELSE '{OK}' END AS _passed",
    )
    return rows.selectExpr(
        "*", f"ROW_NUMBER() OVER (PARTITION BY _passed, {_key(contract)} ORDER BY {order(contract)}) AS _place"
    ).selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *OWN_COLUMNS,
        BROKEN_RULES,
        f"CASE WHEN _passed = '{OK}' AND _place > 1 THEN '{SUPERSEDED}' ELSE _passed END AS {VERDICT}",
    )


def winners(candidates: "DataFrame", contract: Contract) -> "DataFrame":
    """Of rows that may share keys, the one of each key that wins; columns as in `candidates`."""
    placed = candidates.selectExpr("*", f"ROW_NUMBER() OVER (PARTITION BY {_key(contract)} ORDER BY {order(contract)}) AS _place")
    return placed.where("_place = 1").drop("_place")


def table_columns(contract: Contract) -> list[str]:
    """The columns of a silver table, in their order."""
    return [*contract.column_names, *OWN_COLUMNS, BROKEN_RULES]


def order(contract: Contract) -> str:
    """SQL that puts the winning row of a key first: the highest sequence, then the latest landing date, file name and row.

    No row is processed at a time that matters: the order is the same however often and in whatever order rows arrive.
    """
    sequence = [f"`{contract.sequence}` DESC NULLS LAST"] if contract.sequence else []
    return ", ".join([*sequence, "_date DESC", "_source_file DESC", "_row_number DESC"])


def identity(contract: Contract) -> list[str]:
    """The columns by which one row takes another's place: the key, in a snapshot within its date."""
    return [*contract.key, "_date"] if contract.mode == "snapshot" else list(contract.key)


def _key(contract: Contract) -> str:
    return ", ".join(f"`{name}`" for name in identity(contract))


def _broken(expression: str) -> str:
    return f"NOT COALESCE(({expression}), FALSE)"


def _names_broken(contract: Contract, outcome: Outcome) -> str:
    """SQL for the names of the broken rules of one outcome, NULL where there are none."""
    cases = ", ".join(f"CASE WHEN `_broken_{r.name}` THEN '{r.name}' END" for r in contract.all_rules if r.outcome == outcome)
    return f"NULLIF(CONCAT_WS(',', {cases}), '')" if cases else "CAST(NULL AS STRING)"
