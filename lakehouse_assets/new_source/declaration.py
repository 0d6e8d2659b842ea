"""Writes the plan of a system down as Python: the file that a person goes on with. Pure.

The text is as `ruff format` would write it with lines of `WIDTH` characters. Whatever does not fit on one line has one argument a
line, with a comma behind the last, which any formatter leaves as it is.
"""

import keyword
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lakehouse_assets.contracts.formats import Csv, Format, Header, Json
from lakehouse_assets.new_source.plan import PlannedColumn, PlannedFeed, PlannedField, PlannedTable

WIDTH = 130
QUESTION = "# Question: "
"""How a comment begins that asks something."""

_STEP = " " * 4
_SHOWN_FILES = 3


def declaration(system: str, feeds: Sequence[PlannedFeed]) -> str:
    """Return the code that declares a system."""
    constants = _constants(feeds)
    functions = [_function(table) for feed in feeds for table in feed.tables]
    declared: list[str] = []
    for feed in feeds:
        declared += [_feed(feed), *(_table(feed, table, constants[table.name]) for table in feed.tables)]
    tables = [constants[table.name] for feed in feeds for table in feed.tables]
    declared.append(_call("SYSTEM = System", [_text(system), _text(f"The source system {system}."), _tuple(tables)]))
    return "\n\n\n".join([_head(system, feeds), *functions, "\n\n".join(declared)]) + "\n"


def _constants(feeds: Sequence[PlannedFeed]) -> dict[str, str]:
    """Return the name of the constant of each table."""
    taken = {"SYSTEM", *(_feed_constant(feed) for feed in feeds)}
    names = {}
    for table in (table for feed in feeds for table in feed.tables):
        name = table.entity.upper()
        names[table.name] = f"{name}_TABLE" if name in taken else name
    return names


def _feed_constant(feed: PlannedFeed) -> str:
    return f"{feed.entity.upper()}_FEED"


# ── head ──


def _head(system: str, feeds: Sequence[PlannedFeed]) -> str:
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
        f"{_STEP}from pyspark.sql import DataFrame",
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


def _function_name(table: PlannedTable) -> str:
    return f"clean_{table.entity}"


def _function(table: PlannedTable) -> str:
    about = "Trim all values; an empty one is NULL. The contract's types read them."
    if table.each is not None:
        about = "Take the values of an item out of its text. The columns of its row are beside it."
    given = [c for c in table.columns if not keyword.iskeyword(c.name)]
    special = [c for c in table.columns if keyword.iskeyword(c.name)]
    arguments = ["raw", *(f"{c.name}={_expression(c)}" for c in given)]
    if special:
        arguments.append("**{" + ", ".join(f"{_text(c.name)}: {_expression(c)}" for c in special) + "}")
    return "\n".join(
        [
            f'def {_function_name(table)}(raw: "DataFrame") -> "DataFrame":',
            f'{_STEP}"""{about}"""',
            *_exploded(f"{_STEP}return with_columns", arguments, _STEP),
        ]
    )


def _expression(planned: PlannedColumn) -> str:
    return f"text({_text(planned.sql)})" if planned.trims else _text(planned.sql)


# ── the feed ──


def _feed(feed: PlannedFeed) -> str:
    comments = [line for question in feed.questions for line in _question(question, "")]
    fields = [(_comments(field.questions, _STEP * 2), _source_column(field)) for field in feed.fields]
    lines = [f"{_feed_constant(feed)} = Feed(", f"{_STEP}{_text(feed.landing)},", *_listed("", fields)]
    if not _is_default(feed.formats):
        written = [_format(form) for form in feed.formats]
        lines += _argument("format", written[0] if len(written) == 1 else _tuple(written))
    return "\n".join([*comments, *lines, ")"])


def _source_column(field: PlannedField) -> str:
    return f"SourceColumn({_text(field.name)}, {_text(field.description)}{'' if field.required else ', required=False'})"


def _format(form: Format) -> str:
    options = []
    if isinstance(form, Csv):
        options += [f"delimiter={_text(form.delimiter)}"] if form.delimiter != "," else []
        options += [f"encoding={_text(form.encoding)}"] if form.encoding != "utf-8" else []
        options += [f"headers=(Header({_tuple(map(_text, header.columns))}),)" for header in form.headers]
    if isinstance(form, Json) and form.records is not None:
        options.append(f"records={_text(form.records)}")
    return f"{type(form).__name__}({', '.join(options)})"


# ── the table ──


