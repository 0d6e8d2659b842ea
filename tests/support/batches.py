"""What a reader makes of a file."""

from collections.abc import Iterator

from lakehouse_assets.raw.readers.batch import Batch, RefusedFileError


def settled(batches: Iterator[Batch]) -> list[Batch]:
    """All batches, or the one that stands for a file that is refused as a whole."""
    try:
        return list(batches)
    except RefusedFileError as refusal:
        return [refusal.batch]
