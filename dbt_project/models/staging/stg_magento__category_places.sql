-- Where a product of the shop belongs, by what it says of its category. An export names it by the names from the root, the API by
-- its number: the tree of categories gives both. The category is the one below the shop's root, the subcategory the product's
-- own, if it is further down.
with steps as (
    select category_id, unnest(str_split(path, '/')) as above, generate_subscripts(str_split(path, '/'), 1) as place
    from {{ source('silver', 'magento_categories') }}
),
-- Without the root of all shops, which paths in an export leave out.
tree as (
    select s.category_id, list(c.name order by s.place) as names
    from steps as s
    join {{ source('silver', 'magento_categories') }} as c on cast(c.category_id as varchar) = s.above
    where s.place > 1
    group by s.category_id
),
numbers as (
    select names, min(category_id) as category_id from tree group by names
),
mentioned as (
    select category_path, category_id from {{ source('silver', 'magento_products') }}
    union
    select category_path, category_id from {{ source('silver', 'magento_product_versions') }}
),
named as (
    select m.*, coalesce(t.names, str_split(m.category_path, '/')) as names
    from mentioned as m
    left join tree as t using (category_id)
)
select
    p.category_path as given_path,
    p.category_id as given_id,
    cast(top.category_id as varchar) as category_id,
    p.names[2] as category,
    case when len(p.names) > 2 then cast(coalesce(p.category_id, own.category_id) as varchar) end as subcategory_id,
    case when len(p.names) > 2 then p.names[-1] end as subcategory
from named as p
left join numbers as top on top.names = p.names[1:2] and len(p.names) > 1
left join numbers as own on own.names = p.names
