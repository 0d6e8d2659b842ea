"""Sample files of all formats, names and shapes: what is declared of them, and that it reads them to the last row."""

import ast
import gzip
import json
import keyword
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lakehouse_assets import cli
from lakehouse_assets.contracts.formats import Csv, Header, Json, Parquet, Xlsx
from lakehouse_assets.errors import ProjectError
from lakehouse_assets.new_source import sample, write
from lakehouse_assets.new_source.meaning import entity_of
from lakehouse_assets.new_source.sql import EVALUATED
from lakehouse_assets.new_source.write import by_entity, systems_folder
from lakehouse_assets.raw.readers.formats import read_rows
from lakehouse_assets.silver.transform import contract_faults
from tests.support.new_source import PUBLIC, SAMPLES, csv_bytes, declared
from tests.support.workbooks import workbook

REPOSITORY = Path(__file__).parents[2]
ROWS = [["id", "city", "total"], ["1", "Köln", "1.50"], ["2", "Oslo", "2.50"], ["3", "Oslo", "3.50"]]
RECORDS = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]


@pytest.fixture
def declare(tmp_path):
    """Declares the system shop from files, given by name and bytes: the code, each comment on one line, and the system."""

    def call(files, *, entities=()):
        paths = []
        for name, data in files.items():
            (path := tmp_path / name).write_bytes(data)
            paths.append(path)
        given = [f"{entity}={path}" for entity, path in zip(entities, paths, strict=True)] if entities else paths
        made, system = declared(tmp_path, "shop", *given)
        return re.sub(r"\n +#   (?=\S)", " ", made.file.read_text()), system

    return call


def read(feed, data, name="file"):
    """The rows that a feed reads of a file, and how many it rejects."""
    batches = list(read_rows([data], feed, name, len(data), date(2026, 1, 31)))
    rows = pa.concat_tables([b.rows for b in batches], promote_options="default").to_pylist()
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows], sum(b.rejects.num_rows for b in batches)


def parquet(rows):
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (csv_bytes(ROWS), Csv()),
        (csv_bytes(ROWS, ";", "cp1252"), Csv(delimiter=";", encoding="cp1252")),
        (csv_bytes(ROWS, "\t", "utf-16"), Csv(delimiter="\t")),
        (csv_bytes(ROWS, "|", "utf-16-le"), Csv(delimiter="|", encoding="utf-16-le")),
        (csv_bytes(ROWS, ",", "utf-8-sig"), Csv()),
        (csv_bytes(ROWS[1:]), Csv(headers=(Header(("column_1", "column_2", "column_3")),))),
        ("".join(json.dumps(r) + "\n" for r in RECORDS).encode(), Json()),
        (json.dumps(RECORDS).encode(), Json()),
        (json.dumps({"rows": RECORDS}).encode(), Json(records="rows")),
        (json.dumps({"page": {"rows": RECORDS}}, indent=1).encode(), Json(records="page.rows")),
        (workbook({"January": ROWS}), Xlsx()),
        (parquet(RECORDS), Parquet()),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else repr(value),
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_format_is_told_by_the_bytes_and_reads_all_rows(declare, data, form, packed):
    data = gzip.compress(data) if packed else data
    _, system = declare({"orders_2026-01-31.dat": data})
    [feed] = system.feeds
    assert feed.formats == (form,)
    rows, rejected = read(feed, data)
    assert rejected == 0
    assert [list(row.values()) for row in rows] == ROWS[1:]
    types = [c.type for c in system.tables[0].contract.columns]
    assert types == ["int", "string", "decimal(12,2)"]
    assert len(system.tables[0].contract.key) == 1


def test_what_is_not_sure_of_a_file_is_asked(declare):
    text, _ = declare(
        {"a.csv": csv_bytes(ROWS[1:]), "b.csv": csv_bytes(ROWS, ";", "cp1252"), "c.json": json.dumps({"d": RECORDS}).encode()}
    )
    for asked in (
        "What are its columns called?",
        "The file is not UTF-8. Is it cp1252?",
        "Are the rows the objects of the list 'd'?",
    ):
        assert asked in text
    text, _ = declare({"words.csv": b"a,b\nc,d\n"})
    assert "# Question: Is the first line a header? It was taken for one: a, b." in text


