"""The steps as they were before the books were held against the tables: for `git worktree add ../before 64bf345`, not for this code.

The machines find there what they are to find, so they look at the right things.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from pathlib import Path
from uuid import uuid4

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.gold.models import Model, due_fingerprints, silver_versions
from lakehouse_assets.gold.publish import fill_database, model_records, publish_model, record_models
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.raw.load import load
from lakehouse_assets.raw.publish import LandedRowsHandler
from lakehouse_assets.storage.duck import separate
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord
from lakehouse_assets.storage.root import Root
from tests.support.target import LOG, target
from tests.support.writers import pause


def build_raw(root: Root, entity: Entity, start: date, dates: Sequence[date]) -> None:
    """Bring partitions of a raw table up to date."""
    _load("raw", root, entity, start, dates)


def stand_for_silver(root: Root, entity: Entity, start: date, dates: Sequence[date]) -> None:
    """Write what landed into silver as raw would have it."""
    _load("silver", root, entity, start, dates)


def _load(layer: str, root: Root, entity: Entity, start: date, dates: Sequence[date]) -> None:
    landing = Landing(root)
    objects = landing.listing(entity.landing, start, dates).objects
    built = {key[2]: record for key, record in Ledger(root).read(layer, entity.table).items()}
    LandedRowsHandler().write(load(entity, landing, objects, built, dates, LOG), target(root, layer, entity.table, dates))


def build_gold(
    root: Root,
    models: Sequence[Model],
    selected: Collection[str],
    database: Path,
    run: Callable[[Path, Collection[str]], set[str]],
) -> None:
    """Build models, as the gold asset did."""
    run_id, records = uuid4().hex, Ledger(root).read()
    due = due_fingerprints(models, silver_versions(records), "")
    fill_database(database, root, models, selected)
    pause("after reading")
    built = run(database, selected)
    standing: list[PartitionRecord] = []
    with separate(root) as connection:
        connection.execute(f"ATTACH '{database}' AS run (READ_ONLY); USE run")
        for model in (m for m in models if m.name in built):
            mark = due[model.name]
            _, facts = publish_model(connection, root, model, fingerprint=mark, run_id=run_id, description="")
            standing += model_records(model, facts, records, fingerprint=mark, run_id=run_id)
    record_models(root, standing, run_id=run_id)
