"""What code a function reaches: its own module and those of the project that this imports, one after the other.

Too much counts rather than too little: whatever a module of the project imports belongs to it, used or not. The project is all code
that is neither Python's own nor installed. What is not code, such as a file that a function reads, does not count.
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

_LAKEHOUSE = __name__.split(".")[0]
_SHARED = (f"{_LAKEHOUSE}.contracts", f"{_LAKEHOUSE}.systems")
"""The packages of the lakehouse whose code counts for functions that stand outside of it."""


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
    package = home(function).split(".")[0]

    def is_own(name: str) -> bool:
        top = name.split(".")[0]
        if top == _LAKEHOUSE != package:
            return any(name == shared or name.startswith(f"{shared}.") for shared in _SHARED)
        return top == package or _is_loose(top)

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
        parts += [getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
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
