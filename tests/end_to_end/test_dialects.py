"""What a source writes in several dialects and styles, from landing to silver."""

from dataclasses import replace

import pytest

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.system import Input, SilverTable
from tests.support.dialects import SAMPLES, STATIONS, TICKET_EXPORTS, TICKETS
from tests.support.lakehouse import Lakehouse


def take_tickets(raw):
    return raw.selectExpr("*", "id AS ticket_id", "created_at AS created", "fr_due_by AS due", "company_id AS company")


def take_stations(raw):
    is_installed = "CASE is_installed WHEN 'OUI' THEN 'true' WHEN 'NON' THEN 'false' ELSE CAST(is_installed = '1' AS STRING) END"
    return raw.selectExpr("*", "stationcode AS station", "bikes AS free", "duedate AS reported", f"{is_installed} AS installed")


def table(name, columns, *inputs, **promises):
    contract = Contract(
        name, "", "team:shop", tuple(Column(*c[:2], "", *c[2:]) for c in columns), (columns[0][0],), mode="snapshot", **promises
    )
    return SilverTable(contract, inputs)  # fmt: skip


MOMENT = ("d/m/y",)
DESK = table(
    "desk_tickets",
    (("ticket_id", "bigint"), ("subject", "string"), ("company", "bigint"), *((n, "timestamp", MOMENT) for n in ("created", "due"))),
    Input(TICKETS, take_tickets),
    Input(TICKET_EXPORTS, take_tickets),
    rules=(Rule("known_dialect", "_dialect IN ('v1', 'v2', 'labels')", "fail", "The row has the name of its dialect."),),
)  # fmt: skip
BIKES = table(
    "bikes_status",
    (("station", "string"), ("free", "int"), ("reported", "timestamp", ("epoch seconds",)), ("installed", "boolean")),
    Input(STATIONS, take_stations),
)


def deliver(lakehouse: Lakehouse, files):
    """Land a file a day."""
    for day, (file, feed) in enumerate(files.items(), start=1):
        lakehouse.land(feed.landing, f"2026-02-0{day}", file, SAMPLES.joinpath(file).read_bytes())
    assert lakehouse.build() == {}


def rows_by_date(lakehouse, name, columns):
    rows = lakehouse.rows(f"silver.{name}", f"{columns}, CAST(_date AS VARCHAR) AS day", columns.split(",")[0])
    dates = {row["day"] for row in rows}
    return [[tuple(v for k, v in row.items() if k != "day") for row in rows if row["day"] == day] for day in sorted(dates)]


@pytest.mark.worlds("sail-folder")
def test_each_dialect_makes_the_same_rows_of_silver(make_lakehouse):
    lakehouse = make_lakehouse(DESK, BIKES)
    tickets = dict.fromkeys(("freshdesk_v1.jsonl", "freshdesk_v2.jsonl", "freshdesk_v2_without_nulls.jsonl"), TICKETS)
    deliver(lakehouse, {**tickets, "freshdesk_export.csv": TICKET_EXPORTS})
    deliver(lakehouse, dict.fromkeys(("velib_v1.jsonl", "velib_gbfs.jsonl", "velib_v21.jsonl"), STATIONS))
    desk = rows_by_date(lakehouse, "desk_tickets", "ticket_id, subject, company, epoch(created), epoch(due)")
    assert (
        desk
        == [[(501, "The saddle creaks", None, 1767603600, 1767618000), (502, "Where is my order?", 9, 1767609000, 1767612600)]]
        * 4
    )
    bikes = rows_by_date(lakehouse, "bikes_status", "station, free, epoch(reported), installed")
    assert bikes == [[("16107", 6, 1767614676, True), ("9020", 0, 1767610800, False)]] * 3
    assert lakehouse.rows("quarantine.rows", "rule") == []
    assert {r["d"] for r in lakehouse.rows("raw.freshdesk_tickets", "_dialect AS d")} == {"v1", "v2"}


@pytest.mark.worlds("sail-folder", "spark-folder")
def test_a_new_dialect_and_style_are_mended_by_a_word_each(make_lakehouse):
    lakehouse = make_lakehouse(DESK)
    lakehouse.land(TICKETS.landing, "2026-02-01", "a.jsonl", SAMPLES.joinpath("freshdesk_v2.jsonl").read_bytes())
    row = '{"ticket":{"id":503,"subject":"A bell","company_id":null,"created_at":"20260105T10:00:00","fr_due_by":"05.01.2026 12:00"}}'
    # What stands between the texts of a row that can't be read may stand in a text.
    hostile = '{"ticket":{"id":504,"subject":"A lock","company_id":null,"created_at":"noon\\u001fx=1","fr_due_by":null}}'
    lakehouse.land(TICKETS.landing, "2026-02-01", "b.jsonl", f"{row}\n{hostile}\n")
    assert lakehouse.build() == {}
    [reject] = lakehouse.rows("quarantine.rows", "rule, reason")
    assert reject["rule"] == "file_is_of_a_dialect"
    feed = replace(
        TICKETS, dialects=(replace(TICKETS.dialects[1], name="v3", told_by=("ticket",), unwrap="ticket"), *TICKETS.dialects)
    )
    [given, other] = DESK.inputs
    desk = replace(DESK, inputs=(replace(given, feed=feed), other), contract=replace(DESK.contract, rules=()))
    lakehouse = replace(lakehouse, tables=[desk])
    assert lakehouse.build() == {}
    reject, of_hostile = lakehouse.rows("quarantine.rows", "rule, reason, payload", "row_number")
    assert [reject["rule"], of_hostile["rule"]] == ["created_is_timestamp"] * 2
    assert reject["reason"] == (
        "Breaks the rule: created can be read as timestamp, also as d/m/y. It is written as yyyymmdd: styles=('d/m/y', 'yyyymmdd') "
        "in its column of the contract reads it. Breaks the rule: due can be read as timestamp, also as d/m/y. It is written as d.m.y "
        "or m.d.y: styles=('d/m/y', 'd.m.y') or styles=('d/m/y', 'm.d.y') in its column of the contract reads it, whichever the source "
        "means."
    )
    *columns, created, due = desk.contract.columns
    mended = (*columns, replace(created, styles=("d/m/y", "yyyymmdd")), replace(due, styles=("d/m/y", "dd.mm.yyyy")))
    lakehouse = replace(lakehouse, tables=[replace(desk, contract=replace(desk.contract, columns=mended))])
    assert lakehouse.build() == {}
    assert lakehouse.rows("quarantine.rows", "row_number") == [{"row_number": 2}]
    [*_, row] = lakehouse.rows("silver.desk_tickets", "ticket_id, epoch(created) AS created, epoch(due) AS due", "ticket_id")
    assert tuple(row.values()) == (503, 1767607200, 1767614400)
    assert lakehouse.plan().of_layers("raw", "silver") == []
