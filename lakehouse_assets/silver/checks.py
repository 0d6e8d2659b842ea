"""Asset checks that follow from a contract: its rules, as the audit counted them, and its relationships."""

from collections.abc import Iterator

import dagster as dg

from lakehouse_assets.contracts.contract import Relationship, Rule
from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.storage.accounts import row_accounts_result, row_accounts_spec
from lakehouse_assets.storage.duck import connect, table_view
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import newest_table

_OUTCOMES = {
    "warn": "A row that breaks it stays and is counted.",
    "drop": "A row that breaks it goes to quarantine.",
    "fail": "A row that breaks it keeps its whole partition from being published.",
}
_EXAMPLES = 5


def silver_checks(entity: Entity, root: Root) -> list[dg.AssetChecksDefinition]:
    """The checks of one silver table: `row_accounts` and one for each rule; apart from them one for each relationship."""
    key = dg.AssetKey(["silver", entity.table])
    rules = entity.contract.all_rules
    specs = [dg.AssetCheckSpec(r.name, asset=key, description=f"{r.description} {_OUTCOMES[r.outcome]}") for r in rules]

    @dg.multi_asset_check(
        name=f"silver__{entity.table}__contract", specs=[row_accounts_spec("silver", entity.table), *specs], can_subset=True
    )
    def _contract(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        wanted = {check.name for check in context.selected_asset_check_keys}
        records = sorted(Ledger(root).read("silver", entity.table).values(), key=lambda r: r.date)
        if "row_accounts" in wanted:
            yield row_accounts_result(root, "silver", entity.table)
        for rule in rules:
            if rule.name in wanted:
                yield rule_result(key, rule, records)

    if not entity.contract.relationships:
        return [_contract]
    return [_contract, _relationship_checks(entity, root)]


def rule_result(key: dg.AssetKey, rule: Rule, records: list[PartitionRecord]) -> dg.AssetCheckResult:
    """Whether any row of the table's partitions broke the rule when it was audited."""
    broken = [(r.date, hit) for r in records for hit in r.rules if hit.rule == rule.name]
    rows = sum(hit.rows for _, hit in broken)
    return dg.AssetCheckResult(
        passed=rows == 0,
        check_name=rule.name,
        asset_key=key,
        severity=dg.AssetCheckSeverity.ERROR if rule.outcome == "fail" else dg.AssetCheckSeverity.WARN,
        metadata={
            "rows": rows,
            "outcome": rule.outcome,
            "rule": rule.expression,
            "dates": ", ".join(str(day) for day, _ in broken[-_EXAMPLES:]),
            "examples": "; ".join(key for _, hit in broken[-1:] for key in hit.examples),
        },
    )


def _relationship_checks(entity: Entity, root: Root) -> dg.AssetChecksDefinition:
    key = dg.AssetKey(["silver", entity.table])
    relationships = entity.contract.relationships
    specs = [
        dg.AssetCheckSpec(
            r.name,
            asset=key,
            additional_deps=[dg.AssetKey(["silver", r.to_table])],
            description=f"Each {r.column} stands in {r.to_table}.{r.to_column}.",
        )
        for r in relationships
    ]

    @dg.multi_asset_check(name=f"silver__{entity.table}__relationships", specs=specs, can_subset=True)
    def _check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        wanted = {check.name for check in context.selected_asset_check_keys}
        for relationship in relationships:
            if relationship.name in wanted:
                yield _relationship_result(entity, relationship, root)

    return _check


def _relationship_result(entity: Entity, relationship: Relationship, root: Root) -> dg.AssetCheckResult:
    key = dg.AssetKey(["silver", entity.table])
    tables = {}
    for side, name in (("child", entity.table), ("parent", relationship.to_table)):
        uri = root.table("silver", name)
        tables[side] = (uri, newest_table(uri))
    with connect(root) as connection:
        for side, (uri, table) in tables.items():
            if table is None:
                return dg.AssetCheckResult(
                    passed=False,
                    check_name=relationship.name,
                    asset_key=key,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=f"{uri} does not exist yet: materialize it first.",
                )
            table_view(connection, side, uri, table)
        column, to_column = f'"{relationship.column}"', f'"{relationship.to_column}"'
        counted = connection.execute(
            f"""SELECT count(*), count(DISTINCT {column}), list(DISTINCT CAST({column} AS VARCHAR))[1:{_EXAMPLES}]
                FROM child ANTI JOIN parent ON child.{column} = parent.{to_column} WHERE child.{column} IS NOT NULL"""
        ).fetchone()
    rows, values, examples = counted or (0, 0, [])
    return dg.AssetCheckResult(
        passed=rows == 0,
        check_name=relationship.name,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rows": rows, "values": values, "examples": ", ".join(sorted(examples or []))},
    )
