"""Broken files of each format: no crash, no hang, bounded memory, and their sound neighbours are loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.broken import BOMBS, ROWS, SOUND, broken

MOST_MEGABYTES = 1_000
SECONDS = 300

_READ = """
import logging, sys
from pathlib import Path
from datetime import date
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.delta.data_files import DataFolder
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.raw.load import land
from lakehouse_assets.store.root import Root
from tests.support.broken import SOUND

root, day = Root.parse(sys.argv[1]), date(2026, 1, 1)
for kind in sys.argv[2:]:
    feed = Feed(f"shop/{kind}", (SourceColumn("id", ""), SourceColumn("name", "", required=False)), format=SOUND[kind][0])
    target = Target(root, "raw", feed.table, [day], "run", logging.getLogger())
    landed = land(feed, target, day, DataFolder(root, "raw", feed.table, "data"))
    files = landed.dates[day].files
    assert not landed.unreadable and not landed.unstable
    assert landed.stage.rejected == sum(f.rows_in - f.rows_out for f in files if not f.duplicate_of)
    print(*(f"{kind}/{f.name} {f.rows_in} {f.rows_out}" for f in files), sep="\\n")
[most] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print("peak", int(most) // 1024, 0)
"""


def check(tmp_path: Path, seeds: dict[str, range]) -> None:
    """Load broken files of some formats, each beside a sound one, in a process of its own."""
    for kind, numbers in seeds.items():
        folder = tmp_path / "landing" / "shop" / kind / "2026-01-01"
        folder.mkdir(parents=True)
        (folder / "sound").write_bytes(SOUND[kind][1])
        for seed in numbers:
            (folder / f"{seed:03}").write_bytes(broken(kind, seed))
    command = [sys.executable, "-c", _READ, str(tmp_path), *seeds]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3_000:]
    counts = {name: (int(first), int(second)) for name, first, second in map(str.split, done.stdout.splitlines())}
    peak, _ = counts.pop("peak")
    assert peak < MOST_MEGABYTES
    assert {counts[f"{kind}/sound"] for kind in seeds} == {(ROWS, ROWS)}
    assert len(counts) == sum(len(numbers) + 1 for numbers in seeds.values())


def test_some_broken_files_of_each_format_cost_only_themselves(tmp_path):
    check(tmp_path, {kind: range(len(BOMBS[kind]), len(BOMBS[kind]) + 12) for kind in SOUND})


@pytest.mark.soak
@pytest.mark.parametrize("kind", SOUND)
def test_a_hundred_broken_files_and_bombs_cost_only_themselves(tmp_path, kind):
    check(tmp_path, {kind: range(100 + len(BOMBS[kind]))})


def test_the_same_seed_breaks_a_file_in_the_same_way():
    assert all(broken(kind, 50) == broken(kind, 50) != SOUND[kind][1] for kind in SOUND)
