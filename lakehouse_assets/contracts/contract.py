"""The contract of a table: schema, keys, sequence, rules, relationships, freshness, owner.

This module has what one table promises to its readers. `silver/judge.py` applies it to rows, `silver/checks.py` shows violations.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from lakehouse_assets.contracts.problems import nearest, refuse
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.styles import style_faults, styled
from lakehouse_assets.contracts.types import type_fault

Outcome = Literal["warn", "drop", "fail"]
"""What happens to a row that breaks a rule: it stays and is counted | it goes to quarantine | its partition is not built."""

WriteMode = Literal["snapshot", "upsert", "history"]
"""How silver writes rows: the run's partitions are replaced | one row per key, the highest sequence wins | all row versions of a
key, each with the period in which it is valid (SCD type 2)."""

OTHER_CHECKS = ("row_accounts", "freshness", "volume", "deliveries")
"""The names of the asset checks that are not rules or relationships."""

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""The names that tables, columns, rules, systems and their entities may have."""

_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+[.][A-Za-z]{2,}")
"""The owners that Dagster accepts."""


@dataclass(frozen=True)
class Rule:
    """A condition on each row, as a SQL expression over the columns that the silver function returns.

    A row breaks the rule if the expression is not true; NULL is not true.
    """

    name: str
    expression: str
    outcome: Outcome
    description: str


@dataclass(frozen=True)
class Column:
    """A column: its name, its Spark SQL type (`int`, `date`, `decimal(12,2)`), and its meaning.

    `styles` are further ways in which its text may be written, such as `d/m/y` (`contracts/styles.py`). `personal` says
    that it is about a person: samples that people are shown mask it.
    """

    name: str
    type: str
    description: str
    styles: Sequence[str] = ()
    personal: bool = False

    @property
    def type_rule(self) -> Rule | None:
        """The rule that follows from the type; None if it takes any text."""
        if self.type == "string":
            return None
        also = f", also as {' or '.join(self.styles)}" if self.styles else ""
        return Rule(
            f"{self.name}_is_{re.sub(r'[^a-z0-9]+', '_', self.type).strip('_')}",
            f"`{self.name}` IS NULL OR {styled(f'`{self.name}`', self.type, self.styles)} IS NOT NULL",
            "drop",
            f"{self.name} can be read as {self.type}{also}.",
        )


@dataclass(frozen=True)
class Relationship:
    """Each value of `column` (NULL aside) is expected in `to_column` of the silver table `to_table`.

    With the outcome `warn`, a row without a partner stays and is counted. With `drop` it waits in quarantine: it is loaded
    automatically once its partner is, and returns to quarantine if the partner is removed. A waiting row supersedes no other.
    """

    column: str
    to_table: str
    to_column: str
    outcome: Literal["warn", "drop"] = "warn"

    @property
    def name(self) -> str:
        """The name of the check, such as `customer_id_in_crm_customers`."""
        return f"{self.column}_in_{self.to_table}"

    @property
    def description(self) -> str:
        """The expectation, as a sentence."""
        return f"Each {self.column} is in {self.to_table}.{self.to_column}."


@dataclass(frozen=True)
class Volume:
    """The usual size of a partition: `smallest` to `largest` times the median of the partitions before it.

    The median is over up to `dates` earlier partitions with rows. With fewer than `at_least`, no size is unusual.
    """

    dates: int = 28
    at_least: int = 7
    smallest: float = 0.25
    largest: float = 4.0

    @property
    def problems(self) -> list[str]:
        """The contradictions in these figures."""
        return [
            *(["volume needs at least one date"] if self.at_least < 1 else []),
            *([f"volume needs {self.at_least} dates and looks at {self.dates}"] if self.dates < self.at_least else []),
            *(
                [f"volume from {self.smallest} to {self.largest} times does not include the usual size itself"]
                if not 0 <= self.smallest <= 1 <= self.largest
                else []
            ),
        ]


