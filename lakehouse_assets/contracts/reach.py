"""What code a function reaches: its own module and those of the project that this imports, one after the other.

Too much counts rather than too little: whatever a module of the project imports belongs to it, used or not. What is not code, such as a
file that a function reads, does not count.
"""

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType

_SHARED = ("lakehouse_assets.contracts", "lakehouse_assets.systems")
"""The packages whose code counts for functions of any project."""


def code_digest(function: Callable[..., object]) -> str:
    """A hash of the code that a function reaches, and of the values that are bound to it (`partial`, a closure)."""
    bound, files = _reached(function)
    sources = [(name, _read(name, *_state(file))[0]) for name, file in sorted(files.items())]
    return hashlib.sha256(json.dumps([bound, sources]).encode()).hexdigest()


def files_reached(function: Callable[..., object]) -> dict[str, Path]:
    """The files of the code that a function reaches, by the names of the modules."""
    return _reached(function)[1]


def _reached(function: Callable[..., object]) -> tuple[list[str], dict[str, Path]]:
    """What is bound to a function, and the files of the modules that it reaches."""
    packages = (*_SHARED, home(function).split(".")[0])

    def is_own(name: str) -> bool:
        return any(name == package or name.startswith(f"{package}.") for package in packages)

    modules: set[str] = set()
    bound = list(_bound(function, is_own, modules, set()))
    due = set(filter(is_own, modules))
    files: dict[str, Path] = {}
    while due:
        name = due.pop()
        if (file := _file(name)) is not None:
            files[name] = file
            due |= set(filter(is_own, _read(name, *_state(file))[1])) - files.keys()
    return bound, files


def file_of(function: Callable[..., object]) -> Path | None:
    """The file in which a function stands."""
    return _file(home(function))


def home(function: Callable[..., object]) -> str:
    """The name of the module in which a function stands, whatever it is wrapped in."""
    while isinstance(function, partial):
        function = function.func
    return function.__module__ if hasattr(function, "__name__") else type(function).__module__


def _bound(value: object, is_own: Callable[[str], bool], modules: set[str], seen: set[int]) -> Iterator[str]:
    """What a value says in words that are the same in each process; the modules of functions and classes in it go into `modules`."""
    if id(value) in seen:
        return
    if value is None or isinstance(value, str | bytes | int | float):
        yield repr(value)
        return
    seen.add(id(value))
    if isinstance(value, partial):
        parts: list[object] = [value.func, value.args, value.keywords]
    elif isinstance(value, FunctionType | type):
        modules.add(value.__module__)
        yield f"{value.__module__}.{value.__qualname__}"
        cells = getattr(value, "__closure__", None) or ()
        parts = [cell.cell_contents for cell in cells if cell != CellType()]
    elif isinstance(value, ModuleType | BuiltinFunctionType):
        modules.add(value.__name__)
        parts = [value.__name__]
    elif isinstance(value, MethodType):
        parts = [value.__func__, value.__self__]
    elif isinstance(value, Mapping):
        parts = [part for item in value.items() for part in item]
    elif isinstance(value, set | frozenset):
        parts = sorted(value, key=repr)
    elif isinstance(value, list | tuple):
        parts = list(value)
    elif is_own(type(value).__module__):
        parts = [type(value), vars(value) if hasattr(value, "__dict__") else None]
    else:
        text = repr(value)
        parts = [type(value), "" if " at 0x" in text else text]  # an address is another one in each process
    for part in parts:
        yield from _bound(part, is_own, modules, seen)


def _file(name: str) -> Path | None:
    """The source file of a module; None where it is none, or has none."""
    module = sys.modules.get(name)
    if module is None:
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:
            return None
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    file = inspect.getsourcefile(module) if hasattr(module, "__file__") else None
    return Path(file) if file else None


def _state(file: Path) -> tuple[Path, int, int]:
    """A file and what tells its states apart."""
    stat = file.stat()
    return file, stat.st_mtime_ns, stat.st_size


@cache
def _read(name: str, file: Path, modified: int, size: int) -> tuple[str, frozenset[str]]:
    """The hash of a module's source and the names that it imports, modules among them."""
    del modified, size  # the state of the file that is meant
    source = file.read_bytes()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                names |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return hashlib.sha256(source).hexdigest(), frozenset(names)
