-- One row per row version of a product. It is valid until the day before the next one of the same product starts, because the end
-- dates of the source contradict its start dates. If the start is missing or before the calendar, it starts with the calendar. If
-- several start on one day, the last is valid; the others end the day before they start, so they are never valid.
with started as (
    select *, greatest(start_date, date '{{ var("calendar_from") }}') as valid_from
    from {{ source('silver', 'crm_products') }}
),
versions as (
    select *, lead(valid_from) over (partition by product_number order by valid_from, start_date nulls first, product_id) as next_from
    from started
)
select
    {{ surrogate_key(["'crm'", "v.product_id"]) }} as product_key,
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
left join {{ source('silver', 'erp_product_categories') }} as g using (category_id)
