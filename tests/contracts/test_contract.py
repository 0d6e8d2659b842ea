from dataclasses import replace
from datetime import timedelta

import pytest

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.errors import ContractError

ID = Column("id", "int", "Number of the customer")
NAME = Column("name", "string", "Name of the customer")
SINCE = Column("since", "date", "First day as a customer")
NAMED = Rule("name_present", "name IS NOT NULL", "warn", "A customer has a name.")

CUSTOMERS = Contract(
    table="crm_customers",
    description="Customers, one row each",
    owner="team:crm",
    columns=(ID, NAME, SINCE),
    key=("id",),
    sequence="since",
    rules=(NAMED,),
)
RAW_CUSTOMERS = Feed("shop/things", columns=(SourceColumn("id", "Number"), SourceColumn("name", "Name")))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"columns": (ID, NAME, SINCE, NAME)}, "column 'name' is declared twice"),
        ({"rules": (NAMED, NAMED)}, "rule 'name_present' is declared twice"),
        ({"rules": (replace(NAMED, name="id_present"),)}, "rule 'id_present' is declared twice"),
        ({"rules": (replace(NAMED, name="since_is_date"),)}, "rule 'since_is_date' is declared twice"),
        ({"key": ("id", "shop")}, "key 'shop' is not a column"),
        ({"key": ()}, "there is no key"),
        ({"sequence": "changed_at"}, "sequence 'changed_at' is not a column"),
        ({"relationships": (Relationship("shop", "crm_shops", "id"),)}, "relationship column 'shop' is not a column"),
        ({"split_by": "shop"}, "split_by 'shop' is not a column"),
        ({"split_by": "since"}, "split_by 'since' is date, not text"),
        ({"table": "CRM Customers"}, "'CRM Customers' is not a name"),
        ({"table": ""}, "'' is not a name"),
        ({"columns": (ID, NAME, SINCE, Column("Shop", "int", "Shop"))}, "'Shop' is not a name"),
        ({"columns": (ID, NAME, SINCE, Column("_date", "date", "Day"))}, "'_date' is not a name"),
        ({"rules": (replace(NAMED, name="has a name"),)}, "'has a name' is not a name"),
        ({"rules": (replace(NAMED, outcome="ignore"),)}, "rule 'name_present' has outcome 'ignore', not one of warn, drop, fail"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(change, complaint):
    with pytest.raises(ContractError) as refused:
        replace(CUSTOMERS, **change)
    assert complaint in str(refused.value)


def test_the_refusal_names_the_table():
    with pytest.raises(ContractError, match=r"^Contract of crm_customers: "):
        replace(CUSTOMERS, key=())


def test_all_contradictions_are_told_at_once():
    with pytest.raises(ContractError, match="there is no key; sequence 'changed_at' is not a column"):
        replace(CUSTOMERS, key=(), sequence="changed_at")


def test_rules_follow_from_types_then_from_the_key_then_come_the_declared_ones():
    assert [r.name for r in CUSTOMERS.all_rules] == ["id_is_int", "since_is_date", "id_present", "name_present"]


def test_each_column_of_the_key_has_a_rule_that_it_is_there():
    rules = replace(CUSTOMERS, key=("id", "name"), rules=()).all_rules
    assert [r.expression for r in rules if r.name.endswith("_present")] == ["`id` IS NOT NULL", "`name` IS NOT NULL"]


def test_rows_that_break_a_rule_from_key_or_type_go_to_quarantine():
    assert {r.outcome for r in replace(CUSTOMERS, rules=()).all_rules} == {"drop"}


def test_a_rule_for_a_type_with_parameters_has_a_proper_name():
    price = replace(CUSTOMERS, columns=(ID, Column("price", "decimal(12,2)", "Price")), sequence=None)
    assert "price_is_decimal_12_2" in [r.name for r in price.all_rules]


def test_a_rule_for_a_type_holds_where_the_value_is_missing():
    rule = next(r for r in CUSTOMERS.all_rules if r.name == "since_is_date")
    assert rule.expression == f"`since` IS NULL OR {typed('`since`', 'date')} IS NOT NULL"


def test_a_relationship_is_named_after_column_and_table():
    assert Relationship("shop_id", "crm_shops", "id").name == "shop_id_in_crm_shops"


@pytest.mark.parametrize(
    "change",
    [
        {"columns": (ID, NAME, replace(SINCE, type="timestamp"))},
        {"columns": (ID, NAME, SINCE, Column("city", "string", "City"))},
        {"columns": (NAME, ID, SINCE)},
        {"key": ("since",)},
        {"mode": "snapshot"},
        {"sequence": None},
        {"rules": ()},
        {"rules": (replace(NAMED, expression="length(name) > 1"),)},
        {"rules": (replace(NAMED, outcome="drop"),)},
    ],
    ids=str,
)
def test_what_decides_the_rows_changes_the_digest(change):
    assert replace(CUSTOMERS, **change).digest() != CUSTOMERS.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Customers"},
        {"owner": "team:sales"},
        {"freshness": timedelta(days=1)},
        {"columns": (replace(ID, description="Another word for it"), NAME, SINCE)},
        {"rules": (replace(NAMED, description="Another word for it"),)},
        {"relationships": (Relationship("name", "crm_names", "name"),)},
    ],
    ids=str,
)
def test_what_only_describes_the_table_leaves_the_digest(change):
    assert replace(CUSTOMERS, **change).digest() == CUSTOMERS.digest()


