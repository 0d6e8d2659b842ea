"""Sales, orders and their marts, computed from what has changed in silver, equal those that are built whole."""

import random
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb
import jinja2
import pytest

from lakehouse_assets.books.ledger import UNVERIFIED, InputVersion, PartitionRecord
from lakehouse_assets.delta.duck import rows_of_layout
from lakehouse_assets.gold.changes import changes_since_built, describe_changes
from lakehouse_assets.gold.holidays import add_holidays
from lakehouse_assets.gold.models import Model, code_digest, silver_columns
from lakehouse_assets.gold.project import RUN_DATABASE
from lakehouse_assets.gold.publish import create_seeds
from lakehouse_assets.settings import Settings
from lakehouse_assets.systems import catalog
from tests.support.warehouse import Warehouse

FOLLOWING = ("fact_sales", "fact_orders", "sales_performance", "items_category_performance")
READ = ("bridge_customer", "dim_customer", "bridge_product", "dim_product", "dim_channel", "dim_store", "dim_promotion")
LINES = (
    *("crm_sales", "magento_orders", "magento_order_items", "odoo_sale_orders", "odoo_sale_order_lines"),
    *("storefront_orders", "storefront_order_items", "retail_transactions", "orders_events", "finance_exchange_rates"),
)
DAYS = [date(2026, 1, 1) + timedelta(n) for n in range(12)]
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
        # Half of the changes are of lines and orders themselves.
        names = self._chance.choices([*self.rows, *LINES * (len(self.rows) // len(LINES))], k=self._chance.choice([1, 1, 2, 4]))
        for name in dict.fromkeys(names):
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


class Follower:
    """Builds the models whole, and from what has changed, in DuckDB alone: the SQL is dbt's, and so is the text of its macros."""

    def __init__(self, warehouse: Warehouse, manifest: Mapping[str, Any]) -> None:
        self.compiled, self._nodes = warehouse.compiled, {node["name"]: node for node in manifest["nodes"].values()}
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'; ATTACH ':memory:' AS run; CREATE SCHEMA run.live; USE run")
        add_holidays(self._connection, "US", Settings().gold_project.cache)
        self._macros = Macros(manifest, self._connection)
        self.columns = {name: columns for (_, name), columns in silver_columns(manifest).items()}
        self._seeds = Settings().gold_project.seeds(manifest)

        create = "".join(f"CREATE TABLE silver.{n} AS {rows_of_layout([], kinds)};" for n, kinds in self.columns.items())
        self._connection.execute(f"CREATE SCHEMA silver; {create}")

    def load(self, silver: Silver, names: Iterable[str]) -> None:
        """Make these the rows of some silver tables, and build nothing yet."""
        for name in names:
            self._connection.execute(f"TRUNCATE silver.{name}")
            for row in silver[name]:
                marks = ", ".join("?" * len(row))
                self._connection.execute(f"INSERT INTO silver.{name} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        self._connection.execute("DROP SCHEMA IF EXISTS gold CASCADE; DROP SCHEMA IF EXISTS changed CASCADE; CREATE SCHEMA gold")
        create_seeds(self._connection, self._seeds)

    def build_whole(self) -> None:
        """Build all models; those that others read come first."""
        for name in (*READ, *FOLLOWING):
            self._connection.execute(f"DROP VIEW IF EXISTS gold.{name}") if name in FOLLOWING else None
            self._connection.execute(f"CREATE OR REPLACE TABLE gold.{name} AS {self.compiled[name]}")

    def publish(self) -> None:
        """What is built becomes what is live."""
        for name in (*READ, *FOLLOWING):
            self._connection.execute(f"CREATE OR REPLACE TABLE live.{name} AS FROM gold.{name}")

    def follow(self, dates: Mapping[str, set[date]], rebuilt: Collection[str] = READ) -> None:
        """Build the models that follow changes from those; of the others only `rebuilt`, the rest is as it is live."""
        for name in READ:
            source = (
                f"TABLE gold.{name} AS {self.compiled[name]}" if name in rebuilt else f"VIEW gold.{name} AS FROM run.live.{name}"
            )
            self._connection.execute(f"CREATE {source}")
        describe_changes(self._connection, dict.fromkeys(FOLLOWING, dates))
        for name in FOLLOWING:
            node = self._nodes[name]
            self._macros.model = node
            [call] = re.findall(r"\{\{ in_changed_parts\(.*\) \}\}", node["raw_code"])
            condition = self._macros.render(call)
            assert self.compiled[name].count("where true") == 1
            self._connection.execute(
                f"CREATE TABLE changed.{name} AS {self.compiled[name].replace('where true', f'where {condition}')}"
            )
            is_changed = self._macros.render("{{ _in_parts(config.get('meta')['parts'].values() | list) }}")
            self._connection.execute(
                f"CREATE TABLE changed.{name}_dates AS SELECT _date FROM changed.{name} "
                f"UNION SELECT _date FROM live.{name} WHERE {is_changed}"
            )
            self._connection.execute(
                f"CREATE VIEW gold.{name} AS SELECT * FROM live.{name} WHERE NOT coalesce({is_changed}, false) "
                f"UNION ALL BY NAME SELECT * FROM changed.{name}"
            )

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of the models that follow changes, in order."""
        columns = {name: ", ".join(self._nodes[name]["columns"]) for name in FOLLOWING}
        return {n: self._connection.execute(f"SELECT {c} FROM gold.{n} ORDER BY ALL").fetchall() for n, c in columns.items()}

    def computed(self) -> dict[str, set[date]]:
        """The dates of each model of which rows were computed."""
        return {n: {day for (day,) in self._connection.execute(f"FROM changed.{n}_dates").fetchall()} for n in FOLLOWING}


class Returned(Exception):  # noqa: N818 - dbt's `return` ends a macro
    """What a macro returns."""


class Macros:
    """The project's macros, with as much of dbt as they use."""

    def __init__(self, manifest: Mapping[str, Any], connection: duckdb.DuckDBPyConnection) -> None:
        self.model: Mapping[str, Any] = {}
        self._connection = connection
        self._environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)
        names = self._environment.globals
        names |= {
            "execute": True,
            "env_var": lambda name, default="": "run" if name == RUN_DATABASE else default,
            "var": lambda name: CALENDAR[name],
            "ref": lambda name: f"gold.{name}",
            "source": lambda layer, name: f"{layer}.{name}",
            "return": self._return,
            "run_query": self._run_query,
            "config": self,
            "model": self,
            "context": names,
        }
        for macro in manifest["macros"].values():
            if macro["package_name"] == "lakehouse" and not macro["name"].startswith(("materialization", "test_", "default__")):
                names[macro["name"]] = self._macro(macro["name"], macro["macro_sql"])

    @property
    def name(self) -> str:
        return str(self.model["name"])

    def get(self, key: str) -> object:
        return self.model["config"][key]

    def render(self, text: str) -> str:
        return self._environment.from_string(text).render()

    def _return(self, value: object) -> None:
        raise Returned(value)

    def _macro(self, name: str, text: str) -> Callable[..., object]:
        @cache
        def macro() -> Callable[..., str]:
            # Jinja's modules have no names that begin with an underscore. Other macros must be known by now.
            renamed = re.sub(r"macro (\w+)", r"macro the_\1", text, count=1)
            return getattr(self._environment.from_string(renamed).module, f"the_{name}")  # type: ignore[no-any-return]

        def call(*values: object, **named: object) -> object:
            try:
                return macro()(*values, **named)
            except Returned as returned:
                return returned.args[0]

        return call

    def _run_query(self, sql: str) -> "Answer":
        result = self._connection.execute(sql)
        return Answer(result.fetchall() if result.description else [])


class Answer:
    """The rows of a query, as agate has them."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows
        self.columns = [self]

    def __len__(self) -> int:
        return len(self._rows)

    def values(self) -> list[object]:
        return [row[0] for row in self._rows]


CALENDAR = {"calendar_from": "1990-01-01", "calendar_to": "2100-12-31"}


@pytest.fixture(scope="module")
def follower(compiled_project: Warehouse) -> Follower:
    return Follower(compiled_project, Settings().gold_project.manifest())


def sources_of_sales(follower: Follower) -> dict[str, Mapping[str, str]]:
    """The columns of the silver tables from which sales come, directly or through dimensions."""
    models = {model.name: model for model in Settings().gold_project.models()}
    return {s: follower.columns[s] for name in (FOLLOWING[0], *READ) for s in models[name].sources}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 100))])
def test_what_is_computed_from_changes_equals_what_is_built_whole(follower, seed):
    chance = random.Random(seed)
    silver = RandomSilver(sources_of_sales(follower), chance)
    follower.load(silver.rows, silver.rows)
    follower.build_whole()
    for step in range(10):
        follower.publish()
        dates = silver.change()
        follower.load(silver.rows, dates)
        follower.follow(dates)
        followed = follower.rows()
        follower.build_whole()
        assert followed == follower.rows(), (step, dates)


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
