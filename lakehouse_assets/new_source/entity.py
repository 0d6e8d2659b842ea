"""Makes the draft of a feed and its tables from the samples of one entity. Pure: it takes what was read."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.formats import Csv, Format, Json
from lakehouse_assets.errors import ProjectError
from lakehouse_assets.new_source.draft import DraftColumn, DraftFeed, DraftField, DraftRule, DraftTable
from lakehouse_assets.new_source.keys import FILE, Keys, keys_of
from lakehouse_assets.new_source.meaning import (
    confidential,
    is_currency,
    one_of,
    own_ids,
    personal,
    says_deleted,
    sequence_among,
    telling,
)
from lakehouse_assets.new_source.names import free_name, unique_names
from lakehouse_assets.new_source.sample import Sample, is_ascii
from lakehouse_assets.new_source.sql import column
from lakehouse_assets.new_source.types import Guess, guess, is_json, is_money

if TYPE_CHECKING:
    import pyarrow as pa

_SEEN = 50
_NAMED = 4
_MOST_ITEMS = 100_000
_LONGEST = 80
_LONGEST_RULE = 110
_MOST_WORDS, _LEAST_ROWS, _ROWS_A_WORD = 8, 8, 3
_KEY_TYPES = ("string", "int", "bigint", "date")
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r"['\\\x00-\x1f]")
_EVENT = {"op", "before", "after"}
_SOURCE_FILE, _SOURCE_ROW, _LINE = "source_file", "source_row", "line"


@dataclass(frozen=True)
class _Values:
    """What a column holds: its distinct texts, trimmed and not empty, how many rows have one, and how many have none."""

    texts: Sequence[str]
    given: int
    empty: int

    @cached_property
    def are_lists(self) -> bool:
        return self._are_json(list) and any(isinstance(item, dict) for text in self.texts[:_SEEN] for item in json.loads(text))

    @cached_property
    def are_objects(self) -> bool:
        return self._are_json(dict)

    @cached_property
    def are_nested(self) -> bool:
        return self.are_objects or self._are_json(list)

    def _are_json(self, kind: type[object]) -> bool:
        return bool(self.texts) and all(is_json(text, kind) for text in self.texts[:_SEEN])


def draft_feed(system: str, entity: str, samples: Sequence[Sample]) -> DraftFeed:
    """Return the draft of the feed of some samples, and of its tables.

    Raises:
        ProjectError: the samples can't be files of one feed.
    """
    formats = _formats(entity, samples)
    rows = _together(samples)
    values = {name: _values(rows.column(name)) for name in rows.column_names if name != FILE}
    fields = [_field(name, samples, values[name]) for name in values]
    names = dict(zip(values, unique_names(values), strict=True))
    columns = {
        name: _column(names[name], field.description, column(name), values[name])
        for name, field in zip(values, fields, strict=True)
    }
    table = _table(system, entity, rows, columns, values)
    items = [
        _items(system, entity, table, name, columns[name].name, values[name].texts)
        for name in values
        if values[name].are_lists and not _is_event(values)
    ]
    return DraftFeed(
        system,
        entity,
        fields,
        formats,
        [table, *items],
        _feed_questions(samples, columns.values(), values),
        tuple(sample.file.name for sample in samples),
    )


def _formats(entity: str, samples: Sequence[Sample]) -> list[Format]:
    """Return the formats of a feed: one of each kind.

    Raises:
        ProjectError: two samples are delimited, or documents, in different ways.
    """
    found: dict[type[Format], Sample] = {}
    for sample in samples:
        kind = type(sample.format)
        other = found.setdefault(kind, sample)
        if other.format == sample.format:
            continue
        if isinstance(sample.format, Csv) and isinstance(other.format, Csv):
            in_one_encoding = replace(sample.format, encoding=other.format.encoding) == other.format
            if in_one_encoding and is_ascii(sample.file):
                continue
            if in_one_encoding and is_ascii(other.file):
                found[kind] = sample
                continue
        if (
            isinstance(sample.format, Json)
            and isinstance(other.format, Json)
            and None in (sample.format.records, other.format.records)
        ):
            found[kind] = sample if other.format.records is None else other
            continue
        raise ProjectError(
            f"{other.file} is {other.format}, {sample.file} is {sample.format}: files of one feed are written alike. "
            f"Name another entity for one of them: {entity}_2={sample.file}."
        )
    return [sample.format for sample in found.values()]


def _together(samples: Sequence[Sample]) -> "pa.Table":
    """Return the rows of all samples, with the number of the file in `FILE`."""
    import pyarrow as pa

    numbered = [s.rows.append_column(FILE, pa.repeat(number, s.rows.num_rows)) for number, s in enumerate(samples)]
    return pa.concat_tables(numbered, promote_options="default")


def _values(texts: "pa.ChunkedArray") -> _Values:
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim(texts, characters=" ")
    given = trimmed.filter(pc.greater(pc.utf8_length(trimmed), 0))
    return _Values(given.unique().to_pylist(), len(given), len(texts) - len(given))


def _field(name: str, samples: Sequence[Sample], values: _Values) -> DraftField:
    """Return a column of the source, under its own name unless that would be read as another one."""
    own = next(sample.fields[name] for sample in samples if name in sample.fields)
    is_plain = (
        own.strip() != "" and snake_case(own) == name and own.isprintable() and not {*own} & {*'"\\'} and len(own) <= _LONGEST
    )
    lacking = [s for s in samples if name not in s.everywhere]
    has_keys = all(isinstance(sample.format, Json) for sample in samples)
    questions: tuple[str, ...] = ()
    if lacking and not has_keys:
        files = ", ".join(sample.file.name for sample in lacking[:3])
        questions = (f"{files} lacks it, or a part of it does. Is it another column renamed? Then also=(...) of that one.",)
    described = _words(own if is_plain else name)
    return DraftField(own.strip() if is_plain else name, described, not (lacking or (has_keys and values.empty)), questions)


def _column(name: str, description: str, sql: str, values: _Values) -> DraftColumn:
    """Return a column of a silver table, with the type that its texts have."""
    guessed = _nested(sql, values) if values.are_nested else guess(name, values.texts)
    about = personal(name, values.texts)
    remarks = (f"Personal: {about}.",) if about else ()
    return DraftColumn(name, guessed.type, description, sql, True, guessed.styles, guessed.questions, remarks)


def _nested(sql: str, values: _Values) -> Guess:
    """Return the type of JSON: text, from which the function may take values."""
    if not values.are_objects:
        return Guess("string")
    keys = list(dict.fromkeys(key for text in values.texts[:_SEEN] for key in json.loads(text) if "@" not in key))
    if not keys:
        return Guess("string")
    example = f"get_json_object({sql}, '$.{keys[0]}')"
    return Guess(
        "string", (), (f"It is an object with {', '.join(keys[:8])}. Which of these are columns? In the function: {example}.",)
    )


def _table(
    system: str, entity: str, rows: "pa.Table", columns: Mapping[str, DraftColumn], values: Mapping[str, _Values]
) -> DraftTable:
    """Return the table of an entity's rows, by the key that its columns show."""
    usable = [
        raw
        for raw, c in columns.items()
        if c.type in _KEY_TYPES and not values[raw].empty and not values[raw].are_nested and values[raw].given
    ]
    keys = keys_of(rows, usable, telling(usable, entity), own_ids(usable, entity))
    candidates = [tuple(columns[raw].name for raw in key) for key in keys.candidates]
    listed = list(columns.values())
    rules = [rule for raw, c in columns.items() if (rule := _rule(c, values[raw])) is not None]
    questions = tuple(
        f"Does {c.name} say that a row was deleted? Then deleted='...': SQL that is true for such a row."
        for c in listed
        if says_deleted(c.name)
    )
    described = f"{_words(entity)} of {system}."
    questions += _empty_question([c.name for raw, c in columns.items() if not values[raw].texts])
    if not candidates:
        return _without_key(f"{system}_{entity}", entity, described, listed, rules, questions)
    sequence = sequence_among([(c.name, c.type) for c in listed if c.name not in candidates[0]])
    which = f"Does {sequence} say which row of a key is the newest?" if sequence else _NO_SEQUENCE
    return DraftTable(
        f"{system}_{entity}",
        entity,
        described,
        listed,
        candidates[0],
        sequence=sequence,
        rules=rules,
        key_questions=(_key_question(candidates, keys, rows.num_rows),),
        questions=(which, *questions),
    )


