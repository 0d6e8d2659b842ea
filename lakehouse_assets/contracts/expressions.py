"""What can be said of the SQL in a contract without an engine: whether it can be parsed, and whether the names in it are known.

Which columns a silver function adds, only an engine knows for sure. But a name that neither contract nor source has, and that stands
nowhere in the text of the code that the function reaches, apart from the rules themselves, is added by nobody.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from lakehouse_assets.contracts.presentation import OWN_COLUMNS
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.reach import files_reached
from lakehouse_assets.contracts.system import Entity


@dataclass
class Mentioned:
    """Words in the strings of some code; `before` and `behind` are parts of words that a value completes: `_` in `f"_{name}"`."""

    words: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)
    behind: set[str] = field(default_factory=set)

    def may_be(self, name: str) -> bool:
        """Whether the code may make a column of this name."""
        return name in self.words or name.startswith(tuple(self.before)) or name.endswith(tuple(self.behind))


def expression_problems(entity: Entity) -> list[str]:
    """What is wrong with the SQL of an entity's contract, half a sentence each."""
    contract = entity.contract
    known = {*contract.column_names, *entity.raw.column_names, *OWN_COLUMNS}
    mentioned = _mentioned(entity)
    written = [(f"rule {rule.name!r}", rule.expression) for rule in contract.rules]
    written += [("deleted", contract.deleted)] if contract.deleted else []
    problems = []
    for what, sql in written:
        try:
            names = sorted(_columns(sql))
        except ValueError as error:
            problems.append(f"{what} can't be parsed: {error}")
            continue
        problems += [
            f"{what} names {name!r}, which is a column of neither contract nor source, and which the silver function does not add"
            f"{nearest(name, known)}"
            for name in names
            if name not in known and not mentioned.may_be(name)
        ]
    return problems


def _columns(sql: str) -> set[str]:
    """The names of the columns in an expression, in lower case.

    Raises:
        ValueError: it isn't one.
    """
    import sqlglot
    from sqlglot import expressions

    try:
        tree = sqlglot.parse_one(f"SELECT {sql}", read="spark")
    except sqlglot.errors.SqlglotError as error:
        told = str(error).splitlines()[0] if str(error) else "it is no expression"
        raise ValueError(re.sub("\x1b\\[[0-9;]*m", "", told).split(" Line 1")[0].rstrip(".")) from error
    return {column.parts[0].name.lower() for column in tree.find_all(expressions.Column) if column.name}


def _mentioned(entity: Entity) -> Mentioned:
    found = Mentioned()
    for file in files_reached(entity.silver).values():
        for node in _outside_rules(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.words |= set(_words(node.value))
            elif isinstance(node, ast.JoinedStr):
                _look_at_ends(node, found)
    return found


def _look_at_ends(text: ast.JoinedStr, found: Mentioned) -> None:
    parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in text.values]
    for part, following in pairwise(parts):
        if following is None and (end := re.search(r"\w+$", part or "")):
            found.before.add(end[0].lower())
        if part is None and (start := re.match(r"\w+", following or "")):
            found.behind.add(start[0].lower())


def _outside_rules(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of some code but those that say a rule or what is deleted."""
    for child in ast.iter_child_nodes(node):
        is_rule = isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id == "Rule"
        if not is_rule and not (isinstance(child, ast.keyword) and child.arg == "deleted"):
            yield child
            yield from _outside_rules(child)


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"\w+", text)]
