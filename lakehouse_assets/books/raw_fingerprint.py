"""The fingerprint of a raw partition. Raw compares it with landing; silver finds out by it which files were added to a date."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from lakehouse_assets.books.ledger import LandedFile
from lakehouse_assets.contracts.feeds import Feed

READER_VERSION = "5"
"""Increase it when the readers return other rows for the same bytes: then every raw partition is built again."""


def raw_fingerprint(feed: Feed, files: Sequence[LandedFile]) -> str:
    """Return the fingerprint of a raw partition: a hash of its loaded files' names and bytes, the reader version and the feed.

    Manifests don't count, because no row depends on them.
    """
    return fingerprint_of_etags(feed, {f.name: f.etag for f in files if not f.duplicate_of})


def fingerprint_of_etags(feed: Feed, etags: Mapping[str, str]) -> str:
    """Return the fingerprint of a raw partition, from the etags of its loaded files by name."""
    facts = [READER_VERSION, feed.digest(), sorted((name, etag) for name, etag in etags.items() if not feed.is_manifest(name))]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
