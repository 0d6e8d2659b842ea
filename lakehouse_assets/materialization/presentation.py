"""How a contract appears in the Dagster UI: column schemas, descriptions, links to the docs."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.provenance import IN_SILVER, PROVENANCE
from lakehouse_assets.contracts.system import SilverTable


def source_schema(feed: Feed) -> dg.TableSchema:
    """The columns of a feed, all of them text."""
    return dg.TableSchema([dg.TableColumn(snake_case(c.name), "string", description=c.description) for c in feed.columns])


def raw_schema(feed: Feed) -> dg.TableSchema:
    """The columns of a raw table: the source's, all of them text, and the provenance columns."""
    return dg.TableSchema(columns=[*source_schema(feed).columns, *_provenance(feed.provenance)])


def silver_schema(contract: Contract) -> dg.TableSchema:
    """The columns of a silver table: those of the contract, and the provenance columns."""
    columns = [
        dg.TableColumn(
            c.name,
            c.type,
            description=c.description,
            constraints=dg.TableColumnConstraints(
                nullable=c.name not in contract.key, unique=contract.mode == "upsert" and [c.name] == list(contract.key)
            ),
        )
        for c in contract.table_columns
    ]
    return dg.TableSchema(columns=[*columns, *_provenance(IN_SILVER)])


def silver_description(table: SilverTable) -> str:
    """The contract as Markdown text: what a row is, how rows of one key are resolved, and each rule with its outcome."""
    contract = table.contract
    order = ", ".join(f"`{name}`" for name in contract.sequence_columns)
    wins = (f"the highest {order} wins, then " if order else "") + "the latest landing date, file name and row number"
    wins += "" if order else " wins"
    resolution = {
        "upsert": f"one row per {_names(contract.key)}; {wins}",
        "snapshot": "the rows of a date are replaced as a whole",
        "history": f"one row version per {_names(contract.key)} and change; a row version is valid from `{contract.valid_from}` "
        f"until the next one that differs in {_names(contract.tracked_columns)}; of row versions with the same start {wins}",
    }[contract.mode]
    if contract.deleted:
        resolution += f"; `{contract.deleted}` deletes"
    if any(feed.complete for feed in table.feeds):
        resolution += "; a key that is missing from the newest complete delivery is deleted"
    rules = "\n".join(f"| {r.name} | {r.outcome} | {r.description} |" for r in contract.all_rules)
    rules += "".join(f"\n| {r.name} | waits | {r.description} |" for r in contract.waits_for)
    mode = f"Write mode `{contract.mode}`: {resolution}."
    return f"{contract.description}\n\n{mode}\n\n| rule | outcome | meaning |\n|---|---|---|\n{rules}"


def docs_metadata(table: str, docs_url: str | None) -> dict[str, Any]:
    """The link to the table's section in the docs."""
    page = f"tables.md#{table}"
    return {"docs": dg.MetadataValue.url(f"{docs_url.rstrip('/')}/{page}") if docs_url else dg.MetadataValue.path(f"docs/{page}")}


def column_lineage(sources: Mapping[str, Sequence[tuple[str, str, str]]]) -> dict[str, Any]:
    """The metadata by which the UI draws column lineage: by column, the layer, table and column of each that it is made from."""
    deps = {
        column: [dg.TableColumnDep(dg.AssetKey([layer, table]), name) for layer, table, name in read]
        for column, read in sources.items()
        if read
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{n}`" for n in names)


def _provenance(names: Sequence[str]) -> list[dg.TableColumn]:
    return [dg.TableColumn(n, PROVENANCE[n].type, description=PROVENANCE[n].description) for n in names]
