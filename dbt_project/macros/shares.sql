{#- The share of an amount that falls to some of the pieces, in whole cents; all pieces have the whole amount, whatever its digits. -#}
{% macro share(amount, pieces, of='quantity') -%}
    (case
        when {{ pieces }} = {{ of }} then {{ amount }}
        else cast(round(cast({{ amount }} as double) * ({{ pieces }}) / {{ of }}, 2) as decimal(18, 4))
    end)
{%- endmacro %}
