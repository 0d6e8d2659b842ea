"""Quarantines rows that broke a `drop` rule or wait for a partner, with the reason and the source's values."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.books.quarantine import Quarantine, new_batch, quarantine_schema
from lakehouse_assets.books.set_aside import DROPPED, WAITING
from lakehouse_assets.contracts.contract import Column, Rule
from lakehouse_assets.contracts.provenance import BROKEN_RULES, DATE_COLUMN, FEED, FILE, IDENTITY, ITEM, ROW, SHEET
from lakehouse_assets.contracts.styles import advice
from lakehouse_assets.contracts.system import Input, SilverTable
from lakehouse_assets.delta.duck import files_view
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import files_with
from lakehouse_assets.silver.additions import ToBuild
from lakehouse_assets.silver.judge import VERDICT
from lakehouse_assets.silver.stage import Stage, pieces_to_merge
from lakehouse_assets.silver.transform import UNREAD, unread_texts

if TYPE_CHECKING:
    from deltalake import DeltaTable

_MOST_BATCHES = 16
"""The most batches in quarantine that a date has, as long as they have few rows: see `pieces_to_merge`."""


def quarantine_rows(
    quarantine: Quarantine, stage: Stage, target: Target, raw: "Mapping[str, DeltaTable]", to_build: ToBuild
) -> dict[date, list[str]]:
    """Write staged rows that can't be loaded to quarantine, with the source's values as JSON; return each date's batches.

    A date to which files were added keeps its batches, in few: small ones are written again, as part of the new batch. `raw` has the
    raw tables by name, at the versions that the rows were read from.
    """
    import pyarrow as pa

    rows = stage.quarantined()
    kept = {day: added.before.batches for day, added in to_build.additions.items()}
    if not rows:
        return kept
    sources = _sources(stage, target, raw, rows, to_build)
    batch = new_batch()
    batches = {row[DATE_COLUMN]: f"{batch}-{row[DATE_COLUMN]}" for row in rows}
    reasons = _reasons(stage.table)
    type_rules = {c.name: (c, rule) for c in stage.table.contract.columns if (rule := c.type_rule) is not None}
    entries = []
    for row in rows:
        advices = _advices(type_rules, row[UNREAD]) if row[UNREAD] else {}
        broken = [name for name in row[BROKEN_RULES].split(",") if name in reasons]
        # Declared rules come first: they say more than those that follow from key and types.
        broken.sort(key=lambda name: list(reasons).index(name))
        entries.append(
            {
                "layer": "silver",
                "table_name": stage.table.name,
                "date": row[DATE_COLUMN],
                "source_file": row[FILE],
                "row_number": row[ROW],
                "rule": broken[0],
                "reason": " ".join(f"{reasons[name]}{advices.get(name, '')}" for name in broken),
                **sources[tuple(row[name] for name in IDENTITY)],
                "run_id": target.run_id,
                "batch": batches[row[DATE_COLUMN]],
                "rows": 1,
                "source_feed": row[FEED],
                "item_number": row[ITEM],
            }
        )
    merged = _small_batches(quarantine, stage.table.name, {day: names for day, names in kept.items() if day in batches})
    again = quarantine.read(target.layer, stage.table.name, merged).to_pylist()
    entries += [{**entry, "batch": batches[entry["date"]]} for entry in again]
    quarantine.add(pa.Table.from_pylist(entries, schema=quarantine_schema()), target.run_id)
    return {
        day: [*(name for name in kept.get(day, ()) if name not in merged), *([batches[day]] if day in batches else ())]
        for day in kept.keys() | batches.keys()
    }


def _small_batches(quarantine: Quarantine, table: str, batches: Mapping[date, list[str]]) -> set[str]:
    """Return the batches to merge into the new one of their date."""
    small: set[str] = set()
    for day, names in batches.items():
        if len(names) >= _MOST_BATCHES:
            rows = quarantine.rows_by_batch("silver", table)
            ordered = sorted((rows.get((name, day), 0), name) for name in names)
            number = pieces_to_merge([size for size, _ in ordered], _MOST_BATCHES - 1)
            small.update(name for _, name in ordered[:number])
    return small


def _reasons(table: SilverTable) -> dict[str, str]:
    """Return the reason for each rule that a row may break or wait for, by name, the most specific first."""
    declared = [*(rule for given in table.inputs for rule in given.rules), *table.contract.rules]
    broken = {r.name: f"Breaks the rule: {r.description}" for r in [*declared, *table.all_rules] if r.outcome == "drop"}
    waiting = {
        r.name: f"Waits for its partner: {r.description} It is loaded automatically once {r.to_table} has it."
        for r in table.contract.waits_for
    }
    return waiting | broken


def _advices(rules: Mapping[str, tuple[Column, Rule]], unread: str) -> dict[str, str]:
    """Return, by the rule that a text breaks, which style in the contract would read it; `unread` is the row's `_unread`."""
    advices = {}
    for name, text in unread_texts(unread).items():
        column, rule = rules[name]
        if (advised := advice(column.type, tuple(column.styles), text)) is not None:
            advices[rule.name] = f" {advised}"
    return advices