_NO_SEQUENCE = "Which column says which row of a key is the newest? Without a sequence, that of the later landing date is."


def _key_question(candidates: Sequence[tuple[str, ...]], keys: Keys, count: int) -> str:
    """Ask whether the key is one, and say what else may be."""
    asked = f"Does {candidates[0][0]} identify a row? It does"
    if len(candidates[0]) > 1:
        asked = f"Do {' and '.join(candidates[0])} together identify a row? They do"
    seen = "the only row" if count == 1 else f"the {count:,} rows"
    where = (
        f"in {seen} of the sample"
        if keys.across_files
        else f"in each file of the sample ({count:,} rows); a later file replaces its rows"
    )
    others = "; ".join(" and ".join(key) for key in candidates[1:4])
    also = f" So would: {others}." if others else ""
    alike = f" Rows that repeat another one in all values are superseded: {keys.repeated:,}." if keys.repeated else ""
    return f"{asked} {where}.{also}{alike}"


def _empty_question(names: Sequence[str]) -> tuple[str, ...]:
    return (f"Of what type are {', '.join(names)}? The sample has no value of them.",) if names else ()


def _without_key(
    table: str,
    entity: str,
    description: str,
    columns: Sequence[DraftColumn],
    rules: Sequence[DraftRule],
    questions: tuple[str, ...],
) -> DraftTable:
    """Return a table whose rows nothing identifies but their place: each delivery replaces what its date had."""
    taken = {c.name for c in columns}
    file, row = (free_name(name, taken) for name in (_SOURCE_FILE, _SOURCE_ROW))
    position_columns = [
        DraftColumn(file, "string", "File that the row came from", "_source_file", trims=False),
        DraftColumn(row, "bigint", "Place of the row in the file", "_row_number", trims=False),
    ]
    question = (
        "Which columns identify a row? In the sample, no column does, nor a pair of the likely ones. So it is the row's place in its "
        "file, and each date has its own rows (snapshot)."
    )
    return DraftTable(
        table,
        entity,
        description,
        [*position_columns, *columns],
        (file, row),
        mode="snapshot",
        rules=rules,
        key_questions=(question,),
        questions=questions,
    )


