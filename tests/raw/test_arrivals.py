"""Did everything arrive? What is due and has not landed, and what has landed with another number of rows than was said."""

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import obstore
import pytest

from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.contracts.deliveries import Due, Manifest, Trailer
from lakehouse_assets.contracts.feeds import Complete, Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Header, Json, Xlsx
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.materialization.row_accounts import row_accounts_result
from lakehouse_assets.orchestration.jobs import CHECKS_JOB
from lakehouse_assets.raw.arrivals import Arrivals, Outstanding, arrivals, overdue
from lakehouse_assets.raw.checks import arrivals_by_ledger, arrivals_result
from lakehouse_assets.raw.totals import from_text
from lakehouse_assets.raw.write import load_partitions
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from tests.support.declare import with_feed
from tests.support.lakehouse import QUIET
from tests.support.orders import DAY1, DAY2, ORDERS, csv
from tests.support.target import target
from tests.support.workbooks import workbook

START = date(2026, 1, 1)
COLUMNS = (SourceColumn("id", ""), SourceColumn("total", ""))


def january(*days):
    return [date(2026, 1, day) for day in days]


def states(due, landed, now, zone=None, timezone="UTC", start=START):
    result = overdue(Feed("shop/orders", COLUMNS, zone=zone, due=due), landed, now, timezone=timezone, start=start)
    return [(outstanding.date.day, outstanding.state) for outstanding in result]


def at(day, hour, minute=0):
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


class TestDue:
    """2026-01-04 and 2026-01-11 are Sundays."""

    DAILY = Due("06:00", not_on=("sunday",))

    def test_nothing_is_late_before_its_time_and_all_is_after_it(self):
        assert states(self.DAILY, january(1, 2), at(3, 5, 59)) == []
        assert states(self.DAILY, january(1, 2), at(3, 6)) == [(3, "late")]
        assert states(self.DAILY, january(1, 2, 3), at(3, 6)) == []

    def test_what_lies_before_the_newest_that_is_due_is_missing(self):
        assert states(self.DAILY, january(1, 3, 6), at(6, 12)) == [(2, "missing"), (5, "missing")]
        assert states(self.DAILY, january(1, 3), at(6, 12)) == [(2, "missing"), (5, "missing"), (6, "late")]

    def test_a_sunday_is_not_due(self):
        assert states(self.DAILY, january(2, 3), at(4, 12)) == []
        assert states(self.DAILY, january(2), at(4, 12)) == [(3, "late")]

    def test_the_time_is_that_of_the_feed_s_zone_or_of_the_setting(self):
        assert states(self.DAILY, january(1), at(2, 5), zone="Europe/Paris") == [(2, "late")]
        assert states(self.DAILY, january(1), at(2, 4, 59), zone="Europe/Paris", timezone="Asia/Tokyo") == []

    def test_a_date_is_not_late_before_it_begins_in_utc_because_it_is_not_loaded_before(self):
        """2026-01-02 06:00 in Tokyo is 2026-01-01 21:00 in UTC."""
        tokyo = {"zone": "Asia/Tokyo"}
        assert states(self.DAILY, january(1), at(1, 21), **tokyo) == []
        assert states(self.DAILY, january(1), at(2, 0).astimezone(ZoneInfo("America/New_York")), **tokyo) == [(2, "late")]

    @pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "Pacific/Pago_Pago"])
    @pytest.mark.parametrize("hour", [0, 12, 23])
    def test_a_feed_of_one_weekday_that_never_delivered_is_late_too(self, zone, hour):
        sundays = Due("23:00", not_on=("monday", "tuesday", "wednesday", "thursday", "friday", "saturday"))
        assert all(len(states(sundays, [], at(day, hour), zone=zone)) == 1 for day in range(13, 21))

    def test_a_delivery_may_come_days_after_its_date(self):
        assert states(Due("06:00", days_later=2), january(1), at(4, 6)) == [(2, "late")]

    def test_it_begins_with_the_first_that_landed_or_the_date_that_is_declared(self):
        assert states(Due("06:00"), january(3), at(3, 12)) == []
        assert states(Due("06:00", since=date(2026, 1, 2)), january(3), at(3, 12)) == [(2, "missing")]
        assert states(Due("06:00", since=date(2025, 1, 1)), january(2), at(2, 12)) == [(1, "missing")]
        assert states(Due("06:00"), january(1), at(2, 12), start=date(2026, 1, 3)) == []

    def test_a_feed_that_never_delivered_is_late_once(self):
        assert states(self.DAILY, [], at(12, 5)) == [(10, "late")]

    def test_it_is_told_when_it_was_due(self):
        feed = Feed("shop/orders", COLUMNS, zone="Europe/Paris", due=Due("06:00", days_later=1))
        [result] = overdue(feed, january(1), at(3, 12), timezone="UTC", start=START)
        assert result.sentence == (
            "shop/orders, delivery of 2026-01-02: nothing has landed; it was due on 2026-01-03 by 06:00 (Europe/Paris)."
        )
        assert result.to_json()["due"] == "2026-01-03T05:00:00+00:00"


