"""Generates a folder of deliveries: the files of the systems, and `truth.json` beside them."""

import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lakehouse_assets.errors import GenerateError
from lakehouse_assets.generate import systems
from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.options import Options
from lakehouse_assets.generate.revenue import SALES_TABLE, Sold, revenue
from lakehouse_assets.generate.world import World

TRUTH = "truth.json"

Deliver = Callable[[World, Deliveries], None]


def system_names() -> list[str]:
    """Return the names of the systems for which data can be generated."""
    return sorted(module.name for module in pkgutil.iter_modules(systems.__path__))


def generate(folder: Path, options: Options, names: Sequence[str]) -> dict[str, Any]:
    """Write the files of some systems below a folder, and return the truth, which is also in its `truth.json`.

    Raises:
        GenerateError: there is no such system, or the folder is not empty: its files would not be in the truth.
    """
    if unknown := sorted(set(names) - set(system_names())):
        raise GenerateError(f"No data is generated for {', '.join(unknown)}. Known systems are {', '.join(system_names())}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GenerateError(f"{folder} exists and is not an empty folder. Name another one, or delete it.")
    world = World(options)
    written: dict[str, Any] = {}
    sold: dict[str, Sold] = {}
    for name in sorted(set(names)):
        out = Deliveries(folder, name, options)
        deliver: Deliver = import_module(f"{systems.__name__}.{name}").deliver
        deliver(world, out)
        written[name] = {"files": out.files, **out.truth.to_json(), "dirt": out.dirty}
        sold[name] = out.truth.sold
    for name, answers in revenue(sold).items():
        written[name]["gold"][SALES_TABLE] = answers
    truth = {"options": _described(options), "systems": written}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRUTH).write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    return truth


def read_truth(folder: Path) -> dict[str, Any]:
    """Return the truth of the systems in a generated folder, by system.

    Raises:
        GenerateError: it has no truth, or one that can't be read.
    """
    file = folder / TRUTH
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["systems"]
        is_truth = all(_is_truth(system) for system in found.values())
    except (FileNotFoundError, NotADirectoryError):
        raise GenerateError(f"{folder} has no {TRUTH}: name a folder that `lakehouse generate` wrote.") from None
    except OSError as error:
        raise GenerateError(f"{file} can't be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_truth = False
    if not is_truth:
        raise GenerateError(f"{file} is broken, or no truth of generated data: generate the folder again, with the same options.")
    return found


def _is_truth(system: Mapping[str, Any]) -> bool:
    """Whether what a document has about a system has the form of its truth."""
    parts = [system["rows"], *(system.get(part, {}) for part in ("superseded", "quarantined", "answers", "gold"))]
    parts += [*system.get("quarantined", {}).values(), *system.get("gold", {}).values()]
    return all(isinstance(part, dict) for part in parts) and isinstance(system.get("persons", ""), str)


def _described(options: Options) -> dict[str, object]:
    return {
        "seed": options.seed,
        "scale": options.scale,
        "from": options.first.isoformat(),
        "to": options.last.isoformat(),
        "dirt": options.dirt,
    }
