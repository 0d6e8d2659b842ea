"""What code a function reaches: the functions, classes and constants of the project that it names, and what these name in their turn.

Comments, docstrings, annotations and layout don't count, nor does what else stands in the same file. Where a name can't be followed,
too much counts rather than too little: a module that is handed on as a value counts as a whole. The project is all code that is neither
Python's own nor installed. What is not code, such as a file that a function reads, does not count.
"""

import ast
import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_LAKEHOUSE = __name__.split(".")[0]
_SHARED = (f"{_LAKEHOUSE}.contracts", f"{_LAKEHOUSE}.systems")
"""The packages of the lakehouse whose code counts for functions that stand outside of it."""


def code_digest(function: Callable[..., object]) -> str:
    """A hash of the code that a function reaches, and of the values that are bound to it (`partial`, a closure)."""
    reached = _Reached(function)
    return hashlib.sha256(json.dumps([reached.bound, sorted(reached.parts.items())]).encode()).hexdigest()


def files_reached(function: Callable[..., object]) -> set[Path]:
    """The files in which the code stands that a function reaches."""
    return _Reached(function).files


def texts_reached(function: Callable[..., object]) -> set[str]:
    """All texts in the code that a function reaches, SQL among them."""
    return _Reached(function).texts


def file_of(function: Callable[..., object]) -> Path | None:
    """The file in which a function stands."""
    return _file(home(function))


def home(function: Callable[..., object]) -> str:
    """The name of the module in which a function stands, whatever it is wrapped in."""
    while isinstance(function, partial):
        function = function.func
    return function.__module__ if hasattr(function, "__name__") else type(function).__module__


class _Reached:
    """Follows a function through the project. `parts` are what it reaches, by name, each as text that tells one state from another."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.parts: dict[str, str] = {}
        self.files: set[Path] = set()
        self.texts: set[str] = set()
        self._package = home(function).split(".")[0]
        self._seen: dict[int, object] = {}
        self.bound = list(self._words(function))

    def _is_own(self, name: str) -> bool:
        top = name.split(".")[0]
        if top == _LAKEHOUSE != self._package:
            return any(name == shared or name.startswith(f"{shared}.") for shared in _SHARED)
        return top == self._package or _is_loose(top)

    def _words(self, value: object) -> Iterator[str]:
        """What a value says in words that are the same in each process; the code in it goes into `parts`."""
        if isinstance(value, str):
            self.texts.add(value)
        if value is None or isinstance(value, str | bytes | int | float):
            yield repr(value)
            return
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value  # kept, so that no other object gets its number
        inner: list[object] = []
        if isinstance(value, partial):
            inner = [value.func, value.args, value.keywords]
        elif isinstance(value, FunctionType | type):
            yield f"{value.__module__}.{value.__qualname__}"
            self._follow(value)
            cells = getattr(value, "__closure__", None) or ()
            inner = [cell.cell_contents for cell in cells if cell != CellType()]
            inner += [getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
        elif isinstance(value, ModuleType):
            yield value.__name__
            self._take_module(value.__name__)
        elif isinstance(value, BuiltinFunctionType):
            yield str(value.__module__)
            yield value.__qualname__
        elif isinstance(value, MethodType):
            inner = [value.__func__, value.__self__]
        elif hasattr(value, "__wrapped__"):
            inner = [value.__wrapped__]
        elif isinstance(value, Mapping):
            inner = [part for item in value.items() for part in item]
        elif isinstance(value, set | frozenset):
            inner = sorted(value, key=repr)
        elif isinstance(value, list | tuple):
            inner = [type(value).__name__, *value]
        elif self._is_own(type(value).__module__):
            inner = [type(value), vars(value) if hasattr(value, "__dict__") else None]
        else:
            text = repr(value)
            inner = [type(value), "" if " at 0x" in text else text]  # an address is another one in each process
        for part in inner:
            yield from self._words(part)

    def _follow(self, value: FunctionType | type) -> None:
        """Take in a function or a class of the project, and what it names."""
        if not self._is_own(value.__module__):
            return
        name = f"{value.__module__}.{value.__qualname__}"
        file, nodes = _file(value.__module__), _definitions(value)
        if file is not None:
            self.files.add(file)
        if not nodes:
            code = getattr(value, "__code__", None)
            self.parts[name] = repr(_said_by(code)) if code is not None else name
        names = getattr(value, "__globals__", None) or vars(sys.modules.get(value.__module__, ModuleType("")))
        for node in nodes:
            self.parts[name] = self.parts.get(name, "") + _text(node)
            self.texts |= _texts(node)
            self._follow_names(node, names, value.__module__)
        for base in value.__bases__ if isinstance(value, type) else ():
            list(self._words(base))

    def _follow_names(self, node: ast.AST, names: Mapping[str, Any], module: str) -> None:
        """Take in what is named in a piece of code that stands in a module."""
        for chain in _chains(node):
            if chain[0] not in names:
                continue
            value, said = names[chain[0]], chain[0]
            for attribute in chain[1:]:
                if not isinstance(value, ModuleType) or not hasattr(value, attribute):
                    break
                value, said = getattr(value, attribute), f"{said}.{attribute}"
            self._take(f"{module}: {said}", value)
        for imported in _imports(node):
            self._follow_import(imported, module)

    def _follow_import(self, node: ast.Import | ast.ImportFrom, module: str) -> None:
        """Take in what a function imports for itself."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._take_module(alias.name)
            return
        package = module if _is_package(module) else module.rpartition(".")[0]
        base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
        if not self._is_own(base):
            return
        imported = _imported(base)
        for alias in node.names:
            if imported is not None and hasattr(imported, alias.name):
                self._take(f"{base}: {alias.name}", getattr(imported, alias.name))
            else:
                self._take_module(f"{base}.{alias.name}" if _file(f"{base}.{alias.name}") else base)

    def _take(self, name: str, value: object) -> None:
        """Take in a value by the name that it goes by; of somebody else's code only the name counts."""
        if isinstance(value, FunctionType | type) and not self._is_own(value.__module__):
            return
        if isinstance(value, ModuleType) and not self._is_own(value.__name__):
            return
        # By its own name, too: a name may come to mean something else that is reached already.
        own = f"{value.__module__}.{value.__qualname__}" if isinstance(value, FunctionType | type) else type(value).__qualname__
        self.parts.setdefault(name, json.dumps([own, *self._words(value)]))

    def _take_module(self, name: str) -> None:
        """Take in a module as a whole, and what it imports."""
        if not self._is_own(name) or (file := _file(name)) is None or f"module {name}" in self.parts:
            return
        self.files.add(file)
        tree = _tree(*_state(file))
        self.parts[f"module {name}"] = _text(tree)
        for node in _imports(tree):
            self._follow_import(node, name)


