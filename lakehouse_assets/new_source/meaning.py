"""What the names of columns say, and a few of their texts: persons, currencies, order of changes, deletes. Pure functions."""

import re
from collections.abc import Sequence

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.money import CURRENCY_CODE

_PERSONAL = {
    "an e-mail address": re.compile(r"(^|_)(e_?mail|mail)($|_)"),
    "a phone number": re.compile(r"(^|_)(phone|mobile|fax|tel|telephone)($|_)"),
    "the name of a person": re.compile(
        r"(^|_)(first|last|full|middle|family|given|billing|shipping|customer|contact|holder|cardholder)_?name($|_)"
        r"|^(firstname|lastname|surname|nom|prenom|vorname|nachname)$"
    ),
    "an address": re.compile(r"(^|_)(address|address[12]|street|strasse|rue)($|_)"),
    "a date of birth": re.compile(r"(^|_)(birth|birthday|birthdate|dob)($|_)"),
    "an account number": re.compile(r"(^|_)(iban|card_number|ssn|passport)($|_)"),
    "an IP address": re.compile(r"(^|_)ip($|_)"),
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+[.][A-Za-z]{2,}")
_CURRENCY = re.compile(r"(^|_)(currency|currency_code|curr|devise|waehrung)($|_)")
_CHANGED = re.compile(r"(^|_)(updated|modified|changed|last_update|update)(_(at|on|date|time|timestamp))?$")
_VERSION = re.compile(r"^((row|record|object|entity|change)_)?(version|revision|sequence|seq)(_(number|num|no|nr|id))?$")
_SECRET = re.compile(
    r"(^|_)(tokens?|secrets?|password|passwd|passphrase|pwd|api_?keys?|access_keys?|private_keys?|credentials?|session|cookie|signature"
    r"|pin|pin_?code|cvv|cvc|iban|bic|card|card_?number|account_?number)($|_)"
)
_DELETED = re.compile(r"(^|_)(deleted|removed|archived)(_(at|on|date))?$|^is_active$|^active$")

_ID = re.compile(r"(^|_)(id|key|uuid|guid|sku|code|number|num|no|nr|ref|reference|token)$")
_BARE_ID = re.compile(r"id|key|uuid|guid|code|number|no|nr|ref|reference")
_ARTICLE = re.compile(r"(.*_)?(product|article|variant|sku|part|material)|item")
"""What an `sku` is the number of. In a row of anything else, it says which article the row is about."""

_SEEN = 50


def personal(name: str, texts: Sequence[str]) -> str | None:
    """Return what a column has about persons, such as `an e-mail address`; None if nothing says so."""
    by_name = next((what for what, pattern in _PERSONAL.items() if pattern.search(name)), None)
    has_addresses = texts and all(map(_EMAIL.fullmatch, texts[:_SEEN]))
    return by_name or ("an e-mail address" if has_addresses else None)


def confidential(name: str) -> bool:
    """Return whether a column of this name holds secrets, or is about persons: none of its values may be shown."""
    return _SECRET.search(name) is not None or any(pattern.search(name) for pattern in _PERSONAL.values())


def is_currency(name: str, texts: Sequence[str]) -> bool:
    """Return whether a column has codes of currencies."""
    return bool(texts) and bool(_CURRENCY.search(name)) and all(re.fullmatch(f"(?i){CURRENCY_CODE}", text) for text in texts)


def sequence_among(columns: Sequence[tuple[str, str]]) -> str | None:
    """Return the column, of some (name, type), that says which row of a key is the newest; None if no name says so.

    A number counts versions, as its name has to say: other numbers about changes, such as `days_since_update`, put rows in no order.
    """
    ordered = (name for name, kind in columns if _is_ordered(name, kind))
    return next(ordered, None)


def _is_ordered(name: str, kind: str) -> bool:
    if kind in ("timestamp", "date"):
        return bool(_CHANGED.search(name) or _VERSION.search(name))
    return kind in ("int", "bigint") and _VERSION.search(name) is not None


def says_deleted(name: str) -> bool:
    """Return whether a column of this name may say that its row was deleted."""
    return _DELETED.search(name) is not None


def telling(names: Sequence[str], entity: str) -> list[str]:
    """Return the columns whose names say that they identify something, those first that say: a row of this entity."""
    own = own_ids(names, entity)
    return [*own, *(name for name in names if name not in own and _ID.search(name))]


def own_ids(names: Sequence[str], entity: str) -> list[str]:
    """Return the columns whose names say that they identify a row of this entity: its id, not that of something else."""
    one = one_of(entity)
    bare = {name for name in names if _BARE_ID.fullmatch(name) or (name == "sku" and _ARTICLE.fullmatch(one))}
    return [name for name in names if name in bare or name == one or (name.startswith(f"{one}_") and _ID.search(name))]


def one_of(entity: str) -> str:
    """Return the word for one row of an entity: `order` of `orders`, `category` of `categories`."""
    if entity.endswith("ies"):
        return f"{entity[:-3]}y"
    return entity[:-1] if entity.endswith("s") and not entity.endswith("ss") else entity


def entity_of(file_name: str) -> str:
    """Return the entity that a file's name says: without its ending, without dates and numbers at its ends.

    >>> entity_of("orders_2026-01-31.csv.gz"), entity_of("20260131 Order-Items (2).xlsx"), entity_of("sales-2026-Q1.csv")
    ('orders', 'order_items', 'sales')
    """
    words = snake_case(file_name.lstrip(".").partition(".")[0])
    return re.sub(r"^[\d_]+|(_[a-z]?\d+)+$|[\d_]+$", "", words)
