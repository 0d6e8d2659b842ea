{#- Where pieces of the company are, from a place of the ERP: the warehouse; `unassigned` on the way between two; NULL at
    customers, vendors and other places where they are no stock. -#}
{% macro odoo_stock_location(place, warehouse) -%}
    coalesce(upper({{ warehouse }}), case when {{ place }} ilike '%inter-%transit%' then 'unassigned' end)
{%- endmacro %}
