"""Which records are one person, and the versions of persons: rules as Python says them, against what SQL makes of made-up rows."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

START = date(1990, 1, 1)


def key(member):
    """The surrogate key of a record."""
    number = int.from_bytes(hashlib.md5("|".join(member).encode()).digest()[8:], "little")
    return number & 9223372036854775807


def account(number, email=None, birth=None, first="Ada", last="Berg", country="DE"):
    row = {"customer_id": number, "email": email, "first_name": first, "last_name": last, "country": country}
    return row | {"birth_date": birth, "is_active": True}


def crm(number, birth=None, first="Ada", last="Berg", country="Germany"):
    """The rows of a customer in the CRM and the ERP, by table."""
    customer = {"customer_id": number, "customer_number": f"AW{number}", "first_name": first, "last_name": last}
    return {
        "crm_customers": [customer],
        "erp_customer_demographics": [{"customer_number": f"AW{number}", "birth_date": birth, "gender": "n/a"}],
        "erp_customer_locations": [{"customer_number": f"AW{number}", "country": country}],
    }


def together(*parts):
    """Rows of all parts, by table."""
    results = defaultdict(list)
    for part in parts:
        for table, rows in part.items():
            results[table] += rows
    return results


@pytest.fixture(scope="session")
def cut(compiled_project):
    """A context in which records are cut."""

    @contextmanager
    def within(members) -> Iterator[None]:
        connection = compiled_project.connection
        for member in members:
            connection.execute("INSERT INTO run.gold.person_cuts VALUES (?, ?, 'a test')", list(member))
        try:
            yield
        finally:
            connection.execute("TRUNCATE run.gold.person_cuts")

    return within


def bridge(sql):
    return {
        (system, number): (person, rule)
        for system, number, person, rule in sql(
            "SELECT source_system, source_customer_id, person_key, matched_by FROM run.gold.bridge_customer"
        )
    }


EMAILS = st.sampled_from([None, "a@x.org", "b@x.org", "c@x.org", "n/a"])
BIRTHS = st.sampled_from([None, date(1980, 1, 1), date(1990, 2, 2)])
NAMES = st.sampled_from(["Berg", "BÉRG", "Ito", None])
COUNTRIES = st.sampled_from(["DE", "FR", None])
IN_ENGLISH = {"DE": "Germany", "FR": "France", None: "n/a"}
RECORDS = st.lists(
    st.one_of(
        st.tuples(st.just("crm"), st.none(), NAMES, BIRTHS, COUNTRIES, st.none()),
        st.tuples(st.just("magento"), EMAILS, NAMES, BIRTHS, COUNTRIES, st.none()),
        st.tuples(st.just("freshdesk"), EMAILS, NAMES, st.none(), st.none(), st.sampled_from([None, "1", "2", "3"])),
    ),
    max_size=7,
)


def persons(records, cuts):
    """The persons by the rules: sets of members."""
    of = {member: member for member in records}

    def find(member):
        while of[member] != member:
            member = of[member]
        return member

    def join(members):
        for one, two in pairwise(sorted(members)):
            low, high = sorted((find(one), find(two)))
            of[high] = low

    def shared(of_member):
        by = defaultdict(set)
        for member, record in records.items():
            if member not in cuts and of_member(record) is not None:
                by[of_member(record)].add(member)
        return by.values()

    described = dict(records)
    for members in shared(lambda r: r[0] if r[0] and "@" in r[0] else None):
        births, countries = ({records[m][place] for m in members} - {None} for place in (2, 3))
        if len(births) <= 1:
            join(members)
            country = next(iter(countries)) if len(countries) == 1 else None
            for m in members:
                email, last, birth, own, number = records[m]
                described[m] = (email, last, birth, own or country, number)
    accounts = {
        number: find((system, number)) for system, number in records if system == "magento" and (system, number) not in cuts
    }
    numbers = defaultdict(set)
    for member, (*_, number) in records.items():
        if member not in cuts and number in accounts and find(member) not in accounts.values():
            numbers[find(member)].add(accounts[number])
    for household, result in numbers.items():
        if len(result) == 1:
            join({household, *result})
    records = described
    for members in shared(lambda r: (r[1].lower().replace("é", "e"), *r[2:4]) if all(r[1:4]) else None):
        join(members)
    result = defaultdict(set)
    for member in records:
        result[find(member)].add(member)
    return sorted(map(sorted, result.values()))


@settings(max_examples=10, deadline=None)
@given(islands=st.lists(RECORDS, min_size=4, max_size=8), data=st.data())
def test_records_are_one_person_by_the_rules_whatever_the_order_in_which_they_come(warehouse, cut, islands, data):
    # Much in few builds: what is in one island shares nothing with what is in another.
    numbers, records, parts = Counter(), {}, []
    drawn = ((n, record) for n, some in enumerate(islands) for record in some)
    for island, (system, email, last, birth, country, number) in drawn:
        numbers[system, island] += 1
        n = 10 * island + numbers[system, island]
        email, last = email and email.replace("@", f"{island}@"), last and f"{last}{island}"
        number = number and str(10 * island + int(number))
        records[system, str(n)] = (email, last, birth, country, number)
        if system == "crm":
            parts.append(crm(n, birth, last=last, country=IN_ENGLISH[country]))
        elif system == "magento":
            parts.append({"magento_customers": [account(n, email, birth, last=last, country=country)]})
        else:
            parts.append(
                {
                    "freshdesk_customers": [
                        {"customer_id": n, "first_name": "Ada", "last_name": last, "email": email, "external_id": number}
                    ]
                }
            )
    cuts = data.draw(st.sets(st.sampled_from(sorted(records)))) if records else set()
    with cut(cuts):
        rows = bridge(warehouse(**together(*parts)))
        assert bridge(warehouse(**together(*data.draw(st.permutations(parts))))) == rows
    by_person = defaultdict(list)
    for member, (person, _) in sorted(rows.items()):
        by_person[person].append(member)
    assert sorted(by_person.values()) == persons(records, cuts)
    assert all(person == key(members[0]) for person, members in by_person.items())
    assert all((rule == "itself") == (person == key(member)) for member, (person, rule) in rows.items())
    births = [{records[m][2] for m in members} - {None} for members in by_person.values()]
    assert all(len(of_person) <= 1 for of_person in births)


def test_a_chain_of_addresses_and_names_is_one_person_unless_it_is_cut(warehouse, cut):
    births = [date(1980, 1, 1) + timedelta(n) for n in range(40)]
    rows = []
    for n, birth in enumerate(births):
        # An address of one birth date, by two accounts, of which one has no birth date of its own, and another name.
        rows += [account(100 + 2 * n, f"p{n}@x.org", birth), account(101 + 2 * n, f"p{n}@x.org", None, "Eve", str(n))]
    result = bridge(warehouse(magento_customers=rows))
    assert len({person for person, _ in result.values()}) == len(births)
    chain = [account(100 + n, f"p{(n + 1) // 2}@x.org", date(1980, 1, 1), last=f"N{n // 2}") for n in range(80)]
    sql = warehouse(magento_customers=chain[::-1])
    assert {person for person, _ in bridge(sql).values()} == {key(("magento", "100"))}
    with cut([("magento", "140")]):
        result = bridge(warehouse(magento_customers=chain))
    assert {result["magento", str(n)][0] for n in range(100, 140)} == {key(("magento", "100"))}
    assert result["magento", "140"] == (key(("magento", "140")), "itself")
    assert {result["magento", str(n)][0] for n in range(141, 180)} == {key(("magento", "141"))}


def test_a_later_record_with_a_larger_number_leaves_the_keys_and_says_by_which_rule_it_belongs(warehouse):
    born = date(1980, 5, 5)
    rows = crm(1, born) | {
        "crm_sales": [
            {
                "order_number": "S",
                "product_number": "P",
                "customer_id": 1,
                "quantity": 1,
                "price": 9,
                "sales": 9,
                "currency": "USD",
            }
        ]
    }
    before = warehouse(**rows)("SELECT sales_key, customer_key FROM run.gold.fact_sales")
    rows["magento_customers"] = [account(7, "ada@x.org", born, first="ADA ", last="Bérg")]
    rows["magento_orders"] = [
        {"order_id": 1, "customer_id": 7, "email": "ada@x.org"},
        {"order_id": 2, "email": "old@x.org"},
        {"order_id": 3, "email": "eve@x.org", "country": "FR", "created_at": date(2026, 1, 1)},
    ]
    rows["freshdesk_customers"] = [
        {"customer_id": 3, "email": "ada@x.org"},
        {"customer_id": 4, "email": "old@x.org", "external_id": "7"},
        {"customer_id": 5, "email": "eve@x.org", "external_id": "99"},
    ]
    rows["retail_contacts"] = [{"contact_id": 1, "customer_id": 2, "email": " ADA@x.org"}]
    rows["retail_transactions"] = [{"line_id": "1", "customer_id": 8, "country": "Ireland"}]
    rows["odoo_sale_orders"] = [{"order_id": 1, "partner_id": 6, "email": "ada@x.org", "partner_name": "Ada M. Berg"}]
    rows["storefront_orders"] = [{"order_id": 1, "user_id": 1}]
    sql = warehouse(**rows)
    assert sql("SELECT sales_key, customer_key FROM run.gold.fact_sales WHERE source_system = 'crm'") == before
    ada, eve = key(("crm", "1")), key(("freshdesk", "5"))
    assert bridge(sql) == {
        ("crm", "1"): (ada, "itself"),
        ("magento", "7"): (ada, "name, country and birth date"),
        ("freshdesk", "3"): (ada, "email"),
        ("freshdesk", "4"): (ada, "number"),
        ("magento", "guest:old@x.org"): (ada, "email"),
        ("retail", "2"): (ada, "email"),
        ("odoo", "6"): (ada, "email"),
        ("freshdesk", "5"): (eve, "itself"),
        ("magento", "guest:eve@x.org"): (eve, "email"),
        ("retail", "8"): (key(("retail", "8")), "itself"),
        ("storefront", "1"): (key(("storefront", "1")), "itself"),
    }
    [(system, number, country)] = sql(
        f"SELECT source_system, customer_id, country FROM run.gold.dim_customer WHERE person_key = {eve}"
    )
    assert (system, number, country) == ("freshdesk", "5", "France")


def test_what_many_share_and_what_is_no_key_links_nobody(warehouse):
    born = date(1980, 5, 5)
    partners = [{"order_id": n, "partner_id": n, "email": "till@x.org", "partner_name": "n/a n/a"} for n in range(11)]
    accounts = [account(n, email, born, first, last, country) for n, (email, first, last, country) in enumerate([
        ("n/a", "Ada", "Berg", None), ("n/a", "Ada", None, "DE"), ("", "n/a", "n/a", "DE"), ("", "n/a", "n/a", "DE"),
        (None, "-", "-", "DE"), (None, "-", "-", "DE"), (None, "Ada", "Berg", "DE"), (None, "Ada", "Berg", "FR"),
    ])]  # fmt: skip
    rows = bridge(warehouse(odoo_sale_orders=partners, magento_customers=accounts))
    assert len({person for person, _ in rows.values()}) == len(rows) == 19
    assert len({person for person, _ in bridge(warehouse(odoo_sale_orders=partners[1:])).values()}) == 1


def test_of_records_that_differ_the_first_system_that_says_something_wins(warehouse):
    rows = crm(9, date(1980, 5, 5), last="Berg", country="n/a")
    rows["magento_customers"] = [
        account(2, "ada@x.org", date(1980, 5, 5), country="FR") | {"is_active": False, "gender": "Female"}
    ]
    rows["magento_customers"] += [account(10, "ada@x.org", None, "A.", None, "US")]
    rows["freshdesk_customers"] = [{"customer_id": 3, "email": "ada@x.org", "first_name": "Eve", "is_active": True}]
    sql = warehouse(**rows)
    columns = "source_system, first_name, last_name, country, gender, birth_date, is_active, email"
    known = [row for row in sql(f"SELECT {columns} FROM run.gold.dim_customer") if row[7]]
    # 10 is the smaller text.
    assert known == [("freshdesk", "A.", None, "United States", "Female", date(1980, 5, 5), True, "ada@x.org")]


DAYS = st.dates(date(2024, 11, 1), date(2026, 3, 31))
SALES = st.lists(st.tuples(st.integers(1, 9), DAYS, st.sampled_from([-400, 300, 700, 1000, 4300])), max_size=50)


def month_ends(first, last):
    day = first.replace(day=1)
    while (end := (day.replace(day=28) + timedelta(4)).replace(day=1) - timedelta(1)) <= last:
        yield end
        day = end + timedelta(1)


def segment(amount):
    return "Top" if amount >= 5000 else "Regular" if amount >= 1000 else "Occasional" if amount > 0 else "No sales"


@settings(max_examples=8, deadline=None)
@given(drawn=SALES)
def test_versions_tile_time_and_the_segment_is_that_of_twelve_months_at_each_month_end(warehouse, drawn):
    sales = [
        {
            "order_number": str(n),
            "product_number": "P",
            "customer_id": who,
            "order_date": day,
            "price": abs(amount),
            "sales": amount,
        }
        | {"quantity": 1 if amount > 0 else -1, "currency": "USD", "_date": date(2026, 4, 1)}
        for n, (who, day, amount) in enumerate(drawn)
    ]
    sql = warehouse(**together(*(crm(n) for n in range(1, 10)), {"crm_sales": sales}))
    versions = defaultdict(list)
    for who, customer, person, *rest in sql(
        "SELECT customer_id::INT, customer_key, person_key, valid_from, valid_to, is_current, customer_segment"
        " FROM run.gold.dim_customer WHERE customer_key <> -1 ORDER BY valid_from"
    ):
        assert (customer == person) == (rest[0] == START)
        versions[who].append(rest)
    newest = max((day for _, day, amount in drawn if amount > 0), default=START)
    for who in range(1, 10):
        mine = versions[who]
        assert mine[0][0] == START
        assert (mine[-1][1], [current for _, _, current, _ in mine]) == (None, [False] * (len(mine) - 1) + [True])
        assert all(one[1] + timedelta(1) == two[0] and one[3] != two[3] for one, two in pairwise(mine))
        for end in month_ends(date(2024, 10, 1), newest):
            begin = (end + timedelta(1)).replace(year=(end + timedelta(1)).year - 1)
            bought = sum(amount for buyer, day, amount in drawn if buyer == who and begin <= day <= end)
            [held] = [said for first, last, _, said in mine if first <= end + timedelta(1) <= (last or date.max)]
            assert held == segment(bought)
        assert all(first == START or first.day == 1 for first, *_ in mine)
    assert sql("SELECT count(*) - count(DISTINCT sales_key) + count(*) FILTER (customer_key = -1) FROM run.gold.fact_sales") == [
        (0,)
    ]


JAN, FEB = date(2026, 1, 1), date(2026, 2, 1)


def history(table, key, number, column, *states):
    """The row versions of a record: each a moment and what it says."""
    return {table: [{key: number, column: value, "valid_from": moment} for moment, value in states]}


def marriages(number, *states):
    return history("crm_customer_versions", "customer_id", number, "marital_status", *states)


def moves(number, *states):
    return history("erp_customer_location_versions", "customer_number", f"AW{number}", "country", *states)


def accounts_moves(number, *states):
    return history("magento_customer_versions", "customer_id", number, "country", *states)


def customer_versions(sql):
    """The row versions of all persons: from when, whether the key is the person's own, country and marital status."""
    columns = "valid_from, customer_key = person_key, country, marital_status"
    return sql(
        f"SELECT {columns} FROM run.gold.dim_customer WHERE customer_key <> -1 ORDER BY source_system, customer_id::INT, valid_from"
    )


