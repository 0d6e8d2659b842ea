"""Whoever waits for files is told of each, also of those that land while it is busy, and of none that is still being written."""

import threading
import time
from itertools import islice

import pytest

from lakehouse_assets.landing import watch
from lakehouse_assets.landing.watch import arrivals
from lakehouse_assets.store.root import Root


@pytest.fixture
def stop():
    event = threading.Event()
    yield event
    event.set()


def test_a_folder_tells_of_each_file_in_a_folder_that_was_not_there_before(root, stop):
    waiting = arrivals(root, 60, stop, print)
    assert next(waiting) is False
    folder = root.local_folder / "landing" / "crm" / "sales" / "2026-01-05"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("id\n1\n")
    assert any(islice(waiting, 3))
    assert not any(islice(waiting, 2))
    (folder / "a.csv").write_text("id\n2\n")  # while nobody waits
    time.sleep(0.6)
    assert any(islice(waiting, 2))
    (folder / "a.csv").unlink()
    assert any(islice(waiting, 3))


def test_files_that_are_still_being_written_are_no_reason_for_a_pass(root, stop):
    folder = root.local_folder / "landing" / "crm" / "sales" / "2026-01-05"
    folder.mkdir(parents=True)
    waiting = arrivals(root, 60, stop, print)
    next(waiting)
    for name in (".a.csv", "_a.csv", "a.csv.part"):
        (folder / name).write_text("id\n")
    assert not any(islice(waiting, 3))
    (folder / ".a.csv").rename(folder / "a.csv")
    assert any(islice(waiting, 3))


def test_a_burst_is_one(root, stop):
    folder = root.local_folder / "landing" / "crm" / "sales" / "2026-01-05"
    folder.mkdir(parents=True)
    waiting = arrivals(root, 60, stop, print)
    next(waiting)
    for number in range(10):
        (folder / f"{number}.csv").write_text("id\n")
        time.sleep(0.02)
    assert sum(islice(waiting, 4)) == 1


def test_a_store_is_listed_at_an_interval_and_the_end_does_not_wait_for_it(stop, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)
    bucket = Root("s3://bucket/prefix")
    assert list(islice(arrivals(bucket, 0.04, stop, print), 6)) == [False, True, False, True, False, True]
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    assert not any(arrivals(bucket, 600, stop, print))
    assert time.monotonic() - began < 2


def test_a_folder_that_can_not_be_watched_is_listed(root, stop, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)

    def full(*_):
        raise OSError("OS file watch limit reached.")
        yield

    monkeypatch.setattr(watch, "_changes", full)
    said = []
    assert any(islice(arrivals(root, 0.04, stop, said.append), 3))
    assert "can't be watched (OS file watch limit reached.): it is listed every 0.04 s instead." in said[0]