class Shop:
    """Landing and the raw table of one feed."""

    def __init__(self, root, feed):
        self.root, self.feed = root, feed
        self.settings = Settings(lakehouse_root=root.uri)

    def land(self, name, text, day=START):
        obstore.put(
            self.root.store, f"landing/{self.feed.landing}/{day}/{name}", text if isinstance(text, bytes) else text.encode()
        )

    def remove(self, name, day=START):
        obstore.delete(self.root.store, f"landing/{self.feed.landing}/{day}/{name}")

    @property
    def plan(self):
        return make_plan(self.settings, Catalog.from_tables([], [self.feed]), read_headers=True, now=at(1, 12))

    def load(self):
        """Bring raw up to date. Returns what is outstanding: the state and the reason of each."""
        while not (plan := self.plan).is_empty:
            dates = plan.tables[0].dates
            load_partitions(self.feed, target(self.root, "raw", self.feed.table, dates), START)
        assert plan.arrivals.feeds == (self.feed.landing,)
        accounts = row_accounts_result(self.root, "raw", self.feed.table, None)
        assert accounts.passed, accounts.description
        return [(o.state, o.reason) for o in plan.arrivals.outstanding]

    @property
    def rows(self):
        rows = query(self.root, f"SELECT id, total, _source_file, _row_number FROM raw.{self.feed.table} ORDER BY ALL")
        return rows.fetchall()

    @property
    def record(self) -> PartitionRecord:
        return Ledger(self.root).read("raw", self.feed.table)["raw", self.feed.table, START]


TWO, ONE = "id,total\n1,10\n2,20\n", "id,total\n3,30\n"
MANIFESTS = Feed("shop/orders", COLUMNS, totals=Manifest("*.manifest"))
TRAILERS = Feed("shop/orders", COLUMNS, totals=Trailer(r"T,(?P<rows>\d+)"))


