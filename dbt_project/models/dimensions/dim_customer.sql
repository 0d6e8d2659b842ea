-- One row per row version of a person, and the unknown member. Country, segment and marital status have versions; of all else the
-- latest is known. Where records of a person differ, the first one that says something wins: crm (with the ERP), magento,
-- freshdesk, retail, odoo, storefront, then the smallest id. First and last name are of one record. Exceptions: the registration
-- is the earliest of all, else the first sale; whether a person is active is said by the web shop, else by the help desk, else by
-- a sale in the 365 days before the newest sale of all.
with members as (
    select b.person_key, m.*
    from {{ ref('int_members') }} as m
    join {{ ref('bridge_customer') }} as b
        on b.source_system = m.source_system and b.source_customer_id = m.source_customer_id
),
persons as (
    select
        person_key,
        min({'source_system': source_system, 'id': source_customer_id}) as first_record,
        arg_min(customer_number, place) as customer_number,
        arg_min(email, place) as email,
        arg_min({'first': first_name, 'last': last_name}, place) filter (first_name is not null or last_name is not null) as name,
        arg_min(country, place) as country,
        arg_min(gender, place) as gender,
        arg_min(marital_status, place) as marital_status,
        arg_min(birth_date, place) as birth_date,
        min(registration_date) as registration_date,
        arg_min(is_active, place) as is_active,
        max(_date) as _date
    from members
    group by person_key
),
sales as (
    select person_key, min(first_sale) as first_sale, max(last_sale) as last_sale, max(max(last_sale)) over () as newest_sale
    from {{ ref('int_customer_months') }}
    group by person_key
),
-- What holds from which day on: the latest of all, unless a history says what held before.
said as (
    select
        person_key,
        date '{{ var("calendar_from") }}' as valid_from,
        coalesce(country, 'n/a') as country,
        coalesce(marital_status, 'n/a') as marital_status,
        'No sales' as customer_segment,
        false as is_history,
        _date
    from persons
    union all by name
    select person_key, valid_from, customer_segment, true as is_history, _date
    from {{ ref('int_customer_segments') }}
    union all by name
    select
        person_key,
        valid_from,
        case when attribute = 'country' then coalesce(value, 'n/a') end as country,
        case when attribute = 'marital_status' then coalesce(value, 'n/a') end as marital_status,
        true as is_history,
        _date
    from {{ ref('int_customer_changes') }}
),
known as (
    select
        person_key,
        valid_from,
        arg_max(country, is_history) as country,
        arg_max(marital_status, is_history) as marital_status,
        arg_max(customer_segment, is_history) as customer_segment,
        max(_date) as _date
    from said
    group by person_key, valid_from
),
filled as (
    select
        person_key,
        valid_from,
        last_value(country ignore nulls) over past as country,
        last_value(marital_status ignore nulls) over past as marital_status,
        last_value(customer_segment ignore nulls) over past as customer_segment,
        lead(valid_from) over (partition by person_key order by valid_from) as next_from,
        greatest(max(_date) over past, lead(_date) over (partition by person_key order by valid_from)) as _date
    from known
    window past as (partition by person_key order by valid_from rows unbounded preceding)
)
select
    case
        when v.valid_from = date '{{ var("calendar_from") }}' then p.person_key
        else {{ surrogate_key(["p.person_key", "v.valid_from"]) }}
    end as customer_key,
    p.person_key,
    p.first_record.id as customer_id,
    p.first_record.source_system as source_system,
    p.customer_number,
    p.name.first as first_name,
    p.name.last as last_name,
    p.email,
    v.country,
    coalesce(p.gender, 'n/a') as gender,
    v.marital_status,
    p.birth_date,
    v.customer_segment,
    coalesce(p.registration_date, s.first_sale) as registration_date,
    coalesce(p.is_active, s.last_sale >= s.newest_sale - 365, false) as is_active,
    v.valid_from,
    v.next_from - 1 as valid_to,
    v.next_from is null as is_current,
    v._date
from filled as v
join persons as p on p.person_key = v.person_key
left join sales as s on s.person_key = v.person_key
union all by name
select
    -1 as customer_key,
    -1 as person_key,
    'n/a' as customer_id,
    'n/a' as source_system,
    'n/a' as country,
    'n/a' as gender,
    'n/a' as marital_status,
    'n/a' as customer_segment,
    date '{{ var("calendar_from") }}' as valid_from,
    true as is_current,
    {{ unknown_date() }} as _date
