-- One row per minute of the day, and the unknown member.
with minutes as (
    select time '00:00' + to_minutes(cast(n as integer)) as minute_of_day from range(1440) as minutes (n)
)
select
    cast(strftime(date '2000-01-01' + minute_of_day, '%H%M') as integer) as time_key,
    strftime(date '2000-01-01' + minute_of_day, '%H:%M') as time_value,
    strftime(date '2000-01-01' + minute_of_day, '%H') as hour,
    strftime(date '2000-01-01' + minute_of_day, '%M') as minute,
    strftime(date '2000-01-01' + minute_of_day, '%p') as am_pm,
    {{ unknown_date() }} as _date
from minutes
union all by name
select -1 as time_key, 'n/a' as time_value, 'n/a' as hour, 'n/a' as minute, 'n/a' as am_pm, {{ unknown_date() }} as _date
