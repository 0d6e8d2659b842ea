{#- A surrogate key made of natural key columns: the same for the same natural key in every build, so that facts and dimensions
    need no look-up table and a rebuild changes no key. Half of an MD5 as a positive BIGINT: among ten million keys the chance of
    any collision is about 1 in 200,000. -#}
{% macro surrogate_key(columns) -%}
    (md5_number_lower(concat_ws('|', {% for column in columns -%}
        coalesce(cast({{ column }} as varchar), '')
        {%- if not loop.last %}, {% endif %}
    {%- endfor %})) & 9223372036854775807)::bigint
{%- endmacro %}

{#- The key of a day in dim_date: 20260131. -#}
{% macro date_key(column) -%}
    cast(strftime({{ column }}, '%Y%m%d') as integer)
{%- endmacro %}
