{#- A moment (TIMESTAMPTZ) as a local time (TIMESTAMP) in LAKEHOUSE_TIMEZONE. A model that uses it, or the macros below, is built again
    when that setting changes. A plain `cast(moment as date)` is a day in UTC. -#}
{% macro business_time(moment) -%}
    ({{ moment }} at time zone '{{ env_var("LAKEHOUSE_GOLD_TIMEZONE", env_var("LAKEHOUSE_TIMEZONE", "UTC")) }}')
{%- endmacro %}

{#- The business day of a moment: `{{ date_key(business_day('sold_at')) }}` is its key in dim_date. -#}
{% macro business_day(moment) -%}
    cast({{ business_time(moment) }} as date)
{%- endmacro %}

{#- The key of a moment's time of day: 1435 is 14:35 in LAKEHOUSE_TIMEZONE. -#}
{% macro time_key(moment) -%}
    cast(hour({{ business_time(moment) }}) * 100 + minute({{ business_time(moment) }}) as integer)
{%- endmacro %}

{#- The `_date` of a dimension's unknown member: the first date of the partitions. -#}
{% macro unknown_date() -%}
    date '{{ env_var("LAKEHOUSE_GOLD_START_DATE", env_var("LAKEHOUSE_START_DATE", "2026-01-01")) }}'
{%- endmacro %}
