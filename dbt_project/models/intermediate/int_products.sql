-- Every record of a product, one row each. `code` is the company's number of the product, where the system uses it: the shop's
-- SKU, which is the ERP's reference, and the number of CRM and order stream. The storefront and retail number products by
-- themselves, and Odoo and Magento have internal numbers, which are compared with nothing. What the CRM says of a product depends
-- on the time: see dim_product.
with products as (
    select source_system, source_product_id, code, max(_date) as _date
    from {{ ref('stg_crm__products') }}
    group by all
    union all by name
    select * from {{ ref('stg_magento__products') }}
    union all by name
    select * from {{ ref('stg_odoo__products') }}
    union all by name
    select * from {{ ref('stg_orders__products') }}
    union all by name
    select * from {{ ref('stg_retail__products') }}
    union all by name
    select * from {{ ref('stg_storefront__products') }}
)
select
    source_system,
    source_product_id,
    code,
    product_id,
    product_name,
    category_id,
    category,
    subcategory_id,
    subcategory,
    brand,
    product_type,
    cast(price as decimal(18, 4)) as price,
    currency,
    cast(cost as decimal(18, 4)) as cost,
    cost_currency,
    cast(units_in_stock as decimal(18, 4)) as units_in_stock,
    is_active,
    created_at,
    _date
from products
