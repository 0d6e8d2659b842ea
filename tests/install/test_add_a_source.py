"""The page that takes a new user from a file to a gold table, followed to the letter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse_assets.errors import ProjectError
from lakehouse_assets.new_project import lay_out

PAGE = Path(__file__).parents[2] / "docs" / "add-a-source.md"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path):
    """Runs commands as a user's shell does; what they print."""
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "AWS_", "DAGSTER_"))}
    environment = {**kept, "PATH": f"{programs}:{os.environ['PATH']}"}

    def call(commands: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def test_the_page_can_be_followed_to_the_letter(shell, tmp_path):
    blocks = BLOCK.findall(PAGE.read_text())
    assert {language for language, _, _ in blocks} == {"sh", "csv", "python", "sql", "yaml", "json"}
    folder, printed, compared = tmp_path, "", 0
    for language, title, text in blocks:
        if title:
            (folder / title).write_text(text)
        elif language == "sh":
            printed = shell(text, folder)
            folder = tmp_path / "acme"
        else:
            assert json.loads(printed.splitlines()[-1]) == json.loads(text)
            compared += 1
    assert compared == 2


def test_a_model_without_a_date_is_refused_with_what_to_add(shell, tmp_path):
    shell("lakehouse init acme", tmp_path)
    project = tmp_path / "acme"
    model = project / "dbt_project/models/marts/orders_by_day.sql"
    model.write_text(model.read_text().replace(",\n    max(_date) as _date", ""))
    described = project / "dbt_project/models/marts/marts.yml"
    described.write_text("\n".join(line for line in described.read_text().splitlines() if "_date, data_type" not in line))
    with pytest.raises(AssertionError, match="gold/orders_by_day has no column _date") as error:
        shell("lakehouse land shop/orders sample_data/shop/orders/*/orders.csv --date 2026-01-31; lakehouse sync", project)
    words = " ".join(re.sub(r"[│\n]", " ", str(error.value)).split())
    assert "models/marts/orders_by_day.sql, such as `max(_date) as _date`" in words


def test_systems_and_models_of_one_s_own_can_stand_alone(shell, tmp_path):
    shell("lakehouse init acme", tmp_path)
    project = tmp_path / "acme"
    (project / "dbt_project/packages.yml").unlink()
    settings = (project / ".env").read_text()
    (project / ".env").write_text(settings.replace("lakehouse_assets.systems,", ""))
    shell("make demo check", project)
    (project / "keys.py").write_text(
        "from lakehouse_assets.definitions import defs\n"
        "print(*sorted(key.to_user_string() for key in defs().resolve_asset_graph().get_all_asset_keys()))\n"
    )
    assert shell("python keys.py", project).split() == [
        "gold/orders_by_day",
        "landing/shop_orders",
        "raw/shop_orders",
        "silver/shop_orders",
    ]


@pytest.mark.parametrize("name", ["class", "tests", "lakehouse-assets", "1st"])
def test_a_name_that_can_be_no_package_is_refused(name, tmp_path):
    with pytest.raises(ProjectError, match="Name another folder"):
        lay_out(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(shell, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    with pytest.raises(AssertionError, match="is not an empty folder"):
        shell("lakehouse init mine", tmp_path)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["README.md"]


def test_packages_that_are_not_there_are_named(shell, tmp_path):
    (tmp_path / ".lakehouse").mkdir()
    with pytest.raises(AssertionError, match="LAKEHOUSE_SYSTEMS: there is neither a package nor a folder 'nowhere'"):
        shell("LAKEHOUSE_SYSTEMS=nowhere lakehouse plan", tmp_path)
    with pytest.raises(AssertionError, match="LAKEHOUSE_DBT_PROJECT: nowhere is not a dbt project"):
        shell("LAKEHOUSE_DBT_PROJECT=nowhere lakehouse plan", tmp_path)
