"""The source systems, one file each: feeds, contracts, silver functions. To add a system, add a file here; nothing else changes.

Your own systems can be in a package or folder of your own, also one file each: set `LAKEHOUSE_SYSTEMS` to it, in addition to this
package or instead of it.
"""

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from lakehouse_assets.contracts.catalog import catalog_problems
from lakehouse_assets.contracts.problems import gathered, nearest
from lakehouse_assets.contracts.system import Catalog, System
from lakehouse_assets.errors import ContractError, SettingsError

_NO_SYSTEMS = ("cleaning",)
"""Modules here that don't declare a system."""

BUILT_IN = (__name__,)


def all_systems(packages: Sequence[str] = BUILT_IN) -> list[System]:
    """Return the systems of some packages: the `SYSTEM` of each module. A package is given by dotted name or folder.

    Raises:
        ContractError: systems have mistakes; the message lists all of them, a line each.
        SettingsError: there is no such package.
    """
    systems, problems = load_systems(packages)
    if problems:
        raise ContractError("\n".join(problems))
    return systems


def catalog(packages: Sequence[str] = BUILT_IN) -> Catalog:
    """Return the feeds and silver tables of all systems; raises like `all_systems`."""
    systems = all_systems(packages)
    return Catalog.from_tables((t for s in systems for t in s.tables), (f for s in systems for f in s.raw_only))


def load_systems(packages: Sequence[str] = BUILT_IN) -> tuple[list[System], list[str]]:
    """Return the systems that could be loaded, and the mistakes in all systems: a line each, starting with the file.

    Raises:
        SettingsError: there is no such package.
    """
    systems, problems, files = [], [], {}
    for package in map(_package, packages):
        for module in sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not is_private(module.name)):
            name, file = f"{package.__name__}.{module}", f"{package.__name__.rpartition('.')[2]}/{module}.py"
            with gathered() as found:
                try:
                    system = getattr(_imported(name), "SYSTEM", None)
                except ContractError as error:
                    system, found = None, [*found, *str(error).splitlines()]
                else:
                    if not isinstance(system, System):
                        found = [*found, "there is no SYSTEM: add `SYSTEM = System(...)` to it."]
            if found:
                # Otherwise the next import would return the module without an error.
                sys.modules.pop(name, None)
            problems += [f"{file}: {problem}" for problem in found]
            if isinstance(system, System):
                systems.append(system)
                files[system.name] = file
    return systems, problems + catalog_problems(systems, files)


def code_folders(packages: Sequence[str] = BUILT_IN) -> list[Path]:
    """Return the folders of the top-level packages to which some packages of systems belong."""
    tops = dict.fromkeys(_package(name).__name__.partition(".")[0] for name in packages)
    return [Path(folder) for top in tops for folder in sys.modules[top].__path__]


def is_private(module: str) -> bool:
    """Whether a module does not declare a system, but is imported by others."""
    return module in _NO_SYSTEMS or module.startswith("_")


def _package(name: str) -> ModuleType:
    """Import a package of systems by its dotted name or folder.

    Raises:
        SettingsError: there is no such package.
    """
    folder = Path(name).expanduser()
    if folder.is_dir() and name not in sys.modules:
        folder = folder.resolve()
        parts = [folder.name]
        while (folder := folder.parent) != folder.parent and (folder / "__init__.py").exists():
            parts.insert(0, folder.name)
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        name = ".".join(parts)
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name):
            raise
        raise SettingsError(f"LAKEHOUSE_SYSTEMS: there is neither a package nor a folder {name!r}.") from None
    if not hasattr(package, "__path__"):
        raise SettingsError(f"LAKEHOUSE_SYSTEMS: {name!r} is a module, not a package: name the package or folder that holds it.")
    return package


def _imported(name: str) -> ModuleType:
    """Import the module of a system.

    Raises:
        ContractError: it can't be imported; the message says in which line, and why.
    """
    try:
        return importlib.import_module(name)
    except ContractError:
        raise
    except SyntaxError as error:
        raise ContractError(f"{_line(error.filename, error.lineno, name)}{error.msg}.") from error
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        own = [f for f in frames if Path(f.filename).stem == name.rpartition(".")[2] and f.filename != __file__]
        frame = (own or frames)[-1]
        raise ContractError(
            f"{_line(frame.filename, frame.lineno, name)}{type(error).__name__}: {error}{_meant(error)}."
        ) from error


def _line(file: str | None, line: int | None, name: str) -> str:
    """Name the line of an error, and the file if it is not the system's own."""
    elsewhere = (
        "" if file is None or Path(file).stem == name.rpartition(".")[2] else f"{Path(file).parent.name}/{Path(file).name}, "
    )
    return f"{elsewhere}line {line}: "


def _meant(error: Exception) -> str:
    """Suggest the nearest name for an unknown name or attribute."""
    if isinstance(error, NameError) and error.name:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        return nearest(error.name, frames[-1].f_globals.keys())
    if isinstance(error, AttributeError) and error.name:
        return nearest(error.name, dir(error.obj))
    return ""
