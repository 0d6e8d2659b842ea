"""The source systems, one file each: entities, contracts, silver functions. A new system is a new file here, and no other edit."""

import importlib
import pkgutil

from lakehouse_assets.contracts.system import Entity, System
from lakehouse_assets.errors import ContractError


def all_systems() -> list[System]:
    """Every system under this package, by name: each module's `SYSTEM`.

    Raises:
        ContractError: a module lacks `SYSTEM`, or two entities claim one table or one landing folder.
    """
    systems = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        found = getattr(importlib.import_module(f"{__name__}.{module.name}"), "SYSTEM", None)
        if not isinstance(found, System):
            raise ContractError(f"systems/{module.name}.py declares no SYSTEM: add `SYSTEM = System(...)` to it.")
        systems.append(found)
    _refuse_clashes([e for s in systems for e in s.entities])
    return systems


def all_entities() -> list[Entity]:
    """The entities of all systems."""
    return [entity for system in all_systems() for entity in system.entities]


def _refuse_clashes(entities: list[Entity]) -> None:
    for what in ("table", "landing"):
        seen: set[str] = set()
        for entity in entities:
            name = getattr(entity, what)
            if name in seen:
                raise ContractError(f"Two entities claim the {what} {name!r}: give one of them another name.")
            seen.add(name)
