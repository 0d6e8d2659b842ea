"""Sales, orders and their marts, computed from what has changed in silver, equal those that are built whole."""

import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakehouse_assets.books.ledger import UNVERIFIED, InputVersion, PartitionRecord
from lakehouse_assets.delta.duck import rows_of_layout
from lakehouse_assets.gold.changes import changes_since_built, describe_changes
from lakehouse_assets.gold.dbt_ahead import executable, loaded_ahead
from lakehouse_assets.gold.models import Model, code_digest, silver_columns
from lakehouse_assets.gold.project import RUN_DATABASE
from lakehouse_assets.gold.publish import create_seeds
from lakehouse_assets.settings import Settings
from lakehouse_assets.systems import catalog

FOLLOWING = ("fact_sales", "fact_orders", "sales_performance", "items_category_performance")
READ = ("bridge_customer", "dim_customer", "bridge_product", "dim_product", "dim_channel", "dim_store", "dim_promotion")
DAYS = [date(2026, 1, 1) + timedelta(n) for n in range(6)]
ORDERED = [None, date(1980, 1, 1), date(2025, 11, 30), date(2025, 12, 1), date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2)]
NUMBERS = [f"00000000{n}" for n in range(1, 5)]

TEXTS: dict[str, list[str | None]] = {
    "currency": ["USD", "EUR", "EUR", "XXX", None],
    "order_number": [*NUMBERS, None],
    "origin": [None, NUMBERS[0], f"{NUMBERS[1]}, {NUMBERS[2]}", "by phone"],
    "state": ["sale", "done", "draft", "canceled", "complete"],
    "transaction_type": ["sale", "cancellation", "adjustment"],
    "line_kind": ["product", "product", "fee"],
    "channel": ["store", "online"],
    "email": ["a@x.org", "b@x.org", "c@x.org", None],
    "country": ["Germany", "Canada", None],
    "sku": ["P1", "P2", "P3"],
    "product_code": ["P1", "P2", "P3"],
    "product_number": ["P1", "P2", "P3"],
    "stock_code": ["P1", "P2", "P3"],
    "customer_number": ["C1", "C2", "C3"],
}
"""Texts of a column, by its name; others have a letter."""

Silver = dict[str, list[dict[str, Any]]]


def random_value(column: str, kind: str, chance: random.Random) -> object:
    if column in TEXTS:
        return chance.choice(TEXTS[column])
    if column == "parent_item_id":
        return None
    if kind == "date":
        return chance.choice(ORDERED)
    if kind.startswith("timestamp"):
        return datetime.combine(chance.choice(ORDERED[2:]), datetime.min.time(), UTC) + timedelta(hours=chance.randrange(24))
    if kind.startswith("decimal"):
        return Decimal(chance.choice(["0", "1.25", "0.5"] if kind == "decimal(5,4)" else ["0", "1.25", "10", "99.99", "900"]))
    if kind == "boolean":
        return chance.random() < 0.5
    if kind in ("int", "integer", "bigint", "smallint"):
        return chance.randint(1, 5)
    if kind in ("double", "float"):
        return float(chance.randint(1, 5))
    return chance.choice("abc")


