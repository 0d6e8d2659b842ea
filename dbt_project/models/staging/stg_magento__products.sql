-- Products of the web shop. An export names a product's category by the names from the root, the API by its number: the tree of
-- categories gives both. The category is the one below the shop's root, the subcategory the product's own, if it is further down.
with places as (
    select category_id, _date, unnest(str_split(path, '/')) as above, generate_subscripts(str_split(path, '/'), 1) as place
    from {{ source('silver', 'magento_categories') }}
),
-- Without the root of all shops, which paths in an export leave out.
tree as (
    select p.category_id, list(c.name order by p.place) as names
    from places as p
    join {{ source('silver', 'magento_categories') }} as c on cast(c.category_id as varchar) = p.above
    where p.place > 1
    group by p.category_id
),
numbers as (
    select names, min(category_id) as category_id from tree group by names
),
products as (
    select p.*, coalesce(t.names, str_split(p.category_path, '/')) as names
    from {{ source('silver', 'magento_products') }} as p
    left join tree as t using (category_id)
)
select
    'magento' as source_system,
    p.sku as source_product_id,
    p.sku as code,
    coalesce(cast(p.product_id as varchar), p.sku) as product_id,
    p.name as product_name,
    cast(top.category_id as varchar) as category_id,
    p.names[2] as category,
    case when len(p.names) > 2 then coalesce(cast(p.category_id as varchar), cast(own.category_id as varchar)) end as subcategory_id,
    case when len(p.names) > 2 then p.names[-1] end as subcategory,
    p.brand,
    p.price,
    p.currency,
    p.quantity as units_in_stock,
    p.is_active,
    p.created_at,
    p._date
from products as p
left join numbers as top on top.names = p.names[1:2] and len(p.names) > 1
left join numbers as own on own.names = p.names
