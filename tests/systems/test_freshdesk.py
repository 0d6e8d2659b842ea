"""Each cleaning rule of the help desk, on a row or two; a row is as raw has it, after its dialect."""

from datetime import UTC, datetime

import pytest

from lakehouse_assets.systems import freshdesk

TICKET = {
    "id": "1",
    "status": "2",
    "priority": "1",
    "source": "2",
    "requester_id": "37",
    "created_at": "2026-01-05T10:00:00+10:00",
    "updated_at": "2026-01-06T00:00:00Z",
    "spam": "false",
}
CONTACT = {"id": "1", "name": "Rachel", "email": "rachel@example.com", "updated_at": "2014-12-31T12:27:09+10:00"}
AGENT = {"id": "1", "name": "Support", "email": "s@example.com", "type": "support_agent", "group_ids": "[7]", "ticket_scope": "1"}


@pytest.mark.parametrize(
    ("codes", "said", "broken"),
    [
        (("2", "1", "1"), ("Open", "Low", "Email"), None),
        (("3", "2", "2"), ("Pending", "Medium", "Portal"), None),
        (("4", "3", "3"), ("Resolved", "High", "Phone"), None),
        (("5", "4", "7"), ("Closed", "Urgent", "Chat"), None),
        (("6", "4", "9"), ("Waiting on Customer", "Urgent", "Feedback Widget"), None),
        (("7", "4", "10"), ("Waiting on Third Party", "Urgent", "Outbound Email"), None),
        (("8", "9", "77"), ("Other", "n/a", "Other"), "status_known,priority_known,source_known"),
    ],
)
def test_codes_become_words(clean, codes, said, broken):
    [row] = clean(freshdesk.TICKETS, TICKET | dict(zip(("status", "priority", "source"), codes, strict=True)))
    assert (row["status"], row["priority"], row["source"], row["_broken_rules"]) == (*said, broken)
    assert row["status_code"] == int(codes[0])


@pytest.mark.parametrize(
    ("stats", "minutes", "broken"),
    [
        ({}, (None, None), None),
        ({"first_responded_at": "2026-01-05T00:00:59Z"}, (0, None), None),
        ({"first_responded_at": "2026-01-05T01:30:00Z"}, (90, None), None),
        ({"first_responded_at": "2026-01-05T11:30:00+10:00"}, (90, None), None),
        ({"first_responded_at": "2026-01-04T23:59:59Z"}, (None, None), "first_response_after_creation"),
        ({"resolved_at": "2026-01-07T00:00:00Z", "closed_at": "2026-01-09T00:00:00Z"}, (None, 2880), None),
        ({"closed_at": "2026-01-09T00:00:00Z"}, (None, 5760), None),
        ({"resolved_at": "2025-01-07T00:00:00Z"}, (None, None), "resolved_after_creation"),
    ],
)
def test_minutes_are_counted_from_the_creation(clean, stats, minutes, broken):
    [row] = clean(freshdesk.TICKETS, TICKET | stats)
    assert (row["first_response_minutes"], row["resolution_minutes"]) == minutes
    assert row["_broken_rules"] == broken


@pytest.mark.parametrize(
    ("changed", "verdict", "broken"),
    [
        ({"id": None}, "dropped", "ticket_id_present"),
        ({"created_at": None}, "dropped", "created_at_present"),
        ({"created_at": "2026-02-30T10:00:00Z"}, "dropped", "created_at_is_timestamp"),
        ({"group_id": "none"}, "dropped", "group_id_is_bigint"),
        ({"requester_id": None}, "ok", "requester_present"),
        ({"updated_at": None}, "ok", "updated_at_present"),
        ({"spam": "true"}, "ok", None),
        ({"deleted": "false"}, "ok", None),
        ({"deleted": "true"}, "superseded", None),
    ],
)
def test_a_ticket_has_a_number_and_a_time(clean, changed, verdict, broken):
    [row] = clean(freshdesk.TICKETS, TICKET | changed)
    assert (row["_verdict"], row["_broken_rules"]) == (verdict, broken)


