"""Kinds of incidents: each has its words, and its line in the docs."""

from pathlib import Path

from lakehouse_assets.alerts.incidents import NOTES, TEXTS, Kind

DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"


def test_each_kind_has_its_words_and_its_line_in_the_docs():
    assert set(TEXTS) == set(Kind)
    rows = [line.split(" | ")[0] for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert {f"| `{kind}`" for kind in set(Kind) - NOTES} <= set(rows)
