"""What a declaration will say: a feed, the tables that are made from it, and the questions that the sample leaves open.

`entity` makes these from samples, `declaration` writes them down.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse_assets.contracts.contract import WriteMode
from lakehouse_assets.contracts.formats import Format


@dataclass(frozen=True)
class DraftField:
    """A column of the source's files, under its name there."""

    name: str
    description: str
    required: bool = True
    questions: tuple[str, ...] = ()


@dataclass(frozen=True)
class DraftColumn:
    """A column of a silver table. `sql` is what the function computes: an expression, or the name of a column to trim.

    `remarks` are further comments, such as that it is about persons.
    """

    name: str
    type: str
    description: str
    sql: str
    trims: bool = True
    styles: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class DraftRule:
    """A rule that holds in the sample. Whether it is meant is for the owner of the data to say: it is written as a comment."""

    name: str
    expression: str
    description: str


@dataclass(frozen=True)
class DraftTable:
    """A silver table. `each` is the column of the feed with the list whose items are its rows."""

    name: str
    entity: str
    description: str
    columns: Sequence[DraftColumn]
    key: tuple[str, ...]
    mode: WriteMode = "upsert"
    sequence: str | None = None
    each: str | None = None
    partner: tuple[str, str, str] | None = None
    """A column, and the table and its column in which each of its values is expected."""
    rules: Sequence[DraftRule] = ()
    key_questions: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


@dataclass(frozen=True)
class DraftFeed:
    """A feed, and its silver tables: the one of its rows, then those of their items."""

    system: str
    entity: str
    fields: Sequence[DraftField]
    formats: Sequence[Format]
    tables: Sequence[DraftTable]
    questions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def landing(self) -> str:
        """The folder of the feed below landing, such as `shop/orders`."""
        return f"{self.system}/{self.entity}"
