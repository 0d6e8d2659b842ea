"""Which tables a selection in Dagster's syntax names, with plain names allowed in it: `+crm_sales`, `silver and not crm`."""

import re
import warnings
from collections.abc import Collection, Iterable

import dagster as dg

from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.errors import SelectionError
from lakehouse_assets.settings import LAYERS

_KEYWORDS = ("and", "or", "not", "sinks", "roots")

_TOKENS = re.compile(
    r'(?P<attribute>\w+:\s*(?:"[^"]*"|[\w./*@-]+)(?:\s*=\s*(?:"[^"]*"|[\w./@-]+))?)|(?P<quoted>"[^"]*")|(?P<name>[A-Za-z_][\w./]*)'
)
"""What a selection is made of, but for operators: `tag:layer=silver`, a text in quotes, a plain name."""

_KEY = re.compile(r'key:\s*"?([\w./-]+)"?\Z')

_POLLS = "landing"


def selected(text: str, definitions: dg.Definitions, systems: Collection[str]) -> list[tuple[str, str]]:
    """Return the layers and names of the tables that a selection names, sorted. Polls, which have no dates, are left out.

    A plain name stands for the tables of that name in all layers, or for a layer, or for a system; `layer/name` for one table.

    Raises:
        SelectionError: it is not a selection, names a table that does not exist, or selects no table.
    """
    assets = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    keys = {key for asset in assets for key in asset.keys}
    names = {tuple(key.path) for key in keys if key.path[0] != _POLLS}
    written = _TOKENS.sub(lambda match: _rewritten(match, names, systems), text)
    try:
        with warnings.catch_warnings(action="ignore", category=dg.BetaWarning):
            # In parentheses, because Dagster reads what it can't parse once more, in the syntax of older releases.
            found = dg.AssetSelection.from_string(f"({written})").resolve(assets)
    except (dg.DagsterError, NotImplementedError):  # the latter, for attributes that only the UI knows
        raise SelectionError(
            f"{text!r} is not a selection in Dagster's syntax, such as `crm_sales`, `+crm_sales`, `tag:layer=silver and "
            "tag:system=crm`. docs/backfills-and-checks.md has more."
        ) from None
    chosen = sorted(tuple(key.path) for key in found & keys if key.path[0] != _POLLS)
    if not chosen:
        polls = ": polls run by their schedules, or are materialized in the UI" if found else ""
        raise SelectionError(
            f"{text!r} selects no table{polls}. Layers are {', '.join(LAYERS)}; systems are {', '.join(systems)}."
        )
    return [(layer, name) for layer, name in chosen]


def _rewritten(match: re.Match[str], names: Collection[tuple[str, ...]], systems: Collection[str]) -> str:
    """Return what Dagster understands in the place of a plain name.

    Raises:
        SelectionError: there is no such table.
    """
    if match["attribute"] is not None:
        key = _KEY.match(match["attribute"])
        if key is not None and not key[1].startswith(f"{_POLLS}/"):
            _known(key[1], names, systems)
        return match[0]
    name = match["name"]
    if name is None or name.lower() in _KEYWORDS:
        return match[0]
    if name in LAYERS or name in {key[0] for key in names}:
        return f'tag:"layer"="{name}"'
    layer, separator, table = name.partition("/") if "/" in name else name.partition(".")
    own = [key for key in names if (key == (layer, table) if separator else key[1] == name)]
    if own:
        return f"({' or '.join(_quoted(own))})"
    if name in systems:
        return f'tag:"system"="{name}"'
    return _known(name if "/" in name else name.replace(".", "/"), names, systems)


def key_selection(keys: Iterable[tuple[str, str]]) -> str:
    """Return the selection of exactly these tables."""
    return " or ".join(_quoted(keys))


def _quoted(keys: Iterable[tuple[str, ...]]) -> list[str]:
    return [f'key:"{"/".join(key)}"' for key in sorted(keys)]


def _known(name: str, names: Collection[tuple[str, ...]], systems: Collection[str]) -> str:
    """Return the name of an asset.

    Raises:
        SelectionError: there is none.
    """
    paths = {"/".join(key) for key in names}
    if name not in paths:
        known = paths if "/" in name else {*(key[1] for key in names), *LAYERS, *systems}
        raise SelectionError(f"There is no table {name!r}{nearest(name, sorted(known))}. `lakehouse run '*'` is all tables.")
    return name
