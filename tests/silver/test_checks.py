"""Asset checks of silver tables: what each finds, on which dates, and how it shows it."""

from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import pytest

from lakehouse_assets.books.ledger import UNVERIFIED, PartitionRecord, RuleHits
from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule, Volume
from lakehouse_assets.contracts.feeds import SourceColumn
from lakehouse_assets.errors import ContractError
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, RANGE_END_TAG, RANGE_START_TAG
from lakehouse_assets.silver.checks import freshness_result, rule_result, silver_checks, volume_result
from lakehouse_assets.store.root import Root
from tests.support.declare import one_feed
from tests.support.lakehouse import QUIET

KEY = dg.AssetKey(["silver", "shop_orders"])
D1 = date(2026, 1, 1)


def day(number):
    return D1 + timedelta(days=number - 1)


def record(number, rows_in, *hits, rows_out=None, fingerprint="f1"):
    rows_out = rows_in if rows_out is None else rows_out
    return PartitionRecord("silver", "shop_orders", day(number), rows_in, rows_out, 0, 0, 1, "r", fingerprint, rules=list(hits))


def lines(result):
    """The dates of the table by date, with their results."""
    return [(record.data["date"], record.data["result"]) for record in result.metadata["by_date"].records]


class TestRule:
    RULE = Rule("total_not_negative", "total >= 0", "drop", "A total is not negative.")
    RECORDS = (
        record(1, 5),
        record(2, 5, RuleHits("total_not_negative", 2, ["A\torders.csv\t3", "B"])),
        record(3, 5, RuleHits("another", 4)),
        record(4, 5, RuleHits("total_not_negative", 1, ["C\tlate.csv\t7"])),
    )

    def test_the_dates_on_which_rows_broke_it_are_told_first(self):
        result = rule_result(KEY, self.RULE, self.RECORDS)
        assert not result.passed
        assert result.metadata["rows"].value == 3
        assert result.description == "3 rows broke it, on 2026-01-04, 2026-01-02."
        assert lines(result) == [
            ("2026-01-04", "fails"),
            ("2026-01-02", "fails"),
            ("2026-01-03", "passes"),
            ("2026-01-01", "passes"),
        ]
        assert result.metadata["by_date"].records[1].data == {"date": "2026-01-02", "result": "fails", "rows": 2}

    def test_a_few_of_the_rows_that_broke_it_are_listed_a_line_each(self):
        found = rule_result(KEY, self.RULE, self.RECORDS).metadata
        assert [tuple(row.data.values()) for row in found["failing_rows"].records] == [
            ("2026-01-04", "C", "late.csv", "7"),
            ("2026-01-02", "A", "orders.csv", "3"),
            ("2026-01-02", "B", None, None),  # as an earlier release recorded it
        ]
        assert "failing_rows_not_shown" not in found
        many = [record(n, 99, RuleHits("total_not_negative", 90, list("ABCDE"))) for n in range(1, 8)]
        found = rule_result(KEY, self.RULE, many).metadata
        assert len(found["failing_rows"].records) == 20
        assert found["failing_rows_not_shown"].value == 610
        assert "failing_rows" not in rule_result(KEY, self.RULE, [self.RECORDS[0]]).metadata

    def test_a_command_shows_all_of_them(self):
        refused = rule_result(KEY, self.RULE, self.RECORDS).metadata["see_all"].value
        options = "--table shop_orders --rule total_not_negative --from 2026-01-02 --to 2026-01-04"
        assert refused == f"lakehouse quarantine {options}"
        counted = rule_result(KEY, replace(self.RULE, outcome="warn"), self.RECORDS).metadata["see_all"].value
        assert counted.startswith('lakehouse query "FROM silver.shop_orders WHERE ')
        assert "see_all" not in rule_result(KEY, self.RULE, [self.RECORDS[0]]).metadata

    def test_it_passes_where_no_date_has_such_rows(self):
        result = rule_result(KEY, self.RULE, [self.RECORDS[0], self.RECORDS[2]])
        assert result.passed
        assert result.description is None

    @pytest.mark.parametrize(("outcome", "severity"), [("warn", "WARN"), ("drop", "WARN"), ("fail", "ERROR")])
    def test_only_a_rule_that_keeps_a_partition_back_is_an_error(self, outcome, severity):
        assert rule_result(KEY, replace(self.RULE, outcome=outcome), []).severity.value == severity


