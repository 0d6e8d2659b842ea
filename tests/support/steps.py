"""What a step does, without Dagster and dbt."""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from pathlib import Path
from uuid import uuid4

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.records import record_partitions
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta.duck import new_connection
from lakehouse_assets.gold.models import Model, model_fingerprint, table_states
from lakehouse_assets.gold.publish import fill_database, model_records, open_tables, publish_model, rows_of_grain
from lakehouse_assets.raw.write import load_partitions
from lakehouse_assets.store.root import Root
from tests.support.declare import feed_of
from tests.support.target import target
from tests.support.writers import pause

RunModels = Callable[[Path, Collection[str]], set[str]]
"""Builds models in a run's database; those that could be built."""


def build_raw(root: Root, entity: SilverTable, start: date, dates: Sequence[date]) -> None:
    """Bring partitions of a raw table up to date."""
    load_partitions(feed_of(entity), target(root, "raw", entity.name, dates), start)


def stand_for_silver(root: Root, entity: SilverTable, start: date, dates: Sequence[date]) -> None:
    """Write what landed into silver as raw would have it."""
    load_partitions(feed_of(entity), target(root, "silver", entity.name, dates), start)


def build_gold(root: Root, models: Sequence[Model], selected: Collection[str], database: Path, run: RunModels) -> None:
    """Build models, as the gold asset does."""
    run_id = uuid4().hex
    read = open_tables(root, models)
    pause("after reading")
    states = table_states(read.records)
    fill_database(database, root, read, selected, {})
    built = run(database, selected)
    published: dict[str, DeltaTable] = {}
    records: list[PartitionRecord] = []
    with new_connection(root) as connection:
        connection.execute(f"ATTACH '{database}' AS run (READ_ONLY); USE run")
        failed = set(selected) - built
        for model in (m for m in models if m.name in built):
            if failed.intersection(model.refs):
                failed.add(model.name)
                continue
            mark = model_fingerprint(model, states, "")
            try:
                table = publish_model(connection, root, model, fingerprint=mark, run_id=run_id).table
            except CommitFailedError:
                failed.add(model.name)
                continue
            arrived = rows_of_grain(connection, model, read.records)
            mine = model_records(
                model,
                table,
                read,
                {("gold", name): upstream for name, upstream in published.items()},
                arrived,
                shared="",
                fingerprint=mark,
                run_id=run_id,
            )
            published[model.name] = table
            records += mine
            states |= table_states({("gold", model.name, r.date): r for r in mine})
    if published:
        record_partitions(root, "gold", published, lambda known: records, run_id)
