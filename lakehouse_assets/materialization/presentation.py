"""How a contract appears in the Dagster UI: column schemas, descriptions, links to the docs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from lakehouse_assets.contracts.code_digest import file_of
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


def table_metadata(name: str, columns: Sequence[str], rows: Sequence[Sequence[object]], total: int) -> dict[str, Any]:
    """A table in the metadata, and how many rows more there are than the table shows, if any; nothing without rows."""
    if not rows:
        return {}
    records = [dg.TableRecord(dict(zip(columns, map(_cell, row), strict=True))) for row in rows]
    schema = dg.TableSchema([dg.TableColumn(column) for column in columns])
    more = {f"{name}_not_shown": total - len(rows)} if total > len(rows) else {}
    return {name: dg.MetadataValue.table(records, schema), **more}


def _cell(value: object) -> str | int | float | bool | None:
    """A value as a table of the UI takes it."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def column_lineage(sources: Mapping[str, Sequence[tuple[str, str, str]]]) -> dict[str, Any]:
    """Column lineage as metadata. `sources` has by column the layer, table and column of each that it is made from."""
    deps = {
        column: [dg.TableColumnDep(dg.AssetKey([layer, table]), name) for layer, table, name in read]
        for column, read in sources.items()
        if read
    }
    if not deps:
        return {}
    # Dagster's open-source UI draws no graph of columns: a table says the same.
    listed = [(column, ", ".join(".".join(source) for source in sources[column])) for column in deps]
    return {
        "dagster/column_lineage": dg.TableColumnLineage(deps),
        **table_metadata("made_from", ("column", "made from"), listed, len(listed)),
    }


def quarantine_metadata(layer: str, table: str) -> dict[str, Any]:
    """The command that shows what the table has in quarantine."""
    return {"quarantine": f"lakehouse quarantine --layer {layer} --table {table}"}


def code_metadata(functions: Sequence[Callable[..., object]]) -> dict[str, Any]:
    """Links to the source of functions, each with its name; the contract stands in the same file."""
    references = [
        dg.LocalFileCodeReference(
            file_path=str(file),
            line_number=code.co_firstlineno if (code := getattr(function, "__code__", None)) is not None else None,
            label=getattr(function, "__name__", file.name),
        )
        for function in dict.fromkeys(functions)
        if (file := file_of(function)) is not None
    ]
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=references)} if references else {}


def format_kinds(feed: Feed) -> set[str]:
    """The formats of a feed, by the names that have an icon in the UI."""
    kinds = {type(form).__name__.lower() for form in feed.formats}
    return {"excel" if kind == "xlsx" else kind for kind in kinds}


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{n}`" for n in names)


def _provenance(names: Sequence[str]) -> list[dg.TableColumn]:
    return [dg.TableColumn(n, PROVENANCE[n].type, description=PROVENANCE[n].description) for n in names]
