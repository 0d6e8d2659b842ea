"""Writes the draft of a system down as Python: the file that a person goes on with. Pure."""

import keyword
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lakehouse_assets.contracts.formats import Csv, Format, Header, Json
from lakehouse_assets.new_source.code import STEP, WIDTH, Group, lines_of, literal, literals
from lakehouse_assets.new_source.draft import DraftColumn, DraftFeed, DraftField, DraftTable
from lakehouse_assets.new_source.names import free_name

QUESTION = "# Question: "
"""How a comment begins that asks something."""

_SHOWN_FILES = 3


def declaration(system: str, feeds: Sequence[DraftFeed]) -> str:
    """Return the code that declares a system."""
    constants = _constants(feeds)
    functions = [_function(table) for feed in feeds for table in feed.tables]
    declared: list[str] = []
    for feed in feeds:
        declared += [_feed(feed), *(_table(feed, table, constants[table.name]) for table in feed.tables)]
    tables = [constants[table.name] for feed in feeds for table in feed.tables]
    end = Group("SYSTEM = System(", [literal(system), literal(f"The source system {system}."), Group("(", tables)])
    declared.append("\n".join(lines_of(end, end="")))
    return "\n\n\n".join([_head(system, feeds), *functions, "\n\n".join(declared)]) + "\n"


def _constants(feeds: Sequence[DraftFeed]) -> dict[str, str]:
    """Return the name of the constant of each table."""
    taken = {"SYSTEM", "TYPE_CHECKING", *(_feed_constant(feed) for feed in feeds)}
    names = {}
    for table in (table for feed in feeds for table in feed.tables):
        name = table.entity.upper()
        names[table.name] = free_name(f"{name}_TABLE", taken) if name in taken else name
        taken.add(names[table.name])
    return names


def _feed_constant(feed: DraftFeed) -> str:
    return f"{feed.entity.upper()}_FEED"


# ── head ──


def _head(system: str, feeds: Sequence[DraftFeed]) -> str:
    files = [name for feed in feeds for name in feed.files]
    more = f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
    shown = "".join(c for c in f"{', '.join(files[:_SHOWN_FILES])}{more}" if c.isprintable() and c not in '"\\')
    about = "\n".join(
        textwrap.wrap(f"Declared by `lakehouse new-source` from {shown}. Answer its questions, and delete them.", WIDTH)
    )
    formats = sorted({name for feed in feeds for name in _format_names(feed.formats)})
    imports = [
        "from lakehouse_assets.contracts.contract import Column, Contract"
        + (", Relationship" if any(table.partner for feed in feeds for table in feed.tables) else ""),
        "from lakehouse_assets.contracts.feeds import Feed, SourceColumn",
        *([f"from lakehouse_assets.contracts.formats import {', '.join(formats)}"] if formats else []),
        "from lakehouse_assets.contracts.system import Input, SilverTable, System",
        "from lakehouse_assets.systems.cleaning import text, with_columns",
    ]
    lines = [
        "from typing import TYPE_CHECKING",
        "",
        *imports,
        "",
        "if TYPE_CHECKING:",
        f"{STEP}from pyspark.sql import DataFrame",
    ]
    return "\n".join([f'"""The source system {system}.', "", about, '"""', "", *lines])


def _format_names(formats: Sequence[Format]) -> Iterator[str]:
    """Yield the classes that the declaration of some formats names."""
    if _is_default(formats):
        return
    for form in formats:
        yield type(form).__name__
        if isinstance(form, Csv) and form.headers:
            yield Header.__name__


def _is_default(formats: Sequence[Format]) -> bool:
    return list(formats) == [Csv()]


# ── the function ──


def _function_name(table: DraftTable) -> str:
    return f"clean_{table.entity}"


def _function(table: DraftTable) -> str:
    about = "Trim all values; an empty one is NULL. The contract's types read them."
    if table.each is not None:
        about = "Take the values of an item out of its text. The columns of its row are beside it."
    given: list[str | Group] = [_computed(f"{c.name}=", c) for c in table.columns if not keyword.iskeyword(c.name)]
    special = [_computed(f"{literal(c.name)}: ", c) for c in table.columns if keyword.iskeyword(c.name)]
    given += [Group("**{", special, "}")] if special else []
    return "\n".join(
        [
            f'def {_function_name(table)}(raw: "DataFrame") -> "DataFrame":',
            f'{STEP}"""{about}"""',
            *lines_of(Group("return with_columns(", ["raw", *given]), STEP, "", split=True),
        ]
    )


def _computed(name: str, draft: DraftColumn) -> str | Group:
    """Return an argument: the name of a column, and the SQL that computes it."""
    return literals(f"{name}text(", [draft.sql]) if draft.trims else f"{name}{literal(draft.sql)}"


