-- Row versions of bike stations.
select 'bikes' as source_system, station_code as station_id, * exclude (station_code)
from {{ source('silver', 'bikes_stations') }}
