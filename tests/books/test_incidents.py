"""The book of incidents: what was written is read, and of two writers none loses what the other wrote."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

from lakehouse_assets.books.incidents import IncidentRecord, Incidents, Notice
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.serving.query import query
from lakehouse_assets.store.root import Root

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def record(key: str) -> IncidentRecord:
    notices = (Notice("a", "open", 1, NOON), Notice("b", tries=2, tried=NOON, claimed=NOON))
    return IncidentRecord(key, "stale", "silver.x", "is stale", "", NOON, NOON, notices=notices)


def test_what_was_written_is_read_and_nothing_new_is_no_commit(tmp_path):
    book = Incidents(Root(str(tmp_path)))
    assert book.read() == {}
    assert book.update(lambda records: records, "run") == {}
    assert open_table(book.uri) is None
    written = {key: record(key) for key in ("x", "y")}
    assert book.update(lambda records: written, "run") == written == book.read()
    version = open_table(book.uri).version()
    book.update(lambda records: dict(records), "run")
    assert open_table(book.uri).version() == version
    book.update(lambda records: {"x": replace(records["x"], closed=NOON)}, "run")
    assert book.read() == {"x": replace(written["x"], closed=NOON)}
    [row] = query(book.root, "SELECT key, closed IS NULL, len(notices) FROM ops.incidents").fetchall()
    assert row == ("x", False, 2)
    book.update(lambda records: {}, "run")
    assert book.read() == {}


def test_who_was_overtaken_decides_again(tmp_path):
    book, quicker = Incidents(Root(str(tmp_path))), Incidents(Root(str(tmp_path)))
    seen = []

    def change(records):
        if not seen:
            quicker.update(lambda others: {**others, "y": record("y")}, "run")
        seen.append(sorted(records))
        return {**records, "x": record("x")}

    assert sorted(book.update(change, "run")) == sorted(book.read()) == ["x", "y"]
    assert seen == [[], ["y"]]


def test_of_writers_at_once_none_loses_what_another_wrote(tmp_path):
    def write(key):
        Incidents(Root(str(tmp_path))).update(lambda records: {**records, key: record(key)}, "run")

    threads = [threading.Thread(target=write, args=(f"k{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Incidents(Root(str(tmp_path))).read()) == ["k0", "k1", "k2", "k3"]
