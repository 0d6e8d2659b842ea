"""What is said of a file that lacks required columns, and how a rename is mended."""

from collections.abc import Collection, Iterable, Sequence

from lakehouse_assets.contracts.contract import RawContract

_SHOWN = 10


def lacks_columns(contract: RawContract, names: Collection[str]) -> str:
    """The required columns that are missing. `names` are the file's columns as `RawContract.names_of` gives them."""
    missing = [c.name for c in contract.missing(names)]
    return f"the file lacks the required column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"


def rename_advice(contract: RawContract, fields: Sequence[str], names: Iterable[str]) -> str:
    """The file's columns that the contract doesn't know: a missing one may be among them. `fields` are the file's words for them."""
    unknown = [field for field, name in zip(fields, names, strict=True) if field.strip() and name not in contract.column_names]
    if not unknown:
        return ""
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    return (
        f" and has instead: {', '.join(unknown[:_SHOWN])}{more}; if one of these is a missing one renamed, "
        "add the new name to that column in the contract: SourceColumn(..., also=('new name',))"
    )
