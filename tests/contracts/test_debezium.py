"""Change events as Debezium's documentation describes them, from its connectors for PostgreSQL, MySQL, SQL Server and Oracle."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.debezium import (
    CHANGED_AT,
    LOG_POSITION,
    UNAVAILABLE,
    change_feed,
    change_rules,
    date_of_days,
    decimal_of_bytes,
    rows_as_read,
    rows_of_changes,
    timestamp_of_micros,
    timestamp_of_millis,
)
from lakehouse_assets.contracts.system import Input, SilverTable
from lakehouse_assets.errors import ContractError

ALL = ("spark-folder", "sail-folder")
RAW = ("op", "before", "after", "ts_ms", "source")


def clean_customers(raw):
    named = {"customer_id": "id", "email": "e-mail", "born_days": "born", "credit_bytes": "credit"}
    return rows_of_changes(raw, named).selectExpr(
        "*", f"{date_of_days('born_days')} AS born", f"{decimal_of_bytes('credit_bytes', 2)} AS credit"
    )


CUSTOMERS = SilverTable(
    contract=Contract(
        table="shop_customers",
        description="Customers of a shop",
        owner="team:shop",
        key=("customer_id",),
        sequence=LOG_POSITION.name,
        deleted="is_delete",
        columns=(
            Column("customer_id", "int", "Number"),
            Column("email", "string", "Address"),
            Column("born", "date", "Day of birth"),
            Column("credit", "decimal(12,2)", "Credit"),
            CHANGED_AT,
            LOG_POSITION,
        ),
        rules=(*change_rules(), Rule("email_has_at", "email LIKE '%@%'", "drop", "An address has an @.")),
    ),
    inputs=(Input(change_feed("shop/customers"), clean_customers),),
)


def postgres(lsn, ts_ms=1_559_033_904_863, **more):
    return {
        "version": "3.3.1.Final",
        "connector": "postgresql",
        "name": "PostgreSQL_server",
        "ts_ms": ts_ms,
        "snapshot": "false",
        "db": "shop",
        "sequence": f'["{lsn - 9}","{lsn}"]',
        "schema": "public",
        "table": "customers",
        "txId": 555,
        "lsn": lsn,
        "xmin": None,
        **more,
    }


def customer(number, email, born=12_000, credit="AMk="):
    return {"id": number, "e-mail": email, "born": born, "credit": credit}


def event(op, before, after, source, ts_ms=1_559_033_904_961):
    return {"before": before, "after": after, "source": source, "op": op, "ts_ms": ts_ms, "transaction": None}


def lines(*events):
    return "".join(json.dumps(e) + "\n" for e in events)


def wrapped(result):
    return {"schema": {"type": "struct", "optional": False, "name": "shop.public.customers.Envelope"}, "payload": result}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.fixture
def changes(spark):
    """Events as raw rows."""
    from pyspark.sql import functions as F

    def make(*events):
        frames = [
            spark.range(1).select(
                *(
                    F.lit(v if v is None or isinstance(v, str) else compact(v)).cast("string").alias(c)
                    for c, v in e.items()
                    if c in RAW
                )
            )
            for e in events
        ]
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.unionByName(frame)
        return whole

    return make


def sources(*result):
    return [event("c", None, {"id": n}, source) for n, source in enumerate(result)]


def binlog(file, pos, row=0, connector="mysql"):
    return {"connector": connector, "ts_ms": 1, "file": file, "pos": pos, "row": row, "gtid": None}


def commit_table(commit, change, serial=1):
    return {"connector": "sqlserver", "ts_ms": 1, "commit_lsn": commit, "change_lsn": change, "event_serial_no": serial}


def redo(scn, commit_scn):
    return {"connector": "oracle", "ts_ms": 1, "scn": scn, "commit_scn": commit_scn}


NESTED = {"a": [1]}


@pytest.mark.worlds(*ALL)
def test_fields_are_the_text_of_the_row_as_it_is_and_for_a_delete_as_it_was(changes):
    one, two = {"id": 1, "e-mail": "ü@x", "o": NESTED, "t": True, "n": None}, {"id": 2, "e-mail": 'say "hi"'}
    rows = rows_of_changes(
        changes(event("u", one, two, postgres(10)), event("d", one, None, postgres(11)), event("r", None, one, postgres(9))),
        {"number": "id", "email": "e-mail", "nested": "o", "flag": "t", "none": "n", "other": "missing"},
    )
    wanted = ("op", "number", "email", "nested", "flag", "none", "other", "is_delete")
    assert sorted((tuple(r[c] for c in wanted) for r in rows.collect()), key=str) == [
        ("d", "1", "ü@x", '{"a":[1]}', "true", None, None, True),
        ("r", "1", "ü@x", '{"a":[1]}', "true", None, None, False),
        ("u", "2", 'say "hi"', None, None, None, None, False),
    ]


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize(
    "ordered",
    [
        (postgres(9), postgres(10), postgres(24_023_128), postgres(18_446_744_073_709_551_615)),
        (
            binlog("mysql-bin.000003", 4),
            binlog("mysql-bin.000003", 154),
            binlog("mysql-bin.000003", 154, row=1),
            binlog("mysql-bin.000003", 154, row=10),
            binlog("mysql-bin.000010", 4),
            binlog("mysql-bin.999999", 4),
            binlog("mysql-bin.1000000", 4),
        ),
        (binlog("mariadb-bin.000009", 990, connector="mariadb"), binlog("mariadb-bin.000010", 4, connector="mariadb")),
        (
            commit_table("00000027:00000758:0003", None, None),
            commit_table("00000027:00000758:0005", "00000027:00000758:0003"),
            commit_table("00000027:00000758:0005", "00000027:00000758:0004", 1),
            commit_table("00000027:00000758:0005", "00000027:00000758:0004", 2),
            commit_table("00000100:00000c00:0003", "00000100:00000c00:0002"),
        ),
        (redo("9", None), redo("10", "12"), redo("11", "12"), redo("11", "100")),
    ],
    ids=["postgresql", "mysql", "mariadb", "sqlserver", "oracle"],
)
def test_the_position_in_the_log_is_text_in_the_order_of_the_log(changes, ordered):
    rows = rows_of_changes(changes(*sources(*ordered)), {"place": "id"}).select("place", "log_position").collect()
    assert [int(r["place"]) for r in sorted(rows, key=lambda r: r["log_position"])] == list(range(len(ordered)))


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize("source", [{"connector": "mongodb", "ord": 1}, {"connector": "postgresql"}, {"connector": "mysql"}, {}])
def test_a_source_that_tells_no_position_has_none(changes, source):
    [row] = rows_of_changes(changes(*sources(source)), {}).collect()
    assert row["log_position"] is None


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize(
    ("source", "event_s", "moment"),
    [(1_559_033_904_863, 5, "2019-05-28 08:58:24.863"), (None, 1_559_033_904_961, "2019-05-28 08:58:24.961"), (None, None, None)],
)
def test_a_change_was_committed_when_the_source_says_or_else_when_it_was_handled(changes, source, event_s, moment):
    result = changes(event("c", None, {}, {"connector": "postgresql", "ts_ms": source}, ts_ms=event_s))
    [row] = rows_of_changes(result, {}).selectExpr("CAST(changed_at AS STRING) AS moment").collect()
    assert row["moment"] == moment


@pytest.mark.worlds(*ALL)
def test_rows_of_an_export_are_like_those_that_a_snapshot_read(changes):
    read = rows_as_read(changes({"op": None}).selectExpr("'7' AS number"))
    changed = rows_of_changes(changes(event("r", None, {"id": 7}, {"connector": "none"})), {"number": "id"})
    added = ["is_delete", "changed_at", "log_position"]
    assert read.select("number", "op", *added).collect() == [("7", "r", False, None, None)]
    assert dict(read.select(added).dtypes) == dict(changed.select(added).dtypes)
    assert read.selectExpr(*(rule.expression for rule in change_rules())).collect() == [(True, True, True)]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"source": "src"}, "have columns of their own named source"),
        ({"is_delete": "x", "op": "y"}, "have columns of their own named is_delete, op"),
        ({"name": "it's"}, "Fields with a quote in their name can't be read out of change events: it's"),
    ],
)
def test_names_that_can_t_be_are_refused(fields, complaint):
    with pytest.raises(ContractError, match=complaint):
        rows_of_changes(None, fields)


@pytest.mark.worlds(*ALL)
def test_days_and_moments_since_1970_are_dates_and_timestamps_and_what_is_no_number_stays(spark):
    rows = spark.sql(
        f"""SELECT {date_of_days("'19000'")} AS d, {date_of_days("'-1'")} AS early, {date_of_days("'x'")} AS no,
                   {timestamp_of_millis("'1529507596945'")} AS ms, {timestamp_of_micros("'1529507596945104'")} AS us,
                   {timestamp_of_micros("'2018-06-20T15:13:16Z'")} AS zoned, {date_of_days("CAST(NULL AS STRING)")} AS none"""
    )
    assert list(rows.collect()[0]) == [
        "2022-01-08",
        "1969-12-31",
        "x",
        "2018-06-20 15:13:16.945",
        "2018-06-20 15:13:16.945104",
        "2018-06-20T15:13:16Z",
        None,
    ]


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**63, 253_402_300_800_000_000, -62_135_596_800_000_001])
def test_a_number_beyond_the_years_1_to_9999_stays_and_harms_no_other_row(spark, number):
    result = spark.sql(f"SELECT v FROM VALUES ('{number}'), ('0') AS t (v)")
    read = [f"{moment('v')} AS m{n}" for n, moment in enumerate((date_of_days, timestamp_of_millis, timestamp_of_micros))]
    rows = result.selectExpr("v", *read).collect()
    assert [set(row) for row in rows if row["v"] != "0"] == [{str(number)}]
    assert [row["m0"] for row in rows if row["v"] == "0"] == ["1970-01-01"]


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize("ts_ms", [2**63 - 1, "１２", "1e3", 253_402_300_800_000])
def test_a_change_at_no_possible_time_has_none(changes, ts_ms):
    [row] = rows_of_changes(changes(event("c", None, {}, {"connector": "postgresql", "ts_ms": ts_ms}, ts_ms=ts_ms)), {}).collect()
    assert row["changed_at"] is None


def in_bytes(number):
    size = max(1, (number.bit_length() + 8) // 8)
    return base64.b64encode(number.to_bytes(size, "big", signed=True)).decode()


NUMBERS = [
    0,
    1,
    -1,
    127,
    128,
    -128,
    -129,
    255,
    256,
    201,
    70_000,
    -70_000,
    2**31,
    -(2**31),
    2**40,
    -(2**40),
    2**47,
    -(2**47),
    2**55,
]
NUMBERS += [-(2**55), 10**18 - 1, -(10**18) + 1]


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize("scale", [0, 2, 4])
def test_precise_decimals_of_up_to_18_digits_are_read(spark, scale):
    texts = ", ".join(f"('{in_bytes(n)}')" for n in NUMBERS)
    rows = spark.sql(f"SELECT {decimal_of_bytes('v', scale)} AS number FROM VALUES {texts} AS t (v)").collect()
    assert sorted(Decimal(r["number"]) for r in rows) == sorted(Decimal(n).scaleb(-scale) for n in NUMBERS)


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize("text", ["", "x", "12.50", "%%%%", "AMk=\n", in_bytes(2**70), in_bytes(10**40)])
def test_what_is_no_such_decimal_is_marked_as_none(spark, text):
    [row] = spark.sql(f"SELECT {decimal_of_bytes('v', 2)} AS number FROM VALUES ('{text}') AS t (v)").collect()
    assert row["number"] == f"not a decimal of up to 18 digits: {text}"


DAY1, DAY2 = "2026-01-01", "2026-01-02"
ANN, ANNA, BOB, CID = customer(1, "ann@x"), customer(1, "anna@x"), customer(2, "bob@x"), customer(3, "cid@x")
SNAPSHOT = lines(
    event("r", None, ANN, postgres(100, snapshot="first")),
    event("r", None, BOB, postgres(100, snapshot="last")),
)
STREAM = lines(
    wrapped(event("u", ANN, ANNA, postgres(110))),
    wrapped(event("c", None, CID, postgres(111))),
    wrapped(event("d", {"id": 2, "e-mail": None, "born": None, "credit": None}, None, postgres(112))),
    {"schema": None, "payload": None},
    None,
)
ODD = lines(
    {"source": postgres(120), "op": "t", "ts_ms": 1_559_033_904_961},
    {"source": postgres(121), "op": "m", "ts_ms": 1_559_033_904_961, "message": {"prefix": "foo", "content": "Ymfy"}},
    event("u", ANNA, None, postgres(122)),
    event("u", CID, customer(3, "cidatx"), postgres(123)),
    event("u", CID, customer(3, "cid@y", credit="12.5"), postgres(124)),
    event("d", None, None, postgres(125)),
)


@pytest.fixture
def shop(make_lakehouse):
    return make_lakehouse(CUSTOMERS)


def standing(shop):
    return [(r["customer_id"], r["email"]) for r in shop.rows("silver.shop_customers", "customer_id, email")]


@pytest.mark.worlds(*ALL)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "snapshot late"])
def test_changes_are_applied_in_the_order_of_the_log(shop, order):
    files = [(DAY1, "snapshot.jsonl", SNAPSHOT), (DAY2, "stream.jsonl", STREAM)]
    for place in order:
        shop.land("shop/customers", *files[place])
        assert shop.build() == {}
    assert standing(shop) == [(1, "anna@x"), (3, "cid@x")]
    assert shop.accounts("raw", "shop_customers") == {DAY1: (2, 2, 0, 0), DAY2: (3, 3, 0, 0)}
    assert [r.adds_up for r in shop.records("silver", "shop_customers").values()] == [True, True]
    [row] = shop.rows("(FROM silver.shop_customers WHERE customer_id = 1)")
    assert (row["born"].isoformat(), row["credit"], row["log_position"]) == ("2002-11-09", Decimal("2.01"), f"{110:020}")
    assert row["changed_at"].astimezone(UTC) == datetime(2019, 5, 28, 8, 58, 24, 863_000, tzinfo=UTC)


NO_ROW = "The event is about one row: no truncate (t), no message (m)."


@pytest.mark.worlds(*ALL)
def test_an_event_without_a_row_goes_to_quarantine_with_a_reason(shop):
    shop.land("shop/customers", DAY1, "stream.jsonl", STREAM)
    shop.land("shop/customers", DAY1, "odd.jsonl", ODD)
    assert shop.build() == {}
    assert standing(shop) == [(1, "anna@x"), (3, "cid@x")]
    assert [r.adds_up for r in shop.records("silver", "shop_customers").values()] == [True]
    rows = shop.rows("(FROM quarantine.rows WHERE source_file = 'odd.jsonl')", "row_number, reason", "row_number")
    message = {row["row_number"]: row["reason"] for row in rows}
    assert [NO_ROW in message[number] for number in range(1, 7)] == [True, True, False, False, False, False]
    assert "The event has the row as it is." in message[3]
    assert message[4] == "Breaks the rule: An address has an @."
    assert message[5] == "Breaks the rule: credit can be read as decimal(12,2)."
    assert message[6] == "Breaks the rule: customer_id is part of the key and must be there."


@pytest.mark.worlds(*ALL)
def test_a_file_of_truncates_only_is_not_refused_for_its_columns(shop):
    shop.land("shop/customers", DAY1, "truncate.jsonl", lines({"source": postgres(120), "op": "t", "ts_ms": 1_559_033_904_961}))
    assert shop.build() == {}
    assert shop.accounts("raw", "shop_customers") == {DAY1: (1, 1, 0, 0)}
    assert shop.accounts("silver", "shop_customers") == {DAY1: (1, 0, 1, 0)}


@pytest.mark.worlds(*ALL)
def test_a_value_that_postgresql_did_not_send_is_reported(shop):
    shop.land("shop/customers", DAY1, "stream.jsonl", lines(event("u", ANN, customer(1, f"{UNAVAILABLE}"), postgres(130))))
    assert shop.build() == {}
    [record] = shop.records("silver", "shop_customers").values()
    assert ("change_has_all_values", 1) in [(hit.rule, hit.rows) for hit in record.rules]


@pytest.mark.worlds(*ALL)
def test_the_changes_of_a_row_are_its_history(make_lakehouse):
    columns = tuple(c for c in CUSTOMERS.contract.columns if c.name != "credit")
    contract = replace(CUSTOMERS.contract, mode="history", sequence=(CHANGED_AT.name, LOG_POSITION.name), columns=columns)
    shop = make_lakehouse(replace(CUSTOMERS, contract=contract))
    shop.land("shop/customers", DAY2, "stream.jsonl", lines(event("u", ANN, ANNA, postgres(110, ts_ms=1_000))))
    shop.land("shop/customers", DAY2, "delete.jsonl", lines(event("d", ANNA, None, postgres(120, ts_ms=2_000))))
    assert shop.build() == {}
    shop.land("shop/customers", DAY1, "snapshot.jsonl", lines(event("r", None, ANN, postgres(100, ts_ms=0), ts_ms=500)))
    assert shop.build() == {}
    rows = shop.rows("silver.shop_customers", "email, epoch_ms(valid_from) AS f, epoch_ms(valid_to) AS t", "f")
    assert [tuple(row.values()) for row in rows] == [("ann@x", 500, 1_000), ("anna@x", 1_000, 2_000)]
