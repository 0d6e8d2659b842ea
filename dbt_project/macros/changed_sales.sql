{#- The parts of sales that may have changed: see by_change.sql. Rows that are published tell what was there before: an order that is gone,
    the customer of a line. Facts carry the sources' own numbers for that. -#}

{#- The landing dates of lines that may have changed: those of changed files, and those that read a changed row of another table. -#}
{% macro changed_parts_of_fact_sales() -%}
    {{ changed_dates(['crm_sales', 'magento_order_items', 'odoo_sale_order_lines', 'storefront_order_items', 'storefront_orders',
        'retail_transactions', 'orders_events']) }}
    {% if has_changed(['magento_orders']) -%}
    union all
    select _date
    from {{ source('silver', 'magento_order_items') }}
    where order_id in (select order_id from {{ source('silver', 'magento_orders') }} where _date in ({{ changed_dates(['magento_orders']) }}))
    union all
    -- Gone, or its number is another.
    select _date
    from run.live.fact_sales
    where source_system = 'magento' and order_id not in (
        select coalesce(order_number, cast(order_id as varchar)) from {{ source('silver', 'magento_orders') }}
    )
    {%- endif %}
    {% if has_changed(['magento_orders', 'odoo_sale_orders']) -%}
    union all
    {{ _dates_of_changed_odoo_orders() }}
    {%- endif %}
    {% if has_changed(['storefront_orders', 'storefront_order_items']) -%}
    union all
    {{ _dates_of_changed_storefront_orders() }}
    {%- endif %}
    {% if has_changed(['finance_exchange_rates']) -%}
    union all
    select f._date
    from run.live.fact_sales as f
    {{ join_usd_rate('f.source_currency', 'f.order_date', rows='run.live.fact_sales as f') }}
    where f.usd_amount is distinct from {{ usd('f.source_amount', 'f.source_currency', 'decimal(18, 2)') }}
    {%- endif %}
    {% for bridge, dimension, key, of, record in [
        ('bridge_customer', 'dim_customer', 'customer_key', 'person_key', 'source_customer_id'),
        ('bridge_product', 'dim_product', 'product_key', 'item_key', 'source_product_id'),
    ] -%}
    {% if is_rebuilt(bridge) -%}
    union all
    select f._date
    from run.live.fact_sales as f
    join ({{ differing_rows(bridge, ['source_system', record, of]) }}) as b
        on b.source_system = f.source_system and b.{{ record }} = f.{{ record }}
    {%- endif %}
    {% if is_rebuilt(dimension) -%}
    union all
    {{ _dates_of_changed_row_versions(dimension, key, of, bridge, record) }}
    {%- endif %}
    {% endfor %}
    {% for name, columns in [
        ('dim_channel', ['channel_key', 'channel_name']),
        ('dim_store', ['store_key', 'store_id']),
        ('dim_promotion', ['promotion_key', 'promotion_id']),
    ] if is_rebuilt(name) -%}
    union all
    select _date from run.live.fact_sales where exists ({{ differing_rows(name, columns) }})
    {% endfor %}
{%- endmacro %}

{#- An order of the ERP changes with its own row, and is sold or not by the web shop's orders, too. -#}
{% macro _dates_of_changed_odoo_orders() -%}
    select l._date
    from {{ source('silver', 'odoo_sale_order_lines') }} as l
    join {{ source('silver', 'odoo_sale_orders') }} as o using (order_id)
    where o._date in ({{ changed_dates(['odoo_sale_orders']) }})
        or (o.origin is not null and (
            o.state in ('sale', 'done') and o.origin not in (
                select origin
                from (select origin, unnest(string_split(origin, ',')) as number from {{ source('silver', 'odoo_sale_orders') }})
                where trim(number) in (
                    select order_number from {{ source('silver', 'magento_orders') }} where order_number is not null
                )
            )
        ) <> (
            coalesce(o.order_number, cast(o.order_id as varchar))
                in (select order_id from run.live.fact_sales where source_system = 'odoo')
        ))
    union all
    select _date
    from run.live.fact_sales
    where source_system = 'odoo' and order_id not in (
        select coalesce(order_number, cast(order_id as varchar)) from {{ source('silver', 'odoo_sale_orders') }}
    )
{%- endmacro %}

{#- The amount of an order of the storefront is spread over all of its items; without any, the order is a line of its own. -#}
{% macro _dates_of_changed_storefront_orders() -%}
    {%- set changed = changed_dates(['storefront_orders', 'storefront_order_items']) -%}
    select rows._date
    from (
        select cast(order_id as varchar) as order_id, _date from {{ source('silver', 'storefront_order_items') }}
        union all
        select cast(order_id as varchar) as order_id, _date from {{ source('silver', 'storefront_orders') }}
        union all
        select order_id, _date from run.live.fact_sales where source_system = 'storefront'
    ) as rows
    where rows.order_id in (
        select cast(order_id as varchar) from {{ source('silver', 'storefront_orders') }} where _date in ({{ changed }})
        union all
        select cast(order_id as varchar) from {{ source('silver', 'storefront_order_items') }} where _date in ({{ changed }})
        union all
        select order_id from run.live.fact_sales where source_system = 'storefront' and _date in ({{ changed }})
    ) or rows.order_id not in (select cast(order_id as varchar) from {{ source('silver', 'storefront_orders') }})
{%- endmacro %}

{#- The landing dates of lines whose row version of a person or product is another now. A line has the version of its day; one of no day,
    or of a day before the first version, has the current one, which is valid on the last day. -#}
{% macro _dates_of_changed_row_versions(dimension, key, of, bridge, record) -%}
    {%- set columns = [key, of, 'valid_from', 'valid_to', 'is_current'] | join(', ') -%}
    {%- set last_day = "date '9999-12-31'" -%}
    select f._date
    from (
        -- A version that starts as before is valid as before until the earlier of its ends.
        select
            coalesce(before.{{ of }}, now.{{ of }}) as {{ of }},
            case
                when before.{{ key }} = now.{{ key }}
                then least(coalesce(before.valid_to, {{ last_day }} - 1), coalesce(now.valid_to, {{ last_day }} - 1)) + 1
                else coalesce(before.valid_from, now.valid_from)
            end as first_day,
            greatest(coalesce(before.valid_to, {{ last_day }}), coalesce(now.valid_to, {{ last_day }})) as last_day
        from (select {{ columns }} from run.live.{{ dimension }} except select {{ columns }} from {{ ref(dimension) }}) as before
        full join (select {{ columns }} from {{ ref(dimension) }} except select {{ columns }} from run.live.{{ dimension }}) as now
            on now.{{ key }} = before.{{ key }} and now.{{ of }} = before.{{ of }} and now.valid_from = before.valid_from
    ) as changed
    join (
        select {{ of }}, min(valid_from) as first_day
        from (select {{ of }}, valid_from from run.live.{{ dimension }} union all select {{ of }}, valid_from from {{ ref(dimension) }})
        group by {{ of }}
    ) as firsts using ({{ of }})
    join run.live.{{ bridge }} as records using ({{ of }})
    join run.live.fact_sales as f on f.source_system = records.source_system and f.{{ record }} = records.{{ record }}
    where case when f.order_date >= firsts.first_day then f.order_date else {{ last_day }} end between changed.first_day and changed.last_day
{%- endmacro %}

{#- The orders that have or had a line on a changed date of fact_sales. -#}
{% macro changed_parts_of_fact_orders() -%}
    {% if is_changed_in_run('fact_sales') -%}
    select source_system, order_id from run.live.fact_sales where _date in (from run.changed.fact_sales_dates)
    union all
    select source_system, order_id from run.changed.fact_sales
    {%- else -%}
    select source_system, order_id from run.live.fact_sales where false
    {%- endif %}
{%- endmacro %}

{% macro changed_parts_of_sales_performance() -%}
    {{ _changed_months({'dim_customer': ['customer_key', 'country', 'person_key'], 'dim_product': ['product_key', 'product_line']}) }}
{%- endmacro %}

{% macro changed_parts_of_items_category_performance() -%}
    {{ _changed_months({'dim_product': ['product_key', 'category', 'subcategory', 'brand', 'item_key']}) }}
{%- endmacro %}

{#- The months of lines on a changed date of fact_sales, and of lines whose row version of a person or product says something else now:
    `read` has, by dimension, its key and the columns that a mart reads. -#}
{% macro _changed_months(read) -%}
    select {{ sales_month() }} as month
    from run.live.fact_sales
    where false
    {% if is_changed_in_run('fact_sales') -%}
    union all
    select {{ sales_month() }} from run.live.fact_sales where _date in (from run.changed.fact_sales_dates)
    union all
    select {{ sales_month() }} from run.changed.fact_sales
    {%- endif %}
    {% for name, columns in read.items() if is_rebuilt(name) -%}
    union all
    select {{ sales_month() }}
    from run.live.fact_sales
    where {{ columns[0] }} in (select {{ columns[0] }} from ({{ differing_rows(name, columns) }}))
    {% endfor %}
{%- endmacro %}

{#- The month of a line in the marts of sales; the first of all days, if the line has no day within the calendar: no part is NULL. -#}
{% macro sales_month(line='') -%}
    {%- set prefix = line ~ '.' if line else '' -%}
    case
        when {{ prefix }}order_date_key <> -1 then cast(date_trunc('month', {{ prefix }}order_date) as date)
        else date '0001-01-01'
    end
{%- endmacro %}
