"""What a process holds at most while it reads files, sound or refused."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

MOST_MEGABYTES = 500

_READ = """
import logging, sys
from pathlib import Path
from datetime import date
from lakehouse_assets.delta.data_files import DataFolder
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.raw.load import land
from lakehouse_assets.store.root import Root
from lakehouse_assets.contracts.feeds import Feed, SourceColumn

CUSTOMERS = Feed("shop/customers", (SourceColumn("id", "Number"), SourceColumn("Full Name", "Name")))

root, day = Root.parse(sys.argv[1]), date(2026, 1, 1)
target = Target(root, "raw", "shop_customers", [day], "run", logging.getLogger())
landed = land(CUSTOMERS, target, day, DataFolder(root, "raw", "shop_customers", "data"))
# Not getrusage, whose maximum a process takes over from the one that started it.
[most] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(sum(file.rows_in for file in landed.dates[day].files), int(most) // 1024)
"""


def renamed(size: int) -> bytes:
    return b"id,Name of old\n" + b"1,Ann\n" * (size // 6)


def binary(size: int) -> bytes:
    return b"\0" + random.Random(1).randbytes(size)


def sound(size: int) -> bytes:
    return b"id,Full Name\n" + b"".join(b"%d,a name of some length and of old\n" % n for n in range(size // 40))


def broken(size: int) -> bytes:
    return sound(size).replace(b" and", b",and")


@pytest.mark.parametrize(
    ("content", "files", "size", "rows"),
    [
        (renamed, 1, 30_000_000, 5_000_000),
        (binary, 1, 20_000_000, 1),
        (renamed, 1_000, 18_000, 3_000_000),
        (sound, 1, 100_000_000, 2_500_000),
        (broken, 1, 10_000_000, 250_000),
    ],
    ids=["a renamed header", "a binary file", "many renamed headers", "sound rows", "broken rows"],
)
def test_a_pass_over_files_stays_small(tmp_path, content, files, size, rows):
    folder = tmp_path / "landing" / "shop" / "customers" / "2026-01-01"
    folder.mkdir(parents=True)
    for number in range(files):
        # A name of its own in each, or they would be duplicates.
        (folder / f"{number}.csv").write_bytes(content(size).replace(b"old", b"old%d" % number, 1))
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path)], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    counted, megabytes = map(int, done.stdout.split())
    assert counted == rows
    assert megabytes < MOST_MEGABYTES


@pytest.mark.soak
def test_two_gigabytes_and_the_same_packed_are_loaded_in_less_than_one():
    """A Dagster run with all its processes."""
    benchmark = Path(__file__).parents[2] / "benchmarks/raw.py"
    done = subprocess.run([sys.executable, benchmark, "--times", "560"], capture_output=True, text=True, check=True)
    peaks = [int(line.rpartition("peak MB")[2].replace(",", "")) for line in done.stdout.splitlines() if line.startswith("raw ")]
    assert len(peaks) == 2
    assert max(peaks) < 1_000
