"""What a feed says of the Kafka topic that it comes from. `landing/drain/` lands its records.

A record lands as one JSON object a line, its value as it came:

    {"topic": "orders", "topic_id": "GUir…", "partition": 0, "offset": 17, "key": "…", "headers": […], "timestamp": 1663130168334,
     "value": {…}}

`timestamp` is in milliseconds since 1970, or null if the record has none. A record without a value that can be a row has
`"value": null`, what is wrong as `fault`, and its text, or its bytes in Base64, as `text` or `base64`: raw sends it to quarantine.
"""

import re
from dataclasses import dataclass

from lakehouse_assets.contracts.dialects import Dialect

RECORD = Dialect("kafka", told_by=("topic", "partition", "offset"), unwrap="value", omits_nulls=True, fault="fault")
"""The dialect of records. It misses no column: what a record lacks is that record's fault, not that of all that landed with it."""

RECORD_COLUMNS = {
    "topic": "Topic of the record, if it comes from Kafka",
    "topic_id": "Id of the topic, which is another one when the topic is made anew",
    "partition": "Its partition",
    "offset": "Its offset in the partition",
    "key": "Its key",
    "headers": "Its headers, JSON",
    "timestamp": "Its time, milliseconds since 1970",
}
"""The columns that a record adds to a feed, and what they are."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""A part of what Kafka allows: objects are named by it, and a name that begins with a dot or underscore is taken for unfinished."""


@dataclass(frozen=True)
class Topic:
    """A Kafka topic whose records are the feed's rows, each a JSON object. `KAFKA_TOPIC` may name another topic in its place."""

    name: str

    @property
    def problems(self) -> list[str]:
        """The contradictions in this declaration."""
        return [] if (fault := topic_fault(self.name)) is None else [fault]


def topic_fault(name: str) -> str | None:
    """Return why the records of a topic of this name can't be landed; None if they can."""
    if _NAME.fullmatch(name):
        return None
    return f"{name!r} is not a topic that can be landed: its name has up to 200 letters, digits, '.', '_', '-' and begins with no mark"
