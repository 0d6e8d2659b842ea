"""Computes a digest of the code that a function reaches: the project's functions, classes and constants, recursively.

Comments, docstrings, annotations and layout don't count, nor does unrelated code in the same file. If a name can't be followed,
the digest covers too much rather than too little: a module used as a value counts as a whole. The project is all code that is
neither in the standard library nor installed. Other files, such as those that a function reads, don't count.
"""

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

from lakehouse_assets.contracts.code_text import Code, Import, definitions, whole

_LAKEHOUSE = __name__.split(".")[0]
_SHARED = (f"{_LAKEHOUSE}.contracts", f"{_LAKEHOUSE}.systems")
"""The lakehouse packages whose code counts for functions outside the lakehouse."""


def code_digest(function: Callable[..., object]) -> str:
    """Return a hash of the code that a function reaches, and of the values bound to it (`partial`, a closure)."""
    reached = _Reached(function)
    return hashlib.sha256(json.dumps([reached.bound, sorted(reached.parts.items())]).encode()).hexdigest()


def files_reached(function: Callable[..., object]) -> set[Path]:
    """Return the files with code that a function reaches."""
    return _Reached(function).files


def texts_reached(function: Callable[..., object]) -> set[str]:
    """Return the texts in the code that a function reaches: string constants, such as SQL, and names of keyword arguments."""
    return _Reached(function).texts


def file_of(function: Callable[..., object]) -> Path | None:
    """Return the file that defines a function."""
    return _file(home(function))


def home(function: Callable[..., object]) -> str:
    """Return the name of the module that defines a function, unwrapping `partial`."""
    while isinstance(function, partial):
        function = function.func
    return function.__module__ if hasattr(function, "__name__") else type(function).__module__


class _Reached:
    """Follows a function through the project. `parts` maps each name that it reaches to a text of its code or value."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.parts: dict[str, str] = {}
        self.files: set[Path] = set()
        self.texts: set[str] = set()
        self._package = home(function).split(".")[0]
        self._seen: dict[int, object] = {}
        self.bound = list(self._value_texts(function))

    def _is_own(self, name: str) -> bool:
        """Whether a module belongs to the project, so that its code counts."""
        top = name.split(".")[0]
        if top == _LAKEHOUSE != self._package:
            return any(name == shared or name.startswith(f"{shared}.") for shared in _SHARED)
        return top == self._package or _is_loose(top)

    def _value_texts(self, value: object) -> Iterator[str]:
        """Yield texts that identify a value in the same way in each process; add the code in it to `parts`."""
        if isinstance(value, str):
            self.texts.add(value)
        if value is None or isinstance(value, str | bytes | int | float):
            yield repr(value)
            return
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value  # keep it alive, so that no other object gets its id
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
            self._add_module(value.__name__)
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
            inner = [type(value), "" if " at 0x" in text else text]  # an address differs between processes
        for part in inner:
            yield from self._value_texts(part)

    def _follow(self, value: FunctionType | type) -> None:
        """Add a function or class of the project, and what it names."""
        if not self._is_own(value.__module__):
            return
        name = f"{value.__module__}.{value.__qualname__}"
        file, nodes = _file(value.__module__), _definitions(value)
        if file is not None:
            self.files.add(file)
        if not nodes:
            code = getattr(value, "__code__", None)
            self.parts[name] = repr(_bytecode(code)) if code is not None else name
        names = getattr(value, "__globals__", None) or vars(sys.modules.get(value.__module__, ModuleType("")))
        for node in nodes:
            self.parts[name] = self.parts.get(name, "") + node.text
            self.texts.update(node.texts)
            self._follow_names(node, names, value.__module__)
        for base in value.__bases__ if isinstance(value, type) else ():
            list(self._value_texts(base))

    def _follow_names(self, node: Code, names: Mapping[str, Any], module: str) -> None:
        """Add what a piece of a module's code names."""
        for chain in node.chains:
            if chain[0] not in names:
                continue
            value, path = names[chain[0]], chain[0]
            for attribute in chain[1:]:
                if not isinstance(value, ModuleType) or not hasattr(value, attribute):
                    break
                value, path = getattr(value, attribute), f"{path}.{attribute}"
            self._add(f"{module}: {path}", value)
        for imported in node.imports:
            self._follow_import(imported, module)

    def _follow_import(self, node: Import, module: str) -> None:
        """Add what an import statement imports."""
        if node.base is None:
            for name in node.names:
                self._add_module(name)
            return
        package = module if _is_package(module) else module.rpartition(".")[0]
        base = resolve_name("." * node.level + node.base, package) if node.level else node.base
        if not self._is_own(base):
            return
        imported = _imported(base)
        for name in node.names:
            if imported is not None and hasattr(imported, name):
                self._add(f"{base}: {name}", getattr(imported, name))
            else:
                self._add_module(f"{base}.{name}" if _file(f"{base}.{name}") else base)

    def _add(self, name: str, value: object) -> None:
        """Add a value under the name by which it is used. Of code outside the project, only the name counts."""
        if isinstance(value, FunctionType | type) and not self._is_own(value.__module__):
            return
        if isinstance(value, ModuleType) and not self._is_own(value.__name__):
            return
        # Add its own name, too: the name may later be bound to something else that is already reached.
        own = f"{value.__module__}.{value.__qualname__}" if isinstance(value, FunctionType | type) else type(value).__qualname__
        self.parts.setdefault(name, json.dumps([own, *self._value_texts(value)]))

    def _add_module(self, name: str) -> None:
        """Add a whole module, and what it imports."""
        if not self._is_own(name) or (file := _file(name)) is None or f"module {name}" in self.parts:
            return
        self.files.add(file)
        code = whole(file)
        self.parts[f"module {name}"] = code.text
        for imported in code.imports:
            self._follow_import(imported, name)


def _definitions(value: FunctionType | type) -> list[Code]:
    """Find the definitions of a function or class; several if its line is ambiguous, none without source."""
    file = _file(value.__module__)
    if file is None:
        return []
    code: CodeType | None = getattr(value, "__code__", None)
    nodes = definitions(file).get(value.__name__, [])
    if code is not None:
        nodes = [node for node in nodes if node.first_line == code.co_firstlineno]
    elif len(nodes) > 1:
        nodes = [node for node in nodes if node.is_class]
    return nodes


def _bytecode(code: CodeType) -> list[object]:
    """Return the instructions and constants of code that has no source."""
    consts = [_bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code.hex(), consts, code.co_names]


def _imported(name: str) -> ModuleType | None:
    try:
        return sys.modules.get(name) or importlib.import_module(name)
    except ImportError:
        return None


def _is_package(name: str) -> bool:
    file = _file(name)
    return file is not None and file.name == "__init__.py"


def _file(name: str) -> Path | None:
    """Return the source file of a module; None if there is no such module or it has no source."""
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
    """Whether a package is neither in the standard library nor installed: project code that changes without a release."""
    if package in sys.stdlib_module_names:
        return False
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    paths = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec is not None else []
    return any(paths) and not any({"site-packages", "dist-packages"} & set(Path(path).parts) for path in paths)
