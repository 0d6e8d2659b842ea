{#- A surrogate key from natural key columns. It is the same in every build, so facts and dimensions need no lookup table and a
    rebuild changes no key. It is half of an MD5 as a positive BIGINT: among ten million keys the chance of any collision is about
    1 in 200,000. Bars within values are escaped; otherwise (a|b, c) and (a, b|c) would have the same key. -#}
{% macro surrogate_key(columns) -%}
    (md5_number_lower(concat_ws('|', {% for column in columns -%}
        {{ _escaped("cast(" ~ column ~ " as varchar)") }}
        {%- if not loop.last %}, {% endif %}
    {%- endfor %})) & 9223372036854775807)::bigint
{%- endmacro %}

{#- Hardly any value has something to escape, and to look for it is a third of the work of replacing it. -#}
{% macro _escaped(text) -%}
    case
        when contains({{ text }}, '|') or contains({{ text }}, '\') then replace(replace({{ text }}, '\', '\\'), '|', '\|')
        else coalesce({{ text }}, '')
    end
{%- endmacro %}

{#- The key of a day in dim_date: 20260131; -1, the unknown member, for no day and for one outside the calendar. -#}
{% macro date_key(column) -%}
    case when {{ in_calendar(column) }} then cast(year({{ column }}) * 10000 + month({{ column }}) * 100 + day({{ column }}) as integer) else -1 end
{%- endmacro %}

{#- Whether a day is within the calendar; the project's variables give its bounds. -#}
{% macro in_calendar(column) -%}
    {{ column }} between date '{{ var("calendar_from") }}' and date '{{ var("calendar_to") }}'
{%- endmacro %}
