-- One row per row version of a person, and the unknown member. Gender comes from the CRM, or from the ERP if the CRM has none; country
-- and birth date come from the ERP.
with customers as (
    select
        c.*,
        cast(c.customer_id as varchar) as source_customer_id,
        coalesce(l.country, 'n/a') as country,
        case when c.gender <> 'n/a' then c.gender else coalesce(d.gender, 'n/a') end as known_gender,
        d.birth_date,
        greatest(c._date, d._date, l._date) as changed
    from {{ source('silver', 'crm_customers') }} as c
    left join {{ source('silver', 'erp_customer_demographics') }} as d using (customer_number)
    left join {{ source('silver', 'erp_customer_locations') }} as l using (customer_number)
)
select
    b.person_key as customer_key,
    b.person_key,
    b.source_customer_id as customer_id,
    b.source_system,
    c.customer_number,
    c.first_name,
    c.last_name,
    cast(null as varchar) as email,
    coalesce(c.country, 'n/a') as country,
    coalesce(c.known_gender, 'n/a') as gender,
    coalesce(c.marital_status, 'n/a') as marital_status,
    c.birth_date,
    'n/a' as customer_segment,
    c.create_date as registration_date,
    cast(null as boolean) as is_active,
    date '{{ var("calendar_from") }}' as valid_from,
    cast(null as date) as valid_to,
    true as is_current,
    coalesce(c.changed, b._date) as _date
from {{ ref('bridge_customer') }} as b
left join customers as c on b.source_system = 'crm' and c.source_customer_id = b.source_customer_id
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
