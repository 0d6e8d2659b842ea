"""Currencies, by their codes of ISO 4217."""

import re

CURRENCY_CODE = "[A-Z]{3}"
"""A regular expression for the code of a currency, such as EUR."""


def currency_fault(code: str) -> str | None:
    """Return why this is not the code of a currency, as half a sentence; None if it can be one."""
    return None if re.fullmatch(CURRENCY_CODE, code) else f"currency {code!r} is not a code of ISO 4217, such as 'EUR'"
