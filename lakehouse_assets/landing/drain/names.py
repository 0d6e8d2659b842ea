"""The names and heads of the objects that the drain lands.

An object holds the committed records of one partition from a position on. It is named by that position, and put only if it is absent:
so at each position at most one drain goes on, and the objects of a partition form a chain without gap or overlap. Where an object ends
can't be part of its name, or two drains with different ends would both put theirs. It is in the object's head, a comment of its gzip
header (RFC 1952): a few hundred bytes, read alone, in any store. Metadata of objects would be lost in a folder, and by many a copy.
"""

import json
import re
from dataclasses import asdict, dataclass

_NAME = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<position>\d{20})-(?P<topic_id>[A-Za-z0-9_-]{22})\.jsonl\.gz")

_MAGIC = b"\x1f\x8b\x08"
_HAS_COMMENT = 0x10
_FIXED_BYTES = 10
HEAD_BYTES = 1024
"""As many bytes hold any head."""


@dataclass(frozen=True)
class Name:
    """What an object's name says: its topic with its id, partition, and the position from which it was drained."""

    topic: str
    topic_id: str
    partition: int
    position: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}-{self.position:020d}-{self.topic_id}.jsonl.gz"

    @classmethod
    def parse(cls, text: str) -> "Name | None":
        """Return what a name says; None if it is not one of the drain's."""
        match = _NAME.fullmatch(text)
        return match and cls(match["topic"], match["topic_id"], int(match["partition"]), int(match["position"]))


@dataclass(frozen=True)
class Head:
    """Up to where an object goes: the position after its last record. `leader_epoch` is that record's, if the broker has told it."""

    next: int
    records: int
    leader_epoch: int | None = None

    def gzip_header(self) -> bytes:
        """Return a gzip header with this head as its comment. It has no time: the same records make the same bytes."""
        comment = json.dumps(asdict(self), separators=(",", ":")).encode("ascii")
        return _MAGIC + bytes([_HAS_COMMENT, 0, 0, 0, 0, 0, 0xFF]) + comment + b"\0"

    @classmethod
    def of(cls, beginning: bytes) -> "Head | None":
        """Return the head in the first bytes of an object; None if it has none, as after someone packed it again."""
        if beginning[:3] != _MAGIC or len(beginning) <= _FIXED_BYTES or beginning[3] != _HAS_COMMENT:
            return None
        comment, end, _ = beginning[_FIXED_BYTES:].partition(b"\0")
        try:
            return cls(**json.loads(comment)) if end else None
        except (ValueError, TypeError):
            return None
