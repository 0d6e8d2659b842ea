"""Names that a declaration makes up: each is there once. Pure functions."""

import re
import unicodedata
from collections.abc import Container, Iterable
from itertools import count


def unique_names(names: Iterable[str]) -> list[str]:
    """Return the name of a contract's column for each column of raw: ASCII, and beginning with a letter.

    >>> unique_names(["größe", "1er_lot", "id", "id"])
    ['grosse', 'column_1er_lot', 'id', 'id_2']
    """
    made: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
        words = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_") or "column"
        made.append(free_name(words if words[0].isalpha() else f"column_{words}", made))
    return made


def free_name(name: str, taken: Container[str]) -> str:
    """Return a name if it is not taken, else the first of `name_2`, `name_3` and so on that is not."""
    return name if name not in taken else next(n for n in (f"{name}_{number}" for number in count(2)) if n not in taken)
