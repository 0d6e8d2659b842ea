"""What must come out of the lakehouse: rows that are live, superseded and quarantined by rule, and sums of columns, of each table.

The document has the form of `tests/data/samples/<system>.json`, a system each, so that one comparison serves both.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from lakehouse_assets.generate.revenue import Sold


@dataclass
class RawTruth:
    """The rows of a feed: those that can be read, and those in quarantine by rule."""

    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class SilverTruth:
    """The rows of a silver table by key: the row of the highest sequence is live, and among equals the one that arrived last.

    `sums` has the columns whose sums are to be known, each with its number of digits behind the point. Rows are given in the order of
    landing date, file name and row. Results are asked for at the end: before, nobody knows which rows wait for ever.
    """

    def __init__(self, sums: Mapping[str, int]) -> None:
        self.sums = dict(sums)
        self._refused: Counter[str] = Counter()
        self._winners: dict[Any, _Row] = {}
        self._rows = 0
        self._waiting: list[tuple[Sequence[Partner], Any, _Row]] = []

    def row(
        self,
        key: object,
        *amounts: int | None,
        sequence: Any = None,
        deleted: bool = False,
        waits_for: Sequence["Partner"] = (),
        note: Any = None,
    ) -> None:
        """Count a row that passes all rules. `amounts` are the values of `sums`, without the point: 12.50 is 1250.

        A row `waits_for` partners: if one of them is not live at the end, the row is in quarantine. `note` is what gold's truth needs
        to know of the row, see `notes`.
        """
        row = _Row(sequence, deleted, amounts, note)
        if waits_for:
            self._waiting.append((waits_for, key, row))
        else:
            self._count(key, row)

    def refuse(self, rule: str) -> None:
        """Count a row that goes to quarantine by a rule."""
        self._refused[rule] += 1

    def has(self, key: object) -> bool:
        """Whether a key has a live row."""
        self._settle()
        return key in self._winners and not self._winners[key].deleted

    def notes(self) -> dict[Any, Any]:
        """Return the notes of the live rows, by key."""
        self._settle()
        return {key: row.note for key, row in self._winners.items() if not row.deleted}

    @property
    def refused(self) -> Counter[str]:
        """How many rows are in quarantine at the end, by rule."""
        self._settle()
        return self._refused

    @property
    def live(self) -> int:
        """How many rows are live at the end."""
        self._settle()
        return sum(not row.deleted for row in self._winners.values())

    @property
    def superseded(self) -> int:
        """How many rows passed all rules and are not live at the end: an older row of a key, or a deletion."""
        return self._rows - self.live

    def totals(self) -> dict[str, str]:
        """Return the sum of each column over the live rows, as DuckDB writes it."""
        self._settle()
        live = [row.amounts for row in self._winners.values() if not row.deleted]
        return {
            column: _decimal(sum(amounts[n] or 0 for amounts in live), digits)
            for n, (column, digits) in enumerate(self.sums.items())
        }

    def _count(self, key: object, row: "_Row") -> None:
        self._rows += 1
        before = self._winners.get(key)
        if before is None or row.sequence is None or row.sequence >= before.sequence:
            self._winners[key] = row

    def _settle(self) -> None:
        """Decide which of the waiting rows have their partners."""
        waiting, self._waiting = self._waiting, []
        for partners, key, row in waiting:
            missing = next((partner for partner in partners if not partner.table.has(partner.key)), None)
            if missing is None:
                self._count(key, row)
            else:
                self.refuse(missing.rule)


class _Row(NamedTuple):
    """A row of a silver table that passes all rules."""

    sequence: Any
    deleted: bool
    amounts: tuple[int | None, ...]
    note: Any


@dataclass(frozen=True, slots=True)
class Partner:
    """A row of another table for which a row waits, and the rule by which it does."""

    table: "SilverTruth"
    key: object
    rule: str


class Truth:
    """The truth of one system. `gold` has questions about gold tables with their answers, by table; `persons` are the ids under which
    the system knows the people of the world, by their number there, if it knows any; `sold` is what it adds to the revenue.
    """

    def __init__(self) -> None:
        self.raw: dict[str, RawTruth] = {}
        self.silver: dict[str, SilverTruth] = {}
        self.gold: dict[str, dict[str, str]] = {}
        self.persons: Sequence[object] = ()
        self.sold = Sold()
        self._stock: dict[tuple[str, str], Counter[date]] = {}

    def feed(self, name: str) -> RawTruth:
        """Return the truth of a raw table, which begins empty."""
        return self.raw.setdefault(name, RawTruth())

    def table(self, name: str, **sums: int) -> SilverTruth:
        """Return the truth of a silver table, which begins empty; `sums` are its columns with their digits behind the point."""
        return self.silver.setdefault(name, SilverTruth(sums))

    def count_stock(self, system: str, warehouse: str, day: date, pieces: int) -> None:
        """Count pieces of a product that are in a warehouse at the end of a day, and whose count passes all rules."""
        self._stock.setdefault((system, warehouse), Counter())[day] += pieces

    def answer_tickets(self, minutes: Mapping[int, int | None]) -> None:
        """Set the minutes until the first response, None without one, of each ticket by its number."""
        listed = ", ".join(f"{ticket} {'none' if given is None else given}" for ticket, given in sorted(minutes.items()))
        self.gold[_TICKETS_TABLE] = {_FIRST_RESPONSES: listed}

    def to_json(self) -> dict[str, Any]:
        """Return the truth as a document."""
        stock = {_STOCK.format(*place): _by_day(pieces) for place, pieces in sorted(self._stock.items())}
        gold = self.gold | ({_STOCK_TABLE: stock} if stock else {})
        rows = {f"raw.{name}": feed.rows for name, feed in self.raw.items()}
        rows |= {f"silver.{name}": table.live for name, table in self.silver.items()}
        refused = {f"raw.{name}": feed.refused for name, feed in self.raw.items()}
        refused |= {f"silver.{name}": table.refused for name, table in self.silver.items()}
        return {
            "rows": rows,
            "quarantined": {name: dict(sorted(rules.items())) for name, rules in refused.items() if rules},
            "superseded": {f"silver.{name}": table.superseded for name, table in self.silver.items() if table.superseded},
            "answers": {
                f"SELECT sum({column})::VARCHAR FROM silver.{name}": total
                for name, table in self.silver.items()
                for column, total in table.totals().items()
            },
            "gold": gold,
            # In one line, however many there are.
            **({"persons": " ".join(map(str, self.persons))} if self.persons else {}),
        }


Query = Callable[[str], list[dict[str, Any]]]
"""Runs SQL over the tables of the lakehouse, and returns rows."""

_ACCOUNTS = """SELECT layer || '.' || table_name AS name, sum(rows_out)::BIGINT AS rows, sum(rows_superseded)::BIGINT AS superseded
               FROM ops.row_accounts WHERE layer IN ('raw', 'silver') GROUP BY ALL"""
_THERE = "SELECT 1 FROM information_schema.tables WHERE table_schema || '.' || table_name = '{}'"
_STOCK_TABLE = "gold.fact_inventory_snapshot"
_STOCK = f"""SELECT string_agg(day || ' ' || pieces, ', ' ORDER BY day) FROM (
                 SELECT snapshot_date AS day, sum(closing_stock)::BIGINT AS pieces FROM {_STOCK_TABLE}
                 WHERE source_system = '{{}}' AND warehouse_location = '{{}}' AND is_counted GROUP BY 1)"""
_TICKETS_TABLE = "gold.fact_support_tickets"
_FIRST_RESPONSES = f"""SELECT string_agg(ticket_id || ' ' || coalesce(first_response_minutes::VARCHAR, 'none'), ', '
                           ORDER BY ticket_id::BIGINT) FROM {_TICKETS_TABLE} WHERE source_system = 'freshdesk'"""
_QUARANTINE = """SELECT layer || '.' || table_name AS name, rule, sum(rows)::BIGINT AS rows FROM quarantine.rows GROUP BY ALL"""


def differences(systems: Mapping[str, Mapping[str, Any]], query: Query) -> list[str]:
    """Compare the tables of a lakehouse with the truth of some systems, and return each difference as a sentence.

    Other systems are left alone. A table that the truth does not mention, of one of these systems, is a difference.
    """
    accounts = {row["name"]: row for row in query(_ACCOUNTS)}
    quarantine: dict[str, dict[str, int]] = {}
    for row in query(_QUARANTINE):
        quarantine.setdefault(row["name"], {})[row["rule"]] = row["rows"]
    problems: list[str] = []
    for system, truth in systems.items():
        built = {name for name in accounts if name.partition(".")[2].startswith(f"{system}_")}
        for name in sorted(built | set(truth["rows"])):
            account = accounts.get(name, {"rows": 0, "superseded": 0})
            problems += _differs(name, "rows", account["rows"], truth["rows"].get(name, 0))
            problems += _differs(name, "superseded rows", account["superseded"], truth.get("superseded", {}).get(name, 0))
            refused, expected = quarantine.get(name, {}), truth.get("quarantined", {}).get(name, {})
            for rule in sorted(refused.keys() | expected.keys()):
                problems += _differs(name, f"quarantined rows of {rule}", refused.get(rule, 0), expected.get(rule, 0))
        # A question about a table that is not there has no answer.
        answers = dict(truth.get("answers", {})) if truth["rows"].keys() <= accounts.keys() else {}
        for table, questions in truth.get("gold", {}).items():
            # Gold may have been left out.
            answers |= questions if query(_THERE.format(table)) else {}
        for sql, answer in answers.items():
            [row] = query(sql)
            problems += _differs(" ".join(sql.split()), "as answer", *_apart(next(iter(row.values())), answer))
    return problems


_SHOWN = 5
"""How many entries of a list a sentence shows."""


def _apart(actual: object, expected: str) -> tuple[object, object]:
    """Reduce two lists such as `2026-01-01 5, 2026-01-02 7` to the first entries that only one of them has."""
    if actual == expected or not isinstance(actual, str) or ", " not in f"{actual}{expected}":
        return actual, expected
    own, other = actual.split(", "), expected.split(", ")
    common = {*own} & {*other}
    own, other = ([entry for entry in entries if entry not in common] for entries in (own, other))
    return (_shortened(own), _shortened(other)) if own or other else (actual, expected)


def _shortened(entries: Sequence[str]) -> str:
    more = f" and {len(entries) - _SHOWN:,} more" if len(entries) > _SHOWN else ""
    return f"({', '.join(entries[:_SHOWN])}{more})" if entries else "(none)"


def _differs(name: str, what: str, actual: object, expected: object) -> list[str]:
    """Return a sentence if two values differ."""
    return [] if actual == expected else [f"{name}: {actual} {what}, the truth is {expected}"]


def _by_day(pieces: Mapping[date, int]) -> str:
    """Write numbers by day as DuckDB does: `2026-01-01 5, 2026-01-02 7`."""
    return ", ".join(f"{day} {number}" for day, number in sorted(pieces.items()))


def _decimal(amount: int, digits: int) -> str:
    """Write a whole number of the smallest unit with its point: 1250 with 2 digits is `12.50`."""
    if digits == 0:
        return str(amount)
    sign, text = "-" if amount < 0 else "", str(abs(amount)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}"