class RandomSilver:
    """Rows of the silver tables that sales come from, which change at random; the keys of a table stay unique."""

    def __init__(self, columns: Mapping[str, Mapping[str, str]], chance: random.Random) -> None:
        self._columns, self._chance = columns, chance
        self._keys = {t.name: [k for k in t.contract.key if k in columns[t.name]] for t in catalog().tables if t.name in columns}
        self.rows: Silver = {name: [] for name in columns}
        for name in columns:
            for _ in range(6):
                self._put(name, self._row(name))

    def _row(self, name: str) -> dict[str, Any]:
        row = {column: random_value(column, kind, self._chance) for column, kind in self._columns[name].items()}
        return row | {"_date": self._chance.choice(DAYS)}

    def _put(self, name: str, row: dict[str, Any]) -> set[date]:
        """Add a row, in place of one that has its key; returns the landing dates on which rows differ."""
        key = [row[column] for column in self._keys[name]]
        old = [r for r in self.rows[name] if [r[column] for column in self._keys[name]] == key]
        self.rows[name] = [r for r in self.rows[name] if r not in old] + [row]
        return {row["_date"], *(r["_date"] for r in old)}

    def change(self) -> dict[str, set[date]]:
        """Change a few rows: some are new, some gone, some differ in a column or two. Returns the dates that differ, by table."""
        changed: dict[str, set[date]] = {}
        for name in self._chance.sample(list(self.rows), self._chance.choice([1, 1, 2, 4])):
            rows = self.rows[name]
            what = self._chance.random()
            if what < 0.4 or not rows:
                changed[name] = self._put(name, self._row(name))
            elif what < 0.6:
                gone = rows.pop(self._chance.randrange(len(rows)))
                changed[name] = {gone["_date"]}
            else:
                row = rows.pop(self._chance.randrange(len(rows)))
                other = self._row(name)
                differing = self._chance.sample([c for c in row if c not in self._keys[name]], 2)
                changed[name] = {row["_date"]} | self._put(name, row | {column: other[column] for column in differing})
        return changed