class TestVolume:
    WEEK = tuple(record(number, 100) for number in range(1, 8))

    def judged(self, records, dates=None, volume=None):
        return volume_result(KEY, volume or Volume(), sorted(records, key=lambda r: r.date), dates)

    @pytest.mark.parametrize(("rows", "passed"), [(100, True), (25, True), (24, False), (0, False), (400, True), (401, False)])
    def test_a_date_far_off_the_usual_size_is_told(self, rows, passed):
        result = self.judged([*self.WEEK, record(8, rows)])
        assert result.passed == passed
        assert result.severity == dg.AssetCheckSeverity.WARN
        assert lines(result)[0] == ("2026-01-08", "passes" if passed else "fails")
        if not passed:
            assert result.description == "Unusually few or many rows came in on 2026-01-08."

    def test_nothing_is_said_until_a_week_of_dates_has_rows(self):
        assert self.judged([*self.WEEK[:6], record(8, 1)]).passed
        assert self.judged([*self.WEEK[:6], record(7, 0), record(8, 1)]).passed

    def test_dates_without_rows_are_not_what_is_usual(self):
        empty = [record(number, 0) for number in range(8, 40)]
        assert lines(self.judged([*self.WEEK, *empty, record(40, 100)], dates=[day(40)])) == [("2026-02-09", "passes")]

    def test_only_dates_before_it_and_no_more_than_four_weeks_of_them_count(self):
        small, large = [record(n, 1) for n in range(1, 41)], [record(n, 100) for n in range(41, 69)]
        assert self.judged([*small, *large, record(69, 100)], dates=[day(69)]).passed
        assert not self.judged([*small, *large[:13], record(69, 100)], dates=[day(69)]).passed
        assert self.judged([*small[:10], *large, record(69, 1)], dates=[day(11)]).passed

    def test_it_speaks_of_the_dates_of_the_run(self):
        records = [*self.WEEK, record(8, 1), record(9, 100)]
        assert self.judged(records, dates=[day(9)]).passed
        assert not self.judged(records, dates=[day(8), day(9)]).passed
        assert not self.judged(records).passed

    def test_a_date_that_is_being_built_is_not_judged(self):
        assert self.judged([*self.WEEK, record(8, 1, fingerprint=UNVERIFIED)]).passed

    def test_a_contract_says_what_is_usual(self):
        strict = Volume(dates=3, at_least=2, smallest=0.9, largest=1.1)
        assert not self.judged([record(1, 100), record(2, 100), record(3, 80)], volume=strict).passed
        assert self.judged([record(1, 100), record(2, 100), record(3, 95)], volume=strict).passed

    @pytest.mark.parametrize(
        ("volume", "problem"),
        [
            (Volume(at_least=0), "at least one date"),
            (Volume(dates=3), "needs 7 dates and looks at 3"),
            (Volume(smallest=1.5), "does not include the usual size itself"),
            (Volume(smallest=-1), "does not include the usual size itself"),
            (Volume(largest=0.5), "does not include the usual size itself"),
        ],
    )
    def test_a_volume_that_contradicts_itself_is_refused(self, volume, problem):
        with pytest.raises(ContractError, match=f"Contract of shop_orders: volume .*{problem}"):
            replace(CUSTOMERS.contract, table="shop_orders", volume=volume)


class TestFreshness:
    def judged(self, records, newest_landing):
        return freshness_result(KEY, timedelta(days=2), records, newest_landing)

    @pytest.mark.parametrize(("landed", "passed"), [(5, True), (7, True), (8, False)])
    def test_the_newest_rows_are_held_against_the_newest_landing(self, landed, passed):
        result = self.judged([record(1, 9), record(5, 9), record(9, 3, rows_out=0)], day(landed))
        assert result.passed == passed
        assert result.severity == dg.AssetCheckSeverity.WARN
        assert str(day(5)) in result.description
        assert str(day(landed)) in result.description

    def test_a_table_without_rows_is_late_once_anything_has_landed(self):
        assert not self.judged([], day(1)).passed
        assert self.judged([], None).passed


