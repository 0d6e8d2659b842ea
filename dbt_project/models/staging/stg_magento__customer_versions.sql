-- Country of the web shop's accounts over time, one row per change. Where the shop named none, the one that is known otherwise
-- counts: that of the last order.
select
    'magento' as source_system,
    cast(v.customer_id as varchar) as source_customer_id,
    'country' as attribute,
    {{ business_day('v.valid_from') }} as day,
    {{ business_time('v.valid_from') }} as changed_at,
    coalesce(n.country, v.country, c.country) as value,
    greatest(v._date, c._date) as _date
from {{ source('silver', 'magento_customer_versions') }} as v
join {{ ref('stg_magento__customers') }} as c on c.source_customer_id = cast(v.customer_id as varchar)
left join {{ ref('countries') }} as n on n.country_code = v.country
