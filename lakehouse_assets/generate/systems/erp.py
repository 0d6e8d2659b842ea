"""The ERP: demographics and locations of the CRM's customers, a file for each day with new ones; categories, a full export a week."""

from collections.abc import Iterator
from datetime import date, timedelta

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws
from lakehouse_assets.generate.systems.crm import customer_number
from lakehouse_assets.generate.world import World

DEMOGRAPHICS_DIRT = ("no gender", "born in the future", "day that does not exist", "sent twice")
LOCATIONS_DIRT = ("no country", "no number", "sent twice")
CATEGORIES_DIRT = ("unknown maintenance",)

GENDERS = {"F": ("Female", "F", "F ", "female"), "M": ("Male", "M", "M ", "male")}
COUNTRIES = {"United States": ("US", "USA", "United States"), "Germany": ("DE", "Germany")}


def deliver(world: World, out: Deliveries) -> None:
    """Write demographics, locations and categories of all days."""
    for day in world.days:
        out.csv("customer_demographics", day, "CUST_AZ12.csv", ("CID", "BDATE", "GEN"), _demographics(world, out, day))
        out.csv("customer_locations", day, "LOC_A101.csv", ("CID", "CNTRY"), _locations(world, out, day))
        if world.options.is_weekly(day):
            header = ("ID", "CAT", "SUBCAT", "MAINTENANCE")
            out.csv("product_categories", day, "PX_CAT_G1V2.csv", header, _categories(world, out))


def _demographics(world: World, out: Deliveries, day: date) -> Iterator[tuple[object, ...]]:
    table, dirt = out.table("customer_demographics"), out.dirt("customer_demographics")
    random = draws(world.options.seed, "erp spellings", day)
    for person in world.registered(day):
        kind = dirt.pick(DEMOGRAPHICS_DIRT)
        born = person.born.isoformat()
        if kind == "born in the future":
            born = (day + timedelta(3650)).isoformat()
        elif kind == "day that does not exist":
            born = f"{person.born.year}-02-30"
        prefix = random.choice(("NAS", ""))
        gender = " " if kind == "no gender" else random.choice(GENDERS[person.gender])
        for _ in range(1 + (kind == "sent twice")):
            if kind == "day that does not exist":
                table.refuse("birth_date_is_date")
            else:
                table.row(person.number)
            yield f"{prefix}{customer_number(person)}", born, gender


def _locations(world: World, out: Deliveries, day: date) -> Iterator[tuple[object, ...]]:
    # Everybody's country comes once: one row version each.
    tables = out.table("customer_locations"), out.table("customer_location_versions")
    dirt = out.dirt("customer_locations")
    random = draws(world.options.seed, "erp countries", day)
    for person in world.registered(day):
        kind = dirt.pick(LOCATIONS_DIRT)
        number = customer_number(person)
        country = "  " if kind == "no country" else random.choice(COUNTRIES.get(person.country, (person.country,)))
        for _ in range(1 + (kind == "sent twice")):
            for table in tables:
                if kind == "no number":
                    table.refuse("customer_number_present")
                else:
                    table.row(person.number)
            yield "" if kind == "no number" else f"{number[:2]}-{number[2:]}", country


def _categories(world: World, out: Deliveries) -> Iterator[tuple[object, ...]]:
    table, dirt = out.table("product_categories"), out.dirt("product_categories")
    for category in world.categories:
        kind = dirt.pick(CATEGORIES_DIRT)
        table.row(category.code)
        maintenance = "Yes" if category.needs_maintenance else "No"
        yield category.code, category.group, category.name, "?" if kind else maintenance