def _items(system: str, entity: str, parent: DraftTable, raw: str, name: str, texts: Sequence[str]) -> DraftTable:
    """Return the table of the items that a column has lists of: the key of the row that they are in, and their place in the list."""
    one = one_of(entity)
    own_id = "id" if f"{one}_id" in parent.key else f"{one}_id"
    kept = [
        replace(
            c,
            name=own_id if c.name == "id" else c.name,
            questions=(),
            description=f"{c.description}, of the {one.replace('_', ' ')}",
        )
        for c in parent.columns
        if c.name in parent.key
    ]
    given = _item_values(texts)
    [position, *own] = unique_names([*(c.name for c in kept), _LINE, *map(snake_case, given)])[len(kept) :]
    line = DraftColumn(position, "bigint", f"Place of the item in the list {raw}, from 1", "_item_number", trims=False)
    columns = [
        _item_column(made, key, values) for (key, values), made in zip(given.items(), own, strict=True) if _SIMPLE.fullmatch(key)
    ]
    left_out = [key for key in given if not _SIMPLE.fullmatch(key) and "@" not in key]
    questions: tuple[str, ...] = (
        f"Does a {one.replace('_', ' ')} come again with fewer {name}? Those that it lacks would stay in this table.",
    )
    questions += (f"The items also have {', '.join(map(repr, left_out[:5]))}: are they needed?",) if left_out else ()
    [first, *others] = kept
    return DraftTable(
        f"{parent.name}_{name}",
        f"{entity}_{name}",
        f"{_words(name)} of {entity.replace('_', ' ')}, one row an item.",
        [*kept, line, *columns],
        (*(c.name for c in kept), position),
        mode=parent.mode,
        each=raw,
        partner=None if others else (first.name, parent.name, parent.key[0]),
        questions=questions,
    )