def _table(feed: PlannedFeed, table: PlannedTable, constant: str) -> str:
    inner = _STEP * 2
    columns = [
        (
            _comments(planned.questions, inner + _STEP) + [f"{inner}{_STEP}# {remark}" for remark in planned.remarks],
            _column(planned),
        )
        for planned in table.columns
    ]
    lines = [
        f"{inner}table={_text(table.name)},",
        f"{inner}description={_text(table.description)},",
        *_question("Who owns it? A team, such as team:sales, or an e-mail address.", inner),
        f"{inner}owner={_text(f'team:{feed.system}')},",
        *_comments(table.key_questions, inner),
        f"{inner}key={_tuple(map(_text, table.key))},",
        *([f"{inner}mode={_text(table.mode)},"] if table.mode != "upsert" else []),
        *_comments(table.questions, inner),
        *([f"{inner}sequence={_text(table.sequence)},"] if table.sequence else []),
        *_listed("columns=", columns, inner),
        *_rules(table, inner),
    ]
    if table.partner:
        lines.append(f"{inner}relationships=({_relationship(table.partner)},),")
    each = f", each={_text(table.each)}" if table.each else ""
    given = f"Input({_feed_constant(feed)}, {_function_name(table)}{each})"
    return "\n".join(
        [
            f"{constant} = SilverTable(",
            f"{_STEP}Contract(",
            *lines,
            f"{_STEP}),",
            *_one(f"({given},),", f"({given},)", _STEP),
            ")",
        ]
    )


def _one(line: str, whole: str, indent: str) -> list[str]:
    """Return a tuple of one thing, on a line of its own if it is long."""
    if len(indent + line) <= WIDTH:
        return [f"{indent}{line}"]
    return [f"{indent}(", f"{indent}{_STEP}{whole[1:-2]},", f"{indent}),"]


def _column(planned: PlannedColumn) -> str:
    styles = f", styles={_tuple(map(_text, planned.styles))}" if planned.styles else ""
    return f"Column({_text(planned.name)}, {_text(planned.type)}, {_text(planned.description)}{styles})"


def _relationship(partner: tuple[str, str, str]) -> str:
    return f"Relationship({', '.join(map(_text, partner))})"


def _rules(table: PlannedTable, indent: str) -> list[str]:
    """Return the rules that the sample keeps, as comments."""
    if not table.rules:
        return []
    asked = (
        "Are these rules? The sample keeps them. Then import Rule from lakehouse_assets.contracts.contract, and uncomment them."
    )
    comments = [*_question(asked, indent), f"{indent}# rules=("]
    for rule in table.rules:
        arguments = [_text(rule.name), _text(rule.expression), _text("warn"), _text(rule.description)]
        line = f"Rule({', '.join(arguments)}),"
        fits = len(f"{indent}# {_STEP}{line}") <= WIDTH
        lines = [line] if fits else [*_exploded("Rule", arguments, "")[:-1], "),"]
        comments += [f"{indent}# {_STEP}{line}" for line in lines]
    return [*comments, f"{indent}# ),"]


# ── Python ──


_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def _comments(questions: Iterable[str], indent: str) -> list[str]:
    return [line for question in questions for line in _question(question, indent)]


def _question(question: str, indent: str) -> list[str]:
    """Return a question as a comment."""
    plain = "".join(c if c.isprintable() else " " for c in question)
    return textwrap.wrap(plain, WIDTH, initial_indent=f"{indent}{QUESTION}", subsequent_indent=f"{indent}#   ", **_WHOLE_WORDS)


def _listed(name: str, items: Sequence[tuple[list[str], str]], indent: str = _STEP) -> list[str]:
    """Return a tuple, an item a line, each below its comments."""
    if len(items) == 1 and not items[0][0]:
        line = f"{name}({items[0][1]},),"
        if len(indent + line) <= WIDTH:
            return [f"{indent}{line}"]
    lines = [f"{indent}{name}("]
    for comments, item in items:
        lines += [*comments, f"{indent}{_STEP}{item},"]
    return [*lines, f"{indent}),"]


def _argument(name: str, value: str) -> list[str]:
    return [f"{_STEP}{name}={value},"]


def _call(name: str, arguments: Sequence[str]) -> str:
    line = f"{name}({', '.join(arguments)})"
    return line if len(line) <= WIDTH else "\n".join(_exploded(name, arguments, ""))


def _exploded(name: str, arguments: Iterable[str], indent: str) -> list[str]:
    return [f"{name}(", *(f"{indent}{_STEP}{argument}," for argument in arguments), f"{indent})"]


def _tuple(items: Iterable[str]) -> str:
    given = list(items)
    return f"({', '.join(given)}{',' if len(given) == 1 else ''})"


def _text(value: str) -> str:
    """Return a text as a literal, in double quotes unless it has some itself."""
    written = repr(value)
    if written.startswith('"') or '"' in written:
        return written
    return '"' + written[1:-1].replace("\\'", "'") + '"'
