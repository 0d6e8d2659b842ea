-- One row a version of a product. A version holds until the day before the next version of the same product starts: the end
-- dates of the source contradict its start dates.
with versions as (
    select
        *,
        lead(start_date) over (partition by product_number order by start_date nulls first, product_id) as next_start_date,
        row_number() over (partition by product_number order by start_date desc nulls last, product_id desc) = 1 as is_current
    from {{ source('silver', 'crm_products') }}
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
    v.start_date as valid_from,
    cast(v.next_start_date - interval 1 day as date) as valid_to,
    v.is_current,
    greatest(v._date, g._date) as _date
from versions as v
left join {{ source('silver', 'erp_product_categories') }} as g using (category_id)
