-- Row versions of bike stations, with their keys: that of a station's first version is the station's own. The first version holds for
-- the time before it too, and each until the next one: a reading of any time has one. `valid_from` and `valid_to` are as in the source,
-- where a gap stands if a station was gone for some time.
with versions as (
    select
        *,
        {{ surrogate_key(["source_system", "city", "station_id"]) }} as own_key,
        row_number() over of_station as version,
        lead(valid_from) over of_station as next_from
    from {{ ref('stg_bikes__stations') }}
    window of_station as (partition by city, station_id order by valid_from nulls first)
)
select
    *,
    case when version = 1 then own_key else {{ surrogate_key(["own_key", "epoch_us(valid_from)"]) }} end as station_key,
    case when version = 1 then timestamptz '-infinity' else valid_from end as holds_from,
    coalesce(next_from, timestamptz 'infinity') as holds_until
from versions
