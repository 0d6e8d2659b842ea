"""What a step of a tiny shop writes to."""

import logging
from collections.abc import Sequence
from datetime import date
from uuid import uuid4

from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.store.root import Root

LOG = logging.getLogger("tests.machine")
LOG.setLevel(logging.ERROR)


def target(root: Root, layer: str, table: str, dates: Sequence[date]) -> Target:
    """Partitions of a table, for a run of its own."""
    return Target(root, layer, table, list(dates), uuid4().hex, LOG)
