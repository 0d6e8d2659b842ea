"""The page on the star schema: its diagram is that of the models, and each column that it names exists."""

import re

import pytest

from lakehouse_assets.documentation.star_schema_page import PAGE, current_page, diagram, with_diagram
from lakehouse_assets.settings import Settings

TEXT = PAGE.read_text()


@pytest.fixture(scope="module")
def columns():
    nodes = Settings().gold_project.manifest()["nodes"].values()
    models = (node for node in nodes if node["resource_type"] == "model")
    return {node["name"]: {*node["columns"]} for node in models}


def test_the_diagram_is_that_of_the_models():
    assert current_page() == TEXT, "run `make docs`"
    assert with_diagram(TEXT, Settings().gold_project.manifest()) == TEXT


def test_each_column_beside_the_model_that_it_goes_back_to_exists(columns):
    rows = re.findall(r"^\| (\w+)\.(\w+) \| \w+ \| (\w+)\.(\w+) \|", TEXT, re.MULTILINE)
    assert len(rows) == 79
    missing = {f"{table}.{column}" for *_, table, column in rows if column not in columns.get(table, ())}
    assert not {name for name in missing if name.partition(".")[0] in columns}


def test_each_column_in_the_tables_by_system_exists(columns):
    sections = re.findall(r"^\*\*(\w+)\.?\*\*(?:.*\n)+?\n\| column \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert len(sections) == 6
    for table, rows in sections:
        named = {name for row in rows.splitlines() for name in row.split("|")[1].replace(" ", "").split(",")}
        assert table not in columns or named <= columns[table], table


def test_a_diagram_has_the_keys_that_the_tests_of_the_models_say():
    def model(name, folder, **columns):
        described = {column: {"data_type": kind} for column, kind in columns.items()}
        path = f"{folder}/{name}.sql"
        return {"unique_id": f"m.{name}", "name": name, "resource_type": "model", "path": path, "columns": described}

    def test(kind, name, column, **arguments):
        metadata = {"name": kind, "kwargs": arguments}
        return {"resource_type": "test", "attached_node": f"m.{name}", "column_name": column, "test_metadata": metadata}

    nodes = [
        model("fact_b", "facts", b_key="bigint", a_key="bigint", amount="decimal(18,2)"),
        model("dim_a", "dimensions", a_key="bigint", a_id="varchar", _date="date"),
        model("mart", "marts", a_key="bigint"),
        model("int_c", "intermediate"),
        test("unique", "fact_b", "b_key"),
        test("unique", "dim_a", "a_id"),
        test("unique", "dim_a", "a_key"),
        test("unique", "mart", "a_key"),
        test("relationships", "fact_b", "a_key", to="ref('dim_a')", field="a_key"),
    ]
    assert re.sub(r"\s+", " ", diagram({"nodes": dict(enumerate(nodes))})) == (
        "erDiagram DIM_A { bigint a_key PK varchar a_id } FACT_B { bigint b_key PK bigint a_key FK decimal amount } "
        'DIM_A ||--o{ FACT_B : "a_key" '
    )
