"""The days of dim_date, and public holidays."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.gold import holidays
from lakehouse_assets.gold.models import model_fingerprint, read_models
from lakehouse_assets.settings import Settings
from tests.gold.test_models import manifest


def test_the_calendar_has_whole_years_over_the_days_of_all_facts(warehouse):
    moment = datetime(2026, 5, 5, 12, tzinfo=UTC)
    sold = {"order_number": "1", "product_number": "P", "order_date": date(2025, 6, 1), "_date": date(2026, 3, 1)}
    ticket = {"ticket_id": 1, "created_at": moment, "status": "Closed", "closed_at": moment.replace(year=2027)}
    report = {"city": "Paris", "station_code": "1", "reported_at": moment.replace(year=2023), "bikes_available": 1}
    years = "SELECT min(year), max(year), min(_date) FILTER (date_key <> -1) FROM run.gold.dim_date"
    assert warehouse(crm_sales=[sold])(years) == [(2025, 2025, date(2026, 3, 1))]
    assert warehouse(crm_sales=[sold], freshdesk_tickets=[ticket])(years) == [(2025, 2027, date(2026, 1, 31))]
    every = warehouse(crm_sales=[sold], freshdesk_tickets=[ticket], bikes_station_status=[report])
    assert every(years) == [(2023, 2027, date(2026, 1, 31))]
    assert every("SELECT count(*) FROM run.gold.dim_date") == [(5 * 365 + 1 + 1,)]
    assert every("SELECT count(*) FROM run.gold.dim_holiday ANTI JOIN run.gold.dim_date USING (date_key)") == [(0,)]


def test_a_day_is_a_holiday_if_it_is_one_in_the_first_country(warehouse):
    sql = warehouse(crm_sales=[{"order_number": "1", "product_number": "P", "order_date": date(2026, 6, 1)}])
    marked = sql("SELECT date_value FROM run.gold.dim_date WHERE is_holiday ORDER BY 1")
    assert marked == sql("SELECT holiday_date FROM run.gold.dim_holiday WHERE country = 'US' ORDER BY 1")
    assert {(date(2026, 7, 3),), (date(2026, 7, 4),), (date(2026, 11, 26),)} <= {*marked}
    assert (date(2026, 7, 14),) not in marked
    assert sql("SELECT country, country_name, name FROM run.gold.dim_holiday WHERE date_key = 20260714") == [
        ("FR", "France", "National Day")
    ]


def test_holidays_are_read_from_a_file_that_is_made_once(tmp_path, monkeypatch):
    def rows():
        with duckdb.connect() as connection:
            holidays.add_holidays(connection, " fr , us", tmp_path)
            return connection.execute(
                "SELECT country, count(*), min(day), max(day) FROM public_holidays() GROUP BY 1 ORDER BY 1"
            ).fetchall()

    first = rows()
    assert [(country, str(start), str(end)) for country, _, start, end in first] == [
        ("FR", "1990-01-01", "2100-12-25"),
        ("US", "1990-01-01", "2100-12-31"),
    ]
    monkeypatch.setattr(holidays, "_rows", None)
    assert rows() == first
    monkeypatch.setattr(holidays, "rows_depend_on", lambda countries: "another version")
    with pytest.raises(TypeError):  # the rows of another version of the package are not these
        rows()
    assert len(list(Path(tmp_path).iterdir())) == 1


@pytest.mark.parametrize(
    ("codes", "fault"),
    [
        ("US,UK", "'UK' is not .* \\(did you mean 'GB'\\?\\)"),
        ("France", "'FRANCE' is not .* \\(did you mean 'FR'\\?\\)"),
        ("DEU", "'DEU' is not .* \\(did you mean 'DE'\\?\\)"),
        ("XQ", "'XQ' is not .* \\(did you mean '..'\\?\\)"),
        (" , ", "it names no country"),
    ],
)
def test_an_unknown_country_is_refused_with_the_nearest_code(codes, fault):
    with pytest.raises(SettingsError, match=f"LAKEHOUSE_HOLIDAY_COUNTRY: {fault}"):
        Settings(lakehouse_holiday_country=codes)
    assert Settings(lakehouse_holiday_country="ch, at").gold_project.environment["LAKEHOUSE_GOLD_HOLIDAY_COUNTRY"] == "CH,AT"


def test_a_model_is_built_again_for_other_countries_only_if_it_reads_holidays():
    def fingerprint(countries, macro):
        manifest_of_models = manifest(fact=["source.lakehouse.silver.sales"])
        manifest_of_models["nodes"]["model.lakehouse.fact"]["depends_on"]["macros"] = [macro]
        manifest_of_models["macros"] = {macro: {"macro_sql": "", "depends_on": {"macros": []}}}
        [model] = read_models(manifest_of_models, holidays=holidays.rows_depend_on(countries))
        return model_fingerprint(model, {}, "")

    reads, other = "macro.lakehouse.public_holidays", "macro.lakehouse.surrogate_key"
    assert fingerprint("US", reads) == fingerprint(" us", reads) != fingerprint("US,FR", reads)
    assert fingerprint("US", other) == fingerprint("FR", other)
