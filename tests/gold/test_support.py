"""Tickets of the help desk, and their agents."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.warehouse import LANDED

CREATED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TICKET = {"ticket_id": 1, "created_at": CREATED, "status": "Open", "priority": "Low", "source": "Email"}


def agent(number=7, **facts):
    return {"agent_id": number, "full_name": "Ada", "ticket_scope": "Group", "is_active": True, **facts}


@pytest.mark.parametrize(
    ("title", "scope", "tier"),
    [
        ("Tier 2", "Group", "Tier 2"),
        ("tier-1 support", "Global", "Tier 1"),
        ("Support Engineer L3", "Restricted", "Tier 3"),
        ("2nd Level Support", "Group", "Tier 2"),
        ("Level 1", None, "Tier 1"),
        ("Head of support, tier 2", "Group", "Tier 2"),
        ("Team Lead", "Group", "Tier 3"),
        ("Support Manager", "Restricted", "Tier 3"),
        ("Leading expert", "Group", "Tier 1"),  # leads nobody
        ("Tier 12", "Global", "Tier 2"),  # names no tier that there is
        (None, "Global", "Tier 2"),
        (None, "Restricted", "Tier 1"),
        ("Support", "n/a", "n/a"),
        (None, None, "n/a"),
    ],
)
def test_the_tier_is_that_of_the_title_or_else_of_the_scope(warehouse, title, scope, tier):
    sql = warehouse(freshdesk_agents=[agent(job_title=title, ticket_scope=scope)])
    assert sql("SELECT tier FROM run.gold.dim_support_agent WHERE agent_key <> -1") == [(tier,)]


def test_the_department_is_the_name_of_the_first_group_once_that_is_there(warehouse):
    agents = [agent(1, group_id=5), agent(2, group_id=6), agent(3), agent(4, full_name=None, email="a@b.c", is_active=None)]
    sql = warehouse(
        freshdesk_agents=agents, freshdesk_groups=[{"group_id": 5, "group_name": "Billing", "_date": date(2026, 2, 1)}]
    )
    assert sql("SELECT agent_id, agent_name, department, is_active, _date FROM run.gold.dim_support_agent ORDER BY agent_id") == [
        ("1", "Ada", "Billing", True, date(2026, 2, 1)),
        ("2", "Ada", "n/a", True, LANDED),
        ("3", "Ada", "n/a", True, LANDED),
        ("4", "a@b.c", "n/a", False, LANDED),
        ("n/a", "n/a", "n/a", False, date(2026, 1, 1)),
    ]


STATUSES = ("Open", "Pending", "Waiting on Customer", "Waiting on Third Party", "Resolved", "Closed", "Other")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("named", ["resolved_at", "closed_at", None])
def test_an_open_ticket_has_no_day_of_resolution_whatever_is_left_of_the_time_before(warehouse, status, named):
    ended = {named: CREATED + timedelta(days=2), "resolution_minutes": 2880} if named else {}
    sql = warehouse(freshdesk_tickets=[TICKET | ended | {"status": status, "reopened_at": CREATED + timedelta(days=3)}])
    is_resolved = named and status in ("Resolved", "Closed", "Other")
    expected = (20260304, 2880, True) if is_resolved else (-1, None, True)
    assert sql("SELECT ticket_resolved_date_key, resolution_minutes, reopened FROM run.gold.fact_support_tickets") == [expected]
    days = {row[0] for row in sql("SELECT year FROM run.gold.dim_date WHERE date_key <> -1")}
    assert days == {2026}


def test_what_a_ticket_lacks_is_the_unknown_member_and_comes_in_without_a_change_of_its_key(warehouse):
    named = TICKET | {"requester_id": 3, "responder_id": 7, "category": "Refund", "source": "Chat", "first_response_minutes": 0}
    bare = {"ticket_id": 2, "created_at": CREATED, "status": "Closed"}
    query = (
        "SELECT support_key, agent_id, customer_key = -1, channel_name, category, priority, first_response_minutes, time_key, reopened "
        "FROM run.gold.fact_support_tickets JOIN run.gold.dim_support_agent USING (agent_key) "
        "JOIN run.gold.dim_channel USING (channel_key) ORDER BY ticket_id"
    )
    before = warehouse(freshdesk_tickets=[named, bare])(query)
    assert [row[1:] for row in before] == [
        ("n/a", True, "Chat", "Refund", "Low", 0, 930, False),
        ("n/a", True, "n/a", "n/a", "n/a", None, 930, False),
    ]
    after = warehouse(freshdesk_tickets=[named, bare], freshdesk_agents=[agent()])(query)
    assert [row[1] for row in after] == ["7", "n/a"]
    assert [row[0] for row in after] == [row[0] for row in before]


MOMENTS = st.datetimes(datetime(1989, 12, 30), datetime(2027, 1, 2), timezones=st.just(UTC))


@settings(max_examples=12, deadline=None)
@given(moments=st.lists(st.tuples(MOMENTS, st.none() | MOMENTS), min_size=1, max_size=6))
def test_each_ticket_is_a_row_whose_days_are_in_the_calendar_or_unknown(warehouse, moments):
    tickets = [
        {"ticket_id": n, "created_at": created, "resolved_at": resolved, "status": "Closed" if resolved else "Open"}
        for n, (created, resolved) in enumerate(moments)
    ]
    sql = warehouse(freshdesk_tickets=tickets)

    def key(moment):
        return int(f"{moment:%Y%m%d}") if moment and date(1990, 1, 1) <= moment.date() else -1

    assert sql(
        "SELECT ticket_created_date_key, ticket_resolved_date_key FROM run.gold.fact_support_tickets ORDER BY ticket_id::INT"
    ) == [(key(created), key(resolved)) for created, resolved in moments]
    for column in ("ticket_created_date_key", "ticket_resolved_date_key"):
        anti = f"SELECT count(*) FROM run.gold.fact_support_tickets ANTI JOIN run.gold.dim_date ON date_key = {column}"
        assert sql(anti) == [(0,)]


def test_the_customer_is_the_row_version_of_the_day_on_which_the_ticket_was_created(warehouse):
    person = {"customer_id": 3, "email": "a@b.c", "full_name": "A B"}
    shop = {"customer_id": 8, "email": "a@b.c"}
    order = {
        "order_id": 1,
        "order_number": "1",
        "customer_id": 8,
        "created_at": datetime(2025, 1, 5, tzinfo=UTC),
        "currency": "USD",
    }
    item = {"order_id": 1, "item_id": 1, "sku": "P", "quantity": 1, "price": 9000, "row_total": 9000}
    tickets = [TICKET | {"ticket_id": n, "requester_id": 3, "created_at": datetime(2025, n, 10, tzinfo=UTC)} for n in (1, 3)]
    sql = warehouse(
        freshdesk_customers=[person],
        magento_customers=[shop],
        magento_orders=[order, order | {"order_id": 2, "order_number": "2", "created_at": datetime(2025, 4, 5, tzinfo=UTC)}],
        magento_order_items=[item, item | {"order_id": 2, "item_id": 2}],
        freshdesk_tickets=tickets,
    )
    rows = sql(
        "SELECT c.customer_segment, c.is_current FROM run.gold.fact_support_tickets JOIN run.gold.dim_customer AS c "
        "USING (customer_key) ORDER BY ticket_id"
    )
    assert rows == [("No sales", False), ("Top", True)]
