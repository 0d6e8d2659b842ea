"""Rows of a source system through its silver function and its rules: all cases of a module in one frame a table.

A frame costs an engine half a second, however few rows it has. So before the first test of a module runs, all of them are called with a
recorder in place of `clean`, which notes the rows that a test asks about and ends it. What a test asks for later than that is computed
by itself.
"""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from lakehouse_assets.contracts.contract import Column
from lakehouse_assets.contracts.provenance import IN_RAW
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.silver.judge import decide, judge
from lakehouse_assets.silver.transform import transform
from tests.support.declare import feed_of

Row = Mapping[str, str | None]


class _RecordedError(Exception):
    """Ends a test once its rows are known."""


@dataclass(frozen=True)
class Case:
    """Rows of a table that are audited together, and apart from all others."""

    table: str
    feed: str
    day: date
    rows: str

    @classmethod
    def of(cls, table: SilverTable, rows: tuple[Row, ...], day: date, feed: str | None) -> "Case":
        return cls(table.name, feed or feed_of(table).table, day, repr([sorted(row.items()) for row in rows]))


@dataclass
class Cases:
    """The cases of a module, and what became of them."""

    spark: Any
    asked: dict[Case, tuple[SilverTable, tuple[Row, ...]]] = field(default_factory=dict)
    answers: dict[Case, list[dict[str, Any]]] = field(default_factory=dict)

    def record(self, table: SilverTable, *rows: Row, day: date = date(2026, 1, 31), feed: str | None = None) -> None:
        """Note what a test asks, and end it."""
        self.asked[Case.of(table, rows, day, feed)] = table, rows
        raise _RecordedError

    def clean(
        self, table: SilverTable, *rows: Row, day: date = date(2026, 1, 31), feed: str | None = None
    ) -> list[dict[str, Any]]:
        """The audited rows of a table, in the order of the input; each input row is a dict of source columns.

        `feed` names the raw table of a feed, where the table has several. No row waits: each has the partner that it needs.
        """
        case = Case.of(table, rows, day, feed)
        if case not in self.answers:
            self.compute({case: (table, rows)})
        return self.answers[case]

    def compute(self, asked: Mapping[Case, tuple[SilverTable, tuple[Row, ...]]]) -> None:
        """Audit cases, in one frame a table and feed. The number of its case is part of a row's key, so that cases don't meet."""
        for name, feed in {(case.table, case.feed) for case in asked}:
            cases = [case for case in asked if (case.table, case.feed) == (name, feed)]
            table = asked[cases[0]][0]
            contract = replace(
                table.contract,
                key=(*table.contract.key, "case_number"),
                columns=(*table.contract.columns, Column("case_number", "string", "")),
                relationships=[r for r in table.contract.relationships if r.outcome == "warn"],
            )
            [given] = [given for given in table.inputs if given.feed.table == feed]
            columns = [*given.feed.column_names, *(c for c in given.feed.provenance if c not in IN_RAW)]
            schema = ", ".join(f"{c} string" for c in columns)
            data = [
                (*(row.get(c) for c in columns), str(number), line, case.day)
                for number, case in enumerate(cases)
                for line, row in enumerate(asked[case][1], 2)
            ]
            raw = self.spark.createDataFrame(data, f"{schema}, _source_file string, _row_number bigint, _date date")
            numbered = transform(raw, table, given).selectExpr("*", "_source_file AS case_number")
            judged = judge(numbered, replace(table, contract=contract), given, {})
            self.answers |= {case: [] for case in cases}
            for row in decide([judged], contract).orderBy("_row_number", "_item_number").collect():
                self.answers[cases[int(row["case_number"])]].append(row.asDict())


def recorded(cases: Cases, items: list[pytest.Item], module: Any) -> Cases:
    """Cases with the answers to what the tests of a module ask first."""
    for item in items:
        if not isinstance(item, pytest.Function) or item.module is not module or "clean" not in item.fixturenames:
            continue
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        wanted = inspect.signature(item.obj).parameters.keys() - {"clean"}
        with suppress(_RecordedError):
            item.obj(clean=cases.record, **{name: parameters[name] for name in wanted})
    cases.compute(cases.asked)
    return cases
