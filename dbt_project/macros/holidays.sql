{#- Public holidays from 1990 to 2100, one row each: country, country_name, day, name. They are those of the countries in
    LAKEHOUSE_HOLIDAY_COUNTRY, by the package `holidays`. A model that uses it is built again when that setting or the package changes. -#}
{% macro public_holidays() -%}
    public_holidays()
{%- endmacro %}

{#- The country whose holidays are those of the business: the first of the setting. -#}
{% macro holiday_country() -%}
    '{{ env_var("LAKEHOUSE_GOLD_HOLIDAY_COUNTRY", env_var("LAKEHOUSE_HOLIDAY_COUNTRY", "US")).split(",")[0].strip().upper() }}'
{%- endmacro %}