@dataclass(frozen=True)
class Contract:
    """Everything that one silver table promises.

    `key` names the columns that identify a row; they are never NULL. `sequence` names the column, or several with the most
    significant first, whose highest value wins among rows of one key; NULL is the lowest. If it is equal, the later landing
    date wins, then the file name, then the row. In a history, its first column says from when a row version is valid; without
    a sequence, the landing date does. Of row versions from the same moment, only the winner is live.
    `deleted` is SQL over the columns that the silver function returns: true for a row that deletes its key. Such a row, a
    tombstone, is never live itself; only the rules on key and types apply to it.
    `tracked` names the columns of a history whose change makes a new row version: if None, all but key and sequence.
    `freshness` is how old the newest partition may be before the table counts as stale. `volume` is the usual size of a
    partition; None allows any. `split_by` is a text column with few values: the rows of a date with one value are in files of their
    own, so that a query for some values reads no others.

    Raises:
        ContractError: two columns or rules share a name, a key, sequence, tracked or relationship column is not in the table,
            or the mode does not allow what is declared.
    """

    table: str
    description: str
    owner: str
    columns: Sequence[Column]
    key: Sequence[str]
    mode: WriteMode = "upsert"
    sequence: str | Sequence[str] | None = None
    deleted: str | None = None
    tracked: Sequence[str] | None = None
    rules: Sequence[Rule] = ()
    relationships: Sequence[Relationship] = ()
    freshness: timedelta | None = None
    volume: Volume | None = Volume()
    split_by: str | None = None

    def __post_init__(self) -> None:
        refuse(f"Contract of {self.table}", self._problems())

    def _problems(self) -> list[str]:
        """Return the contradictions in the contract, half a sentence each."""
        names, outcomes = self.column_names, get_args(Outcome)
        problems = [f"column {n!r} is declared twice" for n in repeated(names)]
        types = [f"column {c.name!r}: {fault}" for c in self.columns if (fault := type_fault(c.type))]
        types += [
            f"column {c.name!r}: {f}" for c in self.columns if not type_fault(c.type) for f in style_faults(c.type, c.styles)
        ]
        problems += types
        # Rules follow from the types only if all types and styles exist.
        rules = [r.name for r in (self.rules if types else self.all_rules)]
        checks = [*rules, *(r.name for r in self.relationships)]
        problems += [f"rule {n!r} is declared twice" for n in repeated(rules)]
        problems += [f"check {n!r} is declared twice, as a relationship's" for n in repeated(checks) if n not in repeated(rules)]
        problems += [
            f"{n!r} is not a name (lower case letters, digits and _)"
            for n in [self.table, *names, *(r.name for r in self.rules)]
            if not NAME.fullmatch(n)
        ]
        problems += [
            f"rule {r.name!r} has outcome {r.outcome!r}, not one of {', '.join(outcomes)}{nearest(r.outcome, outcomes)}"
            for r in self.rules
            if r.outcome not in outcomes
        ]
        problems += [
            f"relationship of {r.column!r} has outcome {r.outcome!r}, not one of warn, drop{nearest(r.outcome, ('warn', 'drop'))}"
            for r in self.relationships
            if r.outcome not in ("warn", "drop")
        ]
        problems += [f"rule {n!r} has the name of a check that every table has" for n in checks if n in OTHER_CHECKS]
        if not _OWNER.fullmatch(self.owner):
            problems.append(
                f"owner {self.owner!r} is neither an e-mail address nor a team, such as 'team:{self.owner or 'sales'}'"
            )
        if self.mode not in get_args(WriteMode):
            known = get_args(WriteMode)
            problems.append(f"mode {self.mode!r} is not one of {', '.join(known)}{nearest(self.mode, known)}")
        problems += self.volume.problems if self.volume else []
        problems += self._column_problems(names)
        if self.mode == "history":
            problems += [f"column {c.name!r} is added by the history itself" for c in self.validity if c.name in names]
        elif self.tracked is not None:
            problems.append("only a history tracks columns")
        if self.mode == "snapshot" and self.deleted is not None:
            problems.append("a snapshot has no deletes: a key is deleted when its date no longer has it")
        return problems

    def _column_problems(self, names: list[str]) -> list[str]:
        """Report columns that are used but not declared."""
        problems = [] if self.key else ["there is no key"]
        used: list[tuple[str, Sequence[str]]] = [("sequence", self.sequence_columns)]
        for what, columns in (("key", self.key), ("tracked", self.tracked or ())):
            if isinstance(columns, str):
                problems.append(f"{what} {columns!r} is a text, not names: write ({columns!r},)")
            else:
                used.append((what, columns))
        used.append(("relationship column", [r.column for r in self.relationships]))
        used.append(("split_by", [self.split_by] if self.split_by else []))
        problems += [
            f"split_by {c.name!r} is {c.type}, not text" for c in self.columns if c.name == self.split_by and c.type != "string"
        ]
        return problems + [
            f"{what} {n!r} is not a column{nearest(n, names)}" for what, columns in used for n in columns if n not in names
        ]

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in their order."""
        return [c.name for c in self.columns]

    @property
    def sequence_columns(self) -> tuple[str, ...]:
        """The columns of `sequence`, most significant first; empty without a sequence."""
        return (self.sequence,) if isinstance(self.sequence, str) else tuple(self.sequence or ())

    @property
    def tracked_columns(self) -> list[str]:
        """The columns of a history whose change makes a new row version."""
        if self.tracked is not None:
            return list(self.tracked)
        return [name for name in self.column_names if name not in {*self.key, *self.sequence_columns}]

    @property
    def valid_from(self) -> str:
        """The column that says from when a row version is valid."""
        return self.sequence_columns[0] if self.sequence_columns else DATE_COLUMN

    @property
    def validity(self) -> tuple[Column, ...]:
        """The columns that a history adds to those of the contract; none in other modes."""
        if self.mode != "history":
            return ()
        moment = next((c.type for c in self.columns if c.name == self.valid_from), "date")
        return (
            Column("valid_from", moment, "From when the version holds; NULL where the source does not say"),
            Column("valid_to", moment, "When the next version took its place or the key was deleted; NULL while neither was"),
            Column("is_current", "boolean", "Whether the version holds still: whether valid_to is NULL"),
        )

    @property
    def table_columns(self) -> list[Column]:
        """The columns of the silver table, without the provenance columns."""
        return [*self.columns, *self.validity]

    @property
    def all_rules(self) -> list[Rule]:
        """The rules that follow from types and key, then the declared ones."""
        present = [
            Rule(f"{k}_present", f"`{k}` IS NOT NULL", "drop", f"{k} is part of the key and must be there.") for k in self.key
        ]
        from_types = [rule for c in self.columns if (rule := c.type_rule) is not None]
        return [*from_types, *present, *self.rules]

    @property
    def waits_for(self) -> list[Relationship]:
        """The relationships whose rows wait in quarantine for their partner."""
        return [r for r in self.relationships if r.outcome == "drop"]

    def digest(self) -> str:
        """Return a hash of everything that determines the table's rows: if it changes, built partitions are stale."""
        facts = {
            "columns": [(c.name, c.type, *([list(c.styles)] if c.styles else [])) for c in self.columns],
            "key": list(self.key),
            "mode": self.mode,
            "sequence": self.sequence_columns,
            "deleted": self.deleted,
            "tracked": self.tracked_columns if self.mode == "history" else None,
            "rules": [(r.name, r.expression, r.outcome) for r in self.rules],
            "waits_for": [(r.column, r.to_table, r.to_column) for r in self.waits_for],
            **({"split_by": self.split_by} if self.split_by else {}),
        }
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def repeated(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once."""
    return sorted({n for n in names if list(names).count(n) > 1})
