"""Many dates in landing, and books that say all of them are built."""

from datetime import date, timedelta

import pyarrow as pa

from lakehouse_assets.books.ledger import LandedFile, PartitionRecord
from lakehouse_assets.books.raw_fingerprint import raw_fingerprint
from lakehouse_assets.books.records import record_partitions
from lakehouse_assets.delta.tables import open_table, replace_rows
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.silver.fingerprints import silver_fingerprints
from lakehouse_assets.systems import catalog
from tests.support.declare import feed_of

FIRST = date(2025, 1, 1)


LOCATIONS, CATEGORIES = [e for e in list(catalog().tables) if e.name in ("erp_customer_locations", "erp_product_categories")]


def land(lakehouse, entity, days, files=1):
    for day in days:
        for number in range(files):
            lakehouse.land(feed_of(entity).landing, str(FIRST + timedelta(days=day)), f"{number}.csv", f"{day}/{number}")


def say_built(lakehouse, *entities):
    """Write a ledger that says of all that lies in landing that raw and silver were built from it."""
    root = lakehouse.settings.root
    for entity in entities:
        files: dict[date, list[LandedFile]] = {}
        for landed in Landing(root).listing(feed_of(entity).landing, FIRST).objects:
            files.setdefault(landed.date, []).append(LandedFile(landed.name, landed.version, landed.version, landed.size, 1, 1))
        raw = [
            PartitionRecord(
                "raw", entity.name, day, len(of_day), len(of_day), 0, 0, 1, "", raw_fingerprint(feed_of(entity), of_day), of_day
            )
            for day, of_day in files.items()
        ]
        silver = [
            PartitionRecord(
                "silver",
                entity.name,
                r.date,
                r.rows_out,
                r.rows_out,
                0,
                0,
                1,
                "",
                silver_fingerprints(entity, {entity.name: {r.date: r}})[r.date],
            )
            for r in raw
        ]
        for records in (raw, silver):
            # Tables of as many files as there are records, so that each record has something to speak of.
            layer = records[0].layer
            rows = pa.table({"_date": pa.array([r.date for r in records], pa.date32()), "_file": [""] * len(records)})
            uri = root.table(layer, entity.name)
            replace_rows(uri, rows, predicate="TRUE", key=layer, run_id="")
            record_partitions(root, layer, {entity.name: open_table(uri)}, lambda known, records=records: records, "")


def settings_from_first(lakehouse):
    """The same settings with the first partition at the first date of these tests."""
    return type(lakehouse.settings)(
        lakehouse_root=lakehouse.settings.lakehouse_root,
        lakehouse_engine=lakehouse.settings.lakehouse_engine,
        lakehouse_start_date=FIRST,
    )