def _definitions(value: FunctionType | type) -> list[ast.AST]:
    """Where the source defines a function or class; several where the line doesn't tell, none where there is no source."""
    file = _file(value.__module__)
    if file is None:
        return []
    code: CodeType | None = getattr(value, "__code__", None)
    found = _by_name(*_state(file)).get(value.__name__, [])
    if code is not None:
        found = [node for node in found if _first_line(node) == code.co_firstlineno]
    elif len(found) > 1:
        found = [node for node in found if isinstance(node, ast.ClassDef)]
    return found


@cache
def _by_name(file: Path, modified: int, size: int) -> dict[str, list[ast.AST]]:
    """All functions and classes that a file defines, at any depth, by name."""
    found: dict[str, list[ast.AST]] = {}
    for node in ast.walk(_tree(file, modified, size)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault("<lambda>", []).append(node)
    return found


def _first_line(node: ast.AST) -> int:
    """The line on which a definition begins, its decorators included."""
    lines: list[int] = [part.lineno for part in (node, *getattr(node, "decorator_list", ()))]
    return min(lines)


@cache
def _text(node: ast.AST) -> str:
    """What a piece of code says, as text."""
    return json.dumps(_shape(node))


@cache
def _texts(node: ast.AST) -> frozenset[str]:
    """The texts in a piece of code."""
    return frozenset(n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))


@cache
def _imports(node: ast.AST) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The imports in a piece of code."""
    return tuple(n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom))


def _shape(node: object) -> Any:
    """What a piece of code says, as plain values: without positions, docstrings and annotations, alike in all versions of Python."""
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
    unsaid = ("annotation", "returns", "type_comment", "type_params", "type_ignores", "kind", "ctx", "simple")
    said = {name: _shape(value) for name, value in fields.items() if name not in unsaid and value not in (None, [])}
    return [type(node).__name__, said]


def _has_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _said_by(code: CodeType) -> list[object]:
    """What code without a source says: its instructions and constants."""
    consts = [_said_by(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code.hex(), consts, code.co_names]


@cache
def _chains(node: ast.AST) -> tuple[tuple[str, ...], ...]:
    """The names that a piece of code uses, with the attributes that follow: `types.typed` is `("types", "typed")`."""
    chains: dict[tuple[str, ...], None] = {}
    inside: set[ast.AST] = set()
    for outer in ast.walk(node):  # an attribute comes before what it is one of
        attributes: list[str] = []
        inner = outer
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
            inside.add(inner)
        if isinstance(inner, ast.Name) and outer not in inside:
            chains[inner.id, *attributes] = None
    return tuple(chains)


def _imported(name: str) -> ModuleType | None:
    try:
        return sys.modules.get(name) or importlib.import_module(name)
    except ImportError:
        return None


def _is_package(name: str) -> bool:
    file = _file(name)
    return file is not None and file.name == "__init__.py"


def _file(name: str) -> Path | None:
    """The source file of a module; None where it is none, or has none."""
    module = sys.modules.get(name)
    if module is None:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            return None
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    file = inspect.getsourcefile(module) if getattr(module, "__file__", None) else None
    return Path(file) if file else None


@cache
def _is_loose(package: str) -> bool:
    """Whether a package is neither Python's own nor an installed one: code of the project at work, that changes without a release."""
    if package in sys.stdlib_module_names:
        return False
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    places = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec is not None else []
    return any(places) and not any({"site-packages", "dist-packages"} & set(Path(place).parts) for place in places)


def _state(file: Path) -> tuple[Path, int, int]:
    """A file and what tells its states apart."""
    stat = file.stat()
    return file, stat.st_mtime_ns, stat.st_size


@cache
def _tree(file: Path, modified: int, size: int) -> ast.Module:
    del modified, size  # the state of the file that is meant
    return ast.parse(file.read_bytes())