# ── the feed ──


def _feed(feed: DraftFeed) -> str:
    fields = [(_comments(field.questions, STEP * 2), _source_column(field)) for field in feed.fields]
    lines = [f"{_feed_constant(feed)} = Feed(", f"{STEP}{literal(feed.landing)},", *_listed("(", fields, STEP)]
    if not _is_default(feed.formats):
        formats = [_format(form) for form in feed.formats]
        one = formats[0]._replace(head=f"format={formats[0].head}")
        lines += lines_of(one if len(formats) == 1 else Group("format=(", formats), STEP)
    return "\n".join([*_comments(feed.questions, ""), *lines, ")"])


def _source_column(field: DraftField) -> Group:
    optional = [] if field.required else ["required=False"]
    return Group("SourceColumn(", [literal(field.name), literal(field.description), *optional])


def _format(form: Format) -> Group:
    options: list[str | Group] = []
    if isinstance(form, Csv):
        options += [f"delimiter={literal(form.delimiter)}"] if form.delimiter != "," else []
        options += [f"encoding={literal(form.encoding)}"] if form.encoding != "utf-8" else []
        options += [Group("headers=(", [Group("Header(", [literals("(", header.columns)])]) for header in form.headers]
    if isinstance(form, Json) and form.records is not None:
        options.append(f"records={literal(form.records)}")
    return Group(f"{type(form).__name__}(", options)


# ── the table ──


def _table(feed: DraftFeed, table: DraftTable, constant: str) -> str:
    inner = STEP * 2
    columns = [
        (
            _comments(draft.questions, inner + STEP) + [f"{inner}{STEP}# {remark}" for remark in draft.remarks],
            _column(draft),
        )
        for draft in table.columns
    ]
    lines = [
        f"{inner}table={literal(table.name)},",
        f"{inner}description={literal(table.description)},",
        *_comments(["Who owns it? A team, such as team:sales, or an e-mail address."], inner),
        f"{inner}owner={literal(f'team:{feed.system}')},",
        *_comments(table.key_questions, inner),
        *lines_of(literals("key=(", table.key), inner),
        *([f"{inner}mode={literal(table.mode)},"] if table.mode != "upsert" else []),
        *_comments(table.questions, inner),
        *([f"{inner}sequence={literal(table.sequence)},"] if table.sequence else []),
        *_listed("columns=(", columns, inner),
        *_rules(table, inner),
    ]
    if table.partner:
        lines += lines_of(Group("relationships=(", [literals("Relationship(", table.partner)]), inner)
    each = [f"each={literal(table.each)}"] if table.each else []
    given = Group("(", [Group("Input(", [_feed_constant(feed), _function_name(table), *each])])
    return "\n".join([f"{constant} = SilverTable(", f"{STEP}Contract(", *lines, f"{STEP}),", *lines_of(given, STEP), ")"])


def _column(draft: DraftColumn) -> Group:
    styles = [literals("styles=(", draft.styles)] if draft.styles else []
    return Group("Column(", [*map(literal, (draft.name, draft.type, draft.description)), *styles])


def _rules(table: DraftTable, indent: str) -> list[str]:
    """Return the rules that the sample keeps, as comments."""
    if not table.rules:
        return []
    asked = (
        "Are these rules? The sample keeps them. Then import Rule from lakehouse_assets.contracts.contract, and uncomment them."
    )
    mark = f"{indent}# "
    rules = [literals("Rule(", [rule.name, rule.expression, "warn", rule.description]) for rule in table.rules]
    lines = [line for rule in rules for line in lines_of(rule, mark + STEP)]
    return [*_comments([asked], indent), f"{mark}rules=(", *lines, f"{mark}),"]


# ── comments and lists ──


_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def _comments(questions: Iterable[str], indent: str) -> list[str]:
    """Return questions as comments."""
    plain = ["".join(c if c.isprintable() else " " for c in question) for question in questions]
    begin, on = f"{indent}{QUESTION}", f"{indent}#   "
    return [
        line for text in plain for line in textwrap.wrap(text, WIDTH, initial_indent=begin, subsequent_indent=on, **_WHOLE_WORDS)
    ]


def _listed(head: str, items: Sequence[tuple[list[str], Group]], indent: str) -> list[str]:
    """Return a tuple as lines, each item below its comments."""
    if len(items) == 1 and not items[0][0]:
        return lines_of(Group(head, [items[0][1]]), indent)
    lines = [line for comments, item in items for line in [*comments, *lines_of(item, indent + STEP)]]
    return [f"{indent}{head}", *lines, f"{indent}),"]
