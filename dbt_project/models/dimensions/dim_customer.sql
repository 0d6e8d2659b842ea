-- One row per customer. Gender comes from the CRM, or from the ERP if the CRM has none; country and birth date come from the ERP.
select
    {{ surrogate_key(["'crm'", "c.customer_id"]) }} as customer_key,
    cast(c.customer_id as varchar) as customer_id,
    'crm' as source_system,
    c.customer_number,
    c.first_name,
    c.last_name,
    cast(null as varchar) as email,
    coalesce(l.country, 'n/a') as country,
    case when c.gender <> 'n/a' then c.gender else coalesce(d.gender, 'n/a') end as gender,
    c.marital_status,
    d.birth_date,
    cast(null as varchar) as customer_segment,
    c.create_date as registration_date,
    cast(null as boolean) as is_active,
    greatest(c._date, d._date, l._date) as _date
from {{ source('silver', 'crm_customers') }} as c
left join {{ source('silver', 'erp_customer_demographics') }} as d using (customer_number)
left join {{ source('silver', 'erp_customer_locations') }} as l using (customer_number)