@pytest.mark.parametrize(
    "other",
    [
        Feed("shop/things", columns=(SourceColumn("id", "Number"),)),
        Feed("shop/things", columns=RAW_CUSTOMERS.columns, format=Csv(delimiter=";")),
        Feed("shop/things", columns=RAW_CUSTOMERS.columns, format=Csv(encoding="latin-1")),
        Feed("shop/things", columns=RAW_CUSTOMERS.columns, format=Json()),
        Feed("shop/things", columns=(SourceColumn("id", "Number"), SourceColumn("name", "Name", also=("full name",)))),
        Feed("shop/things", columns=(SourceColumn("id", "Number"), SourceColumn("name", "Name", required=False))),
    ],
    ids=["columns", "delimiter", "encoding", "format", "another name", "not required"],
)
def test_what_decides_the_raw_rows_changes_the_raw_digest(other):
    assert other.digest() != RAW_CUSTOMERS.digest()


def test_the_description_of_a_source_column_leaves_the_raw_digest():
    columns = tuple(replace(c, description="Another word for it") for c in RAW_CUSTOMERS.columns)
    assert Feed("shop/things", columns=columns).digest() == RAW_CUSTOMERS.digest()


def test_what_is_unwrapped_changes_the_raw_digest():
    assert Feed("shop/things", (), Json(unwrap="payload")).digest() != Feed("shop/things", (), Json()).digest()


@pytest.mark.parametrize(
    "columns",
    [
        (SourceColumn("Full Name", ""), SourceColumn("full_name", "")),
        (SourceColumn("city", ""), SourceColumn("town", "", also=("City",))),
        (SourceColumn("city", "", also=("place",)), SourceColumn("town", "", also=("place",))),
    ],
    ids=["names", "name and other name", "other names"],
)
def test_a_name_that_stands_for_two_source_columns_is_refused(columns):
    with pytest.raises(ContractError, match=r"more than one is called (full_name|city|place)"):
        Feed("shop/things", columns)


def test_other_names_of_one_column_may_be_alike():
    assert Feed("shop/things", (SourceColumn("city", "", also=("City", "CITY")),)).column_names == ["city"]


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r", "§"])
def test_a_delimiter_that_can_t_be_is_refused(delimiter):
    with pytest.raises(ContractError, match="is not one ASCII character"):
        Csv(delimiter=delimiter)


@pytest.mark.parametrize("encoding", ["hex", "rot13", "zlib"])
def test_an_encoding_of_something_else_than_text_is_refused(encoding):
    with pytest.raises(ContractError, match=f"there is no encoding '{encoding}'"):
        Csv(encoding=encoding)


@pytest.mark.parametrize(
    ("given", "name"), [("UTF-8", "utf-8"), ("utf8", "utf-8"), ("Latin-1", "iso8859-1"), ("windows-1252", "cp1252")]
)
def test_an_encoding_is_known_by_one_name(given, name):
    assert Csv(encoding=given).encoding == name


def test_an_encoding_that_nobody_knows_is_refused():
    with pytest.raises(ContractError, match="there is no encoding 'latin-one'"):
        Csv(encoding="latin-one")
