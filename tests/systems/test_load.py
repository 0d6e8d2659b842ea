# ruff: noqa: E501
"""Each mistake in the file of a system is one line that says where it is and what was probably meant; all are told at once."""

import json
import sys
from pathlib import Path

import pytest
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._utils.error import serializable_error_info_from_exc_info
from typer.testing import CliRunner

from lakehouse_assets import systems
from lakehouse_assets.cli import app
from lakehouse_assets.contracts.system import System
from lakehouse_assets.definitions import defs
from lakehouse_assets.errors import ContractError
from lakehouse_assets.gold.project import GoldProject
from lakehouse_assets.systems import all_systems, load_systems

SOUND = '''"""A shop."""

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.feeds import Complete, Feed, SourceColumn
from lakehouse_assets.contracts.system import Input, SilverTable, System


def clean(raw):
    """The amount, and what it was."""
    return raw.selectExpr("*", "TRIM(no) AS number", "TRIM(amt) AS amount", "amt AS _given")


SALES_FEED = Feed(
    landing="shop/sales",
    columns=(SourceColumn("no", "Number"), SourceColumn("amt", "Amount"), SourceColumn("gone", "Yes or no")),
)
SALES = SilverTable(
    contract=Contract(
        table="shop_sales",
        description="Sales",
        owner="team:shop",
        key=("number",),
        sequence="number",
        deleted="gone = 'yes'",
        columns=(Column("number", "int", "Number"), Column("amount", "decimal(12,2)", "Amount")),
        rules=(Rule("amount_given", "_given <> '' AND `amount` >= 0", "warn", "There is an amount."),),
        relationships=(Relationship("number", "crm_customers", "customer_id"),),
    ),
    inputs=(Input(SALES_FEED, clean),),
)

SYSTEM = System(name="shop", description="A shop", tables=(SALES,))
'''


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Puts a file of a system beside the others, with replacements in the sound one."""
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(tmp_path)])
    monkeypatch.setenv("LAKEHOUSE_ENGINE", "sail")
    monkeypatch.setattr(GoldProject, "add_sources", lambda *_: None)  # the project is that of this checkout
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file of the same second and size would be taken for the one before

    def write(*replacements):
        text = SOUND
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "shop.py").write_text(text)
        sys.modules.pop("lakehouse_assets.systems.shop", None)

    yield write
    sys.modules.pop("lakehouse_assets.systems.shop", None)
    vars(systems).pop("shop", None)


MISTAKES = [
    ('owner="team:shop"', 'owner="fleet"', "Contract of shop_sales: owner 'fleet' is neither an e-mail address nor a team, such as 'team:fleet'."),
    ('"decimal(12,2)"', '"money"', "Contract of shop_sales: column 'amount': 'money' is not a type, one of string, int, "),
    ('"decimal(12,2)"', '"decimal(40,2)"', "Contract of shop_sales: column 'amount': decimal(40,2) is not a type: a decimal has 1 to 38 digits"),
    ('"int", "Number"', '"Int", "Number"', "column 'number': 'Int' is not a type, one of string, int, bigint, double, boolean, date, timestamp, decimal(p,s) (did you mean 'int'?)."),
    ('key=("number",)', 'key=("numbre",)', "Contract of shop_sales: key 'numbre' is not a column (did you mean 'number'?)."),
    ('key=("number",)', 'key="number"', "Contract of shop_sales: key 'number' is a text, not names: write ('number',)."),
    ('sequence="number"', 'sequence="numbers"', "Contract of shop_sales: sequence 'numbers' is not a column (did you mean 'number'?)."),
    ('"warn"', '"warm"', "rule 'amount_given' has outcome 'warm', not one of warn, drop, fail (did you mean 'warn'?)."),
    ('sequence="number"', 'sequence="number", mode="upsrt"', "Contract of shop_sales: mode 'upsrt' is not one of snapshot, upsert, history (did you mean 'upsert'?)."),
    ('Relationship("number"', 'Relationship("numbr"', "Contract of shop_sales: relationship column 'numbr' is not a column (did you mean 'number'?)."),
    ('"crm_customers"', '"crm_customer"', "Contract of shop_sales: relationship of 'number': 'crm_customer' is not a silver table (did you mean 'crm_customers'?)."),
    ('"customer_id"', '"customerid"', "Contract of shop_sales: relationship of 'number': 'customerid' is not a column of crm_customers (did you mean 'customer_id'?)."),
    ('"crm_customers", "customer_id"),', '"crm_customers", "customer_id"),) * 2 + (', "check 'number_in_crm_customers' is declared twice, as a relationship's."),
    ('landing="shop/sales"', 'landing="erp/sales"', "System 'shop': the feed erp/sales lands outside of the system's folder (did you mean 'shop/sales'?)."),
    ('landing="shop/sales"', 'landing="shop/../erp"', "Feed shop/../erp: its folder is not system/entity in lower case letters"),
    ('landing="shop/sales"', 'landing="shop"', "Feed shop: its folder is not system/entity in lower case letters"),
    ('name="shop"', 'name="Shop"', "System 'Shop': that is not a name (lower case letters, digits and _)."),
    ('table="shop_sales"', 'table="crm_sales"', "Two tables have the name 'crm_sales', the other in systems/crm.py"),
    ('"amt", "Amount"', '"no", "Amount"', "Feed shop/sales: of the columns no, no, gone, more than one is called no."),
    ('SYSTEM = ', 'SYSTEMS = ', "there is no SYSTEM: add `SYSTEM = System(...)` to it."),
    ('sequence="number",', 'sequence="number"', "line 23: invalid syntax. Perhaps you forgot a comma?"),
    ('Relationship("number"', 'Relation("number"', "line 27: NameError: name 'Relation' is not defined (did you mean 'Relationship'?)."),
    ('key=', 'keys=', "line 18: TypeError: Contract.__init__() got an unexpected keyword argument 'keys'."),
    ('import Input, SilverTable, System', 'import Input, SilverTable, Sistem', "line 5: ImportError: cannot import name 'Sistem' from 'lakehouse_assets.contracts.system'"),
    ("`amount` >= 0", "`amuont` >= 0", "Contract of shop_sales: rule 'amount_given' names 'amuont', which is not a column here (did you mean 'amount'?)."),
    ("gone = 'yes'", "gon = 'yes'", "Contract of shop_sales: deleted names 'gon', which is not a column here (did you mean 'gone'?)."),
    ("_given <> ''", "_gvien <> ''", "Contract of shop_sales: rule 'amount_given' names '_gvien', which is not a column here"),
    ('"customer_id"),)', '"customer_id", "fail"),)', "relationship of 'number' has outcome 'fail', not one of warn, drop."),
    ('"number", "int"', '"number", "string"', "Contract of shop_sales: relationship of 'number': it is string, crm_customers.customer_id is int."),
    ('"crm_customers", "customer_id"', '"shop_sales", "number", "drop"', "Rows wait for each other in a circle: shop_sales waits for shop_sales. Give one of these relationships the outcome warn."),
    ("(Input(SALES_FEED, clean),)", "()", "Table shop_sales: there is no input."),
    ("(Input(SALES_FEED, clean),)", "(Input(SALES_FEED, clean), Input(SALES_FEED, clean))", "Table shop_sales: the feed shop/sales is declared twice as its input."),
    ("Input(SALES_FEED, clean)", 'Input(SALES_FEED, clean, each="amnt")', "Table shop_sales: 'amnt' is not a column of the feed shop/sales (did you mean 'amt'?)."),
    ("tables=(SALES,))", "tables=(SALES,), raw_only=(Feed('shop/sales', ()),))", "Two feeds land in the folder 'shop/sales', the other in systems/shop.py"),
    ("tables=(SALES,))", "tables=(SALES, SALES))", "Two tables have the name 'shop_sales', the other in systems/shop.py"),
    ('"Yes or no")),', '"Yes or no")), complete=Complete(1.5),', "Feed shop/sales: a delivery has at least 1.5 times the rows before: use 0 to 1."),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[f"{new[:30]}" for _, new, _ in MISTAKES])
def test_a_mistake_is_one_line_with_file_and_place(shop, old, new, message):
    shop((old, new))
    for _ in range(2):  # whoever asks again hears it again
        loaded, problems = load_systems()
        assert [p for p in problems if message in p and p.startswith("systems/shop.py: ")] == problems
        assert len(problems) == 1
        assert {s.name for s in loaded} >= {"crm", "erp"}
    with pytest.raises(ContractError, match=r"^systems/shop\.py: "):
        all_systems()


IN_SQL = [
    ("gone = 'yes'", "gone = = 'yes'", "deleted can't be evaluated: "),
    ('"TRIM(amt) AS amount"', '"TRIM(amt) AS amuont"', "clean does not return the column 'amount' (did you mean 'amuont'?)."),
    ('"TRIM(amt) AS amount"', '"TRIM(amnt) AS amount"', "clean names 'amnt', which is not a column here (did you mean 'amt'?)."),
    ('"TRIM(amt) AS amount"', '"_date AS amount"', "clean returns column 'amount' as date, which can't become decimal(12,2)."),
    ('return raw.selectExpr', 'return rows.selectExpr', "clean, line 10, can't be evaluated: NameError: name 'rows' is not defined."),
    ('return raw.selectExpr', 'return int("x") or raw.selectExpr', "clean, line 10, can't be evaluated: ValueError: invalid literal for int() with base 10: 'x'."),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), IN_SQL)
def test_check_tells_what_the_engine_finds(shop, old, new, message):
    shop((old, new))
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 1
    [line] = done.stdout.splitlines()
    assert message in line
    assert ": shop_sales: " in line


def test_check_tells_once_what_contracts_and_engine_find(shop):
    shop(("`amount` >= 0", "`amuont` >= 0"))
    done = CliRunner().invoke(app, ["check"])
    assert done.stdout.splitlines() == [
        "systems/shop.py: Contract of shop_sales: rule 'amount_given' names 'amuont', which is not a column here (did you mean 'amount'?)."
    ]


MODES = [
    ('mode="snapshot"', "a snapshot has no deletes, so complete deliveries change nothing in it: use upsert or history"),
    ('mode="history"', "'number' is int: in a history of complete deliveries a row version holds from a date or timestamp"),
]


@pytest.mark.parametrize(("mode", "message"), MODES)
def test_complete_deliveries_go_with_some_modes_only(shop, mode, message):
    deletes = ("        deleted=\"gone = 'yes'\",\n", "")
    shop(
        ('"Yes or no")),', '"Yes or no")), complete=Complete(),'), ('sequence="number",', f'sequence="number", {mode},'), deletes
    )
    [problem] = load_systems()[1]
    assert f"systems/shop.py: Table shop_sales: {message}" in problem


def test_check_tells_all_at_once(shop):
    wrong = [*(MISTAKES[number] for number in (0, 1, 4, 7)), IN_SQL[0]]
    shop(*((old, new) for old, new, _ in wrong), ('"TRIM(no) AS number"', '"no AS nr"'))
    done = CliRunner().invoke(app, ["check", "--json"])
    message = json.loads(done.stdout)
    assert (done.exit_code, message["succeeded"]) == (1, False)
    wanted = [*(line for _, _, line in wrong), "clean does not return the column 'number'"]
    assert [sum(line in problem for problem in message["problems"]) for line in wanted] == [1] * len(wanted)
    assert len(message["problems"]) == len(wanted)


def test_check_tells_a_wrong_setting_beside_the_contracts(shop, monkeypatch):
    monkeypatch.setenv("LAKEHOUSE_ENGINE", "flink")
    shop(MISTAKES[0][:2])
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 1
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == ["systems/shop.py", "LAKEHOUSE_ENGINE"]


def test_what_is_sound_is_sound(shop):
    shop()
    assert isinstance(load_systems()[0][-1], System)
    done = CliRunner().invoke(app, ["check", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"succeeded": True, "problems": []})


@pytest.mark.parametrize(
    "command", [["plan"], ["sync"], ["land", "crm/sales", "x", "--date", "2026-01-01"], ["quarantine"], ["demo"]]
)
def test_every_command_that_needs_contracts_says_the_same_without_a_trace(shop, command, monkeypatch, tmp_path):
    shop(('owner="team:shop"', 'owner="fleet"'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path))
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, ContractError)
    assert str(done.exception).startswith("systems/shop.py: Contract of shop_sales: owner 'fleet'")


def test_dagster_says_the_same_without_a_trace(shop):
    shop(('owner="team:shop"', 'owner="fleet"'), ('"warn"', '"warm"'))
    with pytest.raises(DagsterUserCodeProcessError) as raised:
        defs()
    shown = serializable_error_info_from_exc_info((raised.type, raised.value, raised.tb)).to_string()
    assert [line.split(": ")[:2] for line in shown.splitlines()] == [["systems/shop.py", "Contract of shop_sales"]] * 2


def test_the_system_of_the_readme_is_sound(tmp_path, monkeypatch):
    text = (Path(systems.__file__).parents[2] / "README.md").read_text()
    block = text.split('    """The till:', 1)[1].split("\n\n`lakehouse check`", 1)[0]
    (tmp_path / "till.py").write_text(
        "\n".join(line.removeprefix("    ") for line in f'    """The till:{block}'.splitlines()) + "\n"
    )
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(tmp_path)])
    monkeypatch.setattr(GoldProject, "add_sources", lambda *_: None)  # the project is that of this checkout
    monkeypatch.setenv("LAKEHOUSE_ENGINE", "sail")
    try:
        done = CliRunner().invoke(app, ["check", "--json"])
        assert json.loads(done.stdout) == {"succeeded": True, "problems": []}
        assert "till_receipts" in {table.name for system in load_systems()[0] for table in system.tables}
    finally:
        sys.modules.pop("lakehouse_assets.systems.till", None)
        vars(systems).pop("till", None)
