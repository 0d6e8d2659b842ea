-- Which records are one person, one row a record. Records belong together, directly or through others, that share
--   1. the e-mail address, to the letter;
--   2. the name, normalized, with country and birth date; never a name alone. Where a record has no country, that of its address
--      counts, if its records name one alone: the web shop's change events have none, and no account must leave its person by them;
--   3. the number: the help desk's contact has that of the shop's account, and its own address is no account's.
-- Some keys link nobody:
--   - an address whose records name different birth dates: more than one person uses it, and nothing says which record is whose.
--     Other contradictions (names, countries) are no reason: people marry, move, and write their names in many ways;
--   - an address of more than ten records of one system: a mailbox that many use, such as that of a till;
--   - for rule 3, an address whose records have the numbers of several accounts.
-- So no person has two birth dates. A record in the seed `person_cuts` is a person of its own, and links nobody.
--
-- `matched_by` makes a tree: the smallest record is the person's first (`itself`); of each further address, one record says by
-- which rule it belongs to the person, and the others belong to it by `email`.
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
    select
        address_key,
        source_system,
        count(*) as records,
        min(member) as member,
        min(birth_date) as first_birth,
        max(birth_date) as last_birth,
        min(country) as first_country,
        max(country) as last_country
    from uncut
    where address_key is not null
    group by address_key, source_system
),
addresses as (
    select
        address_key,
        min(member) as member,
        case when min(first_country) = max(last_country) then min(first_country) end as country
    from by_system
    group by address_key
    having sum(records) > 1 and max(records) <= 10 and (min(first_birth) = max(last_birth) or max(last_birth) is null)
),
-- All records of an address are a household, named by the smallest; so is a record alone. What follows is about households, and
-- only about the few that share something.
housed as (
    select
        u.source_system,
        u.source_customer_id,
        u.shop_customer_id,
        u.member,
        coalesce(a.member, u.member) as household,
        u.name_key || '|' || coalesce(u.country, a.country) || '|' || u.birth_date as name_key,
        u._date
    from uncut as u
    left join addresses as a on a.address_key = u.address_key
),
names as (
    select name_key from housed where name_key is not null group by name_key having min(household) < max(household)
),
accounts as (
    select source_customer_id, member, household
    from housed
    where source_system = 'magento' and not starts_with(source_customer_id, 'guest:')
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
smallest as (
    select link, min(household) as person from ends group by link
),
-- Hardly any household has two links. Only through these a smaller name must be handed on, until nothing changes.
junctions as (
    select *
    from ends
    where household in (select household from ends group by household having count(*) > 1)
),
reached(link, person) using key (link) as (
    select link, person from smallest where link in (select link from junctions)
    union
    select j.link, min(handed.person) as person
    from (
        select household, min(person) as person from reached join junctions using (link) group by household
    ) as handed
    join junctions as j on j.household = handed.household
    join recurring.reached as r on r.link = j.link
    group by j.link, r.person
    having min(handed.person) < r.person
),
linked as (
    select e.household, min(coalesce(r.person, s.person)) as person
    from ends as e
    join smallest as s on s.link = e.link
    left join reached as r on r.link = e.link
    group by e.household
),
entries as (
    select household, min({'rule': rule, 'member': member}) as entry from links group by household
),
matched as (
    select
        h.source_system,
        h.source_customer_id,
        h.member,
        coalesce(l.person, h.household) as person,
        case
            when h.member = coalesce(l.person, h.household) then 'itself'
            when h.household = coalesce(l.person, h.household) or h.member <> e.entry.member then 'email'
            when e.entry.rule = 1 then 'name, country and birth date'
            else 'number'
        end as matched_by,
        h._date
    from housed as h
    left join linked as l on l.household = h.household
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