class Runs:
    """Runs dbt over silver rows, from nothing or from what has changed since the last run."""

    def __init__(self, folder: Path) -> None:
        self._project = Settings().gold_project
        manifest = self._project.manifest()
        self._silver = {name: columns for (_, name), columns in silver_columns(manifest).items()}
        models = {model.name: model for model in self._project.models_of(manifest)}
        self.columns = {s: self._silver[s] for name in FOLLOWING[:1] + READ for s in models[name].sources}
        self._seeds, self._folder, self._count = self._project.seeds(manifest), folder, 0

    def run(self, silver: Silver, live: Path | None = None, changes: Mapping[str, set[date]] | None = None) -> Path:
        """Build the models; returns the database. `live` is that of the run before."""
        self._count += 1
        database = self._folder / f"run{self._count}.duckdb"
        with duckdb.connect(str(database)) as connection:
            connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA silver; CREATE SCHEMA gold; CREATE SCHEMA live")
            for name, columns in self._silver.items():
                connection.execute(f"CREATE TABLE silver.{name} AS {rows_of_layout([], columns)}")
                for row in silver.get(name, []):
                    marks = ", ".join("?" * len(row))
                    connection.execute(f"INSERT INTO silver.{name} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
            create_seeds(connection, self._seeds)
            if live is not None:
                connection.execute(f"ATTACH '{live}' AS before (READ_ONLY)")
                for name in (*FOLLOWING, *READ):
                    connection.execute(f"CREATE TABLE live.{name} AS FROM before.gold.{name}")
                describe_changes(connection, dict.fromkeys(FOLLOWING, changes))
        selected = ["run", "--quiet", "--select", *FOLLOWING, *READ, "--target-path", str(self._folder / "target")]
        done = subprocess.run(
            [executable("lakehouse-dbt"), *selected],
            cwd=self._project.folder,
            env={**os.environ, **self._project.environment, RUN_DATABASE: str(database)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return database


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with loaded_ahead(Settings().gold_project.folders):
        yield Runs(tmp_path_factory.mktemp("runs"))


def differences(one: Path, other: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Rows that only one of two databases has, by model."""
    with duckdb.connect() as connection:
        # Its views name it `run`.
        connection.execute(f"ATTACH '{one}' AS run (READ_ONLY); ATTACH '{other}' AS other (READ_ONLY)")
        found = {}
        for name in FOLLOWING:
            columns = ", ".join(c for c, *_ in connection.execute(f"DESCRIBE run.gold.{name}").fetchall())
            a, b = (f"SELECT {columns} FROM {db}.gold.{name}" for db in ("run", "other"))
            rows = connection.execute(f"(({a}) EXCEPT ALL ({b})) UNION ALL (({b}) EXCEPT ALL ({a}))").fetchall()
            if rows:
                found[name] = rows
        return found


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 12))])
def test_what_is_computed_from_changes_equals_what_is_built_whole(runs, seed):
    chance = random.Random(seed)
    silver = RandomSilver(runs.columns, chance)
    live, changes = runs.run(silver.rows), silver.change()
    for _ in range(3 if seed == 1 else 12):
        followed, whole = runs.run(silver.rows, live, changes), runs.run(silver.rows)
        assert differences(followed, whole) == {}, changes
        live, changes = whole, silver.change()


SALES = Model("fact_sales", "facts", ("sales", "rates"), ("dim_customer",), "checksum", (), "", follows=True)
ORDERS = Model("fact_orders", "facts", ("sales",), ("fact_sales",), "checksum", (), "", follows=True)
CODE = code_digest(SALES, "shared")
BUILT = [InputVersion(f"silver.{name}", 5, f"id of {name}") for name in ("sales", "rates")]
BUILT.append(InputVersion("gold.dim_customer", 7, "id of dim_customer"))


class Opened:
    """A table as far as it is looked at here."""

    def __init__(self, name: str, version: int) -> None:
        self._id, self._version = f"id of {name}", version

    def version(self) -> int:
        return self._version

    def metadata(self) -> "Opened":
        return self

    @property
    def id(self) -> str:
        return self._id


def record(layer: str, name: str, day: date, version: int, **changes: object) -> PartitionRecord:
    known = PartitionRecord(layer, name, day, None, 1, 0, 0, version, "run", "fingerprint", table_id=f"id of {name}")
    return replace(known, **changes)  # type: ignore[arg-type]


def changes(*others: PartitionRecord, customers: int = 7, selected: tuple[str, ...] = ("fact_sales",)) -> object:
    """What has changed where the sales of two dates were built from version 5; `others` are records that differ from that."""
    known = [
        record("gold", "fact_sales", DAYS[0], 3, inputs=BUILT, code=CODE),
        record("gold", "fact_sales", DAYS[1], 3, inputs=BUILT, code=CODE),
        *(record("silver", name, day, 5) for name in ("sales", "rates") for day in DAYS[:2]),
    ]
    records = {(r.layer, r.table_name, r.date): r for r in (*known, *others)}
    opened = {("gold", "fact_sales"): Opened("fact_sales", 3), ("gold", "dim_customer"): Opened("dim_customer", customers)}
    return changes_since_built([SALES, ORDERS], selected, opened, records, "shared")  # type: ignore[arg-type]


def test_a_model_is_built_from_the_dates_that_the_books_say_have_changed():
    new, late = record("silver", "sales", DAYS[2], 6), record("silver", "sales", DAYS[0], 6)
    assert changes() == {"fact_sales": {}}
    assert changes(new, late) == {"fact_sales": {"sales": {DAYS[0], DAYS[2]}}}


@pytest.mark.parametrize(
    "reason",
    [
        pytest.param([record("gold", "fact_sales", DAYS[0], 3, inputs=BUILT, code="other")], id="its code is another"),
        pytest.param(
            [record("gold", "fact_sales", DAYS[0], 3, inputs=BUILT, code=CODE, fingerprint=UNVERIFIED)], id="not as recorded"
        ),
        pytest.param([record("gold", "fact_sales", DAYS[0], 3, inputs=BUILT[:2], code=CODE)], id="dates built apart"),
        pytest.param([record("silver", "rates", DAYS[0], 5, fingerprint=UNVERIFIED)], id="silver is not as recorded"),
        pytest.param([record("silver", "rates", DAYS[0], 5, table_id="another")], id="silver was created anew"),
    ],
)
def test_it_is_built_whole_where_the_books_do_not_say_all(reason):
    assert changes(*reason) == {}


def test_it_is_built_whole_if_a_model_that_it_reads_was_published_without_it():
    assert changes(customers=8) == {}


def test_it_is_built_whole_if_a_model_that_it_follows_is():
    orders = record("gold", "fact_orders", DAYS[0], 2, inputs=[InputVersion("gold.fact_sales", 3, "id of fact_sales")])
    assert changes(orders, customers=8, selected=("fact_sales", "fact_orders")) == {}