def test_files_of_one_entity_are_one_feed(declare):
    files = {
        "orders_2026-01-30.csv": csv_bytes([["id", "note"], ["1", "ä"]], ",", "cp1252"),
        "orders_2026-01-31.csv": csv_bytes([["id", "note", "extra"], ["2", "b", "x"]]),
        "orders-3.xlsx": workbook({"s": [["id", "note"], [3, "c"]]}),
        "customers.jsonl": b'{"id": 1, "name": null}\n{"id": 2}\n',
    }
    text, system = declare(files)
    assert [feed.landing for feed in system.feeds] == ["shop/orders", "shop/customers"]
    orders, customers = system.feeds
    assert orders.formats == (Csv(encoding="cp1252"), Xlsx())
    assert {c.name: c.required for c in orders.columns} == {"id": True, "note": True, "extra": False}
    assert {c.name: c.required for c in customers.columns} == {"id": True, "name": False}
    assert "orders_2026-01-30.csv, orders-3.xlsx lacks it" in text
    assert [sum(read(orders, files[name], name)[1] for name in files if name.startswith("orders"))] == [0]


def test_files_of_one_feed_are_written_alike_or_refused(declare):
    files = {"orders_1.csv": csv_bytes(ROWS), "orders_2.csv": csv_bytes(ROWS, ";")}
    with pytest.raises(ProjectError, match="files of one feed are written alike"):
        declare(files)
    _, system = declare(files, entities=("orders", "others"))
    assert [feed.landing for feed in system.feeds] == ["shop/orders", "shop/others"]


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("orders.csv", "orders"),
        ("Orders_2026-01-31.CSV", "orders"),
        ("orders-20260131T1200.csv.gz", "orders"),
        ("20260131_order items (3).xlsx", "order_items"),
        ("ValeursFoncieres-2026-S1.txt", "valeurs_foncieres"),
        ("sales_2026_q3.parquet", "sales"),
        ("b2b_customers.json", "b2b_customers"),
        ("2026-01-31.csv", ""),
    ],
)
def test_an_entity_is_the_name_of_the_file_without_dates_and_numbers(name, entity):
    assert entity_of(name) == entity


def test_what_can_be_no_sample_is_refused(declare, tmp_path):
    with pytest.raises(ProjectError, match="There is no file nowhere"):
        by_entity(["nowhere.csv"])
    (tmp_path / "2026.csv").write_text("a\n1\n")
    with pytest.raises(ProjectError, match="says no name of an entity: name it, as in orders="):
        by_entity([str(tmp_path / "2026.csv")])
    for name, data, reason in (
        ("empty.csv", b"", "can't be a sample|no row"),
        ("header.csv", b"id,name\n", "has no row that can be read"),
        ("zip.xlsx", b"PK\x03\x04 no workbook", "can't be a sample"),
        ("cut.csv.gz", gzip.compress(csv_bytes(ROWS))[:-9], "is cut off"),
        ("picture.csv", bytes(range(256)) * 40, "can't be a sample"),
    ):
        with pytest.raises(ProjectError, match=reason):
            declare({name: data})
    assert not list(tmp_path.rglob("shop.py"))


def test_a_system_is_never_overwritten_and_has_a_name_of_its_own(declare, tmp_path):
    declare({"orders.csv": csv_bytes(ROWS)})
    [package] = [file.parent for file in tmp_path.rglob("shop.py")]
    for system, reason in (
        ("shop", "exists, and is not overwritten"),
        ("crm", "There is a system 'crm' already"),
        ("Shop", "use lower case"),
        ("class", "another meaning"),
        ("cleaning", "another meaning"),
    ):
        with pytest.raises(ProjectError, match=reason):
            write.new_source(system, [str(tmp_path / "orders.csv")], ["lakehouse_assets.systems", str(package)])
    assert sorted(file.name for file in package.glob("*.py")) == ["__init__.py", "shop.py"]


def test_a_declaration_goes_where_the_user_s_systems_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme" / "systems").mkdir(parents=True)
    assert systems_folder(["lakehouse_assets.systems", "acme/systems"]) == Path("acme/systems")
    assert systems_folder(["lakehouse_assets.systems"]) == REPOSITORY / "lakehouse_assets" / "systems"
    monkeypatch.setattr(write, "is_installed", lambda: True)
    with pytest.raises(ProjectError, match="lakehouse init FOLDER"):
        systems_folder(["lakehouse_assets.systems"])


def test_only_the_beginning_of_a_long_file_is_looked_at(declare, monkeypatch):
    monkeypatch.setattr(sample, "MOST_ROWS", 2)
    _, system = declare({"orders.csv": csv_bytes([*ROWS, ["x", "y", "z"]])})
    assert [c.type for c in system.tables[0].contract.columns] == ["int", "string", "decimal(12,2)"]