@pytest.mark.parametrize(
    ("rows", "versions"),
    [
        ((marriages(1, (JAN, "Single")),), [(START, True, "Germany", "n/a")]),  # one state is what is known now
        (
            (marriages(1, (JAN, "Single"), (FEB, "Married")), moves(1, (JAN, "France"), (FEB, "Germany"))),
            [(START, True, "France", "Single"), (FEB, False, "Germany", "Married")],
        ),
        (
            (marriages(1, (None, "Single"), (JAN, "Married")), moves(1, (FEB, "n/a"), (date(2026, 3, 1), "Germany"))),
            [(START, True, "n/a", "Single"), (JAN, False, "n/a", "Married"), (date(2026, 3, 1), False, "Germany", "Married")],
        ),
        # Before the calendar, the last of several counts.
        (
            (marriages(1, (date(1980, 1, 1), "Single"), (date(1985, 1, 1), "Married"), (JAN, "Single")),),
            [(START, True, "Germany", "Married"), (JAN, False, "Germany", "Single")],
        ),
        # The web shop's account moves from Spain to France. The ERP, whose record comes first, knows no country until February.
        (
            (
                {"magento_customers": [account(7, "ada@x.org")], "retail_contacts": []},
                accounts_moves(7, (JAN, "ES"), (date(2026, 1, 9), "FR")),
            ),
            [(START, True, "Germany", "n/a"), (START, True, "Spain", "n/a"), (date(2026, 1, 9), False, "France", "n/a")],
        ),
    ],
)
def test_country_and_marital_status_have_versions_and_the_first_has_held_ever_since(warehouse, rows, versions):
    assert customer_versions(warehouse(**together(crm(1), *rows))) == versions


