-- One row per report of a bike station. The station is the row version of the moment of the report.
-- depends_on: {{ ref('dim_bike_station') }}, {{ ref('dim_date') }}, {{ ref('dim_time') }}, which have what the keys refer to
select
    {{ surrogate_key(["r.source_system", "r.city", "r.station_id", "epoch_us(r.reported_at)"]) }} as status_key,
    coalesce(s.station_key, -1) as station_key,
    {{ date_key('r.reported_date') }} as date_key,
    {{ time_key('r.reported_at') }} as time_key,
    r.reported_at,
    r.bikes_available,
    r.mechanical_bikes,
    r.electric_bikes,
    r.docks_available,
    r.capacity,
    r.is_installed,
    r.is_renting,
    r.is_returning,
    r._date
from {{ ref('stg_bikes__readings') }} as r
left join {{ ref('int_bike_station_versions') }} as s
    on s.city = r.city and s.station_id = r.station_id
    and r.reported_at >= s.holds_from and r.reported_at < s.holds_until
