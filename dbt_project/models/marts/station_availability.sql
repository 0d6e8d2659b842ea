-- Bike stations by day: how often there was no bike to take, and no dock to return one. Of a station whose name changed, the latest
-- name stands. Reports of days outside the calendar count to no day.
select
    d.date_value as day,
    s.city,
    s.station_id,
    max_by(s.name, s.valid_from) as name,
    count(*) as readings,
    cast(count(*) filter (f.bikes_available = 0) / count(*) as decimal(5, 4)) as share_without_bikes,
    cast(count(*) filter (f.docks_available = 0) / count(*) as decimal(5, 4)) as share_without_docks,
    cast(avg(f.bikes_available) as decimal(9, 2)) as mean_bikes,
    cast(avg(f.docks_available) as decimal(9, 2)) as mean_docks,
    max(greatest(f._date, s._date)) as _date
from {{ ref('fact_bike_status') }} as f
join {{ ref('dim_bike_station') }} as s using (station_key)
join {{ ref('dim_date') }} as d using (date_key)
group by 1, 2, 3
