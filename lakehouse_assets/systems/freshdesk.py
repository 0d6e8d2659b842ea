"""Freshdesk, the help desk: tickets, contacts, agents and groups, as its API v2 answers.

A file is an answer: a list, or one object. Whatever has changed is sent again, so the row with the highest `updated_at` counts.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Json
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.systems.cleaning import text, with_columns, words

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

STATUSES = {
    "2": "Open",
    "3": "Pending",
    "4": "Resolved",
    "5": "Closed",
    "6": "Waiting on Customer",
    "7": "Waiting on Third Party",
}
PRIORITIES = {"1": "Low", "2": "Medium", "3": "High", "4": "Urgent"}
SOURCES = {"1": "Email", "2": "Portal", "3": "Phone", "7": "Chat", "9": "Feedback Widget", "10": "Outbound Email"}
SCOPES = {"1": "Global", "2": "Group", "3": "Restricted"}
"""What the API's numbers stand for. A help desk may add statuses and sources of its own, with other numbers."""


def clean_tickets(raw: "DataFrame") -> "DataFrame":
    """Write codes as words, and count the minutes until the first response and the resolution."""
    return with_columns(
        raw,
        _created=text("created_at"),
        _responded=_minutes("created_at", "first_responded_at"),
        _resolved=_minutes("created_at", "COALESCE(resolved_at, closed_at)"),
        ticket_id="id",
        subject=text("subject"),
        status_code="status",
        status=words("status", STATUSES, otherwise="Other"),
        priority=words("priority", PRIORITIES),
        source=words("source", SOURCES, otherwise="Other"),
        category=text("type"),
        requester_email=_email("requester_email"),
        order_number=text("order_number"),
        is_spam="spam",
    ).selectExpr(
        "*",
        "CASE WHEN _responded >= 0 THEN _responded END AS first_response_minutes",
        "CASE WHEN _resolved >= 0 THEN _resolved END AS resolution_minutes",
    )


def clean_contacts(raw: "DataFrame") -> "DataFrame":
    """Trim texts, split the name, and write e-mail addresses in lower case."""
    return with_columns(
        raw,
        customer_id="id",
        **_name("name"),
        email=_email("email"),
        phone=text("phone"),
        mobile=text("mobile"),
        external_id="COALESCE(NULLIF(TRIM(unique_external_id), ''), NULLIF(TRIM(external_id), ''))",
        job_title=text("job_title"),
        is_active="active",
        is_deleted="COALESCE(deleted, 'false')",
    )


def clean_agents(raw: "DataFrame") -> "DataFrame":
    """Trim texts, split the name, write codes as words, and take the first of the agent's groups."""
    return with_columns(
        raw,
        agent_id="id",
        **_name("name"),
        email=_email("email"),
        job_title=text("job_title"),
        agent_type=words(
            "type", {"SUPPORT_AGENT": "Support Agent", "FIELD_AGENT": "Field Agent", "COLLABORATOR": "Collaborator"}
        ),
        ticket_scope=words("ticket_scope", SCOPES),
        is_occasional="occasional",
        is_available="available",
        is_active="active",
        group_id="NULLIF(REGEXP_EXTRACT(group_ids, '^\\\\s*\\\\[\\\\s*([0-9]+)', 1), '')",
    )


def clean_groups(raw: "DataFrame") -> "DataFrame":
    """Trim texts."""
    return with_columns(
        raw, group_id="id", group_name=text("name"), description=text("description"), unassigned_for=text("unassigned_for")
    )


def _email(column: str) -> str:
    """SQL: an e-mail address as other systems can be compared with it."""
    return f"LOWER({text(column)})"


def _name(column: str) -> dict[str, str]:
    """SQL of a name, of its first word, and of the others."""
    # Not `\\s`, which has other blanks on each engine.
    name = text(f"REGEXP_REPLACE({column}, '[\\\\p{{Z}}\\\\t-\\\\r]+', ' ')")
    first = f"SUBSTRING_INDEX({name}, ' ', 1)"
    return {"full_name": name, "first_name": first, "last_name": f"NULLIF(SUBSTRING({name}, LENGTH({first}) + 2), '')"}


def _minutes(since: str, until: str) -> str:
    """SQL: whole minutes between two moments; NULL if one of them is missing or can't be read."""
    start, end = (f"UNIX_SECONDS({typed(moment, 'timestamp')})" for moment in (since, until))
    return f"CAST(FLOOR(({end} - {start}) / 60) AS INT)"


