"""A disk that fills up within a pass: what stood stands, the pass says why it ends, and with room again the next one heals."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lakehouse import BICYCLES, Lakehouse
from tests.support.store_faults import CUSTOMERS, check_no_trace, missing_files

pytestmark = pytest.mark.worlds("sail-folder")

DISK_BYTES = 4 * 1024 * 1024

DELTA_RS_PANICS = re.compile(r"thread 'tokio-rt-worker' \(\d+\) panicked at \S+/buffered\.rs:\S+\s+Already shut down\n")
"""What delta-rs writes to stderr beside the error that it raises, where a local file can't be written to its end."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"only root can mount a small disk: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, free: int) -> Path:
    """Leave so many bytes free."""
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    ballast.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - free)))
    return ballast


def sync(lakehouse: Lakehouse, tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "LAKEHOUSE_ROOT": str(lakehouse.settings.lakehouse_root),
        "LAKEHOUSE_ENGINE": "sail",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "NO_COLOR": "1",
    }
    command = [str(Path(sys.executable).with_name("lakehouse")), "sync"]
    done = subprocess.run(command, env=environment | more, capture_output=True, text=True, timeout=600)
    said = done.stdout + done.stderr
    check_no_trace(DELTA_RS_PANICS.sub("", said))
    return done


@pytest.mark.parametrize("free", [12, 48], ids=lambda free: f"{free} KiB free")
def test_what_stood_stands_and_the_next_pass_heals(free, disk, world, engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lakehouse = Lakehouse(world.settings(str(disk / "lakehouse")), list(BICYCLES), engine)
    lakehouse.land("crm/customers", "2026-01-01", "customers.csv", CUSTOMERS)
    assert sync(lakehouse, tmp_path).returncode == 0
    lakehouse.land("crm/customers", "2026-01-01", "customers.csv", CUSTOMERS.replace("Ann", "Eva"))
    lakehouse.land("crm/customers", "2026-01-02", "more.csv", CUSTOMERS.replace("Bob", "Rob").replace("2026-01-01", "2026-01-02"))
    ballast = fill(disk, free * 1024)
    done = sync(lakehouse, tmp_path)
    assert done.returncode == 1
    assert "No space left" in done.stderr + done.stdout, done.stderr + done.stdout
    ballast.unlink()
    assert missing_files(lakehouse.settings.root) == []
    assert {row["first_name"] for row in lakehouse.rows("silver.crm_customers")} <= {"Ann", "Eva", "Bob", "Rob"}
    assert sync(lakehouse, tmp_path).returncode == 0
    assert {row["first_name"] for row in lakehouse.rows("silver.crm_customers")} == {"Ann", "Rob"}
    assert lakehouse.plan().is_empty
