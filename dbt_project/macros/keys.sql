{#- A surrogate key made of natural key columns: the same for the same natural key in every build, so that facts and dimensions
    need no look-up table and a rebuild changes no key. Half of an MD5 as a positive BIGINT: among ten million keys the chance of
    any collision is about 1 in 200,000. A bar within a value is escaped, or a|b and c would have the key of a and b|c. -#}
{% macro surrogate_key(columns) -%}
    (md5_number_lower(concat_ws('|', {% for column in columns -%}
        coalesce(replace(replace(cast({{ column }} as varchar), '\', '\\'), '|', '\|'), '')
        {%- if not loop.last %}, {% endif %}
    {%- endfor %})) & 9223372036854775807)::bigint
{%- endmacro %}

{#- The key of a day in dim_date: 20260131; NULL for a day outside the calendar. -#}
{% macro date_key(column) -%}
    case when {{ in_calendar(column) }} then cast(strftime({{ column }}, '%Y%m%d') as integer) end
{%- endmacro %}

{#- Whether a day lies within the calendar, whose bounds are the project's variables. -#}
{% macro in_calendar(column) -%}
    {{ column }} between date '{{ var("calendar_from") }}' and date '{{ var("calendar_to") }}'
{%- endmacro %}