def test_keys_are_those_of_a_row_in_its_file(declare):
    text, system = declare({"orders.csv": b"customer_id,order_id,amount\n7,1,5.10\n8,2,5.20\n8,2,5.20\n"})
    assert system.tables[0].contract.key == ("order_id",)
    assert "So would: customer_id. Rows that repeat another one in all values are superseded: 1." in text
    _, system = declare({"lines.csv": b"amount,line,order_id,sku\n1.5,1,A,x\n1.5,2,A,y\n1.5,1,B,x\n2.5,2,B,z\n"})
    assert system.tables[0].contract.key == ("line", "order_id")


def test_columns_of_change_deletes_and_persons_are_pointed_out(declare):
    text, system = declare(
        {
            "users.csv": b"id,updated_at,is_deleted,email,first_name\n"
            b"1,2026-01-05 10:00:00Z,true,a@example.com,Ann\n2,2026-01-06 10:00:00Z,false,b@example.com,Bo\n"
        }
    )
    contract = system.tables[0].contract
    assert (contract.sequence, contract.deleted) == ("updated_at", None)
    for comment in ("Does updated_at say which row of a key is the newest?", "Does is_deleted say that a row was deleted?"):
        assert f"# Question: {comment}" in text
    assert text.count("# Personal: ") == 2
    assert "time zone" not in text


def test_lists_become_tables_of_their_items_and_objects_a_question(declare):
    orders = [
        {
            "id": n,
            "customer": {"id": 7, "name": "Ann"},
            "tags": ["a"],
            "items": [{"sku": "a", "price": 1.5, "size": 0.0005, "my note": "x"}] * n,
        }
        for n in range(3)
    ]
    text, system = declare({"orders.json": json.dumps(orders).encode()})
    table, items = system.tables
    assert items.contract.table == "shop_orders_items"
    assert {c.name: c.type for c in items.contract.columns} == {
        "order_id": "int",
        "line": "bigint",
        "sku": "string",
        "price": "decimal(12,2)",
        "size": "double",
    }
    assert (
        "It is an object with id, name. Which of these are columns? In the function: get_json_object(customer, '$.id')." in text
    )
    assert "The items also have 'my note': are they needed?" in text
    assert table.contract.key == ("id",)


