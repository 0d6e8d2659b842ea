-- One row per country and public holiday, for the days of dim_date.
select
    h.country,
    h.country_name,
    d.date_key,
    h.day as holiday_date,
    h.name,
    d._date
from {{ public_holidays() }} as h
join {{ ref('dim_date') }} as d on d.date_value = h.day
