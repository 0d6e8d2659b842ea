-- One row per row version of a product, and the unknown member.
--   Versions   Those of the CRM, and within them each change of price, brand or category in the shop: see int_product_versions. Each
--              is valid until the day before the next one of the same product starts. If several start on one day, all but the last
--              end the day before they start, so they are never valid. All other columns are as they are now.
--   Columns    Each has the value of the product's first record that has one, in the order of the systems' names: CRM, shop
--              (Magento), ERP (Odoo), and those that stand alone. Price and currency go together, category and subcategory too.
with records as (
    select b.item_key, p.*, b._date as changed
    from {{ ref('int_products') }} as p
    join {{ ref('bridge_product') }} as b using (source_system, source_product_id)
),
items as (
    select
        item_key,
        min(source_system) as source_system,
        arg_min(source_product_id, source_system) as product_number,
        arg_min(source_product_id, source_system) filter (source_system in ('magento', 'odoo')) as shop_code,
        arg_min(product_id, source_system) as product_id,
        arg_min(product_name, source_system) as product_name,
        arg_min(
            {'category_id': category_id, 'category': category, 'subcategory_id': subcategory_id, 'subcategory': subcategory},
            source_system
        ) filter (category is not null) as placed,
        arg_min(brand, source_system) as brand,
        arg_min(product_type, source_system) as product_type,
        arg_min({'price': price, 'currency': currency}, source_system) filter (price is not null) as priced,
        bool_or(source_system in ('magento', 'odoo')) as is_shop_or_erp,
        arg_min({'cost': cost, 'currency': cost_currency}, source_system) filter (cost is not null) as costed,
        arg_min(units_in_stock, source_system) as units_in_stock,
        bool_or(is_active) filter (source_system = 'magento') as is_active_magento,
        bool_or(is_active) filter (source_system = 'odoo') as is_active_odoo,
        arg_min(created_at, source_system) as created_at,
        max(changed) as changed
    from records
    group by item_key
),
placed_versions as (
    select
        v.*,
        case
            when v.shop['category'] is null then i.placed
            else {
                'category_id': v.shop['category_id'], 'category': v.shop['category'],
                'subcategory_id': v.shop['subcategory_id'], 'subcategory': v.shop['subcategory']
            }
        end as placed_then
    from {{ ref('int_product_versions') }} as v
    join items as i using (item_key)
)
select
    case
        when v.version = 1 then i.item_key
        when v.crm_id is not null then {{ surrogate_key(["i.item_key", "v.crm_id"]) }}
        else {{ surrogate_key(["i.item_key", "v.valid_from"]) }}
    end as product_key,
    i.item_key,
    coalesce(cast(v.product_id as varchar), i.product_id) as product_id,
    i.source_system,
    i.product_number,
    coalesce(i.shop_code, i.product_number) as product_code,
    coalesce(v.product_name, i.product_name, 'Unknown') as product_name,
    -- The ERP numbers a category together with its subcategory.
    case when g.category is null then coalesce(v.placed_then['category_id'], v.category_id) else v.category_id end as category_id,
    coalesce(g.category, v.placed_then['category'], 'Uncategorized') as category,
    case when g.category is not null then v.category_id else v.placed_then['subcategory_id'] end as subcategory_id,
    case when g.category is not null then g.subcategory else v.placed_then['subcategory'] end as subcategory,
    g.needs_maintenance,
    coalesce(case when v.shop is null then i.brand else v.shop['brand'] end, 'Uncategorized') as brand,
    coalesce(i.product_type, 'Stockable') as product_type,
    v.product_line,
    coalesce(v.shop['price'], i.priced['price'], case when i.is_shop_or_erp then 0 end) as current_price,
    case when v.shop['price'] is not null then v.shop['currency'] else i.priced['currency'] end as currency,
    coalesce(nullif(v.cost, 0), i.costed['cost'], v.cost) as cost,
    case when v.cost <> 0 then v.cost_currency else coalesce(i.costed['currency'], v.cost_currency) end as cost_currency,
    i.units_in_stock,
    i.is_active_magento,
    i.is_active_odoo,
    coalesce(i.is_active_magento, i.is_active_odoo, true) as is_active,
    i.created_at,
    v.valid_from,
    cast(v.next_from - interval 1 day as date) as valid_to,
    v.next_from is null as is_current,
    greatest(i.changed, v._date, g._date) as _date
from items as i
join placed_versions as v using (item_key)
left join {{ ref('stg_erp__product_categories') }} as g on g.category_id = v.category_id
union all by name
select
    -1 as product_key,
    -1 as item_key,
    'n/a' as product_id,
    'n/a' as source_system,
    'n/a' as product_number,
    'n/a' as product_code,
    'n/a' as product_name,
    'n/a' as category,
    'n/a' as brand,
    'n/a' as product_type,
    false as is_active,
    date '{{ var("calendar_from") }}' as valid_from,
    true as is_current,
    {{ unknown_date() }} as _date
