-- One row per row version of a bike station, and the unknown member. Stations report every few minutes, so versions hold from one moment
-- to the next, not by days. A version without a start begins with the calendar.
select
    station_key,
    station_id,
    city,
    name,
    capacity,
    latitude,
    longitude,
    address,
    commune,
    commune_code,
    coalesce(valid_from, timestamptz '{{ var("calendar_from") }} 00:00:00+00') as valid_from,
    valid_to,
    is_current,
    _date
from {{ ref('int_bike_station_versions') }}
union all by name
select
    -1 as station_key,
    'n/a' as station_id,
    'n/a' as city,
    'n/a' as name,
    timestamptz '{{ var("calendar_from") }} 00:00:00+00' as valid_from,
    true as is_current,
    {{ unknown_date() }} as _date