@pytest.mark.parametrize(
    ("later", "subjects"),
    [
        ({"status": "4"}, ["again"]),
        ({"updated_at": "2026-01-05T23:00:00Z"}, ["first"]),
        ({"updated_at": "2026-01-06T09:00:00+10:00"}, ["first"]),
        ({"deleted": "true", "updated_at": "2026-01-07T00:00:00Z"}, []),
        ({"deleted": "true", "updated_at": "2026-01-05T00:00:00Z"}, ["first"]),
    ],
)
def test_of_a_ticket_that_is_sent_again_the_last_change_counts(clean, later, subjects):
    rows = clean(freshdesk.TICKETS, TICKET | {"subject": "first"}, TICKET | {"subject": "again"} | later)
    assert [row["subject"] for row in rows if row["_verdict"] == "ok"] == subjects


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Rachel", ("Rachel", "Rachel", None)),
        ("  Grace  van der\tBerg ", ("Grace van der Berg", "Grace", "van der Berg")),
        ("Zoë Müller", ("Zoë Müller", "Zoë", "Müller")),
        ("\tGrace\r\nHopper\n", ("Grace Hopper", "Grace", "Hopper")),
        ("\u00a0Grace\u2003van\u202f \u00a0Dyke", ("Grace van Dyke", "Grace", "van Dyke")),
        (" ", (None, None, None)),
        (None, (None, None, None)),
    ],
)
def test_a_name_has_a_first_word_and_others(clean, name, parts):
    [row] = clean(freshdesk.CUSTOMERS, CONTACT | {"name": name})
    assert (row["full_name"], row["first_name"], row["last_name"]) == parts
    assert row["_broken_rules"] == (None if name and name.strip() else "name_present")


@pytest.mark.parametrize(
    ("email", "kept", "broken"),
    [
        (" Rachel@Example.COM ", "rachel@example.com", None),
        ("no address", "no address", "email_valid"),
        ("", None, "email_present"),
    ],
)
def test_an_address_is_written_so_that_other_systems_can_compare_it(clean, email, kept, broken):
    [row] = clean(freshdesk.CUSTOMERS, CONTACT | {"email": email})
    assert (row["email"], row["_broken_rules"], row["_verdict"]) == (kept, broken, "ok")


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, (None, False)),
        ({"external_id": "12"}, ("12", False)),
        ({"unique_external_id": "13", "external_id": "12", "deleted": "false"}, ("13", False)),
        ({"unique_external_id": " ", "external_id": "12", "deleted": "true"}, ("12", True)),
    ],
)
def test_a_deleted_contact_stays(clean, changed, kept):
    [row] = clean(freshdesk.CUSTOMERS, CONTACT | changed)
    assert (row["external_id"], row["is_deleted"], row["_verdict"]) == (*kept, "ok")
    assert row["updated_at"].astimezone(UTC) == datetime(2014, 12, 31, 2, 27, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "kept", "broken"),
    [
        ({}, ("Support Agent", "Global", 7), None),
        ({"type": "field_agent", "ticket_scope": "2"}, ("Field Agent", "Group", 7), None),
        ({"type": "collaborator", "ticket_scope": "3", "group_ids": "[ 35000,7]"}, ("Collaborator", "Restricted", 35000), None),
        ({"type": None, "ticket_scope": None, "group_ids": "[]"}, ("n/a", "n/a", None), "group_present,agent_type_known"),
        ({"group_ids": None}, ("Support Agent", "Global", None), "group_present"),
    ],
)
def test_an_agent_is_of_the_first_group(clean, changed, kept, broken):
    [row] = clean(freshdesk.AGENTS, AGENT | changed)
    assert (row["agent_type"], row["ticket_scope"], row["group_id"], row["_broken_rules"]) == (*kept, broken)


@pytest.mark.parametrize(
    ("later", "name"),
    [
        ({"contact_updated_at": "2026-01-03T00:00:00Z"}, "again"),
        ({"updated_at": "2026-01-02T00:00:00Z"}, "again"),
        ({"contact_updated_at": "2026-01-01T00:00:00Z"}, "first"),
        ({"contact_updated_at": "2026-01-02T05:00:00+10:00"}, "first"),
    ],
)
def test_a_change_of_the_contact_is_one_of_the_agent(clean, later, name):
    first = AGENT | {"name": "first", "updated_at": "2026-01-01T00:00:00Z", "contact_updated_at": "2026-01-02T00:00:00Z"}
    rows = clean(freshdesk.AGENTS, first, first | {"name": "again"} | later)
    assert [row["full_name"] for row in rows if row["_verdict"] == "ok"] == [name]


def test_a_group_has_a_name(clean):
    rows = clean(freshdesk.GROUPS, {"id": "1", "name": " Billing "}, {"id": "2", "name": None})
    assert [(row["group_name"], row["_verdict"]) for row in rows] == [("Billing", "ok"), (None, "dropped")]
