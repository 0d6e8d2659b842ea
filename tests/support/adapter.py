"""A tiny shop, and all that the state machines know of the package: what they do to it, and how they look at what came of it."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import obstore
from deltalake import DeltaTable

from lakehouse_assets.contracts.contract import Column, Contract, Outcome, Rule
from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.delta.tables import forget_open_tables
from lakehouse_assets.errors import AuditError
from lakehouse_assets.gold.models import Model
from lakehouse_assets.gold.project import GoldProject
from lakehouse_assets.materialization.row_accounts import row_accounts_result
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver.build import build_partitions
from lakehouse_assets.store.root import Root
from lakehouse_assets.upkeep.maintain import maintain
from tests.support import steps
from tests.support.declare import feed_of, one_feed
from tests.support.target import target

START = date(2026, 1, 1)

BAD = {1: {"bad"}, 2: {"bad"}, 3: {"bad", "x"}, 4: {"bad"}}
"""What values break the rule, by the version of the code."""
STRICT = 4
"""The version of the code in which a row that breaks the rule stops its date."""
BROKEN = "broken"
COLUMNS = ("id", "at", "said", "op", "note", "more")


def _take(raw: Any) -> Any:
    return raw.selectExpr("*", "id AS thing_id", "said AS value")


def things(raw_code: int = 1, silver_code: int = 1, table: str = "shop_things") -> SilverTable:
    """An entity as its code has it.

    The second version of raw declares a column more; of silver, the second has a column more, the third a stricter rule too, the
    fourth a rule that stops a date.
    """
    outcome: Outcome = "fail" if silver_code == STRICT else "drop"
    noted = (Column("note", "string", ""),) if silver_code > 1 else ()
    bad = ", ".join(f"'{value}'" for value in sorted(BAD[silver_code]))
    return one_feed(
        landing=f"shop/{table.removeprefix('shop_')}",
        columns=tuple(SourceColumn(name, "") for name in (COLUMNS if raw_code > 1 else COLUMNS[:-1])),
        contract=Contract(
            table=table,
            description="Things",
            owner="team:shop",
            key=("thing_id",),
            mode="upsert",
            sequence="at",
            deleted="op = 'd'",
            columns=(Column("thing_id", "string", ""), Column("at", "int", ""), Column("value", "string", ""), *noted),
            rules=(Rule("value_not_bad", f"value IS NULL OR value NOT IN ({bad})", outcome, "A value is not bad."),),
        ),
        function=_take,
    )


CUSTOMERS, SALES = things(table="shop_customers"), things(table="shop_sales")

SQL = {
    "dim_customer": {
        1: "SELECT id AS customer, md5(id || said) AS key, _date FROM silver.shop_customers",
        2: "SELECT id AS customer, md5(said || id) AS key, _date FROM silver.shop_customers",
    },
    "fact_sales": {
        1: "SELECT s.id, s.said AS customer, c.key, s._date FROM silver.shop_sales s "
        "LEFT JOIN gold.dim_customer c ON c.customer = s.said",
        2: "SELECT s.id, s.said AS customer, upper(c.key) AS key, s._date FROM silver.shop_sales s "
        "LEFT JOIN gold.dim_customer c ON c.customer = s.said",
    },
}


@lru_cache(maxsize=4)
def _settings(folder: Path, start: date) -> Settings:
    return Settings(lakehouse_root=str(folder), lakehouse_engine="sail", lakehouse_start_date=start)


@dataclass
class Shop:
    """A root of its own, and the code as it is now."""

    folder: Path
    session: Callable[[], Any] | None = None
    """The engine's session, where silver is built."""
    tables: list[SilverTable] = field(default_factory=lambda: [things()])
    start: date = START
    sql: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SQL, 1))
    """The version of each model's code; empty where there is no gold."""

    @property
    def root(self) -> Root:
        return self.settings.root

    @property
    def settings(self) -> Settings:
        return _settings(self.folder, self.start)

    # What the world outside does.

    def land(self, entity: SilverTable, day: date, name: str, text: str) -> None:
        obstore.put(self.root.store, f"landing/{feed_of(entity).landing}/{day}/{name}", text.encode())

    def remove(self, entity: SilverTable, day: date, name: str) -> None:
        obstore.delete(self.root.store, f"landing/{feed_of(entity).landing}/{day}/{name}")

    def lose(self, layer: str, table: str) -> None:
        shutil.rmtree(self.folder / layer / table, ignore_errors=True)

    def back_up(self, layer: str, table: str, to: Path) -> bool:
        if not (self.folder / layer / table).exists():
            return False
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder / layer / table, to)
        return True

    def put_back(self, layer: str, table: str, copy: Path) -> None:
        self.lose(layer, table)
        shutil.copytree(copy, self.folder / layer / table)

    def restore(self, layer: str, table: str, back: int) -> None:
        """Delta's own RESTORE, of so many versions before the newest."""
        if self.exists(layer, table):
            opened = DeltaTable(self.root.table(layer, table))
            if (version := opened.version() - back) >= 0 and back:
                opened.restore(version)

    def maintain(self, keep: timedelta) -> None:
        for _ in maintain(self.root, keep):
            pass

    # What the package does.

    def plan(self, *layers: str) -> list[tuple[str, str, tuple[date, ...]]]:
        """What a pass would build in these layers."""
        with self._gold_of_this_shop():
            return [
                (t.layer, t.table, t.dates) for t in make_plan(self.settings, Catalog.from_tables(self.tables)).of_layers(*layers)
            ]

    def build(self, planned: Iterable[tuple[str, str, tuple[date, ...]]]) -> None:
        """Build what is planned, as a pass does."""
        planned = list(planned)
        for entity in self.tables:
            for layer, build in (("raw", self.build_raw), ("silver", self.build_silver)):
                for _, _, dates in (p for p in planned if p[:2] == (layer, entity.name)):
                    build(entity, dates)
        if chosen := [table for layer, table, _ in planned if layer == "gold"]:
            self.build_gold(chosen)

    def build_raw(self, entity: SilverTable, dates: Sequence[date]) -> None:
        """Bring partitions of a raw table up to date."""
        steps.build_raw(self.root, entity, self.start, dates)

    def build_silver(self, entity: SilverTable, dates: Sequence[date]) -> None:
        """Bring partitions of a silver table up to date, but for those that the audit refuses."""
        assert self.session is not None
        with suppress(AuditError):
            build_partitions(entity, self.session, target(self.root, "silver", entity.name, dates))

    def stand_for_silver(self, entity: SilverTable, dates: Sequence[date]) -> None:
        """Write what landed into silver as raw would have it, because gold minds only that silver changes, and this needs no engine."""
        forget_open_tables()
        steps.stand_for_silver(self.root, entity, START, dates)

    def build_gold(self, selected: Collection[str]) -> None:
        """Build models, with DuckDB in the place of dbt."""
        with tempfile.TemporaryDirectory() as folder:
            steps.build_gold(self.root, self.models(), selected, Path(folder, "run.duckdb"), self._run_models)

    def models(self) -> list[Model]:
        """The models as their code is now, in the order in which they are built."""
        reads: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, None], ...]]] = {
            "dim_customer": (("shop_customers",), (), ()),
            "fact_sales": (("shop_sales",), ("dim_customer",), (("shop_sales", None),)),
        }
        return [
            Model(name, "shop", sources, refs, f"{name}/{self.sql[name]}", grain_of, "")
            for name, (sources, refs, grain_of) in reads.items()
            if name in self.sql
        ]

    # What came of it.

    def exists(self, layer: str, table: str) -> bool:
        return DeltaTable.is_deltatable(self.root.table(layer, table))

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """The rows of a table such as `raw.shop_things`; none where there is no table."""
        layer, name = table.split(".")
        if not self.exists(layer, name):
            return []
        return query(self.root, f"SELECT {columns} FROM {table} ORDER BY ALL").fetchall()

    def account_faults(self, layer: str, table: str) -> str | None:
        """What the check `row_accounts` says against a table."""
        forget_open_tables()
        result = row_accounts_result(self.root, layer, table, None)
        return None if result.passed else result.description

    def holes(self) -> list[str]:
        """The files that tables name and that are not there."""
        uris = [str(log.parent) for log in self.folder.glob("*/*/_delta_log")]
        return [file for uri in uris for file in DeltaTable(uri).file_uris() if not Path(file).exists()]

    def _run_models(self, database: Path, selected: Collection[str]) -> set[str]:
        built = set()
        with duckdb.connect(str(database)) as connection:
            for model in (m for m in self.models() if m.name in selected):
                try:
                    connection.execute(f"CREATE TABLE gold.{model.name} AS {SQL[model.name][self.sql[model.name]]}")
                except duckdb.CatalogException:
                    continue  # what it reads is not there yet: dbt would say so and go on
                built.add(model.name)
        return built

    @contextmanager
    def _gold_of_this_shop(self) -> Iterator[None]:
        with patch.object(GoldProject, "models", lambda project: self.models()), patch.object(GoldProject, "shared_digest", ""):
            yield


def csv(rows: Sequence[Mapping[str, object]]) -> str:
    """A file of these rows; those that are `BROKEN` have a cell too many."""
    lines = [",".join(str(row.get(name, "")) for name in (*COLUMNS, *([BROKEN] if BROKEN in row else []))) for row in rows]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"
