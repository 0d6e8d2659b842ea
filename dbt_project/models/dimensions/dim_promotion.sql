-- One row per promotion, and the unknown member, to which sales without a promotion belong.
select
    {{ surrogate_key(["'retail'", "promotion_id"]) }} as promotion_key,
    promotion_id,
    promotion_name,
    promotion_type,
    discount_percent,
    channel,
    starts_on,
    ends_on,
    _date
from {{ ref('stg_retail__promotions') }}
union all by name
select -1 as promotion_key, 'n/a' as promotion_id, 'n/a' as promotion_name, 'n/a' as promotion_type, 'n/a' as channel, {{ unknown_date() }} as _date