def test_of_two_records_that_change_the_first_one_that_says_something_counts_at_each_time(warehouse):
    born = date(1980, 1, 1)
    rows = together(
        {"crm_customers": [{"customer_id": 1, "customer_number": "AW1", "first_name": "Ada", "last_name": "Berg"}]},
        {"erp_customer_demographics": [{"customer_number": "AW1", "birth_date": born}]},
        {"erp_customer_locations": [{"customer_number": "AW1", "country": "Germany"}]},
        {"magento_customers": [account(7, "ada@x.org", born)]},
        moves(1, (JAN, "n/a"), (FEB, "Germany")),
        accounts_moves(7, (date(2025, 1, 1), "ES"), (date(2026, 1, 9), "FR"), (date(2026, 3, 1), None)),
    )
    assert [(day, country) for day, _, country, _ in customer_versions(warehouse(**rows))] == [
        (START, "Spain"),
        (date(2026, 1, 9), "France"),
        (FEB, "Germany"),
    ]


def test_facts_point_at_the_version_of_their_day(warehouse):
    def sale(number, day):
        line = {"order_number": number, "product_number": "P", "customer_id": 1, "order_date": day, "price": 10, "sales": 10}
        return line | {"quantity": 1, "currency": "USD"}

    days = (date(2025, 12, 31), JAN, date(2026, 1, 31), FEB)
    rows = together(
        crm(1),
        marriages(1, (date(2025, 6, 1), "Single"), (JAN, "Married"), (FEB, "n/a")),
        {"crm_sales": [sale(str(n), day) for n, day in enumerate(days)]},
    )
    result = warehouse(**rows)(
        "SELECT marital_status FROM run.gold.fact_sales JOIN run.gold.dim_customer USING (customer_key) ORDER BY order_date"
    )
    assert result == [("Single",), ("Married",), ("Married",), ("n/a",)]


