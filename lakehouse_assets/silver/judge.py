"""Gives each row its verdict: evaluates all rules in one pass, as added columns. Pure functions over lazy frames."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, get_args

from lakehouse_assets.books.set_aside import DROPPED, SUPERSEDED, WAITING
from lakehouse_assets.contracts.contract import Contract, Outcome, Relationship, Rule
from lakehouse_assets.contracts.provenance import BROKEN_RULES, IDENTITY, IN_SILVER
from lakehouse_assets.contracts.system import Input, SilverTable
from lakehouse_assets.silver.transform import UNREAD, broken, joined
from lakehouse_assets.silver.winners import DELETED, LIVE, VALID_TO, resolve_winners, state_alone

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

VERDICT = "_verdict"
OK, FAILED = "ok", "failed"
VERDICTS = (OK, SUPERSEDED, WAITING, DROPPED, FAILED)

_PASSED = "_passed"

Partners = Mapping[Relationship, "DataFrame"]
"""For relationships whose rows wait: the values of the partner's column, under that column's name."""


def judge(rows: "DataFrame", table: SilverTable, given: Input, partners: Partners) -> "DataFrame":
    """Return the contract's columns, `IDENTITY`, `_broken_rules`, `_deleted`, `_unread` and `_passed` for each row from `transform`.

    `_passed` is `failed` for a row that broke a `fail` rule, `dropped` for a `drop` rule, `waiting` if only its partner is
    missing, else `ok`.
    """
    from pyspark.sql import functions as F

    contract = table.contract
    derived = contract.all_rules[: -len(contract.rules) or None]
    type_rules, key_rules = derived[: -len(contract.key)], derived[-len(contract.key) :]
    # Type rules use the values that the function returned, all other rules the typed columns, in one pass.
    not_text = (c for c in contract.columns if c.type != "string")
    judged = {f"_broken_{rule.name}": f"`_untyped_{c.name}`" for rule, c in zip(type_rules, not_text, strict=True)}
    judged |= {DELETED: f"COALESCE(({contract.deleted or 'FALSE'}), FALSE)"}
    judged |= {f"_broken_{r.name}": broken(r.expression) for r in [*key_rules, *given.rules]}
    # A tombstone has only its key, so the declared rules don't apply to it.
    declared_rules = {f"_broken_{r.name}": f"{broken(r.expression)} AND NOT {DELETED}" for r in contract.rules}
    rules = [*given.rules, *contract.all_rules]
    by_outcome: dict[str, str] = {f"_{outcome}": _names_broken(rules, outcome) for outcome in get_args(Outcome)}
    for columns in filter(None, (judged, declared_rules, by_outcome)):
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    waits = {is_missing: f"'{r.name}'" for r, is_missing in _missing_partners(contract)}
    for number, relationship in enumerate(contract.waits_for):
        rows = _with_partner(rows, relationship, partners[relationship], f"_partner_{number}")
    # A row that is dropped anyway does not wait: so its entry in quarantine does not depend on the order of arrival.
    may_wait = f"_fail IS NULL AND _drop IS NULL AND NOT {DELETED}"
    rows = rows.selectExpr("*", f"CASE WHEN {may_wait} THEN {joined(waits, ',')} END AS _waits")
    return rows.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *IDENTITY,
        f"NULLIF(CONCAT_WS(',', _fail, _drop, _waits, _warn), '') AS {BROKEN_RULES}",
        DELETED,
        UNREAD,
        f"""CASE WHEN _fail IS NOT NULL THEN '{FAILED}' WHEN _drop IS NOT NULL THEN '{DROPPED}'
                 WHEN _waits IS NOT NULL THEN '{WAITING}' ELSE '{OK}' END AS {_PASSED}""",
    )


def decide(judged: Sequence["DataFrame"], contract: Contract, *, by_key: bool = True) -> "DataFrame":
    """Return the rows of all inputs, with the columns of the table, `_deleted`, `_unread` and `_verdict`.

    Among the rows that passed, the contract's write mode makes some live (`ok`); the others are `superseded`: another of the
    given rows replaces them, or they are tombstones. Without `by_key` rows of one key don't replace each other yet, so no row is
    sorted.
    """
    from pyspark.sql import functions as F

    rows = reduce(lambda one, other: one.unionByName(other), judged)
    for columns in resolve_winners(contract, within=[_PASSED]) if by_key else [state_alone(contract)]:
        rows = rows.withColumns({name: F.expr(expression) for name, expression in columns.items()})
    is_live = f"{_PASSED} = '{OK}' AND {LIVE}"
    return rows.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *validity(contract, is_live, f"`{contract.valid_from}`", VALID_TO),
        *IN_SILVER,
        DELETED,
        UNREAD,
        f"CASE WHEN {_PASSED} <> '{OK}' THEN {_PASSED} WHEN {LIVE} THEN '{OK}' ELSE '{SUPERSEDED}' END AS {VERDICT}",
    )


def validity(contract: Contract, stands: str, valid_from: str, valid_to: str) -> list[str]:
    """SQL for the columns that a history adds, NULL for a row that is not live; empty for other modes."""
    if not contract.validity:
        return []
    moment = contract.validity[0].type
    return [
        f"CAST(CASE WHEN {stands} THEN {valid_from} END AS {moment}) AS valid_from",
        f"CAST(CASE WHEN {stands} THEN {valid_to} END AS {moment}) AS valid_to",
        f"CASE WHEN {stands} THEN {valid_to} IS NULL END AS is_current",
    ]


def table_columns(contract: Contract) -> list[str]:
    """Return the columns of a silver table, in their order."""
    return [*(c.name for c in contract.table_columns), *IN_SILVER]


def _with_partner(rows: "DataFrame", relationship: Relationship, partner: "DataFrame", name: str) -> "DataFrame":
    """Return the rows with the value of their partner as column `name`, NULL if there is no partner."""
    values = partner.selectExpr(f"`{relationship.to_column}` AS `{name}`").where(f"`{name}` IS NOT NULL").distinct()
    return rows.join(values, on=rows[relationship.column] == values[name], how="left")


def _missing_partners(contract: Contract) -> list[tuple[Relationship, str]]:
    """For each relationship whose rows wait, SQL: whether the partner is missing."""
    return [(r, f"`{r.column}` IS NOT NULL AND `_partner_{number}` IS NULL") for number, r in enumerate(contract.waits_for)]


def _names_broken(rules: Sequence[Rule], outcome: Outcome) -> str:
    """SQL for the names of the broken rules with one outcome, NULL if there are none."""
    return joined({f"`_broken_{r.name}`": f"'{r.name}'" for r in rules if r.outcome == outcome}, ",")
