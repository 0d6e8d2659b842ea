"""The dbt project: its folders, its environment variables, and its manifest, which dbt parses again if a file has changed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

from lakehouse_assets.bundled import bundled, is_installed
from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.provenance import DATE_COLUMN, IN_SILVER, PROVENANCE, ProvenanceColumn
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.contracts.types import in_duckdb
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.files import whole_folder, write_whole
from lakehouse_assets.gold.dbt_ahead import executable
from lakehouse_assets.gold.holidays import DEFAULT_COUNTRIES, country_codes, rows_depend_on
from lakehouse_assets.gold.models import Columns, Model, Seed, project_digest, read_models, read_seeds, shared_digest

RUN_DATABASE = "LAKEHOUSE_GOLD_DATABASE"
"""The environment variable that gives dbt's process the path of the run's database file."""

RUN_ROOT = "LAKEHOUSE_GOLD_ROOT"
"""The environment variable that gives dbt's process the URI of the root."""

RUN_TIMEZONE = "LAKEHOUSE_GOLD_TIMEZONE"
"""The environment variable that gives dbt's process the time zone of the business day."""

RUN_START = "LAKEHOUSE_GOLD_START_DATE"
"""The environment variable that gives dbt's process the first date of the partitions."""

RUN_COUNTRIES = "LAKEHOUSE_GOLD_HOLIDAY_COUNTRY"
"""The environment variable that gives dbt's process the countries whose public holidays it needs."""

RUN_CACHE = "LAKEHOUSE_GOLD_CACHE"
"""The environment variable that gives dbt's process the folder in which it keeps what takes time to make."""

PACKAGE = "LAKEHOUSE_DBT_PACKAGE"
"""The environment variable that gives the `packages.yml` of a user's project the path of the lakehouse's own project."""


