-- Products of the storefront, whose departments are their categories. Its numbers are its own, and it says no price.
select
    'storefront' as source_system,
    cast(product_id as varchar) as source_product_id,
    cast(product_id as varchar) as product_id,
    product_name,
    department as category,
    _date
from {{ source('silver', 'storefront_products') }}
