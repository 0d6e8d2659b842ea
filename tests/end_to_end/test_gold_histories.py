"""Gold after any history of arrivals equals gold built from nothing, surrogate keys included: all systems, generated."""

import random
from datetime import date
from pathlib import Path

import pytest

from lakehouse_assets.generate.generator import TRUTH, generate, read_truth, system_names
from lakehouse_assets.generate.options import Options
from lakehouse_assets.settings import Settings
from tests.support.command import Command
from tests.support.lakehouse import World

pytestmark = pytest.mark.worlds("sail-folder")

SMALL = Options(scale=0.02, last=date(2026, 1, 4), dirt=0.03)
SOAK = range(2, 12)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A small generated folder of all systems."""
    folder = tmp_path_factory.mktemp("generated") / "made"
    generate(folder, SMALL, system_names())
    return folder


@pytest.fixture(scope="module")
def deliveries(made) -> list[tuple[str, bytes]]:
    """Landing paths and contents of its files."""
    files = sorted(path for path in made.rglob("*") if path.is_file() and path.name != TRUTH)
    return [(str(path.relative_to(made)), path.read_bytes()) for path in files]


def wrong_answers(made: Path, command: Command) -> list[tuple[str, object, str]]:
    """What gold answers otherwise than the truth: the question and both answers. Among others, it asks for the revenue by day."""
    tables = [table for system in read_truth(made).values() for table in system["gold"].items()]
    assert {name for name, _ in tables} == {"gold.fact_inventory_snapshot", "gold.fact_sales", "gold.fact_support_tickets"}
    answers = [(sql, *command.query(sql)[0].values(), answer) for _, questions in tables for sql, answer in questions.items()]
    return [(sql, actual, answer) for sql, actual, answer in answers if actual != answer]


def gold(command: Command) -> dict[str, object]:
    """Rows and a hash over all of them, by gold table."""
    tables = [model.name for model in Settings().gold_project.models()]
    parts = [f"SELECT '{t}' AS name, count(*) AS rows, sum(hash(t))::VARCHAR AS digest FROM gold.{t} AS t" for t in tables]
    return {str(row["name"]): (row["rows"], row["digest"]) for row in command.query(" UNION ALL ".join(parts))}


def from_nothing(world: World, folder: Path, landed: Command) -> dict[str, object]:
    folder.mkdir()
    fresh = Command(world, folder)
    fresh.copy_landing(landed)
    fresh.run("sync")
    return gold(fresh)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in SOAK)])
def test_gold_is_what_it_would_be_if_all_had_come_at_once(seed, made, deliveries, world, tmp_path):
    """Files come in any order, some twice under another name, some go again; the soak compares after each step."""
    chance, soak = random.Random(seed), seed in SOAK
    waiting = chance.sample(deliveries, len(deliveries))
    (home := tmp_path / "home").mkdir()
    command = Command(world, home)
    steps = 4 if soak else 2
    for step in range(steps):
        share = len(waiting) if step == steps - 1 else len(waiting) // (steps - step)
        arriving, waiting = waiting[:share], waiting[share:]
        for path, content in arriving:
            command.write(path, content)
            if chance.random() < 0.05:
                again = Path(path)
                command.write(str(again.with_name(f"again-{again.name}")), content)
        for path, _ in chance.sample(arriving, min(3, len(arriving))) if soak else []:
            command.remove(path)
        command.run("sync")
        if soak or step == steps - 1:
            assert gold(command) == from_nothing(world, tmp_path / f"fresh-{step}", command)
    if not soak:  # which takes files away that the truth counts
        assert wrong_answers(made, command) == []