class TestManifests:
    @pytest.fixture
    def shop(self, root):
        return Shop(root, MANIFESTS)

    def test_a_delivery_whose_counts_agree_is_complete_and_the_manifest_is_not_a_file_of_rows(self, shop):
        shop.land("a.csv", TWO)
        shop.land("b.csv", ONE)
        shop.land("day.manifest", "file,rows\na.csv,2\nb.csv,1\n")
        assert shop.load() == []
        assert [row[2] for row in shop.rows] == ["a.csv", "a.csv", "b.csv"]
        assert (shop.record.rows_in, shop.record.rows_out) == (3, 3)
        assert shop.plan.arrivals.to_json() == {
            "as_of": "2026-01-01T12:00:00+00:00",
            "feeds": ["shop/orders"],
            "complete": True,
            "outstanding": [],
        }

    def test_a_count_that_differs_is_told_with_both_figures_and_the_rows_are_loaded(self, shop):
        shop.land("a.csv", TWO)
        shop.land("b.csv", ONE)
        shop.land("day.manifest", "file,rows\na.csv,3\nb.csv,0\n")
        assert shop.load() == [
            ("short", "a.csv has 2 rows; day.manifest says 3"),
            ("over", "b.csv has 1 rows; day.manifest says 0"),
        ]
        assert len(shop.rows) == 3

    def test_rows_in_quarantine_have_arrived(self, shop):
        shop.land("a.csv", TWO + "broken\n")
        shop.land("day.manifest", "file,rows\na.csv,3\n")
        assert shop.load() == []

    def test_a_file_that_is_listed_and_not_there_is_short_until_it_lands(self, shop):
        shop.land("a.csv", TWO)
        shop.land("day.manifest", "file,rows\na.csv,2\nb.csv,1\n")
        assert shop.load() == [("short", "b.csv has not landed; day.manifest says that it has 1 rows")]
        shop.land("b.csv", ONE)
        assert shop.load() == []
        shop.remove("a.csv")
        assert shop.load() == [("short", "a.csv has not landed; day.manifest says that it has 2 rows")]

    def test_a_file_that_no_manifest_lists_and_a_delivery_without_one_are_unconfirmed(self, shop):
        shop.land("a.csv", TWO)
        shop.land("b.csv", ONE)
        assert shop.load() == [("unconfirmed", "no manifest says how many rows its 2 files have")]
        before = shop.record
        shop.land("1.manifest", "file,rows\na.csv,2\n")
        assert shop.load() == [("unconfirmed", "b.csv is in no manifest")]
        shop.land("2.manifest", "file,rows\nb.csv,1\n")
        assert shop.load() == []
        # A manifest changes no row: raw's version and what silver is built from stay as they are.
        assert (shop.record.fingerprint, shop.record.content) == (before.fingerprint, before.content)
        shop.remove("1.manifest")
        shop.remove("2.manifest")
        assert shop.load() == [("unconfirmed", "no manifest says how many rows its 2 files have")]

    def test_a_manifest_that_is_sent_again_replaces_the_one_before(self, shop):
        shop.land("a.csv", TWO)
        shop.land("day.manifest", "file,rows\na.csv,3\n")
        assert len(shop.load()) == 1
        shop.land("day.manifest", "file,rows\na.csv,2\n")
        assert shop.plan.arrivals.complete  # what it says now is not read yet
        assert shop.load() == []
        shop.land("day.manifest", "file,rows\na.csv,many\n")
        assert shop.load() == [("unconfirmed", "no manifest says how many rows its 1 files have")]

    def test_a_file_under_two_names_has_the_rows_of_both(self, shop):
        shop.land("a.csv", TWO)
        shop.land("b.csv", TWO)
        shop.land("day.manifest", "file,rows\na.csv,2\nb.csv,2\n")
        assert shop.load() == []
        assert len(shop.rows) == 2

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("file,rows\na.csv,two\n", "'two' is not a number of rows"),
            ("file,rows\na.csv,\n", "'' is not a number of rows"),
            ("file,rows\n,2\n", "a row names no file"),
            ("file,rows\na.csv,2\na.csv,2\n", "'a.csv' is listed twice"),
            ("file,rows\na.csv\n", "row 2 can't be read: "),
            ("name,rows\na.csv,2\n", "the file lacks"),
            ("", "the file is empty"),
        ],
    )
    def test_a_manifest_that_can_not_be_read_is_in_quarantine_and_the_rows_are_loaded(self, shop, text, reason):
        shop.land("a.csv", TWO)
        shop.land("day.manifest", text)
        assert shop.load() == [("unconfirmed", "no manifest says how many rows its 1 files have")]
        assert len(shop.rows) == 2
        entries = query(shop.root, "SELECT source_file, row_number, rows, reason FROM quarantine.rows").fetchall()
        assert [entry[:3] for entry in entries] == [("day.manifest", None, 1)]
        assert reason in entries[0][3]
        assert (shop.record.rows_in, shop.record.rows_out, shop.record.rows_quarantined) == (3, 2, 1)

    def test_a_manifest_may_have_another_format_and_one_number_for_all(self, root):
        shop = Shop(root, replace(MANIFESTS, totals=Manifest("*.json", file=None, rows="Row Count", format=Json())))
        shop.land("a.csv", TWO)
        shop.land("b.csv", ONE)
        shop.land("control.json", '{"Row Count": 4, "sent": "2026-01-01T05:00:00Z"}')
        assert shop.load() == [("short", "the delivery of 2 files has 3 rows; the manifest says 4")]
        assert [f.new_columns for f in shop.plan.files] == []

    def test_copies_of_a_file_or_of_a_manifest_do_not_add_to_a_number_for_all(self, root):
        shop = Shop(root, replace(MANIFESTS, totals=Manifest("*.m", file=None)))
        shop.land("a.csv", TWO)
        shop.land("copy.csv", TWO)
        shop.land("day.m", "rows\n3\n")
        short = [("short", "the delivery of 1 files has 2 rows; the manifest says 3")]
        assert shop.load() == short
        shop.land("copy of day.m", "rows\n3\n")
        assert shop.load() == short
        shop.land("b.csv", ONE)
        assert shop.load() == []
        assert shop.record.shortfall == ""

    def test_a_number_that_is_larger_or_not_told_is_no_shortfall(self, shop):
        shop.land("a.csv", TWO)
        shop.land("b.csv", ONE)
        shop.land("day.manifest", "file,rows\na.csv,1\n")
        assert [state for state, _ in shop.load()] == ["over", "unconfirmed"]
        assert shop.record.shortfall == ""

    def test_a_shortfall_names_three_reasons(self, shop):
        shop.land("a.csv", TWO)
        shop.land("day.manifest", "file,rows\n" + "".join(f"{n}.csv,1\n" for n in range(5)))
        assert len(shop.load()) == 6
        assert shop.record.shortfall.endswith("2.csv has not landed; day.manifest says that it has 1 rows, and 2 more")

    @pytest.mark.parametrize("others", [(), (Json(),)])
    def test_a_manifest_has_a_header_line_although_the_files_of_the_feed_have_none(self, root, others):
        headless = Csv(headers=(Header(("id", "total")),))
        shop = Shop(root, replace(MANIFESTS, format=(headless, *others)))
        shop.land("a.csv", "1,10\n2,20\n")
        shop.land("day.manifest", "file,rows\na.csv,2\n")
        assert shop.load() == []
        assert shop.record.rows_out == 2

    def test_a_manifest_may_have_no_header_line_of_its_own(self, root):
        headless = Csv(headers=(Header(("file", "rows")),))
        shop = Shop(root, replace(MANIFESTS, totals=Manifest("*.manifest", format=headless)))
        shop.land("a.csv", TWO)
        shop.land("day.manifest", "a.csv,2\n")
        assert shop.load() == []

    def test_the_declaration_makes_the_files_be_read_again_and_its_removal_too(self, root):
        shop = Shop(root, replace(MANIFESTS, due=Due("06:00"), totals=None))
        shop.land("a.csv", TWO)
        shop.land("day.manifest", "file,rows\na.csv,2\n")
        assert shop.load() == []
        assert shop.record.rows_quarantined == 1
        shop.feed = MANIFESTS
        assert shop.load() == []
        assert (shop.record.rows_in, shop.record.rows_quarantined) == (2, 0)
        shop.feed = replace(MANIFESTS, due=Due("06:00"), totals=None)
        assert shop.load() == []
        assert (shop.record.rows_quarantined, shop.record.totals) == (1, "")

    def test_a_plan_compares_what_is_loaded_and_opens_no_manifest_for_its_columns(self, shop):
        shop.land("a.csv", ONE)
        shop.land("day.manifest", "file,rows\na.csv,2\n")
        plan = shop.plan
        assert plan.arrivals.complete
        assert {f.name: f.missing_columns for f in plan.files} == {"a.csv": (), "day.manifest": ()}


