"""The page on faults has all thirty cases, and names only tests that exist."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


def test_each_test_that_the_page_of_faults_names_exists():
    sources = "\n".join(file.read_text() for file in Path(__file__).parents[1].rglob("test_*.py"))
    defined = set(re.findall(r"^\s*def (test_\w+)", sources, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named
    assert named - defined == set()


def test_the_page_of_faults_has_all_cases_in_order():
    rows = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 31))
