-- What bike stations reported.
select
    'bikes' as source_system,
    station_code as station_id,
    {{ business_day('reported_at') }} as reported_date,
    * exclude (station_code)
from {{ source('silver', 'bikes_station_status') }}