@dataclass(frozen=True)
class GoldProject:
    """A dbt project: the lakehouse's own (`package`), or a user's, which may list the lakehouse's as a dbt package.

    `timezone` is that of the business day; `start` is the first date of the partitions, at which the unknown members stand. Of the
    countries whose public holidays the models know, the first is that of the business. `cache` is a folder that may be deleted.
    """

    folder: Path
    package: Path
    timezone: str = "UTC"
    start: date = date(2026, 1, 1)
    holiday_countries: str = DEFAULT_COUNTRIES
    cache: Path = Path("~/.cache/lakehouse")

    def manifest(self) -> Mapping[str, Any]:
        """Return dbt's manifest of the current project. dbt parses the project only if a file has changed since the last time.

        Raises:
            LakehouseError: dbt can't parse the project; the message is dbt's.
        """
        os.environ[PACKAGE] = str(self.package)  # both this process and child processes may run dbt
        return _manifest(self, " ".join(map(project_digest, self.folders)))

    def models(self) -> list[Model]:
        """Return the models of the current project, each after those that it reads; raises as `manifest` does."""
        return self.models_of(self.manifest())

    def models_of(self, manifest: Mapping[str, Any]) -> list[Model]:
        """Return the models of a manifest of the project, each after those that it reads."""
        return read_models(manifest, self.timezone, rows_depend_on(self.holiday_countries))

    def seeds(self, manifest: Mapping[str, Any]) -> list[Seed]:
        """Return the seeds of the project and of its package."""
        return read_seeds(manifest, {_project_name(folder): folder for folder in self.folders})

    @property
    def shared_digest(self) -> str:
        """A hash of what any model may depend on, and the start date."""
        return " ".join([*map(shared_digest, self.folders), self.start.isoformat()])

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that give dbt's process the settings on which rows depend."""
        return {
            RUN_TIMEZONE: self.timezone,
            RUN_START: self.start.isoformat(),
            RUN_COUNTRIES: ",".join(country_codes(self.holiday_countries)),
            RUN_CACHE: str(self.cache.expanduser().absolute()),
        }

    @property
    def folders(self) -> list[Path]:
        """The project's own folder, and that of the package if the project lists one."""
        return [self.folder, self.package] if self._has_packages and self.folder != self.package else [self.folder]

    def add_sources(self, catalog: Catalog) -> None:
        """Bring `models/sources.yml` up to date with the silver tables of the catalog.

        A table that the catalog lacks stays listed, because other settings may declare it; `write_sources` removes it.
        """
        file, wanted = self.folder / _SOURCES, _sources(catalog)
        text = file.read_text() if file.exists() else ""
        if {name: table["config"]["meta"]["contract"] for name, table in wanted.items()}.items() <= dict(
            _LISTED.findall(text)
        ).items():
            return
        import yaml

        listed = yaml.safe_load(text)["sources"][0]["tables"] if text else []
        # If the project is read-only, dbt reports a missing source once a model reads the new table.
        with suppress(PermissionError):
            self._write_sources({table["name"]: table for table in listed} | wanted)

    def write_sources(self, catalog: Catalog) -> None:
        """Write `models/sources.yml` with exactly the silver tables of the catalog."""
        self._write_sources(_sources(catalog))

    def _write_sources(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        write_whole(self.folder / _SOURCES, sources_page(tables))

    @property
    def _target(self) -> Path:
        """The folder in which dbt keeps the parsed project."""
        return self.folder / "target"

    @property
    def _parsed(self) -> Path:
        """The manifest and the digest of the project from which it was parsed.

        dbt's own `manifest.json` does not serve: each dbt command writes it, in place, while other processes read it.
        """
        return self._target / "parsed.json"

    @property
    def _has_packages(self) -> bool:
        return (self.folder / "packages.yml").exists()

    def _parse(self) -> Mapping[str, Any]:
        if self._has_packages:
            self._run_dbt("deps")
        self._target.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="parse-", dir=self._target) as folder:
            with suppress(FileNotFoundError):  # what dbt need not parse again
                shutil.copy(self._target / _PARTIAL, folder)
            self._run_dbt("parse", "--target-path", folder)
            Path(folder, _PARTIAL).replace(self._target / _PARTIAL)
            parsed: Mapping[str, Any] = json.loads(Path(folder, "manifest.json").read_text())
        return parsed

    def _run_dbt(self, *arguments: str) -> None:
        command = [executable("dbt"), "--quiet", "--no-version-check", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            output = (done.stdout + done.stderr).strip()
            raise LakehouseError(f"dbt {arguments[0]} failed for the project in {self.folder}: {output}")


def built_in_folder(cache: Path) -> Path:
    """The folder of the bundled dbt project. dbt writes into it, so for an installed package this is a copy in `cache`."""
    folder = bundled("dbt_project")
    if not is_installed():
        return folder
    copy = cache / "dbt" / f"lakehouse-{project_digest(folder)}"
    if not copy.exists():
        with whole_folder(copy) as unfinished:
            shutil.copytree(folder, unfinished)
    return copy


_SOURCES = Path("models", "sources.yml")

_PARTIAL = "partial_parse.msgpack"
"""What dbt keeps of the files that it has parsed."""


def _project_name(folder: Path) -> str:
    """Return the name of the dbt project in a folder."""
    match = re.search(r"^name: *[\"']?(\w+)", (folder / "dbt_project.yml").read_text(), re.MULTILINE)
    return match[1] if match else ""


_LISTED = re.compile(r"^ *- name: (\w+)\n +config:\n +meta: \{contract: (\w+)\}$", re.MULTILINE)
"""The tables in `sources.yml`, each with the digest of what is listed of it."""


def _sources(catalog: Catalog) -> dict[str, dict[str, Any]]:
    return {table.name: _source(table.contract) for table in catalog.tables}


def _source(contract: Contract) -> dict[str, Any]:
    """Return what `sources.yml` lists of a silver table: its columns have DuckDB's types."""
    listed: list[Column | ProvenanceColumn] = [*contract.table_columns, *(PROVENANCE[name] for name in IN_SILVER)]
    columns = [{"name": c.name, "description": c.description, "data_type": in_duckdb(c.type).lower()} for c in listed]
    freshness = _freshness(contract.freshness) if contract.freshness else {}
    digest = hashlib.sha256(repr((contract.description, columns, freshness)).encode()).hexdigest()[:16]
    # A digest of digits alone would be a number.
    config = {"meta": {"contract": f"c{digest}"}, **freshness}
    return {"name": contract.table, "config": config, "description": contract.description, "columns": columns}


def _freshness(allowed: timedelta) -> dict[str, Any]:
    """Return what `dbt source freshness` is to say of a table: a warning once it is older than allowed, an error at twice that age."""
    hours = max(1, round(allowed / timedelta(hours=1)))
    count, period = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    ages = {f"{what}_after": {"count": times * count, "period": period} for what, times in (("warn", 1), ("error", 2))}
    return {"freshness": ages}


def silver_layout(catalog: Catalog) -> Columns:
    """Return the columns of each silver table as the contracts have them."""
    return {
        ("silver", name): {column["name"]: column["data_type"] for column in source["columns"]}
        for name, source in _sources(catalog).items()
    }


def sources_page(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of `models/sources.yml` for silver tables by name."""
    source = {
        "name": "silver",
        "description": "Silver tables as they are when the run begins.",
        "database": "run",
        "schema": "silver",
        # A landing date ends with its day.
        "loader": "lakehouse",
        "config": {"loaded_at_field": f"cast({DATE_COLUMN} + 1 as timestamp)"},
        "tables": [dict(tables[name]) for name in sorted(tables)],
    }
    import yaml

    text = yaml.safe_dump(
        {"version": 2, "sources": [source]}, sort_keys=False, allow_unicode=True, width=130, default_flow_style=None
    )
    return f"# Written from the contracts, by `make docs` or once a new silver table is declared.\n{text}"


@cache
def _manifest(project: GoldProject, digest: str) -> Mapping[str, Any]:
    with suppress(FileNotFoundError):
        stored = json.loads(project._parsed.read_text())
        if stored["digest"] == digest:
            return cast("Mapping[str, Any]", stored["manifest"])
    manifest = project._parse()
    write_whole(project._parsed, json.dumps({"digest": digest, "manifest": manifest}))
    return manifest
