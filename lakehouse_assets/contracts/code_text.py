"""What a file of code says: its functions and classes, each with its text, and the names that it uses.

All of it is a function of the file's bytes, so it is remembered from one process to the next: parsing takes longer than all else
that a digest needs.
"""

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lakehouse_assets.contracts.remembered import remembered


class Import(NamedTuple):
    """An import statement: `import names`, if `base` is None, or `from base import names`.

    `level` is the number of dots before `base`.
    """

    base: str | None
    level: int
    names: tuple[str, ...]


class Code(NamedTuple):
    """A function, a class or a whole file.

    `text` is canonical, see `_shape`. `texts` are its string constants and the names of keyword arguments, such as `_birth` in
    `with_columns(raw, _birth=...)`. `chains` are names with their attributes: `types.typed` is `("types", "typed")`.
    `first_line` includes decorators.
    """

    first_line: int
    is_class: bool
    text: str
    texts: tuple[str, ...]
    chains: tuple[tuple[str, ...], ...]
    imports: tuple[Import, ...]


def definitions(file: Path) -> dict[str, list[Code]]:
    """Return all functions and classes that a file defines, at any depth, by name."""
    return _definitions(*_state(file))


def whole(file: Path) -> Code:
    """Return the code of a whole file."""
    return _whole(*_state(file))


@cache
def _definitions(file: Path, modified: int, size: int) -> dict[str, list[Code]]:
    del modified, size  # part of the cache key only
    content = file.read_bytes()
    found = remembered(__file__, content, lambda: [[name, *_code(node)] for name, node in _named(ast.parse(content))])
    by_name: dict[str, list[Code]] = {}
    for name, first_line, is_class, text, texts, chains, imports in found:
        statements = tuple(Import(base, level, tuple(names)) for base, level, names in imports)
        code = Code(first_line, is_class, text, tuple(texts), tuple(map(tuple, chains)), statements)
        by_name.setdefault(name, []).append(code)
    return by_name


@cache
def _whole(file: Path, modified: int, size: int) -> Code:
    del modified, size  # part of the cache key only
    return _code(ast.parse(file.read_bytes()))


def _state(file: Path) -> tuple[Path, int, int]:
    """Return a file with its modification time and size: cached results depend on all three."""
    stat = file.stat()
    return file, stat.st_mtime_ns, stat.st_size


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield all functions and classes with their names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Lambda):
            yield "<lambda>", node


def _code(node: ast.AST) -> Code:
    """Return what a piece of code says."""
    nodes = list(ast.walk(node))
    constants = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return Code(
        first_line=0 if isinstance(node, ast.Module) else _first_line(node),
        is_class=isinstance(node, ast.ClassDef),
        text=json.dumps(_shape(node)),
        texts=tuple(sorted(constants | {n.arg for n in nodes if isinstance(n, ast.keyword) and n.arg})),
        chains=_chains(node),
        imports=tuple(_import(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)),
    )


def _import(node: ast.Import | ast.ImportFrom) -> Import:
    names = tuple(alias.name for alias in node.names)
    return Import(None, 0, names) if isinstance(node, ast.Import) else Import(node.module or "", node.level, names)


def _first_line(node: ast.AST) -> int:
    """Return the first line of a definition, including its decorators."""
    lines: list[int] = [part.lineno for part in (node, *getattr(node, "decorator_list", ()))]
    return min(lines)


def _shape(node: object) -> Any:
    """Convert code to plain values, the same in all Python versions: without positions, docstrings and annotations."""
    if isinstance(node, list):
        return [_shape(item) for item in node]
    if not isinstance(node, ast.AST):
        return node if node is None or isinstance(node, str | int | float | bool) else repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) and _has_docstring(node):
        fields["body"] = fields["body"][1:]
    if isinstance(node, ast.AnnAssign):
        # A field's type counts: dataclasses and the like read it.
        return ["field", _shape(node.target), _shape(node.annotation), _shape(node.value)]
    ignored = ("annotation", "returns", "type_comment", "type_params", "type_ignores", "kind", "ctx", "simple")
    kept = {name: _shape(value) for name, value in fields.items() if name not in ignored and value not in (None, [])}
    return [type(node).__name__, kept]


def _has_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _chains(node: ast.AST) -> tuple[tuple[str, ...], ...]:
    """Return the names in a piece of code, with their attributes: `types.typed` is `("types", "typed")`."""
    chains: dict[tuple[str, ...], None] = {}
    inside: set[ast.AST] = set()
    for outer in ast.walk(node):  # an attribute comes before the object that has it
        attributes: list[str] = []
        inner = outer
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
            inside.add(inner)
        if isinstance(inner, ast.Name) and outer not in inside:
            chains[inner.id, *attributes] = None
    return tuple(chains)
