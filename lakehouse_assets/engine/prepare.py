"""Prepares the engine once, at set-up: fetches the jars and makes the archive of loaded classes, which halves the start time.

Without the archive the engine works too, but starts more slowly.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lakehouse_assets.engine.server import ServerConfig, command_for, free_port, port_answers, server_environment
from lakehouse_assets.errors import EngineError

_START_SECONDS = 120
_DUMP_SECONDS = 120


def prepare(config: ServerConfig) -> None:
    """Make the archive of loaded classes: start a server and run typical work on it. Does nothing if the archive exists.

    Raises:
        EngineError: the server does not start.
    """
    if config.archive.exists():
        return
    print("Preparing the Spark engine, once (about half a minute) ...", file=sys.stderr)
    port = free_port()
    archive, token = config.archive, secrets.token_urlsafe(24)
    command = command_for(config, port, dump_archive=True)
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "log")
        with log.open("w") as out:
            java = subprocess.Popen(command, env=server_environment(token), cwd=scratch, stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not port_answers(port):
                if java.poll() is not None or time.monotonic() > deadline:
                    raise EngineError(f"The Spark server did not start: {log.read_text(errors='replace')[-500:].strip()}")
                time.sleep(0.1)
            os.environ["SPARK_CONNECT_AUTHENTICATE_TOKEN"] = token
            _exercise(f"sc://localhost:{port}", Path(scratch))
        finally:
            java.terminate()
            java.wait(_DUMP_SECONDS)
    if not archive.exists():
        print("This Java can't make a class archive: the engine will start more slowly.", file=sys.stderr)


def _exercise(url: str, scratch: Path) -> None:
    """Run the kinds of queries that silver sends to the engine, so that the server loads their classes."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    session = SparkSession.builder.remote(url).create()
    rows = session.range(1000).selectExpr(
        "CAST(id AS STRING) AS id", "DATE '2026-01-01' AS _date", "CAST(id % 7 AS STRING) AS part"
    )
    rows.write.partitionBy("_date").parquet(str(scratch / "raw"))
    raw = session.read.schema("id string, part string").option("recursiveFileLookup", "true").parquet(str(scratch / "raw"))
    raw = raw.selectExpr("*", "CAST(REGEXP_EXTRACT(_metadata.file_path, '_date=([0-9-]+)', 1) AS DATE) AS _date")
    cleaned = raw.where("_date IN (DATE '2026-01-01')").selectExpr(
        "*", "UPPER(TRIM(part)) AS letter", "REPLACE(id, '1', '') AS text"
    )
    judged = cleaned.withColumns({"number": F.expr("TRY_CAST(id AS INT)"), "amount": F.expr("TRY_CAST(id AS DECIMAL(12,2))")})
    placed = judged.selectExpr("*", "ROW_NUMBER() OVER (PARTITION BY part ORDER BY amount DESC NULLS LAST, id DESC) AS place")
    verdicts = placed.selectExpr(
        "*",
        "NULLIF(CONCAT_WS(',', CASE WHEN NOT COALESCE((number > 5), FALSE) THEN 'small' END), '') AS broken",
        "CASE WHEN place = 1 THEN 'ok' ELSE 'no' END AS verdict",
    )
    verdicts.write.partitionBy("verdict", "_date").parquet(str(scratch / "silver"))
    session.stop()