def test_registration_and_activity_are_said_by_systems_or_else_by_sales(warehouse):
    def order(n, partner, day, landed=date(2026, 2, 1)):
        order = {"order_id": n, "partner_id": partner, "state": "sale", "ordered_at": day, "currency": "USD", "_date": landed}
        line = {"line_id": n, "order_id": n, "quantity": 1, "price_unit": 5, "subtotal": 5, "_date": landed}
        return {"odoo_sale_orders": [order], "odoo_sale_order_lines": [line]}

    contacts = [{"customer_id": 4, "is_active": True, "is_deleted": True, "created_at": date(2025, 6, 6)}]
    sold = [
        order(1, 1, date(2025, 1, 31)),
        order(2, 2, date(2025, 2, 1)),
        order(3, 3, date(2026, 2, 1)),
        order(4, 2, date(2099, 1, 1)),
    ]
    sql = warehouse(**together(*sold, {"freshdesk_customers": contacts}))
    rows = sql(
        "SELECT source_system, customer_id, registration_date, is_active FROM run.gold.dim_customer"
        " WHERE is_current AND customer_key <> -1 ORDER BY ALL"
    )
    assert rows == [
        ("freshdesk", "4", date(2025, 6, 6), False),
        ("odoo", "1", date(2025, 1, 31), False),
        ("odoo", "2", date(2025, 2, 1), True),
        ("odoo", "3", date(2026, 2, 1), True),
    ]


