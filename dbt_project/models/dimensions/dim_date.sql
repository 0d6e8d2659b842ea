-- One row per day, in whole years, from the first to the last day of a fact within the calendar, and the unknown member.
with years as (
    select
        cast(date_trunc('year', min(day)) as timestamp) as first_day,
        cast(date_trunc('year', max(day)) as timestamp) + interval 1 year - interval 1 day as last_day,
        min(_date) as _date
    from {{ ref('int_days') }}
),
days as (
    select cast(unnest(generate_series(first_day, last_day, interval 1 day)) as date) as day, _date
    from years
)
select
    {{ date_key('day') }} as date_key,
    day as date_value,
    cast(isodow(day) as integer) as day_of_week,
    dayname(day) as day_name,
    cast(month(day) as integer) as month,
    monthname(day) as month_name,
    cast(quarter(day) as integer) as quarter,
    cast(year(day) as integer) as year,
    isodow(day) >= 6 as is_weekend,
    day in (select day from {{ public_holidays() }} where country = {{ holiday_country() }}) as is_holiday,
    _date
from days
union all by name
select -1 as date_key, 'n/a' as day_name, 'n/a' as month_name, false as is_weekend, false as is_holiday, {{ unknown_date() }} as _date
