# ruff: noqa: E501
"""The digest of a function changes with all code that it reaches, and with nothing else."""

import importlib
import os
import re
import subprocess
import sys
import threading
from decimal import Decimal
from functools import partial

import pytest

from lakehouse_assets.contracts import debezium
from lakehouse_assets.contracts.code_digest import code_digest, files_reached, texts_reached
from lakehouse_assets.systems import catalog, cleaning, crm, finance

FILES = {
    "__init__.py": "",
    "sales.py": '''"""Sales."""
from functools import wraps
import shop_project.cleaning.words
from shop_project.cleaning import dates
from shop_project.cleaning.words import LETTERS as ALPHABET

LIMIT = 3
UNUSED = 4
RULES = {"a": [1, dates.to_date]}


def noted(function):
    @wraps(function)
    def call(raw):
        return function(raw)
    return call


class Cleaner:
    """Cleans."""
    marks = (",", ".")

    def clean(self, raw):
        return shop_project.cleaning.words.strip(raw)


@noted
def clean(raw):
    """Cleans sales."""
    import shop_project.late
    from shop_project.cleaning.kinds import kind
    return dates.to_date(raw), LIMIT, RULES, Cleaner().clean(raw), kind(raw), ALPHABET


def other(raw):
    return raw
''',
    "cleaning/__init__.py": "",
    "cleaning/dates.py": "from .words import trim\n\ndef to_date(raw: str) -> str:\n    return trim(raw)\n\ndef unused():\n    return 1\n",
    "cleaning/words.py": 'LETTERS = f"{1}abc"\n\ndef trim(raw):\n    return again(raw)\n\ndef again(raw):\n    return trim(raw)\n\ndef strip(raw):\n    return raw\n',
    "cleaning/kinds.py": "import shop_helpers\n\ndef kind(raw):\n    return shop_helpers.size(raw)\n",
    "late.py": "SIZE = 1\n",
    "../shop_helpers.py": "def size(raw):\n    return 1\n",
    "unreached.py": "SIZE = 1\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own whose silver function is helped by other modules; edits a file and gives the digest."""
    folder = tmp_path / "shop_project"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file of the same second and size would be taken for the one before

    def forget():
        for name in [n for n in sys.modules if n.startswith("shop_")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def digest(name=None, old="", new="", function="clean"):
        if name is not None:
            text = (folder / name).read_text()
            assert old in text
            (folder / name).write_text(text.replace(old, new) if old else text + new)
        forget()
        return code_digest(getattr(importlib.import_module("shop_project.sales"), function))

    yield digest
    forget()


REACHED = [
    ("sales.py", "return dates.to_date(raw),", "return dates.to_date(raw + 1),"),
    ("sales.py", "LIMIT = 3", "LIMIT = 30"),
    ("sales.py", '"a": [1,', '"a": [2,'),
    ("sales.py", "function(raw)\n    return call", "function(raw) or raw\n    return call"),
    ("sales.py", 'marks = (",", ".")', 'marks = (",",)'),
    ("sales.py", "words.strip(raw)", "words.trim(raw)"),
    ("cleaning/dates.py", "trim(raw)", "trim(raw) or 1"),
    ("cleaning/words.py", "return again(raw)", "return again(raw) or 1"),
    ("cleaning/words.py", 'f"{1}abc"', 'f"{2}abc"'),
    ("cleaning/words.py", "def strip(raw):\n    return raw", "def strip(raw):\n    return 1"),
    ("cleaning/kinds.py", "size(raw)", "size(raw) + 1"),
    ("../shop_helpers.py", "return 1", "return 2"),
    ("late.py", "SIZE = 1", "SIZE = 2"),
]


@pytest.mark.parametrize(("name", "old", "new"), REACHED, ids=[f"{name} {new.strip()[:24]}" for name, _, new in REACHED])
def test_what_a_function_reaches_counts(project, name, old, new):
    was = project()
    assert project(name, old, new) != was


UNREACHED = [
    ("sales.py", "", "# a comment\n"),
    ("sales.py", '"""Sales."""', '"""Sales of the shop."""\n\n'),
    ("sales.py", '"""Cleans sales."""', ""),
    ("sales.py", "def clean(raw):", 'def clean(raw: "str",) -> "str":'),
    ("sales.py", "UNUSED = 4", "UNUSED = 5"),
    ("sales.py", "def other(raw):\n    return raw", "def other(raw):\n    return LIMIT"),
    ("sales.py", "return dates.to_date(raw), LIMIT,", "return (dates.to_date(raw),  # first\n            LIMIT,"),
    ("cleaning/dates.py", "return 1", "return 2"),
    ("cleaning/dates.py", "raw: str", "raw: object"),
    ("unreached.py", "SIZE = 1", "SIZE = 2"),
]


@pytest.mark.parametrize(("name", "old", "new"), UNREACHED, ids=[f"{name} {new.strip()[:24]}" for name, _, new in UNREACHED])
def test_what_a_function_does_not_reach_does_not_count(project, name, old, new):
    if new.startswith("return (dates"):
        old, new = old + FILES[name].split(old)[1].split("\n")[0], new + FILES[name].split(old)[1].split("\n")[0] + ")"
    was = project()
    assert project(name, old, new) == was


def test_a_helper_that_is_replaced_in_another_module_counts(monkeypatch):
    def take(raw):
        return debezium.rows_of_changes(raw, {"id": "id"})

    was = code_digest(take)
    monkeypatch.setattr(debezium, "_committed_at", lambda: "another time")
    assert code_digest(take) != was


def test_a_shared_expression_concerns_the_tables_that_use_it_and_no_others(monkeypatch):
    was = {table.name: table.digest() for table in catalog().tables}
    monkeypatch.setattr(cleaning, "yyyymmdd", lambda column: column)
    monkeypatch.setattr(crm, "yyyymmdd", cleaning.yyyymmdd)
    changed = {table.name for table in catalog().tables if table.digest() != was[table.name]}
    assert changed == {"crm_sales"}


def test_the_texts_and_files_of_what_is_reached_are_known():
    texts = texts_reached(crm.clean_products)
    assert any("AS product_number" in text for text in texts)
    assert not any("order_number" in text for text in texts)
    assert "usd_rate" in texts_reached(finance.clean_exchange_rates)  # the name of a keyword argument
    assert {file.name for file in files_reached(crm.clean_products)} == {
        "crm.py",
        "cleaning.py",
        "types.py",
        "clock.py",
        "problems.py",
        "errors.py",
    }


def made(word, words=None):
    def clean(raw):
        return raw.replace(word, words)

    return clean


class Cleaner:
    def __init__(self, word):
        self.word = word

    def __call__(self, raw):
        return raw.replace(self.word, "")

    def clean(self, raw):
        return raw.replace(self.word, "")


def test_what_is_bound_to_a_function_counts():
    bound = [
        made("a"),
        made("b"),
        made("a", {"x": 1}),
        made("a", {"x": 2}),
        partial(made, "a"),
        partial(made, word="a"),
        made(made),
        Cleaner("a"),
        Cleaner("b"),
        Cleaner("a").clean,
        *(lambda raw, word=word: raw.replace(word, "") for word in "ab"),
        lambda raw: raw,
    ]
    assert len({code_digest(function) for function in bound}) == len(bound)
    assert code_digest(made("a", {"x": 1})) == code_digest(made("a", {"x": 1}))


def test_what_can_t_be_told_in_words_is_told_by_its_type():
    for make in (object, threading.Lock, lambda: re, lambda: re.compile, lambda: made):
        one, other = make(), make()
        assert code_digest(made(one)) == code_digest(made(other))
    assert code_digest(made(Decimal(1))) != code_digest(made(Decimal(2)))
    assert code_digest(made(lambda: threading)) != code_digest(made(Decimal(1)))


def test_code_without_a_source_is_told_by_what_it_does():
    def function(text):
        names = {"__name__": __name__}
        exec(text, names)
        return names["clean"]

    one, other = "def clean(raw):\n    return raw + 1\n", "def clean(raw):\n    return raw + 2\n"
    assert code_digest(function(one)) == code_digest(function(one))
    assert code_digest(function(one)) != code_digest(function(other))


def test_it_is_the_same_in_each_process():
    code = "from lakehouse_assets.systems import catalog; print([table.digest() for table in catalog().tables])"
    for seed in ("7", "8"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == str([table.digest() for table in catalog().tables])