def _item_values(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the distinct texts of each key of the items of some lists, as the engine takes them out of JSON."""
    found: dict[str, dict[str, None]] = {}
    seen = 0
    for text in texts:
        items = json.loads(text, parse_int=str, parse_float=str) if is_json(text, list) else []
        for item in (item for item in items if isinstance(item, dict)):
            seen += 1
            for key, value in item.items():
                made = _text_of(value)
                found.setdefault(key, {}).update({made: None} if made else {})
        if seen >= _MOST_ITEMS:
            break
    return {key: list(values) for key, values in found.items()}


def _text_of(value: Any) -> str:
    """Return a value of JSON, parsed with numbers as text, as the engine returns it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value.strip(" ") if isinstance(value, str) else json.dumps(value)


def _item_column(name: str, key: str, texts: Sequence[str]) -> DraftColumn:
    made = _column(name, _words(key), f"get_json_object(_item, '$.{key}')", _Values(texts, len(texts), 0))
    is_decimal = made.type.startswith("decimal") and not made.styles
    # Engines write the numbers of an item as doubles: with an exponent where they are small or large.
    return replace(made, type="double") if is_decimal and any(_has_exponent(text) for text in texts) else made


def _has_exponent(number: str) -> bool:
    size = abs(float(number))
    return size != 0 and not 1e-3 <= size < 1e7


def _rule(draft: DraftColumn, values: _Values) -> DraftRule | None:
    """Return a rule that the sample keeps: one of a few words, or no amount below zero."""
    name, texts = column(draft.name), values.texts
    or_null = f"{name} IS NULL OR " if values.empty else ""
    if is_money(draft.name) and draft.type.startswith(("int", "bigint", "decimal")):
        if any(text.startswith("-") for text in texts):
            return None
        return DraftRule(f"{draft.name}_not_negative", f"{or_null}{name} >= 0", "No amount is below 0.")
    is_enough = values.given >= max(_LEAST_ROWS, _ROWS_A_WORD * len(texts))
    if draft.type != "string" or not 2 <= len(texts) <= _MOST_WORDS or not is_enough or any(map(_QUOTED.search, texts)):
        return None
    if values.are_nested or draft.remarks or confidential(draft.name) or any("@" in text for text in texts):
        return None
    words = ", ".join(f"'{text}'" for text in sorted(texts))
    expression = f"{or_null}{name} IN ({words})"
    return (
        DraftRule(f"{draft.name}_known", expression, "It is a word that the sample has.")
        if len(expression) <= _LONGEST_RULE
        else None
    )


def _feed_questions(samples: Sequence[Sample], columns: Iterable[DraftColumn], values: Mapping[str, _Values]) -> tuple[str, ...]:
    """Ask what concerns all columns: currency, time zone, what could not be read."""
    columns = list(columns)
    texts = dict(zip((c.name for c in columns), (v.texts for v in values.values()), strict=True))
    questions = [question for sample in samples for question in sample.questions]
    questions += (
        ["Are these the change events of Debezium? See change_feed in contracts/debezium.py."] if _is_event(values) else []
    )
    money = [c.name for c in columns if is_money(c.name) and c.type.startswith(("int", "bigint", "decimal", "double"))]
    if money and not any(is_currency(c.name, texts[c.name]) for c in columns):
        questions.append(f"What currency {_are(money)} in? It belongs to the feed: currency='EUR'.")
    local = [c.name for c in columns if c.type == "timestamp" and not _has_zone(c, texts[c.name])]
    if local:
        questions.append(
            f"What time zone {_are(local)} in? None is named, so UTC. If not, it belongs to the feed: zone='Europe/Paris'."
        )
    for sample in samples:
        if sample.rejected:
            questions.append(
                f"Why are {sample.rejected:,} rows of {sample.file.name} not readable? `lakehouse quarantine` says so."
            )
    return tuple(dict.fromkeys(questions))


def _is_event(values: Mapping[str, _Values]) -> bool:
    return values.keys() >= _EVENT


def _has_zone(draft: DraftColumn, texts: Sequence[str]) -> bool:
    """Whether the texts of a timestamp say in which zone they are."""
    is_counted = any(style.startswith("epoch") for style in draft.styles)
    return is_counted or all(re.search(r"([Zz]|UTC|GMT|[+-][0-9:]+)$", text[16:]) for text in texts[:_SEEN])


def _are(names: Sequence[str]) -> str:
    """Return some names as the subject of a question: `is a`, `are a, b and 3 more`."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names[:_NAMED])}{more}"


def _words(name: str) -> str:
    """Return a name as words."""
    words = " ".join(name.replace("_", " ").split())
    return words[:1].upper() + words[1:]