class TestTrailers:
    @pytest.fixture
    def shop(self, root):
        return Shop(root, TRAILERS)

    def test_each_file_is_compared_with_its_trailer(self, shop):
        shop.land("a.csv", TWO + "T,2\n")
        shop.land("b.csv", ONE + "T,2\n")
        shop.land("c.csv", ONE.replace("3", "4"))
        assert shop.load() == [
            ("short", "b.csv has 1 rows; its trailer says 2"),
            ("unconfirmed", "c.csv has no trailer line: it may be cut off"),
        ]
        assert [row[0] for row in shop.rows] == ["1", "2", "3", "4"]

    def test_totals_of_files_that_stay_are_kept_when_others_come_and_go(self, shop):
        shop.land("a.csv", TWO + "T,5\n")
        expected = [("short", "a.csv has 2 rows; its trailer says 5")]
        assert shop.load() == expected
        shop.land("b.csv", ONE + "T,1\n")
        assert shop.load() == expected
        shop.land("a.csv", TWO + "T,5\n")  # the same bytes again
        assert shop.load() == expected
        shop.remove("b.csv")
        assert shop.load() == expected
        shop.land("copy.csv", TWO + "T,5\n")
        shop.remove("a.csv")
        assert shop.load() == [("short", "copy.csv has 2 rows; its trailer says 5")]
        shop.land("copy.csv", TWO + "T,2\n")
        assert shop.load() == []

    def test_the_total_of_a_file_that_becomes_a_duplicate_does_not_count_twice(self, shop):
        shop.land("b.csv", TWO + "T,4\n")
        shop.load()
        assert shop.record.shortfall == "b.csv has 2 rows; its trailer says 4"
        shop.land("a.csv", TWO + "T,4\n")
        shop.load()
        assert shop.record.shortfall == "a.csv has 2 rows; its trailer says 4"
        assert from_text(shop.record.totals) == {"a.csv": {"a.csv": 4}}

    def test_a_file_that_is_cut_off_before_its_trailer_may_lack_rows_whatever_the_others_have(self, shop):
        shop.land("a.csv", TWO)
        shop.land("b.csv", ONE + "T,2\n")
        shop.load()
        cut_off = "a.csv has no trailer line: it may be cut off"
        assert shop.record.shortfall == f"{cut_off}; b.csv has 1 rows; its trailer says 2"
        shop.land("b.csv", ONE + "T,1\n")
        shop.load()
        assert shop.record.shortfall == cut_off
        shop.land("a.csv", TWO + "T,2\n")
        shop.load()
        assert shop.record.shortfall == ""

    def test_a_workbook_needs_no_trailer(self, root):
        shop = Shop(root, replace(TRAILERS, format=(Csv(), Xlsx())))
        shop.land("a.csv", TWO + "T,2\n")
        shop.land("b.xlsx", workbook({"Sheet1": [["id", "total"], ["3", "30"]]}))
        assert shop.load() == []
        assert (shop.record.rows_out, shop.record.shortfall) == (3, "")

    def test_a_file_that_is_refused_as_a_whole_has_arrived(self, shop):
        shop.land("a.csv", "id\n1\n2\nT,2\n")
        assert shop.load() == []
        assert (shop.rows, shop.record.rows_quarantined) == ([], 2)


