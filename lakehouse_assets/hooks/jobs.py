"""The name of Dagster's implicit job, which runs manual materializations and backfills."""

import pkgutil

from lakehouse_assets.hooks.names import IMPLICIT_JOB

IMPLICIT_ASSET_JOB_NAME: str = pkgutil.resolve_name(IMPLICIT_JOB.names[0]) if IMPLICIT_JOB.is_usable else "__ASSET_JOB"
