"""The contract of a table: schema, keys, sequence, rules, relationships, freshness, owner.

Put here what one table promises to its readers. How the promise is checked stands in `audit.py`,
how a violation is shown stands in `checks.py`.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Literal, get_args

from lakehouse_assets.errors import ContractError

Outcome = Literal["warn", "drop", "fail"]
"""What happens to a row that breaks a rule: it stays and is counted | it goes to quarantine | its partition is not published."""

WriteMode = Literal["snapshot", "upsert"]
"""How silver takes rows in: the run's partitions are replaced | one row per key, the highest sequence wins."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """A column: its name, its type in Spark SQL's words (`int`, `date`, `decimal(12,2)`), what it means."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class Rule:
    """What must hold for each row, as a SQL expression over the columns that the silver function returns.

    A row for which the expression is not true, NULL included, breaks the rule.
    """

    name: str
    expression: str
    outcome: Outcome
    description: str


@dataclass(frozen=True)
class Relationship:
    """Each value of `column` (NULL aside) is expected in `to_column` of the silver table `to_table`."""

    column: str
    to_table: str
    to_column: str

    @property
    def name(self) -> str:
        """The name of the check, such as `customer_id_in_crm_customers`."""
        return f"{self.column}_in_{self.to_table}"


@dataclass(frozen=True)
class Contract:
    """All that one silver table promises.

    `key` names the columns that identify a row; they are never NULL. `sequence` names the column whose highest value
    wins among rows of one key; where it is equal or NULL, the later landing date wins, then the file name, then the row.
    `freshness` is how old the newest partition may be before the table counts as stale.

    Raises:
        ContractError: two columns or rules share a name, or a key, sequence or relationship names no column.
    """

    table: str
    description: str
    owner: str
    columns: Sequence[Column]
    key: Sequence[str]
    mode: WriteMode = "upsert"
    sequence: str | None = None
    rules: Sequence[Rule] = ()
    relationships: Sequence[Relationship] = ()
    freshness: timedelta | None = None

    def __post_init__(self) -> None:
        names = self.column_names
        problems = [
            *(f"column {n!r} stands twice" for n in _repeated(names)),
            *(f"rule {n!r} stands twice" for n in _repeated([r.name for r in self.all_rules])),
            *(f"key {n!r} is no column" for n in self.key if n not in names),
            *(f"relationship column {r.column!r} is no column" for r in self.relationships if r.column not in names),
            *(
                f"{n!r} is no name (lower case letters, digits and _)"
                for n in [self.table, *names, *(r.name for r in self.rules)]
                if not _NAME.fullmatch(n)
            ),
            *(
                f"rule {r.name!r} has outcome {r.outcome!r}, not one of {', '.join(get_args(Outcome))}"
                for r in self.rules
                if r.outcome not in get_args(Outcome)
            ),
        ]
        if not self.key:
            problems.append("there is no key")
        if self.sequence is not None and self.sequence not in names:
            problems.append(f"sequence {self.sequence!r} is no column")
        if problems:
            raise ContractError(f"Contract of {self.table}: {'; '.join(problems)}.")

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in their order."""
        return [c.name for c in self.columns]

    @property
    def all_rules(self) -> list[Rule]:
        """The rules that follow from key and types, then the declared ones."""
        present = [
            Rule(f"{k}_present", f"`{k}` IS NOT NULL", "drop", f"{k} is part of the key and must be there.") for k in self.key
        ]
        typed = [
            Rule(
                f"{c.name}_is_{re.sub(r'[^a-z0-9]+', '_', c.type).strip('_')}",
                f"`{c.name}` IS NULL OR TRY_CAST(`{c.name}` AS {c.type}) IS NOT NULL",
                "drop",
                f"{c.name} can be read as {c.type}.",
            )
            for c in self.columns
            if c.type != "string"
        ]
        return [*typed, *present, *self.rules]

    def digest(self) -> str:
        """A hash of all that decides which rows the table holds: a changed contract makes built partitions stale."""
        facts = {
            "columns": [(c.name, c.type) for c in self.columns],
            "key": list(self.key),
            "mode": self.mode,
            "sequence": self.sequence,
            "rules": [(r.name, r.expression, r.outcome) for r in self.rules],
        }
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Csv:
    """How the files of an entity are written: delimiter and, where it isn't UTF-8 or UTF-16 with a mark, the encoding."""

    delimiter: str = ","
    encoding: str = "utf-8"


@dataclass(frozen=True)
class SourceColumn:
    """A column that a source file must have, under its name there."""

    name: str
    description: str


@dataclass(frozen=True)
class RawContract:
    """What the landing files of an entity must hold: their columns (all read as text) and how they are written."""

    columns: Sequence[SourceColumn]
    format: Csv = field(default_factory=Csv)

    def digest(self) -> str:
        """A hash of all that decides which rows the raw table holds."""
        facts = [[c.name for c in self.columns], asdict(self.format)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({n for n in names if list(names).count(n) > 1})
