"""Which people of the generated world are one person in gold, which are several, and which are one with others, by rule of matching."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lakehouse_assets.generate.truth import Query

_BRIDGE = """SELECT source_system AS system, source_customer_id AS id, person_key::VARCHAR AS person, matched_by AS rule
             FROM gold.bridge_customer"""
_THERE = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'gold' AND table_name = 'bridge_customer'"


@dataclass
class Persons:
    """How gold has found the people of whom several records exist.

    `missed` counts records that are apart from most others of their person, by system. `linked` counts records that a rule has brought
    to their person, `wrong` people whom it has brought to another one.
    """

    found: int = 0
    split: int = 0
    merged: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    linked: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def sentences(self) -> list[str]:
        """Say it."""
        return [
            f"People with several records: {self.found:,} are one person in gold, {self.split:,} are several, {self.merged:,} are one "
            "with somebody else.",
            f"Records that are apart from others of their person: {_listed(self.missed)}.",
            f"Records that were found by a rule: {_listed(self.linked)}; people that were wrongly merged by it: {_listed(self.wrong)}.",
        ]


def persons_found(systems: Mapping[str, Mapping[str, Any]], query: Query) -> Persons | None:
    """Hold `gold.bridge_customer` against the truth; None if gold has none, or the truth knows no people."""
    number_of = {
        (system, identity): number
        for system, truth in systems.items()
        for number, identity in enumerate(truth.get("persons", "").split())
    }
    if not number_of or not query(_THERE):
        return None
    return _counted([(row, number_of[key]) for row in query(_BRIDGE) if (key := (row["system"], row["id"])) in number_of])


def _counted(records: list[tuple[dict[str, Any], int]]) -> Persons:
    """Count records, each with the number of its person in the world."""
    by_number: dict[int, list[dict[str, Any]]] = {}
    numbers: dict[str, dict[int, list[str]]] = {}
    for row, number in records:
        by_number.setdefault(number, []).append(row)
        numbers.setdefault(row["person"], {}).setdefault(number, []).append(row["rule"])
    result = Persons()
    for rows in by_number.values():
        keys = Counter(row["person"] for row in rows)
        main = max(sorted(keys), key=keys.__getitem__)
        is_merged = any(len(numbers[key]) > 1 for key in keys)
        result.merged += is_merged
        if len(rows) > 1:
            result.split += len(keys) > 1
            result.found += len(keys) == 1 and not is_merged
            result.missed.update(row["system"] for row in rows if row["person"] != main)
    for rules_of in numbers.values():
        first = next((number for number, rules in rules_of.items() if "itself" in rules), None)
        for number, rules in rules_of.items():
            if number == first:
                result.linked.update(rule for rule in rules if rule != "itself")
            else:
                # Of several records of the other person, one has come by more than their common address.
                result.wrong[next((rule for rule in rules if rule != "email"), "email")] += 1
    return result


def _listed(counts: Counter[str]) -> str:
    """Write counts as `email 12, number 3`."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"