def test_customer_360_has_each_person_once_and_the_totals_of_the_facts(warehouse):
    def ticket(n, requester, status, day):
        return {"ticket_id": n, "requester_id": requester, "status": status, "created_at": day, "source": "Email"}

    rows = {
        "freshdesk_customers": [{"customer_id": 3, "email": "ada@x.org"}],
        "magento_customers": [account(7, "ada@x.org", country=None)],
        "crm_customers": [{"customer_id": 1}],
        "crm_sales": [
            {"order_number": "S", "product_number": product, "customer_id": 1, "quantity": 2, "price": 30, "sales": 60}
            | {"currency": "USD", "order_date": date(2026, 1, 5), "_date": date(2026, 2, 28)}
            for product in ("P", "Q")
        ],
        "magento_orders": [{"order_id": 1, "customer_id": 7, "created_at": date(2025, 3, 3), "currency": "USD"}],
        "magento_order_items": [
            {"order_id": 1, "item_id": 1, "quantity": 1, "price": 7000, "row_total": 7000, "quantity_refunded": 1}
        ],
        "freshdesk_tickets": [
            ticket(1, 3, "Open", date(2026, 1, 2)),
            ticket(2, 3, "Closed", date(2026, 1, 1)),
            ticket(3, 9, "Open", None),
        ],
    }
    sql = warehouse(**rows)
    columns = "source_system, orders, c.quantity::INT, usd_amount, last_order_date, tickets, open_tickets, last_contact_date"
    result = sql(f"SELECT {columns} FROM run.gold.customer_360 c JOIN run.gold.dim_customer USING (customer_key) ORDER BY 1")
    assert result == [
        ("crm", 1, 4, 120, date(2026, 1, 5), 0, 0, date(2026, 1, 5)),
        ("freshdesk", 1, 0, 0, date(2025, 3, 3), 2, 1, date(2026, 1, 2)),
        ("n/a", 0, 0, 0, None, 1, 1, None),
    ]
