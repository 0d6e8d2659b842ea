"""Freshdesk, the help desk: tickets about the web shop's orders, as they stand at the end of each day on which they change; who asks;
agents and groups, a list a week. Answers of the API v2, with offsets of two places mixed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws, numbers
from lakehouse_assets.generate.vocabulary import FIRST_NAMES, LAST_NAMES
from lakehouse_assets.generate.world import LONGEST_LIFE, Order, Person, World

TICKET_DIRT = ("no number", "no time", "unknown status", "answered before it came", "sent twice")
CONTACT_DIRT = ("no number", "blanks and capitals", "no e-mail", "sent twice")
AGENT_DIRT = ("no number", "no group", "sent twice")

GROUPS = ("Orders", "Billing", "Shipping", "Returns")
SUBJECTS = ("Where is my order?", "Wrong product in my order", "Please cancel my order", "Refund of my order")
TYPES = ("Question", "Incident", "Problem", "Refund")
SHARE = 0.15
"""The share of web orders about which somebody asks."""

State = Literal[2, 3, 4, 5]
"""Open, pending, resolved, closed."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket. `moments` are when it came, was answered, resolved and closed; a ticket that is binned ends there."""

    order: Order
    person: Person
    moments: tuple[datetime, ...]
    binned: datetime | None
    subject: int

    def state_on(self, day: date) -> int:
        """Return how many of its moments there are by the end of a day."""
        return sum(moment.date() <= day for moment in self.moments)

    def changes_on(self, day: date) -> bool:
        """Whether anything happens to it on a day."""
        return any(moment.date() == day for moment in (*self.moments, self.binned) if moment is not None)


def deliver(world: World, out: Deliveries) -> None:
    """Write the answers of all days."""
    desk = Desk(world, out)
    out.truth.persons = desk.contact_numbers
    for day in world.days:
        if world.options.is_weekly(day):
            out.json("groups", day, "groups.json", desk.groups())
            out.json("agents", day, "agents.json", desk.agents(day))
        out.json("contacts", day, "contacts.json", desk.contacts(day))
        out.json("tickets", day, "tickets.json", desk.tickets(day))
    out.truth.answer_tickets({1 + number: minutes for number, minutes in out.table("tickets").notes().items()})


