"""The code location: every asset, check, job, schedule, sensor and resource of the lakehouse.

Dagster loads `defs`. Tests call `build_definitions` with their own settings.
"""

import warnings
from functools import partial
from typing import Any

import dagster as dg

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.handlers import SparkHandler, arrow_handlers
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.gold.assets import gold_assets
from lakehouse_assets.gold.dbt import dbt_resource
from lakehouse_assets.gold.models import read_models
from lakehouse_assets.hooks.load_error import load_error
from lakehouse_assets.landing.assets import drained_asset, landing_asset, landing_spec
from lakehouse_assets.materialization.io_manager import DeltaIOManager
from lakehouse_assets.materialization.partitions import daily_partitions
from lakehouse_assets.materialization.row_accounts import row_accounts_check
from lakehouse_assets.materialization.run_book import RUN_BOOK, run_book
from lakehouse_assets.orchestration.alerts import alerts_sensors
from lakehouse_assets.orchestration.drains import drain_feed, drain_sensors
from lakehouse_assets.orchestration.jobs import lakehouse_jobs
from lakehouse_assets.orchestration.schedules import poll_schedules
from lakehouse_assets.orchestration.sensors import lakehouse_sensors
from lakehouse_assets.publish.assets import publish_assets
from lakehouse_assets.raw.assets import raw_asset
from lakehouse_assets.raw.checks import arrivals_check
from lakehouse_assets.settings import Settings, load_catalog, load_settings
from lakehouse_assets.silver.assets import silver_asset
from lakehouse_assets.silver.checks import silver_checks
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import s3_settings


def build_definitions(settings: Settings, *, catalog: Catalog | None = None, engine: Engine | None = None) -> dg.Definitions:
    """Return the definitions for the given settings. `catalog` and `engine`, if given, replace those of the settings."""
    # A run over a range needs a backfill policy, and the UI's links to code their classes, which Dagster marks as beta. The docs say
    # so; no warning at each start.
    warnings.filterwarnings(
        "ignore", message="Parameter `backfill_policy`|Class `(LocalFileCodeReference|CodeReferencesMetadata)"
    )
    root, start, docs_url = settings.root, settings.lakehouse_start_date, settings.lakehouse_docs_url
    catalog = catalog or load_catalog(settings)
    engine = engine or Engine(settings.engine_config)
    partitions = daily_partitions(start)
    project = settings.gold_project
    manifest = project.manifest()
    targets = settings.targets(catalog)
    facts = [model for model in read_models(manifest) if model.grain_of]
    return dg.Definitions(
        assets=[
            *(
                landing_asset(feed, feed.poll, root=root, owners=catalog.owners(feed), docs_url=docs_url)
                for feed in catalog.feeds
                if feed.poll
            ),
            *(
                landing_spec(feed, owners=catalog.owners(feed), docs_url=docs_url)
                for feed in catalog.feeds
                if not feed.poll and not feed.topic
            ),
            *(
                drained_asset(
                    feed,
                    feed.topic,
                    partial(drain_feed, settings, catalog, feed),
                    root=root,
                    owners=catalog.owners(feed),
                    docs_url=docs_url,
                )
                for feed in catalog.feeds
                if feed.topic
            ),
            *(
                raw_asset(feed, catalog.readers(feed), root=root, start=start, partitions=partitions, docs_url=docs_url)
                for feed in catalog.feeds
            ),
            *(
                silver_asset(table, engine.session, engine=engine.name, root=root, partitions=partitions, docs_url=docs_url)
                for table in catalog.tables
            ),
            gold_assets(root=root, project=project, manifest=manifest, partitions=partitions, docs_url=docs_url),
            *(publish_assets(target, root=root, docs_url=docs_url) for target in targets),
        ],
        asset_checks=[
            *(row_accounts_check(root, "raw", feed.table) for feed in catalog.feeds),
            *(
                arrivals_check(feed, root, start, settings.lakehouse_timezone)
                for feed in catalog.feeds
                if feed.due or feed.totals
            ),
            *(check for table in catalog.tables for check in silver_checks(table, root)),
            *(row_accounts_check(root, "gold", model.name) for model in facts),
        ],
        jobs=lakehouse_jobs(partitions, catalog.systems, [target.name for target in targets]),
        schedules=poll_schedules(catalog),
        sensors=[
            *lakehouse_sensors(settings, catalog, [target.name for target in targets]),
            *drain_sensors(settings, catalog),
            *alerts_sensors(settings, catalog),
        ],
        resources={
            "io_manager": DeltaIOManager(root, [SparkHandler(engine.session), *arrow_handlers()]),
            "dbt": dbt_resource(project.folder),
            RUN_BOOK: run_book(root, {"raw": "python", "silver": engine.name, "gold": "duckdb"}),
            **_s3_client(root),
        },
        executor=dg.in_process_executor,
    )


def _s3_client(root: Root) -> dict[str, Any]:
    """Return the resource `s3`, the store's own client for assets, if the root is on S3."""
    if root.bucket is None:
        return {}
    from dagster_aws.s3 import S3Resource

    store = s3_settings()
    return {"s3": S3Resource(endpoint_url=store.endpoint or None, region_name=store.region)}


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions for the environment's settings, for Dagster to load."""
    try:
        return build_definitions(load_settings())
    except LakehouseError as error:
        raise load_error(str(error)) from None
