"""Public holidays for the models, by the package `holidays`: rows of a country, a day and a name in a file that DuckDB reads.

Importing the package takes half a second, as it loads the rules of all countries; a file of some thousand rows takes a millisecond. So
the file is kept, under a name that says which version of the package made it for which countries.
"""

import csv
import hashlib
import io
from collections.abc import Collection
from difflib import get_close_matches
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse_assets.files import write_whole

if TYPE_CHECKING:
    import duckdb

DEFAULT_COUNTRIES = "US,AU,CA,DE,FR,GB"
"""The first is that of `dim_date.is_holiday`. The others are those of the sample data's customers and bikes."""

FIRST_YEAR, LAST_YEAR = 1990, 2100
"""The years of the calendar, see `dbt_project.yml`."""

_COLUMNS = {"country": "VARCHAR", "country_name": "VARCHAR", "day": "DATE", "name": "VARCHAR"}

_SMALL_WORDS = ("And", "Of", "The")


def country_codes(text: str) -> tuple[str, ...]:
    """Return the codes in a list of them, in the order of the list."""
    return tuple(dict.fromkeys(filter(None, (code.strip().upper() for code in text.split(",")))))


def countries_fault(text: str) -> str | None:
    """Return why this is not a list of countries whose holidays are known, as half a sentence; None if it is one."""
    codes = country_codes(text)
    if not codes:
        return "it names no country: write a code of ISO 3166 such as 'US', or several, separated by commas"
    if {*codes} <= {*country_codes(DEFAULT_COUNTRIES)}:
        return None  # without loading the package
    unknown = (code for code in codes if code not in _names())
    return (
        "; ".join(f"{code!r} is not the ISO 3166 code of a country with known holidays{_near(code)}" for code in unknown) or None
    )


@cache  # each connection asks, and to find the version takes as long as a small query
def rows_depend_on(countries: str) -> str:
    """Return what the rows of `public_holidays` depend on: the countries, and the version of the package."""
    return f"{','.join(country_codes(countries))} by holidays {version('holidays')}"


def add_holidays(connection: "duckdb.DuckDBPyConnection", countries: str, folder: Path) -> None:
    """Make `public_holidays()` a table function of the connection. `folder` is where the file is kept."""
    from lakehouse_assets.delta.duck import rows_of_csv  # settings, which each command loads, are to load no Delta

    rows = rows_of_csv(holidays_file(countries, folder), _COLUMNS)
    connection.execute(f"CREATE OR REPLACE TEMP MACRO public_holidays() AS TABLE {rows}")


def holidays_file(countries: str, folder: Path) -> Path:
    """Return the file of the public holidays of some countries; makes it if it is not there."""
    facts = (rows_depend_on(countries), FIRST_YEAR, LAST_YEAR, _COLUMNS)
    file = folder / f"holidays-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.csv"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, _rows(country_codes(countries)))
    return file


def _rows(codes: Collection[str]) -> str:
    """Return the holidays of whole countries as CSV: those of single states or regions are left out, substitute days are not."""
    import holidays

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for code in codes:
        english = next((e for e in ("en_US", "en_GB", "en") if e in holidays.list_localized_countries().get(code, ())), None)
        days = holidays.country_holidays(code, years=range(FIRST_YEAR, LAST_YEAR + 1), language=english)
        rows.writerows((code, _names()[code], day.isoformat(), name) for day, name in sorted(days.items()))
    return text.getvalue()


@cache
def _names() -> dict[str, str]:
    """Return the countries that the package knows: English names by codes of two letters."""
    from holidays.registry import COUNTRIES

    return {codes[1]: _name(module) for module, codes in COUNTRIES.items()}


def _name(module: str) -> str:
    """Return the name of a country by that of its module: `isle_of_man` is Isle of Man."""
    words = [word.capitalize() for word in module.split("_")]
    return " ".join(word.lower() if word in _SMALL_WORDS and index else word for index, word in enumerate(words))


def _near(code: str) -> str:
    """Return a suggestion to append to a wrong code: the nearest code, or that of a country whose name or other code is near."""
    from holidays.registry import COUNTRIES

    codes = {"UK": "GB", **{code: code for code in _names()}, **{codes[2]: codes[1] for codes in COUNTRIES.values()}}
    codes |= {name.upper(): code for code, name in _names().items()}
    matches = get_close_matches(code, codes, 1, cutoff=0.5)  # two letters are near if one is right
    return f" (did you mean {codes[matches[0]]!r}?)" if matches else ""
