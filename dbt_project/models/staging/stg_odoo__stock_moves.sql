-- Moves that took place, one row for each warehouse that pieces left or reached; moves within a warehouse change nothing. What
-- goes to a customer is sold, and what a customer returns is sold less; what goes to or comes from the place of inventory losses
-- is a correction.
with moves as (
    select
        product_code as source_product_id,
        from_location,
        to_location,
        {{ odoo_stock_location('from_location', 'from_warehouse') }} as from_place,
        {{ odoo_stock_location('to_location', 'to_warehouse') }} as to_place,
        {{ business_day('moved_at') }} as day,
        quantity,
        _date
    from {{ source('silver', 'odoo_stock_moves') }}
    where state = 'done' and quantity <> 0
),
changes as (
    select source_product_id, from_place as warehouse_location, to_location as other_place, day, -quantity as change, _date
    from moves
    where from_place is not null and from_place is distinct from to_place
    union all by name
    select source_product_id, to_place as warehouse_location, from_location as other_place, day, quantity as change, _date
    from moves
    where to_place is not null and from_place is distinct from to_place
),
kinds as (
    select
        *,
        case
            when other_place ilike 'Partner%/Customers%' then 'sold'
            when other_place ilike 'Virtual Locations/Inventory%' then 'corrected'
            else 'moved'
        end as kind
    from changes
)
select
    'odoo' as source_system,
    source_product_id,
    warehouse_location,
    day,
    case when kind = 'moved' and change > 0 then change end as moved_in,
    case when kind = 'moved' and change < 0 then -change end as moved_out,
    case when kind = 'sold' then -change end as sold,
    case when kind = 'corrected' then change end as corrected,
    _date
from kinds
