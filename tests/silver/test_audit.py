"""What a silver function gives back is held against the contract before the engine computes anything."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from unittest.mock import Mock

import pytest

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.errors import ContractError
from lakehouse_assets.silver.transform import contract_faults
from tests.support.declare import audited, one_feed, with_function

BOTH = pytest.mark.worlds("spark-folder", "sail-folder")
SALES = one_feed(
    landing="shop/sales",
    columns=(SourceColumn("no", "Number"), SourceColumn("amt", "Amount")),
    contract=Contract(
        table="shop_sales",
        description="Sales",
        owner="team:shop",
        key=("number",),
        columns=(
            Column("number", "int", "Number"),
            Column("amount", "decimal(12,2)", "Amount"),
            Column("sold_on", "date", "Day"),
        ),
    ),
    function=lambda raw: raw,
)
USUAL = {"number": "no", "amount": "amt", "sold_on": "DATE'2026-01-05'"}


def audit(spark, columns, no="1", amt="2.50", everything="*", **contract):
    def clean(raw):
        return raw.selectExpr(everything, *(f"{sql} AS {name}" for name, sql in columns.items()))

    schema = "no string, amt string, _source_file string, _row_number bigint, _date date"
    raw = spark.createDataFrame([(no, amt, "f.csv", 2, date(2026, 1, 5))], schema)
    entity = with_function(replace(SALES, contract=replace(SALES.contract, **contract)), clean)
    return audited(raw, entity).collect()[0].asDict()


@BOTH
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (USUAL | {"amount": "TRIM(amount)"}, r"clean names 'amount', which is not a column here \(did you mean 'amt'\?\)\."),
        ({"number": "no", "amuont": "amt", "sold_on": "_date"}, r"the column 'amount' \(did you mean 'amuont'\?\)\."),
        ({"number": "no"}, "clean does not return the column 'amount'.*\n.*clean does not return the column 'sold_on'"),
        (USUAL | {"sold_on": "CAST(no AS INT)"}, "clean returns column 'sold_on' as int, which can't become date."),
        (USUAL | {"number": "DATE'2026-01-05'"}, "clean returns column 'number' as date, which can't become int."),
    ],
)  # fmt: skip
def test_what_the_function_does_not_give_is_one_sentence(spark, columns, message):
    with pytest.raises(ContractError, match=message) as raised:
        audit(spark, columns)
    assert all(line.startswith("silver/test_audit.py: shop_sales: ") for line in str(raised.value).splitlines())


@BOTH
def test_rows_that_lost_their_origin_are_refused(spark):
    with pytest.raises(ContractError, match=r"clean does not return _row_number: keep all columns that it is given, with '\*'"):
        audit(spark, USUAL, everything="_date")


def test_a_function_that_forgets_to_return_is_told(spark):
    with pytest.raises(ContractError, match="returns None: it has to return the rows, a DataFrame"):
        audited(spark.range(1), with_function(SALES, lambda raw: None))


@BOTH
def test_a_wrong_name_in_a_rule_and_in_deleted_is_one_line_each(spark):
    rules = (
        Rule("amount_positive", "amuont > 0", "warn", "It is positive."),
        Rule("amount_given", "amount IS NOT NULL", "warn", "It is given."),
        Rule("amount_known", "KNOWN(amount)", "warn", "It is known."),
    )
    with pytest.raises(ContractError) as raised:
        audit(spark, USUAL, rules=rules, deleted="numbr = 1")
    message = str(raised.value).splitlines()
    assert message[0].endswith("rule 'amount_positive' names 'amuont', which is not a column here (did you mean 'amount'?).")
    assert "rule 'amount_known' can't be evaluated: " in message[1]
    assert "KNOWN" in message[1]
    assert message[2].endswith("deleted names 'numbr', which is not a column here (did you mean 'number'?).")
    assert len(message) == 3


@BOTH
def test_values_that_have_their_type_are_taken_and_judged(spark):
    typed = {"number": "CAST(no AS DECIMAL(4,1))", "amount": "CAST(amt AS DOUBLE)", "sold_on": "TIMESTAMP'2026-01-05 10:00:00'"}
    row = audit(spark, typed, amt="1.005")
    assert (row["number"], row["amount"], row["sold_on"], row["_verdict"]) == (1, Decimal("1.01"), date(2026, 1, 5), "ok")
    row = audit(spark, typed, no="1.5", amt="NaN")
    assert row["_broken_rules"] == "number_is_int,amount_is_decimal_12_2,number_present"


@BOTH
@pytest.mark.parametrize("text", ["10:00", "2026", "12026-01-05", "2026-01-05T10:00:00", "２０２６-01-05", "2026-01-05\n"])
def test_a_text_that_is_no_date_by_the_grammar_is_dropped(spark, text):
    row = audit(spark, USUAL | {"sold_on": "amt", "amount": "'1'"}, amt=text)
    assert (row["_verdict"], row["_broken_rules"]) == ("dropped", "sold_on_is_date")


def test_a_lost_server_is_no_mistake_of_the_function(spark):
    def clean(raw):
        return raw.selectExpr("*").sparkSession.range(1)

    lost = ConnectionError("the server is gone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(spark), "range", Mock(side_effect=lost))
        with pytest.raises(ConnectionError):
            contract_faults(spark, with_function(SALES, clean))
