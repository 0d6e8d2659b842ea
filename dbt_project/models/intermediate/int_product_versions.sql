-- The row versions of products, one row each: when it starts, what the CRM says of that time, and since when the shop has its
-- state.
--   CRM    A version is valid until the next start, because the end dates of the source contradict its start dates. If the start
--          is missing or before the calendar, it starts with the calendar. If several start on one day, the last is valid.
--   Shop   A change of price, brand or category starts a row version, too: also within a version of the CRM, but none before its
--          first.
-- A product that the CRM doesn't have starts with the calendar.
with crm as (
    select b.item_key, v.*, greatest(v.start_date, date '{{ var("calendar_from") }}') as valid_from
    from {{ ref('stg_crm__products') }} as v
    join {{ ref('bridge_product') }} as b using (source_system, source_product_id)
),
firsts as (
    select
        i.item_key,
        coalesce(min(c.valid_from), date '{{ var("calendar_from") }}') as first_day,
        count(c.product_id) = 0 as is_without_crm
    from (select distinct item_key from {{ ref('bridge_product') }}) as i
    left join crm as c using (item_key)
    group by i.item_key
),
starts as (
    select item_key, valid_from, start_date, product_id as crm_id from crm
    union all by name
    select item_key, first_day as valid_from from firsts where is_without_crm
    union all by name
    select s.item_key, s.changed_on as valid_from
    from {{ ref('int_shop_states') }} as s
    join firsts as f using (item_key)
    where s.changed_on > f.first_day and (s.item_key, s.changed_on) not in (select (item_key, valid_from) from crm)
),
versions as (
    select
        *,
        row_number() over of_product as version,
        lead(valid_from) over of_product as next_from,
        last_value(crm_id ignore nulls) over (
            partition by item_key order by valid_from, start_date nulls first, crm_id
            rows between unbounded preceding and current row
        ) as valid_crm_id
    from starts
    window of_product as (partition by item_key order by valid_from, start_date nulls first, crm_id)
)
select
    v.item_key,
    v.version,
    v.valid_from,
    v.next_from,
    v.crm_id,
    c.product_id,
    c.product_name,
    c.category_id,
    c.product_line,
    c.cost,
    c.cost_currency,
    s.state as shop,
    greatest(c._date, s._date) as _date
from versions as v
left join crm as c on c.item_key = v.item_key and c.product_id = v.valid_crm_id
left join {{ ref('int_shop_states') }} as s
    on s.item_key = v.item_key and v.valid_from >= s.from_day and v.valid_from < s.before_day