CUSTOMERS = one_feed(
    landing="shop/customers",
    columns=(SourceColumn("id", ""),),
    contract=Contract(
        table="shop_customers",
        description="Customers",
        owner="team:shop",
        key=("customer",),
        columns=(Column("customer", "string", ""),),
        freshness=timedelta(days=1),
    ),
    function=lambda raw: raw.selectExpr("*", "id AS customer"),
)
PRODUCTS = one_feed(
    landing="shop/products",
    columns=(SourceColumn("id", ""),),
    contract=replace(CUSTOMERS.contract, table="shop_products", key=("product",), columns=(Column("product", "int", ""),)),
    function=lambda raw: raw.selectExpr("*", "id AS product"),
)
ORDERS = one_feed(
    landing="shop/orders",
    columns=tuple(SourceColumn(name, "") for name in ("id", "by", "of", "amount")),
    contract=Contract(
        table="shop_orders",
        description="Orders",
        owner="team:shop",
        key=("order_id",),
        columns=(
            Column("order_id", "string", ""),
            Column("customer", "string", ""),
            Column("product", "int", ""),
            Column("total", "int", ""),
        ),
        rules=(
            Rule("total_given", "total IS NOT NULL", "warn", "The total is given."),
            Rule("total_below_a_million", "total < 1000000 OR total IS NULL", "fail", "A total is below a million."),
        ),
        relationships=(
            Relationship("customer", "shop_customers", "customer"),
            Relationship("product", "shop_products", "product"),
        ),
        volume=Volume(at_least=2),
        freshness=timedelta(days=1),
    ),
    function=lambda raw: raw.selectExpr("*", "id AS order_id", "by AS customer", "of AS product", "amount AS total"),
)


def test_checks_that_keep_others_from_reading_are_blocking():
    [contract, relationships] = silver_checks(ORDERS, Root.parse("/nowhere"))
    blocking = {spec.name for spec in contract.check_specs if spec.blocking}
    assert blocking == {"row_accounts", "total_below_a_million"}
    assert {"volume", "freshness", "total_given"} < {spec.name for spec in contract.check_specs}
    assert not any(spec.blocking for spec in relationships.check_specs)


def test_a_tree_may_refer_to_itself():
    above = replace(ORDERS.contract, relationships=(Relationship("customer", "shop_orders", "order_id"),))
    [_, relationships] = silver_checks(replace(ORDERS, contract=above), Root.parse("/nowhere"))
    assert [spec.name for spec in relationships.check_specs] == ["customer_in_shop_orders"]


def test_a_contract_chooses_whether_it_has_volume_and_freshness():
    without = replace(ORDERS, contract=replace(ORDERS.contract, volume=None, freshness=None))
    assert not {"volume", "freshness"} & {spec.name for spec in silver_checks(without, Root.parse("/nowhere"))[0].check_specs}


def test_a_rule_must_not_have_the_name_of_another_check():
    with pytest.raises(ContractError, match="'volume' has the name of a check"):
        replace(ORDERS.contract, rules=(Rule("volume", "TRUE", "warn", ""),))


