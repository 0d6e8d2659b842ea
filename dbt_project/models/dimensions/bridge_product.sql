-- Which product of a source system is which product of the company. A product has at most one record of each system.
--   id    Systems that use the company's codes mean the same product by the same code: a full outer match.
--   name  A product of the shop and one of the ERP are the same if their names are, but for small and capital letters. That counts
--         only where neither found its partner by id; of several of a name, the one of the smallest id in each system; and not where
--         a third system has both codes: there they are two products.
-- The key is that of the product's first record, in the order of the systems' names.
with products as (
    select
        source_system,
        source_product_id,
        coalesce('=' || code, source_system || ' ' || source_product_id) as by_code,
        lower(product_name) as name,
        _date
    from {{ ref('int_products') }}
),
sides as (
    select
        p.*,
        partner.name as partner_name,
        partner.by_code is not null as has_partner
    from products as p
    left join products as partner
        on partner.by_code = p.by_code
        and partner.source_system = case p.source_system when 'magento' then 'odoo' else 'magento' end
    where p.source_system in ('magento', 'odoo')
),
names as (
    select source_system, name, count(*) as records, min(source_product_id) filter (not has_partner) as first_alone
    from sides
    where name is not null
    group by all
),
pairs as (
    select shop.by_code as shop_code, erp.by_code as erp_code
    from names as shop_name
    join names as erp_name using (name)
    join sides as shop on shop.source_system = 'magento' and shop.source_product_id = shop_name.first_alone
    join sides as erp on erp.source_system = 'odoo' and erp.source_product_id = erp_name.first_alone
    where shop_name.source_system = 'magento' and erp_name.source_system = 'odoo'
),
two_products as (
    select pairs.shop_code
    from pairs
    join products as one on one.by_code = pairs.shop_code
    join products as other on other.by_code = pairs.erp_code and other.source_system = one.source_system
),
members as (
    select p.*, coalesce(pairs.shop_code, p.by_code) as item
    from products as p
    left join pairs on pairs.erp_code = p.by_code and pairs.shop_code not in (select shop_code from two_products)
),
items as (
    select
        item,
        min(source_system) as first_system,
        arg_min(source_product_id, source_system) as first_id,
        arg_min(by_code, source_system) as first_code,
        max(_date) as _date
    from members
    group by item
)
select
    m.source_system,
    m.source_product_id,
    {{ surrogate_key(["i.first_system", "i.first_id"]) }} as item_key,
    case
        when m.source_system = i.first_system then 'itself'
        when m.by_code = i.first_code then 'id'
        else 'name'
    end as matched_by,
    -- All of its name, and the one of its id if that has another name.
    cast(
        coalesce(same_name.records, 0) + coalesce(s.has_partner and s.partner_name is distinct from s.name, false)::int as integer
    ) as candidates,
    i._date
from members as m
join items as i using (item)
left join sides as s on s.source_system = m.source_system and s.source_product_id = m.source_product_id
left join names as same_name on same_name.name = s.name and same_name.source_system <> s.source_system
