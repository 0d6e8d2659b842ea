-- Customers of the web shop, one row each: those with an account, and guests by the address with which they order. Where an
-- account has no country (change events have none), the billing address of the last order that has one says it.
with buyers as (
    select
        coalesce(cast(customer_id as varchar), 'guest:' || email) as source_customer_id,
        customer_id is null as is_guest,
        email,
        country,
        created_at,
        _date
    from {{ source('silver', 'magento_orders') }}
),
ordered as (
    select
        source_customer_id,
        is_guest,
        min(email) as email,
        max({'created_at': created_at, 'country': country, '_date': _date}) filter (country is not null) as last_address,
        min(_date) as _date
    from buyers
    where source_customer_id is not null
    group by all
),
customers as (
    select
        cast(c.customer_id as varchar) as source_customer_id,
        c.email,
        c.first_name,
        c.last_name,
        coalesce(c.country, o.last_address.country) as country,
        nullif(c.gender, 'n/a') as gender,
        c.birth_date,
        {{ business_day('c.created_at') }} as registration_date,
        c.is_active,
        case when c.country is null then greatest(c._date, o.last_address._date) else c._date end as _date
    from {{ source('silver', 'magento_customers') }} as c
    left join ordered as o on not o.is_guest and o.source_customer_id = cast(c.customer_id as varchar)
    union all by name
    select source_customer_id, email, last_address.country as country, greatest(_date, last_address._date) as _date
    from ordered
    where is_guest
)
select
    'magento' as source_system,
    c.source_customer_id,
    nullif(lower(trim(c.email)), '') as email,
    c.first_name,
    c.last_name,
    coalesce(n.country, c.country) as country,
    c.gender,
    c.birth_date,
    c.registration_date,
    c.is_active,
    c._date
from customers as c
left join {{ ref('countries') }} as n on n.country_code = c.country