@pytest.mark.worlds("sail-folder")
class TestRuns:
    """Checks within real runs: of a range, of a date, of none."""

    @pytest.fixture
    def shop(self, make_lakehouse):
        """Three dates of orders. On the second an unknown customer and a missing total, on the third two unknown products."""
        shop = make_lakehouse(CUSTOMERS, PRODUCTS, ORDERS)
        shop.land("shop/customers", str(day(1)), "c.csv", "id\nC1\nC2\n")
        shop.land("shop/products", str(day(1)), "p.csv", "id\n1\n2\n")
        header = "id,by,of,amount\n"
        shop.land("shop/orders", str(day(1)), "o.csv", header + "A,C1,1,5\nB,,,5\n")
        shop.land("shop/orders", str(day(2)), "o.csv", header + "C,C9,1,\nD,C2,2,5\n")
        shop.land("shop/orders", str(day(3)), "o.csv", header + "".join(f"E{n},C2,{n},5\n" for n in range(1, 12)))
        return shop

    def checked(self, shop, *dates):
        """The results of the checks of silver/shop_orders in a run over dates (of the checks alone without), by name."""
        job = shop.definitions().resolve_job_def(LAKEHOUSE_JOB)
        tags = {RANGE_START_TAG: str(dates[0]), RANGE_END_TAG: str(dates[-1])} if dates else {}
        if dates:
            tables = ("shop_customers", "shop_products", "shop_orders")
            keys = {dg.AssetKey([layer, table]) for layer in ("raw", "silver") for table in tables}
            job = job.get_subset(asset_selection=keys)
        else:
            checks = job.asset_layer.asset_graph.asset_check_keys
            job = job.get_subset(asset_check_selection={c for c in checks if c.asset_key == KEY})
        with dg.DagsterInstance.ephemeral() as instance:
            done = job.execute_in_process(instance=instance, run_config=QUIET, tags=tags, raise_on_error=False)
            assert done.success
            return {check.check_name: check for check in done.get_asset_check_evaluations() if check.asset_key == KEY}

    def test_a_run_over_a_range_tells_which_date_failed(self, shop):
        found = self.checked(shop, day(1), day(3))
        assert {name for name, check in found.items() if not check.passed} == {
            "total_given",
            "volume",
            "customer_in_shop_customers",
            "product_in_shop_products",
        }
        assert lines(found["total_given"])[0] == (str(day(2)), "fails")
        assert lines(found["volume"])[0] == (str(day(3)), "fails")
        customers, products = found["customer_in_shop_customers"], found["product_in_shop_products"]
        assert customers.description == "1 rows have no partner in shop_customers, on 2026-01-02."
        assert lines(customers) == [(str(day(2)), "fails"), (str(day(3)), "passes"), (str(day(1)), "passes")]
        assert (products.metadata["rows"].value, products.metadata["values"].value) == (9, 9)
        listed = [record.data for record in products.metadata["failing_values"].records]
        assert listed == [{"date": "2026-01-03", "product": product} for product in ("10", "11", "3", "4", "5")]
        assert products.metadata["failing_values_not_shown"].value == 4
        assert lines(found["row_accounts"]) == [(str(day(n)), "passes") for n in (3, 2, 1)]

    def test_a_run_over_one_date_speaks_of_that_date(self, shop):
        self.checked(shop, day(1), day(3))
        found = self.checked(shop, day(1))
        assert all(check.passed for check in found.values())
        for name in ("total_given", "volume", "customer_in_shop_customers", "product_in_shop_products", "row_accounts"):
            assert lines(found[name]) == [(str(day(1)), "passes")], name

    def test_checks_alone_speak_of_all_dates(self, shop):
        ran = self.checked(shop, day(1), day(3))
        alone = self.checked(shop)
        assert alone.keys() == ran.keys()
        assert {name: lines(c) for name, c in alone.items() if name != "freshness"} == {
            name: lines(c) for name, c in ran.items() if name != "freshness"
        }

    def test_a_table_that_falls_behind_the_others_is_late(self, shop):
        self.checked(shop, day(1), day(3))
        assert self.checked(shop)["freshness"].passed
        shop.land("shop/customers", str(day(9)), "c.csv", "id\nC1\n")
        assert shop.build() == {}
        late = self.checked(shop)["freshness"]
        assert not late.passed
        assert late.description == (
            "Its newest rows are of 2026-01-03; the newest files of any table are of 2026-01-09. Allowed are 1 days."
        )
        shop.remove("shop/customers", str(day(9)), "c.csv")
        assert shop.build() == {}
        assert self.checked(shop)["freshness"].passed

    def test_a_relationship_to_a_table_that_is_not_there_is_told_and_the_others_are_judged(self, shop):
        shop.remove("shop/products", str(day(1)), "p.csv")
        shop.tables.remove(PRODUCTS)
        assert shop.build() == {}
        found = self.checked(shop)
        assert found["product_in_shop_products"].description == "silver/shop_products does not exist yet: materialize it first."
        assert found["customer_in_shop_customers"].metadata["rows"].value == 1