class TestChecks:
    KEY = dg.AssetKey(["raw", "shop_orders"])
    FOUND = Arrivals(
        at(3, 12),
        ("shop/orders",),
        (
            Outstanding("shop/orders", date(2026, 1, 1), "short", "a.csv has 1 rows; its trailer says 2"),
            Outstanding(
                "shop/orders", date(2026, 1, 3), "late", "nothing has landed; it was due on 2026-01-03 by 06:00 (UTC)", at(3, 6)
            ),
        ),
    )

    def test_a_count_that_differs_fails_the_check_with_both_figures(self):
        result = arrivals_result(self.KEY, self.FOUND, None)
        assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert result.description == (
            "2026-01-03: nothing has landed; it was due on 2026-01-03 by 06:00 (UTC). "
            "2026-01-01: a.csv has 1 rows; its trailer says 2."
        )

    def test_a_run_over_dates_speaks_of_their_counts_and_of_all_that_has_not_landed(self):
        result = arrivals_result(self.KEY, self.FOUND, [date(2026, 1, 2)])
        assert (result.passed, result.metadata["outstanding"].value) == (False, 1)
        assert result.description == "2026-01-03: nothing has landed; it was due on 2026-01-03 by 06:00 (UTC)."
        assert arrivals_result(self.KEY, self.FOUND, [date(2026, 1, 1)]).metadata["outstanding"].value == 2
        counted = replace(self.FOUND, outstanding=self.FOUND.outstanding[:1])
        assert arrivals_result(self.KEY, counted, [date(2026, 1, 2)]).passed

    def test_the_check_leaves_out_dates_before_the_first_partition(self, root):
        shop = Shop(root, TRAILERS)
        shop.land("a.csv", TWO + "T,5\n")
        shop.load()
        for start, complete in ((START, False), (date(2026, 1, 2), True)):
            assert arrivals_by_ledger(TRAILERS, root, at(3, 12), timezone="UTC", start=start).complete == complete

    @pytest.mark.worlds("sail-folder")
    def test_dagster_checks_the_raw_table_as_of_now(self, make_lakehouse):
        declared = {"totals": TRAILERS.totals, "due": Due("06:00", since=date(2026, 1, 1))}
        lakehouse = make_lakehouse(with_feed(ORDERS, **declared))
        lakehouse.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 1), ("B", 1, 1)) + "T,3\n")
        assert lakehouse.build() == {}
        assert len(lakehouse.rows("silver.shop_orders")) == 2
        job = lakehouse.definitions().resolve_job_def(CHECKS_JOB)
        checks = {c for c in job.asset_layer.asset_graph.asset_check_keys if c.asset_key == self.KEY}
        with dg.DagsterInstance.ephemeral() as instance:
            done = job.get_subset(asset_check_selection=checks).execute_in_process(instance=instance, run_config=QUIET)
            results = {check.check_name: check for check in done.get_asset_check_evaluations()}
        assert (results["row_accounts"].passed, results["arrivals"].passed) == (True, False)
        missing = (datetime.now(UTC).date() - date(2026, 1, 1)).days
        assert results["arrivals"].metadata["outstanding"].value - missing in (0, 1)  # today's may not be due yet
        assert "nothing has landed" in results["arrivals"].description

    @pytest.mark.worlds("sail-folder")
    def test_a_complete_delivery_that_is_short_deletes_nothing_until_the_rest_is_there(self, make_lakehouse):
        table = with_feed(ORDERS, totals=TRAILERS.totals, complete=Complete())
        lakehouse = make_lakehouse(table)
        rows = [("A", 1, 1), ("B", 1, 1), ("C", 1, 1)]
        lakehouse.land("shop/orders", DAY1, "a.csv", csv(*rows) + "T,3\n")
        lakehouse.land("shop/orders", DAY2, "a.csv", csv(*rows[:2]) + "T,3\n")
        lakehouse.build()
        assert [row["order_id"] for row in lakehouse.rows("silver.shop_orders")] == ["A", "B", "C"]
        [held] = lakehouse.plan().held
        reason = "rows of it may not have arrived (a.csv has 2 rows; its trailer says 3)"
        assert f"{reason}: if that is right, run `lakehouse accept shop/orders --date 2026-01-02`" in held.sentence
        lakehouse.land("shop/orders", DAY2, "a.csv", csv(*rows[:2], ("D", 1, 1)) + "T,3\n")
        lakehouse.build()
        assert [row["order_id"] for row in lakehouse.rows("silver.shop_orders")] == ["A", "B", "D"]
        assert lakehouse.plan().held == ()

    @pytest.mark.worlds("sail-folder")
    def test_a_complete_delivery_deletes_nothing_for_a_listed_file_that_is_missing_even_if_another_is_there_twice(
        self, make_lakehouse
    ):
        lakehouse = make_lakehouse(with_feed(ORDERS, totals=Manifest("*.m"), complete=Complete()))
        for day in (DAY1, DAY2):
            lakehouse.land("shop/orders", day, "day.m", "file,rows\na.csv,1\nc.csv,1\n")
            lakehouse.land("shop/orders", day, "a.csv", csv(("A", 1, 1)))
        lakehouse.land("shop/orders", DAY1, "c.csv", csv(("C", 1, 1)))
        lakehouse.land("shop/orders", DAY2, "copy of a.csv", csv(("A", 1, 1)))
        lakehouse.build()
        assert [row["order_id"] for row in lakehouse.rows("silver.shop_orders")] == ["A", "C"]
        [held] = lakehouse.plan().held
        assert "(c.csv has not landed; day.m says that it has 1 rows)" in held.sentence
        lakehouse.land("shop/orders", DAY2, "day.m", "file,rows\na.csv,1\n")  # raw's rows stay, and the delivery counts now
        lakehouse.build()
        assert [row["order_id"] for row in lakehouse.rows("silver.shop_orders")] == ["A"]
        assert lakehouse.plan().held == ()

    def test_feeds_that_declare_nothing_are_not_watched(self):
        result = arrivals([Feed("shop/orders", COLUMNS, Csv())], {}, {}, at(3, 12), timezone="UTC", start=START)
        assert (result.feeds, result.complete) == ((), True)
