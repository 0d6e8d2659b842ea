-- One row per row version of a product, and the unknown member. A version is valid until the day before the next one of the same
-- product starts, because the end dates of the source contradict its start dates. If the start is missing or before the calendar, it
-- starts with the calendar. If several start on one day, the last is valid; the others end the day before they start, so they are
-- never valid.
with started as (
    select *, greatest(start_date, date '{{ var("calendar_from") }}') as valid_from
    from {{ source('silver', 'crm_products') }}
),
versions as (
    select
        *,
        row_number() over of_product as version,
        lead(valid_from) over of_product as next_from
    from started
    window of_product as (partition by product_number order by valid_from, start_date nulls first, product_id)
)
select
    case when v.version = 1 then b.item_key else {{ surrogate_key(["b.item_key", "v.product_id"]) }} end as product_key,
    b.item_key,
    cast(v.product_id as varchar) as product_id,
    'crm' as source_system,
    v.product_number,
    v.product_name,
    v.category_id,
    g.category,
    g.subcategory,
    g.needs_maintenance,
    v.product_line,
    v.cost,
    v.valid_from,
    cast(v.next_from - interval 1 day as date) as valid_to,
    v.next_from is null as is_current,
    greatest(v._date, g._date) as _date
from versions as v
join {{ ref('bridge_product') }} as b on b.source_system = 'crm' and b.source_product_id = v.product_number
left join {{ source('silver', 'erp_product_categories') }} as g using (category_id)
union all by name
select
    -1 as product_key,
    -1 as item_key,
    'n/a' as product_id,
    'n/a' as source_system,
    'n/a' as product_number,
    'n/a' as product_name,
    date '{{ var("calendar_from") }}' as valid_from,
    true as is_current,
    {{ unknown_date() }} as _date