def _sources(
    stage: Stage, target: Target, raw: "Mapping[str, DeltaTable]", rows: list[dict[str, Any]], to_build: ToBuild
) -> dict[tuple[Any, ...], dict[str, str | None]]:
    """Return what the source sent, by the identity of a row, as entries show it.

    `payload` has the raw columns as JSON, of an `each` list only the row's item; `place` is the sheet, if there is one.
    """
    days = {row[DATE_COLUMN] for row in rows}
    sources: dict[tuple[Any, ...], dict[str, str | None]] = {}
    for given in stage.table.inputs:
        table = raw.get(given.feed.table)
        if table is not None and any(row[FEED] == given.feed.table for row in rows):
            source = [f.name for f in table.schema().fields if f.name not in given.feed.provenance]
            sheet = [SHEET] if SHEET in given.feed.provenance else []
            columns = dict.fromkeys([*source, *sheet], "string") | {FILE: "string", ROW: "bigint"}
            wanted = {day: names for day, names in to_build.files(given.feed.table).items() if day in days}
            files = files_with(table, FILE, wanted)
            files_view(stage.connection, "raw_rows", target.root.table("raw", given.feed.table), files, columns)
            result = stage.connection.execute(
                f"""SELECT {", ".join(f"q.{name}" for name in IDENTITY)}, {_as_json(source, given)},
                        {f"raw_rows.{SHEET}" if sheet else "NULL"}
                    FROM raw_rows JOIN (
                        FROM staged WHERE {FEED} = '{given.feed.table}' AND {VERDICT} IN ('{DROPPED}', '{WAITING}')
                    ) AS q USING ({DATE_COLUMN}, {FILE}, {ROW})"""
            )
            sources |= {tuple(key): {"payload": payload, "place": position} for *key, payload, position in result.fetchall()}
    return sources


def _as_json(columns: Sequence[str], given: Input) -> str:
    """SQL: the source's values of a row. A column that the feed does not declare is left out where it is NULL.

    So a payload does not depend on the columns that other files bring.
    """

    def shown(names: Iterable[str]) -> str:
        values = ", ".join(f"'{name}', {_shown(name, given)}" for name in names)
        return f"json_object({values})"

    declared = [name for name in columns if name in given.feed.column_names]
    others = [name for name in columns if name not in given.feed.column_names]
    # A merge patch (RFC 7396) leaves out what is NULL in the patch.
    return f"json_merge_patch({shown(declared)}, {shown(others)})" if others else shown(declared)


def _shown(column: str, given: Input) -> str:
    """SQL: a raw column or, for an `each` list, the item of the row."""
    if column != given.each:
        return f'raw_rows."{column}"'
    item = f"CAST(json_extract(raw_rows.\"{column}\", '$[' || (q.{ITEM} - 1) || ']') AS VARCHAR)"
    return f'CASE WHEN q.{ITEM} > 0 THEN {item} ELSE raw_rows."{column}" END'
