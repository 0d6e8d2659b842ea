"""Silver tables of one feed, as most tests need them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Format
from lakehouse_assets.contracts.system import Input, SilverFunction, SilverTable
from lakehouse_assets.silver.judge import decide, judge
from lakehouse_assets.silver.transform import transform

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def one_feed(
    landing: str, columns: Sequence[SourceColumn], contract: Contract, function: SilverFunction, format: Format | None = None
) -> SilverTable:
    """A table that is made of one feed."""
    return SilverTable(contract, (Input(Feed(landing, columns, format or Csv()), function),))


def feed_of(table: SilverTable) -> Feed:
    """The one feed of a table."""
    [feed] = table.feeds
    return feed


def with_feed(table: SilverTable, **changes: Any) -> SilverTable:
    """The table with another declaration of its one feed."""
    [given] = table.inputs
    return replace(table, inputs=(replace(given, feed=replace(given.feed, **changes)),))


def with_function(table: SilverTable, function: SilverFunction) -> SilverTable:
    """The table with another function of its one feed."""
    [given] = table.inputs
    return replace(table, inputs=(replace(given, function=function),))


def audited(raw: "DataFrame", table: SilverTable) -> "DataFrame":
    """Raw rows of a table's one feed with their verdicts."""
    [given] = table.inputs
    return decide([judge(transform(raw, table, given), table, given, {})], table.contract)
