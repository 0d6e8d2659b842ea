"""Names raw columns: the source's names in snake_case. None starts with `_`: those are the lakehouse's own columns."""

import re
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=1_000)  # each file of a feed has the same names
def snake_case(name: str) -> str:
    """Convert a name to snake_case: `CustomerID` and `Customer ID` become `customer_id`; no letter or digit makes `column`.

    >>> snake_case("CustomerID"), snake_case(" Unit-Price (EUR) "), snake_case("CID")
    ('customer_id', 'unit_price_eur', 'cid')
    """
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.strip())
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", words)
    return re.sub(r"\W+", "_", words).strip("_").lower() or "column"


def letters(name: str) -> str:
    """Return the letters and digits of a name. Names with the same are equal: `CustomerID`, `customer id` and `CUSTOMER_ID`."""
    return snake_case(name).replace("_", "")


def column_names(header: Sequence[str]) -> list[str]:
    """Return a distinct snake_case name for each field of a header; repeated names are numbered: `name`, `name_2`."""
    names: list[str] = []
    for field in header:
        base = snake_case(field)
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names
