"""Generates a folder of deliveries: the files of the systems, and `truth.json` beside them."""

import json
import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lakehouse_assets.errors import GenerateError
from lakehouse_assets.generate import systems
from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.options import Options
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
    for name in sorted(set(names)):
        out = Deliveries(folder, name, options)
        deliver: Deliver = import_module(f"{systems.__name__}.{name}").deliver
        deliver(world, out)
        written[name] = {"files": out.files, **out.truth.to_json(), "dirt": out.dirty}
    truth = {"options": _described(options), "systems": written}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRUTH).write_text(json.dumps(truth, indent=2) + "\n")
    return truth


def read_truth(folder: Path) -> dict[str, Any]:
    """Return the truth of the systems in a generated folder, by system.

    Raises:
        GenerateError: it has no truth.
    """
    try:
        found: dict[str, Any] = json.loads((folder / TRUTH).read_text())["systems"]
    except FileNotFoundError:
        raise GenerateError(f"{folder} has no {TRUTH}: name a folder that `lakehouse generate` wrote.") from None
    return found


def _described(options: Options) -> dict[str, object]:
    return {
        "seed": options.seed,
        "scale": options.scale,
        "from": options.first.isoformat(),
        "to": options.last.isoformat(),
        "dirt": options.dirt,
    }
