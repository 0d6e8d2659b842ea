-- Price, brand and category of a product in the shop, one row per period in which they are the same: from a day until before
-- another. Of several changes on a day, the last counts. The first state has held ever since, the last holds still.
with days as (
    select
        b.item_key,
        v.day,
        arg_max(
            {
                'price': v.price, 'currency': v.currency, 'brand': v.brand, 'category_id': v.category_id, 'category': v.category,
                'subcategory_id': v.subcategory_id, 'subcategory': v.subcategory
            },
            coalesce(v.valid_from, timestamptz '-infinity')
        ) as state,
        max(v._date) as _date
    from {{ ref('stg_magento__product_versions') }} as v
    join {{ ref('bridge_product') }} as b using (source_system, source_product_id)
    group by b.item_key, v.day
),
changes as (
    select *, lag(state) over (partition by item_key order by day nulls first) as before
    from days
    qualify before is null or state <> before
)
select
    item_key,
    case when before is not null then day end as changed_on,
    coalesce(changed_on, date '-infinity') as from_day,
    lead(day, 1, date 'infinity') over (partition by item_key order by day nulls first) as before_day,
    state,
    _date
from changes
