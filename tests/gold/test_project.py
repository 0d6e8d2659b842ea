"""The parsed dbt project, which several processes read and write at once."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lakehouse_assets.gold.project import GoldProject
from lakehouse_assets.settings import Settings

NAMES = """
import sys
from pathlib import Path
from lakehouse_assets.gold.project import GoldProject
folder = Path(sys.argv[1])
print(*(model.name for model in GoldProject(folder, package=folder).models()))
"""


@pytest.fixture
def project(tmp_path) -> GoldProject:
    own = Settings().gold_project.folder
    left_out = shutil.ignore_patterns("target", "logs", "marts", "facts", "tests")
    shutil.copytree(own, tmp_path / "project", ignore=left_out)
    return GoldProject(tmp_path / "project", package=tmp_path / "project")


def names(folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", NAMES, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_manifest_that_dbt_is_writing_is_not_read(project):
    parsed = [model.name for model in project.models()]
    target = project.folder / "target"
    written = json.loads((target / "parsed.json").read_text())
    (target / "manifest.json").write_text(json.dumps(written["manifest"])[:1000])
    assert names(project.folder) == parsed


def test_processes_that_parse_a_project_at_once_all_get_the_whole(project):
    (project.folder / "target").mkdir()
    (project.folder / "target" / "partial_parse.msgpack").write_bytes(b"half of it")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(names, [project.folder] * 2)
    assert first
    assert second == first
    assert sorted(path.name for path in (project.folder / "target").glob("parse*")) == ["parsed.json"]
