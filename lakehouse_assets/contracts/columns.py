"""The names of raw columns: snake_case from whatever the source says. None begins with `_`: those are the lakehouse's own."""

import re
from collections.abc import Sequence


def snake_case(name: str) -> str:
    """`CustomerID` and `Customer ID` both become `customer_id`; a name without a letter or digit becomes `column`.

    >>> snake_case("CustomerID"), snake_case(" Unit-Price (EUR) "), snake_case("CID")
    ('customer_id', 'unit_price_eur', 'cid')
    """
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.strip())
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", words)
    return re.sub(r"\W+", "_", words).strip("_").lower() or "column"


def column_names(header: Sequence[str]) -> list[str]:
    """A distinct snake_case name for each field of a header; a repeated one gets its place among its likes: `name_2`."""
    names: list[str] = []
    for field in header:
        base = snake_case(field)
        name, place = base, 1
        while name in names:
            place += 1
            name = f"{base}_{place}"
        names.append(name)
    return names
