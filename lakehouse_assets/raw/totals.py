"""Control totals: what manifests and trailers say of the number of rows of a delivery."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date

from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.deliveries import Manifest
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.raw.readers.batch import RefusedFileError
from lakehouse_assets.raw.readers.formats import read_rows

Totals = Mapping[str, int | None]
"""By file, its number of rows, None for a file without a trailer. The name "" stands for all files of the date."""

WHOLE_DATE = ""


def to_text(totals: Mapping[str, Totals]) -> str:
    """Return the control totals of a partition, by the file that has them, as the ledger keeps them."""
    return json.dumps(totals, sort_keys=True) if totals else ""


def from_text(text: str) -> dict[str, dict[str, int | None]]:
    """Return the control totals of a partition, by the file that has them."""
    return json.loads(text) if text else {}


def read_manifest(pieces: Iterable[bytes], feed: Feed, name: str, size: int, day: date) -> Totals:
    """Return the control totals of a manifest.

    Raises:
        RefusedFileError: it can't be read, or a row is not a file's name and a number of rows. No part of it counts then.
    """
    manifest = feed.totals
    assert isinstance(manifest, Manifest), "the feed has manifests"
    totals: dict[str, int | None] = {}
    for batch in read_rows(pieces, feed.of_manifests(manifest), name, size, day):
        for reject in batch.rejects.slice(0, 1).to_pylist():
            raise _refused(f"row {reject['row_number']} can't be read: {reject['reason']}", str(reject["payload"]))
        for row in batch.rows.to_pylist():
            file = WHOLE_DATE if manifest.file is None else (row[snake_case(manifest.file)] or "").strip()
            rows = (row[snake_case(manifest.rows)] or "").strip()
            if manifest.file is not None and not file:
                raise _refused("a row names no file", str(row))
            if not re.fullmatch("[0-9]{1,18}", rows):
                raise _refused(f"{rows!r} is not a number of rows", str(row))
            if file in totals:
                raise _refused(f"{file!r} is listed twice" if file else "it has more than one row", str(row))
            totals[file] = int(rows)
    return totals


def _refused(reason: str, payload: str) -> RefusedFileError:
    return RefusedFileError("manifest_has_totals", f"{reason}: have the manifest sent again", [payload])
