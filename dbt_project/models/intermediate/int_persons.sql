-- Which records are one person, one row a record. Records belong together, directly or through others, that share
--   1. the e-mail address, to the letter;
--   2. the name, normalized, with country and birth date; never a name alone;
--   3. the number: the help desk's contact has that of the shop's account, and its own address is no account's.
-- Some keys link nobody:
--   - an address whose records name different birth dates: more than one person uses it, and nothing says which record is whose. Other
--     contradictions (names, countries) are no reason: people marry, move, and write their names in many ways;
--   - an address of more than ten records of one system: a mailbox that many use, such as that of a till;
--   - an address whose records have several shop numbers, for rule 3.
-- So no person has two birth dates. A record in the seed `person_cuts` is a person of its own, and links nobody.
-- `matched_by` makes a tree: the smallest record is the person's first (`itself`); of each further address, one record says by which
-- rule it belongs to the person, and the others by `email`.
with recursive members as (
    -- The text sorts by system, then id: a blank sorts before whatever a name has.
    select *, source_system || ' ' || source_customer_id as member
    from {{ ref('int_members') }}
),
uncut as (
    select *
    from members
    anti join {{ ref('person_cuts') }} using (source_system, source_customer_id)
),
by_system as (
    select address_key, source_system, count(*) as records, min(member) as member, min(birth_date) as first_birth, max(birth_date) as last_birth
    from uncut
    where address_key is not null
    group by address_key, source_system
),
addresses as (
    select address_key, min(member) as member
    from by_system
    group by address_key
    having sum(records) > 1 and max(records) <= 10 and (min(first_birth) = max(last_birth) or max(last_birth) is null)
),
-- All records of an address are a household, named by the smallest; so is a record alone. What follows is about households, and only
-- about the few that share something.
housed as (
    select u.*, coalesce(a.member, u.member) as household
    from uncut as u
    left join addresses as a on a.address_key = u.address_key
),
names as (
    select name_key from housed where name_key is not null group by name_key having min(household) < max(household)
),
accounts as (
    select source_customer_id, member, household from housed where source_system = 'magento' and not starts_with(source_customer_id, 'guest:')
),
numbers as (
    select f.household, min(f.member) as member, min(a.household) as account_household, min(a.member) as account
    from housed as f
    join accounts as a on a.source_customer_id = f.shop_customer_id
    where f.household not in (select household from accounts)
    group by f.household
    having min(a.household) = max(a.household)
),
links as (
    select household, member, 1 as rule, 'name ' || name_key as link
    from housed
    where name_key in (from names)
    union all
    select household, member, 2, 'number ' || account_household from numbers
    union all
    select account_household, account, 2, 'number ' || account_household from numbers
),
ends as (
    select distinct household, link from links
),
-- Each household takes the smallest name among those that it shares a link with, until nothing changes: only what has changed is
-- handed on.
reached(household, person) using key (household) as (
    select distinct household, household from ends
    union
    select e.household, min(handed.person) as person
    from (
        select link, min(person) as person from reached join ends using (household) group by link
    ) as handed
    join ends as e on e.link = handed.link
    join recurring.reached as r on r.household = e.household
    group by e.household, r.person
    having min(handed.person) < r.person
),
entries as (
    select household, min({'rule': rule, 'member': member}) as entry from links group by household
),
matched as (
    select
        h.source_system,
        h.source_customer_id,
        h.member,
        coalesce(r.person, h.household) as person,
        case
            when h.member = coalesce(r.person, h.household) then 'itself'
            when h.household = coalesce(r.person, h.household) or h.member <> e.entry.member then 'email'
            when e.entry.rule = 1 then 'name, country and birth date'
            else 'number'
        end as matched_by,
        h._date
    from housed as h
    left join reached as r on r.household = h.household
    left join entries as e on e.household = h.household
    union all by name
    select source_system, source_customer_id, member, member as person, 'itself' as matched_by, _date
    from members
    semi join {{ ref('person_cuts') }} using (source_system, source_customer_id)
)
select
    m.source_system,
    m.source_customer_id,
    split_part(m.person, ' ', 1) as person_system,
    substr(m.person, length(split_part(m.person, ' ', 1)) + 2) as person_id,
    m.matched_by,
    greatest(m._date, first_record._date) as _date
from matched as m
join members as first_record on first_record.member = m.person
