-- Customers of the CRM, one row each, with what the ERP knows of them by their number: birth date, country, and the gender where
-- the CRM has none.
select
    'crm' as source_system,
    cast(c.customer_id as varchar) as source_customer_id,
    c.customer_number,
    c.first_name,
    c.last_name,
    nullif(l.country, 'n/a') as country,
    coalesce(nullif(c.gender, 'n/a'), nullif(d.gender, 'n/a')) as gender,
    nullif(c.marital_status, 'n/a') as marital_status,
    d.birth_date,
    c.create_date as registration_date,
    greatest(c._date, d._date, l._date) as _date
from {{ source('silver', 'crm_customers') }} as c
left join {{ source('silver', 'erp_customer_demographics') }} as d using (customer_number)
left join {{ source('silver', 'erp_customer_locations') }} as l using (customer_number)
