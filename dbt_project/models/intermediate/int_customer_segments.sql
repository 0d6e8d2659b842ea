-- From which day on a person is in which segment, one row per change. The segment goes by what the person bought in twelve
-- months, in US dollars. It is worked out at the end of each month that has ended in the data, and holds from the next day on.
-- Before the first change, the segment is `No sales`.
with ended as (
    select max(last_sale) as newest from {{ ref('int_customer_months') }}
),
-- A month counts at its end, and for the last time at the end of the eleventh after it.
counted as (
    select person_key, month, usd_amount, _date from {{ ref('int_customer_months') }} where person_key <> -1
    union all
    select person_key, cast(month + interval 12 month as date), -usd_amount, _date
    from {{ ref('int_customer_months') }}
    where person_key <> -1
),
by_month as (
    select person_key, month, sum(usd_amount) as usd_amount, max(_date) as _date
    from counted
    where last_day(month) <= (select newest from ended)
    group by person_key, month
),
spent as (
    select
        person_key,
        month,
        sum(usd_amount) over past as usd_amount,
        max(_date) over past as _date
    from by_month
    window past as (partition by person_key order by month)
),
segments as (
    select
        person_key,
        cast(month + interval 1 month as date) as valid_from,
        case
            when usd_amount >= 5000 then 'Top'
            when usd_amount >= 1000 then 'Regular'
            when usd_amount > 0 then 'Occasional'
            else 'No sales'
        end as customer_segment,
        _date
    from spent
)
select *
from segments
qualify customer_segment <> lag(customer_segment, 1, 'No sales') over (partition by person_key order by valid_from)
