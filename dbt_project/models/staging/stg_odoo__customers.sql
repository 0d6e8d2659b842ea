-- Customers of the ERP's sale orders, one row each: name and address as the order has them that was changed last and says so.
with partners as (
    select
        partner_id,
        max({'at': coalesce(updated_at, ordered_at), 'id': order_id, 'name': trim(partner_name), '_date': _date})
            filter (partner_name is not null) as named,
        max({'at': coalesce(updated_at, ordered_at), 'id': order_id, 'email': email, '_date': _date})
            filter (email is not null) as addressed,
        min(_date) as _date
    from {{ source('silver', 'odoo_sale_orders') }}
    where partner_id is not null
    group by partner_id
)
select
    'odoo' as source_system,
    cast(partner_id as varchar) as source_customer_id,
    nullif(lower(trim(addressed.email)), '') as email,
    nullif(split_part(named.name, ' ', 1), '') as first_name,
    nullif(trim(substr(named.name, length(split_part(named.name, ' ', 1)) + 2)), '') as last_name,
    greatest(_date, named._date, addressed._date) as _date
from partners
