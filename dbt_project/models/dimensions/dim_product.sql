-- One row a version of a product. A version holds until the day before the next version of the same product starts: the end
-- dates of the source contradict its start dates. One without a start, or with one before the calendar, starts with the calendar. Of
-- versions that start on one day the last holds; the others end the day before they start, so they never held.
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