_CREATED = Column("created_at", "timestamp", "When it was created")
_UPDATED = Column("updated_at", "timestamp", "When it was last changed: the row with the highest value counts")


def _optional(**columns: str) -> tuple[SourceColumn, ...]:
    """Columns that an answer may lack, with their descriptions."""
    return tuple(SourceColumn(name, description, required=False) for name, description in columns.items())


TICKETS_FEED = Feed(
    "freshdesk/tickets",
    (
        SourceColumn("id", "Number of the ticket"),
        SourceColumn("status", "2 open, 3 pending, 4 resolved, 5 closed, or another of the help desk's own"),
        SourceColumn("priority", "1 low to 4 urgent"),
        SourceColumn("source", "Channel: 1 e-mail, 2 portal, 3 phone, 7 chat, 9 feedback widget, 10 outbound e-mail"),
        SourceColumn("requester_id", "Contact who asked"),
        SourceColumn("responder_id", "Agent in charge"),
        SourceColumn("created_at", "When it was created, with an offset"),
        SourceColumn("updated_at", "When it was last changed"),
        SourceColumn("type", "Kind of request", also=("ticket_type",)),
        *_optional(
            group_id="Group in charge",
            company_id="Company of the requester",
            subject="Subject",
            spam="Whether it is marked as spam",
            deleted="Whether it is in the bin",
            due_by="When it is to be resolved",
            fr_due_by="When the first response is due",
            is_escalated="Whether it was due and not resolved",
            tags="JSON list of tags",
            first_responded_at="When an agent first answered",
            reopened_at="When it was last opened again",
            resolved_at="When it was resolved; null once it is opened again",
            closed_at="When it was closed",
            requester_email="E-mail address of the requester",
            order_number="Number of the shop's order that it is about",
        ),
    ),
    format=Json(records="results"),
    dialects=(
        Dialect(
            "v2",
            told_by=("status",),
            columns={
                "first_responded_at": "stats.first_responded_at",
                "reopened_at": "stats.reopened_at",
                "resolved_at": "stats.resolved_at",
                "closed_at": "stats.closed_at",
                "requester_email": "requester.email",
                "order_number": "custom_fields.cf_order_number",
            },
        ),
    ),
)

