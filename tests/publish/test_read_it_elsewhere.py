"""The snippets of docs/read-it-elsewhere.md, run as they stand there."""

import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import duckdb
import duckdb_extension_avro
import duckdb_extension_iceberg
import pytest
from pydantic import SecretStr

from lakehouse_assets.publish.iceberg import EMBEDDED, Iceberg
from lakehouse_assets.publish.postgres import Postgres, PostgresConfig
from lakehouse_assets.services.programs import find_program
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.root import Root
from tests.support.database import PASSWORD
from tests.support.served import DAY1, DAY2, SALES, sales, write

PAGE = (Path(__file__).parents[2] / "docs" / "read-it-elsewhere.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = [(1, Decimal(1)), (2, Decimal(1)), (3, Decimal(7))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    root = Root.parse(str(tmp_path_factory.mktemp("elsewhere") / "lakehouse"))
    write(root, SALES, sales(DAY1, [1, 2]))
    write(root, SALES, sales(DAY2, [3], amount=7))
    list(Iceberg(EMBEDDED, root, Path(root.uri, "iceberg", "catalog.db"), (SALES,)).publish(root, (SALES,), "run"))
    return root.uri


def rows_of(snippet: str, folder: str, **given) -> list[tuple]:
    names = dict(given)
    exec(snippet.replace("/data/lakehouse", folder), names)
    return names["rows"]


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if "spark" not in s], ids=lambda s: s.split()[1].strip())
def test_python(snippet, folder, tmp_path, monkeypatch):
    # The extensions as the machine has them: nothing is downloaded.
    connection = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda: connection(config={"extension_directory": str(tmp_path)}))
    for package in (duckdb_extension_avro, duckdb_extension_iceberg):
        (file,) = Path(package.__file__).parent.rglob("*.duckdb_extension")
        with duckdb.connect() as installing:
            installing.execute(f"INSTALL '{file}'")
    assert rows_of(snippet, folder) == ROWS


@pytest.mark.worlds("spark-folder")
def test_spark(spark, folder):
    (snippet,) = (s for s in SNIPPETS if "spark" in s)
    try:
        assert rows_of(snippet, folder, spark=spark) == ROWS
    finally:
        spark.sql("DROP TABLE IF EXISTS gold.fact_sales")


def test_psql(folder, database):
    root = Root.parse(folder)
    list(Postgres(PostgresConfig(database.url, SecretStr(PASSWORD), "lakehouse_reader"), (SALES,)).publish(root, (SALES,), "run"))
    installed = (Settings().cache_folder / "programs").rglob("psql")
    psql = find_program("psql", *Path("/usr/lib/postgresql").glob("*/bin"), *(file.parent for file in installed))
    if psql is None:
        pytest.skip("there is no psql")
    (sql,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    command = [str(psql), "--no-psqlrc", "--tuples-only", "--no-align", database.url, "--command", sql]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PGPASSWORD": PASSWORD})
    assert done.stdout.split() == ["1|1.00", "2|1.00", "3|7.00"], done.stderr
