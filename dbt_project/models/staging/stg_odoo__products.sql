-- Products of the ERP. Silver has 0 for an unknown price or cost: here it is NULL, so that another price can stand in. The price
-- is the cost, else the list price, as the company has always reported it. Odoo's own top categories, All and Saleable, tell
-- nothing.
with products as (
    select
        *,
        nullif(standard_price, 0) as known_cost,
        nullif(regexp_replace(nullif(category_path, 'Uncategorized'), '^All( / Saleable)?( / |$)', ''), '') as own_path,
        str_split(own_path, ' / ') as names
    from {{ source('silver', 'odoo_products') }}
)
select
    'odoo' as source_system,
    product_code as source_product_id,
    default_code as code,
    coalesce(product_id, product_code) as product_id,
    product_name,
    names[1] as category,
    case when len(names) > 1 then names[-1] end as subcategory,
    nullif(product_type, 'n/a') as product_type,
    coalesce(known_cost, nullif(list_price, 0)) as price,
    currency,
    known_cost as cost,
    currency as cost_currency,
    units_in_stock,
    is_active,
    created_at,
    _date
from products
