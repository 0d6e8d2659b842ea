"""Random arrivals at a table of things, in either mode, and what plain Python says of it."""

import random
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb
import obstore
import pytest

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta import tables
from lakehouse_assets.delta.duck import enable_s3
from lakehouse_assets.gold.models import Model
from tests.support.declare import feed_of, one_feed
from tests.support.lakehouse import Lakehouse
from tests.support.oracle import Row, expected
from tests.support.steps import build_gold

DATES = [date(2026, 1, 1) + timedelta(days=n) for n in range(5)]


FILES = ("a.csv", "b.csv", "c.csv", "d.csv", "e.csv", "f.csv")
"""So many that what comes to a built date is often a file that it had not."""


KEYS = 60


def take(raw):
    return raw.selectExpr("*", "id AS thing_id", "changed AS at", "said AS value")


def entity(mode: str, name: str = "things", split_by: str | None = None) -> SilverTable:
    return one_feed(
        landing=f"shop/{name}",
        columns=tuple(SourceColumn(column, "") for column in ("id", "changed", "said", "op", "sent")),
        contract=Contract(
            table=f"shop_{name}",
            description="Things",
            owner="team:shop",
            key=("thing_id",),
            mode=mode,
            sequence="at",
            deleted=None if mode == "snapshot" else "op = 'd'",
            split_by=split_by,
            columns=(Column("thing_id", "string", ""), Column("at", "int", ""), Column("value", "string", "")),
            rules=(
                Rule("value_not_bad", "value IS NULL OR value <> 'bad'", "drop", "A value is not bad."),
                Rule("value_not_fatal", "value IS NULL OR value <> 'fatal'", "fail", "A value is not fatal."),
            ),
        ),
        function=take,
    )


class Killed(BaseException):
    """Ends a step where a kill would."""


@dataclass
class Shop:
    """Lands random files and builds random ranges; knows what each partition was last built from."""

    lakehouse: Lakehouse
    entity: SilverTable
    random: random.Random
    fatal: float = 0.05
    """How often, of a hundred rows, one keeps its date from being published."""
    landed: dict[tuple[date, str], list[Row]] = field(default_factory=dict)
    built: dict[date, list[Row]] = field(default_factory=dict)
    unsure: set[date] = field(default_factory=set)
    """Dates of a killed step: what stands of them is known once they are built again."""

    def arrive(self) -> None:
        day, name = self.random.choice(DATES), self.random.choice(FILES)
        action = self.random.choices(("new", "fewer", "vanish"), (6, 2, 2))[0]
        there = self.landed.get((day, name), [])
        if action == "vanish" and there:
            del self.landed[day, name]
            self.lakehouse.remove(feed_of(self.entity).landing, day.isoformat(), name)
            return
        if action == "fewer" and there:
            values = [(r.key, r.at, r.value, r.deletes) for r in there if self.random.random() < 0.6]
        else:
            values = [self._values() for _ in range(self.random.randint(0, 2 * KEYS))]
        self.landed[day, name] = [Row(*v, day.isoformat(), name, line) for line, v in enumerate(values, start=2)]
        lines = [
            f"{k or ''},{'' if at is None else at},{'' if v is None else v},{'d' if d else 'u'},{name}" for k, at, v, d in values
        ]
        self.lakehouse.land(
            feed_of(self.entity).landing, day.isoformat(), name, "\n".join(["id,changed,said,op,sent", *lines]) + "\n"
        )

    def _values(self) -> tuple[str | None, int | None, str | None, bool]:
        key = None if self.random.random() < 0.02 else f"k{self.random.randrange(KEYS)}"
        at = None if self.random.random() < 0.1 else self.random.randrange(8)
        value = self.random.choices(("x", "y", "z", None, "bad", "fatal"), (30, 30, 30, 7, 3, self.fatal))[0]
        return key, at, value, self.random.random() < 0.2 and self.entity.contract.deleted is not None

    def build(self, dates: list[date]) -> None:
        refused = self.lakehouse.materialize(self.entity, dates) or ""
        for day in dates:
            rows = [row for (of, _), result in sorted(self.landed.items()) for row in result if of == day]
            # Files that never were leave no raw partition; what is refused stays as it was.
            if day.isoformat() not in refused:
                self.built[day] = rows
                self.unsure.discard(day)

    def killed_build(self, dates: list[date], monkeypatch: pytest.MonkeyPatch) -> None:
        """Build, but end at a random write."""
        left = self.random.randint(1, 14)

        def dying(function):
            def call(*args, **kwargs):
                nonlocal left
                left -= 1
                if left == 0 and before:
                    raise Killed
                result = function(*args, **kwargs)
                if left == 0:
                    raise Killed
                return result

            before = self.random.random() < 0.5
            return call

        with monkeypatch.context() as patch:
            patch.setattr(tables, "write_deltalake", dying(tables.write_deltalake))
            patch.setattr(obstore, "put", dying(obstore.put))
            patch.setattr(tables.DeltaTable, "create_write_transaction", dying(tables.DeltaTable.create_write_transaction))
            try:
                self.build(dates)
            except Killed:
                self.unsure |= set(dates)

    def check_gold(self) -> None:
        """Publish gold of what silver has now, and compare it with gold built from nothing."""
        root, silver = self.lakehouse.settings.root, f"silver.{self.entity.name}"
        if tables.open_table(root.table("silver", self.entity.name)) is None:
            return  # the first build was killed before it made the table
        models = [
            Model("dim_thing", "shop", (self.entity.name,), (), "1", (), ""),
            Model("values_of_things", "shop", (), ("dim_thing",), "1", (), ""),
        ]
        sql = {
            "dim_thing": f'SELECT thing_id, "at", value, _date FROM {silver}',
            "values_of_things": "SELECT value, count(*) AS things, max(_date) AS _date FROM gold.dim_thing GROUP BY ALL",
        }

        def run(database: Path, selected: Collection[str]) -> set[str]:
            with duckdb.connect(str(database)) as connection:
                enable_s3(connection, root)
                for name, query in sql.items():
                    connection.execute(f"CREATE TABLE gold.{name} AS {query}")
            return set(selected)

        with tempfile.TemporaryDirectory() as folder:
            build_gold(root, models, list(sql), Path(folder, "run.duckdb"), run)
        for name, query in sql.items():
            from_nothing = query.replace("gold.dim_thing", f"({sql['dim_thing']})")
            assert self.lakehouse.rows(f"gold.{name}") == self.lakehouse.rows(f"({from_nothing})")

    def check(self) -> None:
        table, mode = self.entity.name, self.entity.contract.mode
        wanted = expected((row for rows in self.built.values() for row in rows), mode)
        until = "valid_to" if mode == "history" else "NULL"
        rows = self.lakehouse.rows(
            f"silver.{table}", f'_date, _source_file, _row_number, thing_id, "at", value, {until} AS until'
        )
        standing = {(str(r["_date"]), r["_source_file"], r["_row_number"]): tuple(r.values())[3:] for r in rows}
        assert standing == wanted.standing
        if mode == "history":
            wrong = 'valid_from IS DISTINCT FROM "at" OR is_current IS DISTINCT FROM (valid_to IS NULL)'
            assert self.lakehouse.rows(f"(FROM silver.{table} WHERE {wrong})") == []
        for key, record in self.lakehouse.records("silver", table).items():
            if key[2] in self.built and not record.is_unverified:
                day = key[2].isoformat()
                assert record.adds_up, record
                assert record.rows_in == len(self.built[key[2]])
                assert record.rows_superseded == wanted.superseded.get(day, 0), record
                assert record.rows_quarantined == wanted.quarantined.get(day, 0), record
