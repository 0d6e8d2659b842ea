"""The models as dbt compiles them, over hand-made silver rows: DuckDB alone runs them."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from lakehouse_assets.delta.duck import rows_of_layout
from lakehouse_assets.gold.dbt_ahead import executable
from lakehouse_assets.gold.holidays import add_holidays
from lakehouse_assets.gold.models import Seed, read_models, silver_columns
from lakehouse_assets.gold.project import RUN_DATABASE, GoldProject
from lakehouse_assets.gold.publish import create_seeds

LANDED = date(2026, 1, 31)
"""The landing date of rows that name none."""

Sql = Callable[[str], list[tuple[Any, ...]]]


class Warehouse:
    """A database `run` with all silver tables and seeds, and each gold model that a query names."""

    def __init__(self, project: GoldProject, target: Path) -> None:
        manifest = project.manifest()
        self._silver = {name: columns for (_, name), columns in silver_columns(manifest).items()}
        self._models = {model.name: model for model in read_models(manifest)}
        self._seeds: list[Seed] = project.seeds(manifest)
        self.compiled = self._compile(project, target)
        """The SQL of each model and test, by name."""
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; ATTACH ':memory:' AS run; CREATE SCHEMA run.gold")
        add_holidays(self.connection, project.holiday_countries, project.cache)
        self._create_silver(self.connection)
        self.connection.execute("USE run")
        create_seeds(self.connection, self._seeds)
        self._filled: list[str] = []

    def _compile(self, project: GoldProject, target: Path) -> dict[str, str]:
        subprocess.run(
            [executable("dbt"), "--quiet", "--no-version-check", "compile", "--target-path", str(target)],
            cwd=project.folder,
            env={**os.environ, RUN_DATABASE: str(target / "run.duckdb")},
            check=True,
            timeout=120,
        )
        return {file.stem: file.read_text() for file in Path(target, "compiled/lakehouse").rglob("*.sql")}

    def _create_silver(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE SCHEMA run.silver")
        for name, columns in self._silver.items():
            connection.execute(f"CREATE TABLE run.silver.{name} AS {rows_of_layout([], columns)}")

    def build(self, **silver: list[Mapping[str, Any]]) -> Sql:
        """Replace the rows of all silver tables; returns a function that runs a query over them and the models that it names."""
        for name in self._filled:
            self.connection.execute(f"TRUNCATE run.silver.{name}")
        self._filled = list(silver)
        for name, rows in silver.items():
            for row in ({"_date": LANDED, **row} for row in rows):
                places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
                values = list(row.values())
                self.connection.execute(f"INSERT INTO run.silver.{name} ({', '.join(row)}) VALUES ({places})", values)
        built: set[str] = set()

        def sql(text: str) -> list[tuple[Any, ...]]:
            for name in dict.fromkeys(re.findall(r"gold\W{1,3}(\w+)", text)):
                self._build(name, built)
            return self.connection.execute(text).fetchall()

        return sql

    def _build(self, name: str, built: set[str]) -> None:
        """Build a model and those that it reads, unless they are built."""
        if name in built or name not in self._models:
            return
        for ref in self._models[name].refs:
            self._build(ref, built)
        self.connection.execute(f"CREATE OR REPLACE TABLE run.gold.{name} AS {self.compiled[name]}")
        built.add(name)
