"""Raw assets: one per feed, made from its declaration."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from lakehouse_assets.books.raw_fingerprint import READER_VERSION
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.hooks.partition_status import show_as_built
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.materialization.partitions import table_pool
from lakehouse_assets.materialization.presentation import (
    column_lineage,
    docs_metadata,
    format_kinds,
    quarantine_metadata,
    raw_schema,
    table_metadata,
)
from lakehouse_assets.materialization.reporting import report, step_target
from lakehouse_assets.materialization.run_book import RunBook
from lakehouse_assets.raw.write import load_partitions
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root

_FILES_SHOWN = 50


def raw_asset(
    feed: Feed,
    readers: Sequence[SilverTable],
    *,
    root: Root,
    start: date,
    partitions: dg.PartitionsDefinition[str],
    docs_url: str | None,
) -> dg.AssetsDefinition:
    """Make the asset `raw/<feed>`: partition d holds the rows of the landing files dated d, all text.

    `readers` are the silver tables built from the feed.
    """
    description = " ".join(
        [
            f"Rows of `landing/{feed.landing}/<date>/` as the files give them, all text.",
            *(t.contract.description for t in readers),
        ]
    )

    lineage = column_lineage({name: [("landing", feed.table, name)] for name in feed.column_names})

    @dg.asset(
        key=["raw", feed.table],
        deps=[dg.AssetKey(["landing", feed.table])],
        group_name=f"raw_{feed.system}",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=table_pool("raw", feed.table),
        kinds={"deltalake", *format_kinds(feed)},
        owners=list(dict.fromkeys(table.contract.owner for table in readers)),
        tags={"layer": "raw", "system": feed.system},
        code_version=f"{READER_VERSION}-{feed.digest()}",
        description=description,
        metadata={
            "dagster/column_schema": raw_schema(feed),
            "dagster/partition_expr": DATE_COLUMN,
            "dagster/storage_kind": "deltalake",
            **docs_metadata(feed.table, docs_url),
            **quarantine_metadata("raw", feed.table),
        },
    )
    @Unquoted(root)
    def _raw(context: dg.AssetExecutionContext, run_book: dg.ResourceParam[RunBook]) -> None:
        target = step_target(context, root, layer="raw", name=feed.table, description=description)
        with run_book.noting("raw", feed.table) as noted:
            written = load_partitions(feed, target, start)
            report(context, target, written, noted, lineage)
        if written.files:
            context.log_event(dg.AssetObservation(dg.AssetKey(["landing", feed.table]), metadata=_landed(written.files)))
        _show_empty_dates(context.instance, feed, readers, partitions, root, start)

    return _raw


def _landed(files: Sequence[tuple[date, str, int, int]]) -> dict[str, Any]:
    """Return what the UI shows of landing files, the newest dates first."""
    newest = sorted(files, key=lambda file: file[0], reverse=True)[:_FILES_SHOWN]
    return {
        "bytes": sum(size for _, _, size, _ in files),
        **table_metadata("files", ("date", "file", "bytes", "rows"), newest, len(files)),
    }


def _show_empty_dates(
    instance: dg.DagsterInstance,
    feed: Feed,
    readers: Sequence[SilverTable],
    partitions: dg.PartitionsDefinition[str],
    root: Root,
    start: date,
) -> None:
    """Show partitions without a landing folder as built in the UI, for the feed and its readers."""
    landing = Landing(root)
    days = {start + timedelta(days=n) for n in range((datetime.now(UTC).date() - start).days + 1)}
    empty = {f.table: days.difference(landing.dates(f.landing, start)) for f in (feed, *(f for t in readers for f in t.feeds))}
    show_as_built(instance, dg.AssetKey(["raw", feed.table]), partitions, sorted(empty[feed.table]))
    for table in readers:
        empty_dates = days.intersection(*(empty[f.table] for f in table.feeds))
        show_as_built(instance, dg.AssetKey(["silver", table.name]), partitions, sorted(empty_dates))