TICKETS = SilverTable(
    Contract(
        table="freshdesk_tickets",
        description="Tickets of the help desk, one row a ticket, as it was last sent. A ticket in the bin is not here; spam is.",
        owner="team:customer-support",
        key=("ticket_id",),
        sequence="updated_at",
        deleted="deleted = 'true'",
        columns=(
            Column("ticket_id", "bigint", "Number of the ticket"),
            Column("subject", "string", "Subject", personal=True),
            Column("category", "string", "Kind of request, such as Question or Refund"),
            Column("status", "string", "Open, Pending, Resolved, Closed, Waiting on …, or Other"),
            Column("status_code", "int", "Number of the status: 6 and more are the help desk's own"),
            Column("priority", "string", "Low, Medium, High or Urgent"),
            Column("source", "string", "Channel through which it came: Email, Portal, Phone, Chat, …, or Other"),
            Column("requester_id", "bigint", "Who asked, as in freshdesk_customers"),
            Column("requester_email", "string", "E-mail address of who asked, in lower case", personal=True),
            Column("responder_id", "bigint", "Agent in charge, as in freshdesk_agents; NULL before one is"),
            Column("group_id", "bigint", "Group in charge, as in freshdesk_groups"),
            Column("company_id", "bigint", "Company of the requester"),
            Column("order_number", "string", "Number of the order that it is about"),
            _CREATED,
            _UPDATED,
            Column("due_by", "timestamp", "When it is to be resolved"),
            Column("fr_due_by", "timestamp", "When the first response is due"),
            Column("first_responded_at", "timestamp", "When an agent first answered"),
            Column("reopened_at", "timestamp", "When it was last opened again"),
            Column("resolved_at", "timestamp", "When it was resolved; NULL while it is open"),
            Column("closed_at", "timestamp", "When it was closed"),
            Column("first_response_minutes", "int", "Whole minutes until an agent first answered; not of business hours alone"),
            Column("resolution_minutes", "int", "Whole minutes until it was resolved or, without that, closed"),
            Column("is_escalated", "boolean", "Whether it was due and not resolved"),
            Column("is_spam", "boolean", "Whether it is marked as spam"),
            Column("tags", "string", "JSON list of tags"),
        ),
        rules=(
            Rule("created_at_present", "_created IS NOT NULL", "drop", "A ticket says when it was created."),
            Rule("requester_present", "requester_id IS NOT NULL", "warn", "Somebody asked."),
            Rule(
                "updated_at_present", "updated_at IS NOT NULL", "warn", "A ticket says when it was changed: that orders its rows."
            ),
            Rule("status_known", "status <> 'Other'", "warn", "The status is one that every help desk has."),
            Rule("priority_known", "priority <> 'n/a'", "warn", "The priority is 1 to 4."),
            Rule("source_known", "source <> 'Other'", "warn", "The channel is one that every help desk has."),
            Rule(
                "first_response_after_creation",
                "COALESCE(_responded >= 0, TRUE)",
                "warn",
                "Nobody answers a ticket before it is created; where the source says so, there are no minutes.",
            ),
            Rule(
                "resolved_after_creation",
                "COALESCE(_resolved >= 0, TRUE)",
                "warn",
                "No ticket is resolved before it is created; where the source says so, there are no minutes.",
            ),
        ),
        relationships=(
            Relationship("requester_id", "freshdesk_customers", "customer_id"),
            Relationship("responder_id", "freshdesk_agents", "agent_id"),
            Relationship("group_id", "freshdesk_groups", "group_id"),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(TICKETS_FEED, clean_tickets),),
)

CONTACTS_FEED = Feed(
    "freshdesk/contacts",
    (
        SourceColumn("id", "Number of the contact"),
        SourceColumn("name", "Name"),
        SourceColumn("email", "Main e-mail address, in any case"),
        SourceColumn("created_at", "When the contact was created, with an offset"),
        SourceColumn("updated_at", "When it was last changed"),
        *_optional(
            active="Whether the address is verified",
            deleted="Whether it was deleted",
            phone="Telephone",
            mobile="Mobile telephone",
            job_title="Job title",
            language="Language, such as en",
            time_zone="Time zone, by Freshdesk's name, such as Brisbane",
            company_id="Company",
            unique_external_id="Number of the person in another system",
            external_id="The same, under its former name",
        ),
    ),
    format=Json(records="results"),
)

CUSTOMERS = SilverTable(
    Contract(
        table="freshdesk_customers",
        description="Contacts of the help desk, one row a person. Deleted ones stay, marked as such: their tickets refer to them.",
        owner="team:customer-support",
        key=("customer_id",),
        sequence="updated_at",
        columns=(
            Column("customer_id", "bigint", "Number of the contact"),
            Column("full_name", "string", "Name", personal=True),
            Column("first_name", "string", "First word of the name", personal=True),
            Column("last_name", "string", "The words after it; NULL if there are none", personal=True),
            Column("email", "string", "E-mail address in lower case, to compare with other systems", personal=True),
            Column("phone", "string", "Telephone", personal=True),
            Column("mobile", "string", "Mobile telephone", personal=True),
            Column("external_id", "string", "Number of the person in the shop"),
            Column("company_id", "bigint", "Company"),
            Column("job_title", "string", "Job title"),
            Column("language", "string", "Language, such as en"),
            Column("time_zone", "string", "Time zone, by Freshdesk's name"),
            Column("is_active", "boolean", "Whether the address is verified"),
            Column("is_deleted", "boolean", "Whether the contact was deleted"),
            _CREATED,
            _UPDATED,
        ),
        rules=(
            Rule("email_present", "email IS NOT NULL", "warn", "A contact has an e-mail address, to be found in other systems."),
            Rule("email_valid", "COALESCE(email RLIKE '^[^@ ]+@[^@ ]+[.][^@ ]+$', TRUE)", "warn", "It has the form of one."),
            Rule("name_present", "full_name IS NOT NULL", "warn", "A contact has a name."),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(CONTACTS_FEED, clean_contacts),),
)

AGENTS_FEED = Feed(
    "freshdesk/agents",
    (
        SourceColumn("id", "Number of the agent"),
        SourceColumn("available", "Whether the agent takes tickets now"),
        SourceColumn("occasional", "Whether the agent works by the day"),
        SourceColumn("ticket_scope", "Tickets that the agent sees: 1 all, 2 those of the groups, 3 only the own ones"),
        SourceColumn("created_at", "When the agent was added, with an offset"),
        SourceColumn("updated_at", "When the agent was last changed"),
        *_optional(
            type="support_agent, field_agent or collaborator",
            group_ids="JSON list of groups",
            name="Name, of the contact",
            email="E-mail address, of the contact",
            active="Whether the address is verified, of the contact",
            job_title="Job title, of the contact",
            time_zone="Time zone, of the contact",
            last_login_at="Last login, of the contact",
            contact_updated_at="When the contact was last changed",
        ),
    ),
    format=Json(records="results"),
    dialects=(
        Dialect(
            "agent",
            told_by=("contact",),
            columns={
                **{name: f"contact.{name}" for name in ("name", "email", "active", "job_title", "time_zone", "last_login_at")},
                "contact_updated_at": "contact.updated_at",
            },
        ),
        # A contact who was made an agent.
        Dialect(
            "contact",
            told_by=("agent",),
            columns={
                **{
                    name: f"agent.{name}"
                    for name in ("id", "available", "occasional", "ticket_scope", "type", "group_ids", "created_at", "updated_at")
                },
                "contact_updated_at": "updated_at",
            },
        ),
    ),
)

AGENTS = SilverTable(
    Contract(
        table="freshdesk_agents",
        description="Agents of the help desk, one row an agent, with the name and address of the agent's contact.",
        owner="team:customer-support",
        key=("agent_id",),
        # Neither time goes back, and a change of the contact leaves the agent's alone.
        sequence=("updated_at", "contact_updated_at"),
        columns=(
            Column("agent_id", "bigint", "Number of the agent"),
            Column("full_name", "string", "Name", personal=True),
            Column("first_name", "string", "First word of the name", personal=True),
            Column("last_name", "string", "The words after it; NULL if there are none", personal=True),
            Column("email", "string", "E-mail address in lower case", personal=True),
            Column("job_title", "string", "Job title, such as Tier 2"),
            Column("agent_type", "string", "Support Agent, Field Agent, Collaborator or n/a"),
            Column("ticket_scope", "string", "Which tickets the agent sees: Global, Group, Restricted or n/a"),
            Column("group_id", "bigint", "First of the agent's groups, as in freshdesk_groups: the department"),
            Column("group_ids", "string", "JSON list of all groups"),
            Column("is_occasional", "boolean", "Whether the agent works by the day"),
            Column("is_available", "boolean", "Whether the agent takes tickets now"),
            Column("is_active", "boolean", "Whether the address is verified"),
            Column("time_zone", "string", "Time zone, by Freshdesk's name"),
            Column("last_login_at", "timestamp", "Last login"),
            _CREATED,
            Column("updated_at", "timestamp", "When the agent was last changed"),
            Column("contact_updated_at", "timestamp", "When the agent's contact was last changed"),
        ),
        rules=(
            Rule("email_present", "email IS NOT NULL", "warn", "An agent has an e-mail address."),
            Rule("group_present", "group_id IS NOT NULL", "warn", "An agent is in a group."),
            Rule("agent_type_known", "agent_type <> 'n/a'", "warn", "The type of agent is given."),
        ),
        relationships=(Relationship("group_id", "freshdesk_groups", "group_id"),),
        freshness=timedelta(days=2),
    ),
    (Input(AGENTS_FEED, clean_agents),),
)

GROUPS_FEED = Feed(
    "freshdesk/groups",
    (
        SourceColumn("id", "Number of the group"),
        SourceColumn("name", "Name"),
        SourceColumn("created_at", "When the group was created, with an offset"),
        SourceColumn("updated_at", "When it was last changed"),
        *_optional(
            description="What the group does",
            escalate_to="Agent who is told of what nobody has taken",
            unassigned_for="After which time, such as 30m",
            agent_ids="JSON list of agents, in the answer about one group",
        ),
    ),
    format=Json(records="results"),
)

GROUPS = SilverTable(
    Contract(
        table="freshdesk_groups",
        description="Groups of agents, one row a group: the departments of the help desk.",
        owner="team:customer-support",
        key=("group_id",),
        sequence="updated_at",
        columns=(
            Column("group_id", "bigint", "Number of the group"),
            Column("group_name", "string", "Name, such as Billing"),
            Column("description", "string", "What the group does"),
            Column("escalate_to", "bigint", "Agent who is told of what nobody has taken"),
            Column("unassigned_for", "string", "After which time, such as 30m"),
            Column("agent_ids", "string", "JSON list of agents; NULL in a list of groups"),
            _CREATED,
            _UPDATED,
        ),
        rules=(Rule("group_name_present", "group_name IS NOT NULL", "drop", "A group has a name."),),
        freshness=timedelta(days=2),
    ),
    (Input(GROUPS_FEED, clean_groups),),
)

SYSTEM = System(
    name="freshdesk",
    description="Freshdesk, the help desk: tickets, contacts, agents and groups.",
    tables=(TICKETS, CUSTOMERS, AGENTS, GROUPS),
)
