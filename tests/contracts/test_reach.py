"""The digest of a function changes with all code that it reaches, and with nothing else."""

import importlib
import os
import re
import subprocess
import sys
import threading
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from lakehouse_assets.contracts.reach import code_digest
from lakehouse_assets.systems import catalog, crm

FILES = {
    "__init__.py": "",
    "sales.py": "from shop_project.cleaning import dates\n\ndef clean(raw):\n    return dates.to_date(raw)\n",
    "cleaning/__init__.py": "",
    "cleaning/dates.py": "from .words import trim\n\ndef to_date(raw):\n    import shop_project.late\n    return trim(raw)\n",
    "cleaning/words.py": "def trim(raw):\n    return raw\n",
    "late.py": "import shop_helpers\n",
    "../shop_helpers.py": "from shop_words import deep\n",
    "../shop_words/deep.py": "",
    "other.py": "",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own with a silver function that is helped by other modules; edits a file and gives the digest."""
    folder = tmp_path / "shop_project"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    def digest(name="other.py", more=""):
        with (folder / name).open("a") as file:
            file.write(more)
        return code_digest(importlib.import_module("shop_project.sales").clean)

    yield digest
    for name in [n for n in sys.modules if n.startswith("shop_")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", [n for n in FILES if n not in ("other.py", "__init__.py")])
def test_a_helper_that_is_reached_by_import_counts(project, name):
    was = project()
    assert project(name, "# changed\n") != was


def test_a_module_that_is_not_reached_does_not_count(project):
    assert project() == project("other.py", "# changed\n")


def test_a_helper_of_a_system_in_another_module_counts(monkeypatch, tmp_path):
    was = crm.SALES.digest()
    helper = tmp_path / "types.py"
    helper.write_text(Path(sys.modules["lakehouse_assets.contracts.types"].__file__).read_text() + "# changed\n")
    monkeypatch.setattr(sys.modules["lakehouse_assets.contracts.types"], "__file__", str(helper))
    assert crm.SALES.digest() != was


def made(word, words=None):
    def clean(raw):
        return raw.replace(word, words)

    return clean


def test_what_is_bound_to_a_function_counts():
    bound = [
        made("a"),
        made("b"),
        made("a", {"x": 1}),
        made("a", {"x": 2}),
        partial(made, "a"),
        partial(made, word="a"),
        made(made),
        *(lambda raw, word=word: raw.replace(word, "") for word in "ab"),
    ]
    assert len({code_digest(function) for function in bound}) == len(bound)
    assert code_digest(made("a", {"x": 1})) == code_digest(made("a", {"x": 1}))


def test_what_can_t_be_told_in_words_is_told_by_its_type():
    for odd in (object(), re, re.compile, threading.Lock(), made):
        assert code_digest(made(odd)) == code_digest(made(odd))
    assert code_digest(made(Decimal(1))) != code_digest(made(Decimal(2)))
    assert code_digest(made(object())) == code_digest(made(object()))
    assert code_digest(made(lambda: threading)) != code_digest(made(Decimal(1)))


def test_it_is_the_same_in_each_process():
    code = "from lakehouse_assets.systems import catalog; print([e.digest() for e in list(catalog().tables)])"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str([entity.digest() for entity in list(catalog().tables)])
