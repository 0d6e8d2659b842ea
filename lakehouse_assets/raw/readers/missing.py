"""What is said of a file whose columns are not as agreed, and how a rename is mended."""

from collections.abc import Collection, Iterable, Sequence

from lakehouse_assets.contracts.feeds import Feed

MAX_NEW_COLUMNS = 500
"""A file may have so many columns more than its feed names. More are taken for values that stand where names should."""

_SHOWN = 10
_LONGEST_NAME = 100


def has_too_many_columns(feed: Feed, columns: int) -> str | None:
    """Why a file of so many columns is refused; None where it is not. Asked before they get names, which takes time for many."""
    if columns <= len(feed.columns) + MAX_NEW_COLUMNS:
        return None
    return (
        f"the file has more than {MAX_NEW_COLUMNS} columns that the feed does not name; "
        "have it sent with the columns agreed on, or name them in the feed"
    )


def lacks_columns(feed: Feed, names: Collection[str]) -> str:
    """The required columns that are missing. `names` are the file's columns as `Feed.names_of` gives them."""
    missing = [c.name for c in feed.missing(names)]
    return f"the file lacks the required column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"


def rename_advice(feed: Feed, fields: Sequence[str], names: Iterable[str]) -> str:
    """The file's columns that the feed doesn't know: a missing one may be among them. `fields` are the file's words for them."""
    unknown = [field for field, name in zip(fields, names, strict=True) if field.strip() and name not in feed.column_names]
    if not unknown:
        return ""
    shown = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in unknown[:_SHOWN]]
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    return (
        f" and has instead: {', '.join(shown)}{more}; if one of these is a missing one renamed, "
        "add the new name to that column in the feed: SourceColumn(..., also=('new name',))"
    )
