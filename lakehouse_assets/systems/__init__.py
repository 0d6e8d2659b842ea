"""The source systems, one file each: feeds, contracts, silver functions. A new system is a new file here, and no other edit."""

import importlib
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType

from lakehouse_assets.contracts.catalog import catalog_problems
from lakehouse_assets.contracts.problems import gathered, nearest
from lakehouse_assets.contracts.system import Catalog, System
from lakehouse_assets.errors import ContractError

_NO_SYSTEMS = ("cleaning",)
"""Modules here that declare no system."""


def all_systems() -> list[System]:
    """Every system under this package, by name: each module's `SYSTEM`.

    Raises:
        ContractError: something is wrong with one of them; all that is, a line each.
    """
    systems, problems = load_systems()
    if problems:
        raise ContractError("\n".join(problems))
    return systems


def catalog() -> Catalog:
    """The feeds and silver tables of all systems."""
    systems = all_systems()
    return Catalog.of((t for s in systems for t in s.tables), (f for s in systems for f in s.raw_only))


def load_systems() -> tuple[list[System], list[str]]:
    """The systems that could be loaded, and what is wrong, with them and with the others: a line each, the file first."""
    systems, problems = [], []
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NO_SYSTEMS):
        with gathered() as found:
            try:
                system = getattr(_imported(name), "SYSTEM", None)
            except ContractError as error:
                system, found = None, [*found, *str(error).splitlines()]
            else:
                if not isinstance(system, System):
                    found = [*found, "there is no SYSTEM: add `SYSTEM = System(...)` to it."]
        if found:
            # Else the next who imports it would get it as if nothing were wrong.
            sys.modules.pop(f"{__name__}.{name}", None)
        problems += [f"systems/{name}.py: {problem}" for problem in found]
        if isinstance(system, System):
            systems.append(system)
    return systems, problems + catalog_problems(systems)


def _imported(name: str) -> ModuleType:
    """The module of a system.

    Raises:
        ContractError: it can't be imported; the text says in which line, and why.
    """
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ContractError:
        raise
    except SyntaxError as error:
        raise ContractError(f"{_line(error.filename, error.lineno, name)}{error.msg}.") from error
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        own = [f for f in frames if Path(f.filename).parent == Path(__file__).parent and f.filename != __file__]
        frame = (own or frames)[-1]
        raise ContractError(
            f"{_line(frame.filename, frame.lineno, name)}{type(error).__name__}: {error}{_meant(error)}."
        ) from error


def _line(file: str | None, line: int | None, name: str) -> str:
    """Which line is meant, and of which file, where that isn't the system's own."""
    elsewhere = "" if file is None or Path(file).stem == name else f"{Path(file).parent.name}/{Path(file).name}, "
    return f"{elsewhere}line {line}: "


def _meant(error: Exception) -> str:
    """The name that was probably meant, where Python did not know one."""
    if isinstance(error, NameError) and error.name:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        return nearest(error.name, frames[-1].f_globals.keys())
    if isinstance(error, AttributeError) and error.name:
        return nearest(error.name, dir(error.obj))
    return ""
