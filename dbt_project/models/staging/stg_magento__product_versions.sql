-- Price, brand and category of the shop's products over time.
select
    'magento' as source_system,
    v.sku as source_product_id,
    v.valid_from,
    {{ business_day('v.valid_from') }} as day,
    cast(v.price as decimal(18, 4)) as price,
    v.currency,
    v.brand,
    c.category_id,
    c.category,
    c.subcategory_id,
    c.subcategory,
    v._date
from {{ source('silver', 'magento_product_versions') }} as v
left join {{ ref('stg_magento__category_places') }} as c
    on c.given_path is not distinct from v.category_path and c.given_id is not distinct from v.category_id
