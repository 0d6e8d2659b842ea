-- Products of the web shop.
select
    'magento' as source_system,
    p.sku as source_product_id,
    p.sku as code,
    coalesce(cast(p.product_id as varchar), p.sku) as product_id,
    p.name as product_name,
    c.category_id,
    c.category,
    c.subcategory_id,
    c.subcategory,
    p.brand,
    p.price,
    p.currency,
    p.quantity as units_in_stock,
    p.is_active,
    p.created_at,
    p._date
from {{ source('silver', 'magento_products') }} as p
left join {{ ref('stg_magento__category_places') }} as c
    on c.given_path is not distinct from p.category_path and c.given_id is not distinct from p.category_id
