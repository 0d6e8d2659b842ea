"""What is kept on disk is what would be computed, whatever changes: texts, code, the folder."""

import json

import pytest

from lakehouse_assets.contracts import code_text
from lakehouse_assets.contracts import remembered as module
from lakehouse_assets.contracts.code_digest import code_digest
from lakehouse_assets.contracts.code_text import definitions
from lakehouse_assets.contracts.remembered import remember_in, remembered
from lakehouse_assets.systems import magento


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_folder", None)
    remember_in(tmp_path / "kept")
    return tmp_path / "kept"


@pytest.fixture
def computed(tmp_path):
    """Asks for a text in capitals, and says how often it was computed."""
    code = tmp_path / "code.py"
    code.write_text("1")
    calls = []

    def ask(text, file=code):
        module._code.cache_clear()  # as another process has it
        return remembered(str(file), text, lambda: calls.append(text) or text.decode().upper()), len(calls)

    return ask


def test_a_result_is_computed_once_for_a_text_and_again_for_another_one_or_for_other_code(folder, computed, tmp_path):
    assert computed(b"a") == ("A", 1)
    assert computed(b"a") == ("A", 1)
    assert computed(b"b") == ("B", 2)
    (tmp_path / "code.py").write_text("2")
    assert computed(b"a") == ("A", 3)


def test_a_result_that_cannot_be_read_or_written_is_computed(folder, computed):
    assert computed(b"a") == ("A", 1)
    [file] = folder.iterdir()
    file.write_text('"A')
    assert computed(b"a") == ("A", 2)
    assert json.loads(file.read_text()) == "A"
    remember_in(file)  # not a folder
    assert (computed(b"a"), computed(b"a")) == (("A", 3), ("A", 4))


def test_only_the_newest_results_stay(folder, computed, monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 3)
    for number in range(20):
        computed(str(number).encode())
        assert len(list(folder.iterdir())) <= 6
    assert computed(b"19") == ("19", 20)


def test_the_code_of_a_file_is_the_same_when_it_is_remembered(folder, tmp_path):
    first = _fresh(tmp_path, "one.py", "def clean(raw, *, x=lambda a: a):\n    from .a import b\n    return raw.c.d('é', e=1)\n")
    again = _fresh(tmp_path, "two.py", (tmp_path / "one.py").read_text())
    assert first == again
    assert {name: [code.texts for code in codes] for name, codes in again.items()} == {"clean": [("e", "é")], "<lambda>": [()]}
    assert len(list(folder.iterdir())) == 1
    assert _fresh(tmp_path, "two.py", "def clean(raw):\n    return 2\n") != first


def test_a_digest_does_not_depend_on_what_is_remembered(folder):
    code_text._definitions.cache_clear()
    functions = [given.function for table in magento.SYSTEM.tables for given in table.inputs]
    first = list(map(code_digest, functions))
    code_text._definitions.cache_clear()
    again = list(map(code_digest, functions))
    remember_in(None)
    code_text._definitions.cache_clear()
    assert first == again == list(map(code_digest, functions))


def _fresh(folder, name, text):
    (folder / name).write_text(text)
    return definitions(folder / name)
