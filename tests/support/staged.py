"""What a load of landing files stages, before any commit."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as parquet

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine, quarantine_schema
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.delta.data_files import DataFolder
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.landing.objects import Landing, LandingObject
from lakehouse_assets.raw.load import Landed, load
from lakehouse_assets.raw.stage import Stage, raw_columns
from lakehouse_assets.store.root import Root


def staged(
    root: Root,
    landing: Landing,
    feed: Feed,
    dates: Sequence[date],
    objects: Sequence[LandingObject],
    built: Mapping[date, PartitionRecord],
    hidden: Collection[str] = (),
) -> Landed:
    """Load files without a commit."""
    to = Target(root, "raw", feed.table, dates, uuid4().hex, logging.getLogger("test"))
    folder = DataFolder(root, "raw", feed.table, f"data-{uuid4().hex}")
    with Quarantine(root).adding(to.run_id) as add_rejects:
        return load(landing, objects, dict(built), Stage(feed, to, folder, add_rejects), hidden)


def staged_rows(landed: Landed) -> pa.Table:
    """The rows that a commit would add, with the columns that the table would have."""
    stage = landed.stage
    pieces = [raw_columns(stage.feed, stage.new_columns).empty_table()]
    for file in stage.files:
        rows = parquet.read_table(stage.folder.root.path("raw", stage.feed.table, file.path), partitioning=None)
        assert (rows.num_rows, file.date is not None) == (file.num_records, True)
        pieces.append(rows.append_column("_date", pa.repeat(pa.scalar(file.date, pa.date32()), rows.num_rows)))
    return pa.concat_tables(pieces, promote_options="default")


def staged_rejects(landed: Landed) -> pa.Table:
    """The entries in quarantine that the records of a commit would name."""
    table = open_table(Quarantine(landed.stage.folder.root).uri)
    entries = quarantine_schema().empty_table() if table is None else table.to_pyarrow_table()
    batches = {file.batch for loaded in landed.dates.values() for file in loaded.files if file.batch}
    return entries.filter(pa.compute.is_in(entries["batch"], pa.array(sorted(batches), pa.string())))
