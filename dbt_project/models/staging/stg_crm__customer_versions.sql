-- Marital status and country of the CRM's customers over time, one row per attribute and change. The country is the ERP's.
with versions as (
    select customer_id, 'marital_status' as attribute, marital_status as value, valid_from as day, _date
    from {{ source('silver', 'crm_customer_versions') }}
    union all by name
    select c.customer_id, 'country' as attribute, v.country as value, v.valid_from as day, greatest(c._date, v._date) as _date
    from {{ source('silver', 'erp_customer_location_versions') }} as v
    join {{ source('silver', 'crm_customers') }} as c using (customer_number)
)
select
    'crm' as source_system,
    cast(customer_id as varchar) as source_customer_id,
    attribute,
    day,
    cast(day as timestamp) as changed_at,
    nullif(value, 'n/a') as value,
    _date
from versions