class Desk:
    """The help desk's view of the world, with numbers of its own."""

    def __init__(self, world: World, out: Deliveries) -> None:
        self.world = world
        self.out = out
        seed = world.options.seed
        self.contact_numbers = numbers(draws(seed, "freshdesk contacts"), len(world.people), 1_030_000_000)
        self.agent_count = 4 + world.options.sized(4)
        self._made = lru_cache(LONGEST_LIFE + 2)(self._tickets_of)

    def groups(self) -> Iterator[dict[str, Any]]:
        """Yield all groups."""
        table = self.out.table("groups")
        for number, name in enumerate(GROUPS, start=1):
            table.row(number)
            times = {"created_at": "2024-01-08T07:53:41+05:30", "updated_at": "2024-01-08T07:53:41+05:30"}
            yield {"id": number, "name": name, "description": None, "escalate_to": None, "unassigned_for": "30m", **times}

    def agents(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield all agents, with their contacts nested."""
        table, dirt = self.out.table("agents"), self.out.dirt("agents")
        for number in range(1, self.agent_count + 1):
            kind = dirt.pick(AGENT_DIRT)
            first, last = FIRST_NAMES["F"][number % 24], LAST_NAMES[number * 3 % 40]
            contact = {
                "active": True,
                "email": f"{first}.{last}.{number}@desk.example.com".lower(),
                "job_title": f"Tier {1 + number % 2}",
                "language": "en",
                "last_login_at": f"{day}T08:00:00Z",
                "mobile": None,
                "name": f"{first} {last}",
                "phone": None,
                "time_zone": "Brisbane",
                "created_at": "2024-02-01T09:00:00+10:00",
                "updated_at": f"{day}T08:00:00Z",
            }
            for _ in range(1 + (kind == "sent twice")):
                if kind == "no number":
                    table.refuse("agent_id_present")
                else:
                    table.row(number, sequence=day)
                yield {
                    "id": None if kind == "no number" else 500 + number,
                    "available": True,
                    "occasional": False,
                    "ticket_scope": 1,
                    "type": "support_agent",
                    "group_ids": [] if kind == "no group" else [1 + number % len(GROUPS)],
                    "created_at": "2024-02-01T09:00:00+10:00",
                    "updated_at": "2024-02-01T09:00:00+10:00",
                    "contact": contact,
                }

    def contacts(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield who asks on a day."""
        table, dirt = self.out.table("customers"), self.out.dirt("contacts")
        for ticket in self._living(day):
            asked, person = ticket.moments[0], ticket.person
            if asked.date() != day:
                continue
            kind = dirt.pick(CONTACT_DIRT)
            email = {"no e-mail": None, "blanks and capitals": f" {person.email.upper()} "}.get(kind or "", person.email)
            for _ in range(1 + (kind == "sent twice")):
                if kind == "no number":
                    table.refuse("customer_id_present")
                else:
                    table.row(person.number, sequence=asked)
                yield {
                    "active": True,
                    "address": None,
                    "deleted": False,
                    "description": None,
                    "email": email,
                    "id": None if kind == "no number" else self.contact_numbers[person.number],
                    "job_title": None,
                    "language": "en",
                    "mobile": None,
                    "name": f"{person.first_name} {person.last_name}",
                    "phone": person.phone,
                    "time_zone": "Brisbane",
                    "unique_external_id": None,
                    "created_at": _zoned(person.registered, person.number),
                    "updated_at": _zoned(asked, person.number),
                }

    def tickets(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield the tickets that change on a day, as they stand at its end."""
        table, dirt = self.out.table("tickets", first_response_minutes=0), self.out.dirt("tickets")
        refused = {"no number": "ticket_id_present", "no time": "created_at_present"}
        for ticket in self._living(day):
            if not ticket.changes_on(day):
                continue
            kind = dirt.pick(TICKET_DIRT)
            moments = ticket.moments[: ticket.state_on(day)]
            is_binned = ticket.binned is not None and ticket.binned.date() <= day
            changed = ticket.binned if is_binned and ticket.binned else moments[-1]
            minutes = None
            if len(moments) > 1 and kind != "answered before it came":
                minutes = int((moments[1] - moments[0]).total_seconds()) // 60
            for _ in range(1 + (kind == "sent twice")):
                # Of a ticket in the bin only the number counts, so it has no rule to break but that.
                if kind in refused and not (is_binned and kind == "no time"):
                    table.refuse(refused[kind])
                else:
                    table.row(ticket.order.number, minutes, sequence=changed, deleted=is_binned, note=minutes)
                yield self._ticket(ticket, moments, changed, kind, is_binned)

    def _ticket(
        self, ticket: Ticket, moments: tuple[datetime, ...], changed: datetime, kind: str | None, is_binned: bool
    ) -> dict[str, Any]:
        number = ticket.order.number
        zoned = [_zoned(moment, number) for moment in moments] + [None] * (4 - len(moments))
        answered = zoned[1]
        if kind == "answered before it came" and len(moments) > 1:
            answered = _zoned(moments[0] - timedelta(hours=1), number)
        return {
            "id": None if kind == "no number" else 1 + number,
            "subject": f"{SUBJECTS[ticket.subject]} {1 + number:09d}",
            "type": TYPES[ticket.subject],
            "status": 42 if kind == "unknown status" else 1 + len(moments),
            "priority": 1 + number % 4,
            "source": (1, 2, 3, 7)[number % 4],
            "requester_id": self.contact_numbers[ticket.person.number],
            "responder_id": 501 + number % self.agent_count if len(moments) > 1 else None,
            "group_id": 1 + ticket.subject,
            "company_id": None,
            "spam": is_binned,
            "deleted": is_binned,
            "created_at": None if kind == "no time" else zoned[0],
            "updated_at": _zoned(changed, number + 1),
            "due_by": _zoned(moments[0] + timedelta(days=3), number),
            "fr_due_by": _zoned(moments[0] + timedelta(days=1), number),
            "is_escalated": False,
            "tags": ["order"],
            "custom_fields": {"cf_order_number": f"{1 + number:09d}"},
            "requester": {
                "id": self.contact_numbers[ticket.person.number],
                "name": f"{ticket.person.first_name} {ticket.person.last_name}",
                "email": ticket.person.email,
            },
            "stats": {
                "first_responded_at": answered,
                "resolved_at": zoned[2],
                "closed_at": zoned[3],
                "reopened_at": None,
            },
        }

    def _living(self, day: date) -> Iterator[Ticket]:
        """Yield the tickets about orders of the last days, by the order's number; of these, those that have come."""
        for back in range(LONGEST_LIFE, -1, -1):
            if day - timedelta(back) >= self.world.days[0]:
                yield from (ticket for ticket in self._made(day - timedelta(back)) if ticket.moments[0].date() <= day)

    def _tickets_of(self, day: date) -> list[Ticket]:
        """Make the tickets about the orders of a day."""
        random = draws(self.world.options.seed, "tickets", day)
        tickets = []
        for order in self.world.orders(day, "web"):
            if order.person is None or random.random() >= SHARE:
                continue
            moments, moment = [], order.placed
            for soonest, latest in ((3600, 216_000), (600, 36_000), (3600, 172_800), (86_400, 129_600)):
                moment += timedelta(seconds=random.randrange(soonest, latest))
                moments.append(moment)
            binned = moments[0] + timedelta(minutes=5) if random.random() < 0.03 else None
            kept = moments[:1] if binned else moments
            tickets.append(Ticket(order, order.person, tuple(kept), binned, random.randrange(len(SUBJECTS))))
        return tickets


def _zoned(moment: datetime, number: int) -> str:
    """Write a moment in UTC, or as a clock in Brisbane shows it."""
    return f"{moment.isoformat()}Z" if number % 2 else f"{(moment + timedelta(hours=10)).isoformat()}+10:00"
