-- One row per store, and the unknown member, to which sales without a store belong.
select
    {{ surrogate_key(["'retail'", "store_id"]) }} as store_key,
    store_id,
    store_name,
    store_type,
    city,
    county,
    postcode,
    country,
    opened_on,
    closed_on,
    _date
from {{ ref('stg_retail__stores') }}
union all by name
select -1 as store_key, 'n/a' as store_id, 'n/a' as store_name, 'n/a' as store_type, 'n/a' as country, {{ unknown_date() }} as _date