def test_change_events_are_recognized(declare):
    event = {"op": "c", "before": None, "after": {"id": 1}, "ts_ms": 1767430800123}
    text, _ = declare({"customers.jsonl": json.dumps(event).encode() + b"\n"})
    assert "# Question: Are these the change events of Debezium?" in text


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Declarations of many kinds, in one folder."""
    folder = tmp_path_factory.mktemp("written")
    long = {f"a_rather_long_name_of_a_column_{n}": "x" * n for n in range(1, 30)}
    nasty = {'it\'s "quoted"': "a", "class": "b", "back\\slash": "c", "größe": "d", "tab\tin it": "e", "": "f", "a" * 120: "g"}
    cases = {
        "one": {"a.csv": b"id\n1\n2\n"},
        "long": {f"{'long_' * 9}name.csv": csv_bytes([list(long), list(long.values())]), "x.csv": csv_bytes([["v"] * 40] * 2)},
        "nasty": {"orders.csv": csv_bytes([list(nasty), list(nasty.values()), [v * 2 for v in nasty.values()]])},
        "system": {"system.csv": b"id,status\n" + b"".join(b"%d,%s\n" % (n, b"it's" if n % 2 else b"paid") for n in range(20))},
        "feed": {"orders_feed.csv": b"id\n1\n", "orders.json": b'[{"id": 1, "feed": [{"a": 1}]}]'},
        "headless": {"lines.csv": b"\n".join(b",".join(b"%d" % n for n in range(row, row + 30)) for row in range(3))},
    }
    for system, files in cases.items():
        (folder / system).mkdir()
        for name, data in files.items():
            (folder / system / name).write_bytes(data)
        declared(folder, system, *sorted((folder / system).iterdir()))
    for system, name in PUBLIC.items():
        declared(folder, system, SAMPLES / name)
    return folder


def test_a_declaration_is_formatted_and_clean(written):
    for command in (["format", "--diff"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--config", REPOSITORY / "pyproject.toml", written],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_declaration_is_typed(written, tmp_path):
    files = [str(file) for file in written.rglob("systems_*/*.py") if file.name != "__init__.py"]
    names = [Path(file).name for file in files]
    assert len(names) == len(set(names))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", REPOSITORY / "pyproject.toml", *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_in_a_comment_holds_when_it_is_taken_in(declare):
    rows = [["id", "status", "amount"], *([str(n), "paid" if n % 2 else "open", f"{n}.50"] for n in range(20))]
    text, _ = declare({"orders.csv": csv_bytes(rows)})
    lines = text.splitlines()
    begin, end = lines.index("        # rules=("), lines.index("        # ),")
    rules = ast.parse("(" + "\n".join(line.strip().removeprefix("# ") for line in lines[begin + 1 : end]) + ")", mode="eval")
    assert [ast.literal_eval(call.args[1]) for call in rules.body.elts] == ["status IN ('open', 'paid')", "amount >= 0"]


@pytest.mark.worlds("sail-folder")
def test_each_word_of_sql_and_python_can_be_a_column(spark, tmp_path):
    words = [word for (word,) in duckdb.sql("SELECT keyword_name FROM duckdb_keywords() ORDER BY 1").fetchall()]
    words += [*map(str.lower, keyword.kwlist), *EVALUATED, "int", "interval", "both", "date", "minus", "lateral", "anti"]
    words = list(dict.fromkeys(words))
    rows = [["id", *words], ["1", *("x" for _ in words)]]
    for part in range(0, len(words), 200):
        (file := tmp_path / f"words_{part}.csv").write_bytes(csv_bytes([[row[0], *row[part + 1 : part + 201]] for row in rows]))
        _, system = declared(tmp_path, "shop", file)
        assert contract_faults(spark, system.tables[0]) == []


def test_the_command_says_what_was_written_and_what_to_do_next(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("LAKEHOUSE_SYSTEMS", "mine")
    (tmp_path / "my orders.csv").write_bytes(csv_bytes(ROWS))
    done = CliRunner().invoke(cli.app, ["new-source", "till", "my orders.csv"])
    assert (done.exit_code, done.stdout) == (0, "mine/till.py\n")
    questions = (tmp_path / "mine" / "till.py").read_text().count("# Question:")
    for line in (
        "till/my_orders: 3 columns; tables: till_my_orders.",
        f"Next: read the {questions} comments in it",
        "  lakehouse land till/my_orders 'my orders.csv' --date 20",
        "  lakehouse sync",
    ):
        assert line in done.stderr
    assert CliRunner().invoke(cli.app, ["new-source", "till", "my orders.csv"]).exit_code == 1


def test_names_of_items_are_unique_next_to_any_key_of_their_row(declare):
    lines = [{"order_id": "A", "line": n % 2, "parts": [{"line": 7, "sku": "a"}]} for n in range(2)]
    lines += [{"order_id": "B", "line": n % 2, "parts": [{"line": 8, "sku": "b"}]} for n in range(2)]
    _, system = declare({"lines.json": json.dumps(lines).encode()}, entities=("deliveries",))
    contract = system.tables[1].contract
    assert contract.key == ("order_id", "line", "line_2")
    assert [*contract.column_names] == ["order_id", "line", "line_2", "line_3", "sku"]
    orders = [{"id": n % 2, "order_id": n // 2, "items": [{"id": n, "sku": "a"}]} for n in range(4)]
    _, system = declare({"orders.json": json.dumps(orders).encode()})
    contract = system.tables[1].contract
    assert contract.key == ("id", "order_id", "line")
    assert [*contract.column_names] == ["id", "order_id", "line", "id_2", "sku"]


def test_the_place_of_an_item_is_no_name_that_its_row_has(declare):
    rows = [{"line": n, "parts": [{"sku": "a"}]} for n in range(3)]
    _, system = declare({"lines.json": json.dumps(rows).encode()})
    contract = system.tables[1].contract
    assert contract.key == ("line", "line_2")
    assert [(r.column, r.to_column) for r in contract.relationships] == [("line", "line")]


def test_tables_of_items_of_two_feeds_have_names_of_their_own(declare):
    files = {
        "a.jsonl": b'{"id": 1, "b_c": [{"x": 1}]}\n{"id": 2, "b_c": []}\n',
        "a_b.jsonl": b'{"id": 1, "c": [{"y": 1}]}\n{"id": 2, "c": []}\n',
        "a_b_c.csv": csv_bytes(ROWS),
    }
    _, system = declare(files)
    tables = {table.name: [given.each for given in table.inputs] for table in system.tables}
    assert tables == {
        "shop_a": [None],
        "shop_a_b_c_2": ["b_c"],
        "shop_a_b": [None],
        "shop_a_b_c_3": ["c"],
        "shop_a_b_c": [None],
    }


def test_constants_of_tables_and_feeds_have_names_of_their_own(declare):
    names = ("system", "system_table", "orders", "orders_feed", "orders_feed_table", "type_checking")
    _, system = declare({f"{name}.csv": csv_bytes(ROWS) for name in names})
    assert [table.name for table in system.tables] == [f"shop_{name}" for name in names]


def test_a_declaration_that_can_not_be_loaded_is_not_left_behind(declare, monkeypatch, tmp_path):
    for code, fault in (("SYSTEM = (\n", "line 1: '(' was never closed"), ("x = 1\n", "there is no SYSTEM")):
        monkeypatch.setattr(write, "declaration", lambda system, feeds, code=code: code)
        with pytest.raises(ProjectError, match="no declaration was written") as error:
            declare({"orders.csv": csv_bytes(ROWS)})
        assert fault in str(error.value)
        assert not list(tmp_path.rglob("shop.py"))


def test_a_declaration_whose_table_another_system_has_is_not_left_behind(tmp_path):
    (package := tmp_path / "mine_with_others").mkdir()
    for name in ("orders_items.csv", "items.csv"):
        (tmp_path / name).write_bytes(csv_bytes(ROWS))
    write.new_source("shop", [str(tmp_path / "orders_items.csv")], [str(package)])
    with pytest.raises(ProjectError, match="shop_orders_items"):
        write.new_source("shop_orders", [str(tmp_path / "items.csv")], [str(package)])
    assert [file.name for file in package.glob("*.py")] == ["shop.py"]


def test_mistakes_of_other_systems_do_not_keep_a_declaration_from_being_written(tmp_path):
    (package := tmp_path / "mine_with_mistakes").mkdir()
    (package / "broken.py").write_text("SYSTEM = (\n")
    (tmp_path / "orders.csv").write_bytes(csv_bytes(ROWS))
    assert write.new_source("shop", [str(tmp_path / "orders.csv")], [str(package)]).file == package / "shop.py"


def test_a_declaration_is_utf_8_whatever_the_machine_writes(tmp_path):
    (package := tmp_path / "mine_in_utf_8").mkdir()
    (tmp_path / "orders.csv").write_bytes(csv_bytes([["größe", "id"], ["1", "2"]]))
    code = (
        "from lakehouse_assets.new_source.write import new_source\n"
        f"new_source('shop', [{str(tmp_path / 'orders.csv')!r}], [{str(package)!r}])"
    )
    plain = os.environ | {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=plain, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"größe"' in (package / "shop.py").read_text("utf-8")


def test_lines_of_an_order_are_told_apart_by_order_and_article(declare):
    text, system = declare({"order_items.csv": b"order_id,sku,qty\n1,a,2\n1,b,3\n"})
    assert system.tables[0].contract.key == ("order_id", "sku")
    assert "Do order_id and sku together identify a row? They do in the 2 rows of the sample. So would: sku" in text
    text, system = declare({"order_items.csv": b"order_id,sku,qty\n1,a,2\n"})
    assert system.tables[0].contract.key == ("order_id", "sku")
    assert "They do in the only row of the sample." in text
    _, system = declare({"products.csv": b"sku,category_id,name\na,1,x\nb,2,y\n"})
    assert system.tables[0].contract.key == ("sku",)


def test_no_value_of_a_secret_or_a_person_is_in_a_declaration(declare):
    rows = [
        ["id", "api_token", "PIN", "iban", "birthday", "first_name", "contact", "password"],
        *(
            [
                str(n),
                f"tok{n % 2}",
                f"004{n % 2}",
                f"DE0{n % 2}",
                f"0{1 + n % 2}/04/1980",
                f"Ann{n % 2}",
                f"a{n % 2}@x.de",
                f"1{n}",
            ]
            for n in range(20)
        ),
        ["21", "tok1", "0041", "DE01", "03/05/1980", "Ann0", "a1@x.de or b@x.de", "hunter2"],
    ]
    documents = [{"id": n, "by_mail": {f"c{n}@x.de": n}, "items": [{f"d{n}@x.de": 1}]} for n in range(2)]
    text, _ = declare({"users.csv": csv_bytes(rows), "logs.json": json.dumps(documents).encode()})
    for value in ("tok0", "tok1", "004", "DE0", "/1980", "Ann0", "hunter2", "@"):
        assert value not in text, value
    assert "_known" not in text
    assert "such as a value that is not shown here. Is it a code" in text
