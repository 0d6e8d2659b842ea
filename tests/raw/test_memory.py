"""What a process holds at most while it reads files that are refused."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

MOST_MEGABYTES = 1_500

_READ = """
import logging, sys
from pathlib import Path
from datetime import date
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.raw.load import load
from lakehouse_assets.store.root import Root
from lakehouse_assets.contracts.feeds import Feed, SourceColumn

CUSTOMERS = Feed("shop/customers", (SourceColumn("id", "Number"), SourceColumn("Full Name", "Name")))

landing, day = Landing(Root.parse(sys.argv[1])), date(2026, 1, 1)
landed = load(CUSTOMERS, landing, landing.listing("shop/customers", day).objects, {}, [day], logging.getLogger())
# Not getrusage, whose maximum a process takes over from the one that started it.
[most] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(sum(file.rows_in for file in landed.files[day]), int(most) // 1024)
"""


def renamed(size: int) -> bytes:
    return b"id,Name of old\n" + b"1,Ann\n" * (size // 6)


def binary(size: int) -> bytes:
    return b"\0" + random.Random(1).randbytes(size)


@pytest.mark.parametrize(
    ("content", "files", "size", "rows"),
    [(renamed, 1, 30_000_000, 5_000_000), (binary, 1, 20_000_000, 1), (renamed, 1_000, 18_000, 3_000_000)],
    ids=["a renamed header", "a binary file", "many renamed headers"],
)
def test_a_pass_over_files_that_are_refused_stays_small(tmp_path, content, files, size, rows):
    folder = tmp_path / "landing" / "shop" / "customers" / "2026-01-01"
    folder.mkdir(parents=True)
    for number in range(files):
        # A name of its own in each, or they would be duplicates.
        (folder / f"{number}.csv").write_bytes(content(size).replace(b"old", b"old%d" % number, 1))
    told = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path)], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    counted, megabytes = map(int, told.stdout.split())
    assert counted == rows
    assert megabytes < MOST_MEGABYTES
