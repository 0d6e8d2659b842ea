"""Sample files through `new-source`, and their rows through the tables that it declares."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import uuid4

from lakehouse_assets.contracts.system import System
from lakehouse_assets.new_source.write import NewSource, new_source
from lakehouse_assets.systems import load_systems

SAMPLES = Path(__file__).parents[1] / "data" / "new_source"

PUBLIC = {
    "shopify": "orders_export.csv",
    "stripe": "balance_transactions.json",
    "dvf": "ValeursFoncieres-2026-S1.txt",
    "tlc": "yellow_tripdata_2026-01.parquet",
}
"""Shapes that public sources document, each a sample of its own: the system, and the file."""


def declared(folder: Path, system: str, *files: str | Path) -> tuple[NewSource, System]:
    """What new-source writes of some files, in a package of its own below a folder, and the system that this declares."""
    package = folder / f"systems_{uuid4().hex[:8]}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    made = new_source(system, [str(file) for file in files], [str(package)])
    [loaded], problems = load_systems([str(package)])
    assert problems == []
    return made, loaded


def csv_bytes(rows: Iterable[Sequence[str | None]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    """Rows as CSV, the header first; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(encoding)


def land_samples(lakehouse, made: NewSource, day: str = "2026-02-02") -> None:
    """Land the sample files that a declaration was made from."""
    for landing, files in made.samples.items():
        for file in files:
            lakehouse.land(landing, day, file.name, file.read_bytes())
