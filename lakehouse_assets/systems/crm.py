"""The CRM: customers, products (one row per product version) and sales order lines, exported as CSV.

Each silver function adds the contract's columns to its rows, as SQL expressions; it drops nothing.
Source of the cleaning rules: the data description delivered with the CRM and ERP exports (see docs/tables.md).
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.provenance import CURRENCY
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.systems.cleaning import text, words, yyyymmdd

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def clean_customers(raw: "DataFrame") -> "DataFrame":
    """Trim names, and write marital status S/M and gender F/M as words, anything else as `n/a`."""
    return raw.selectExpr(
        "*",
        "TRIM(cst_id) AS customer_id",
        "TRIM(cst_key) AS customer_number",
        f"{text('cst_firstname')} AS first_name",
        f"{text('cst_lastname')} AS last_name",
        f"{words('cst_marital_status', {'S': 'Single', 'M': 'Married'})} AS marital_status",
        f"{words('cst_gndr', {'F': 'Female', 'M': 'Male'})} AS gender",
        f"{text('cst_create_date')} AS create_date",
    )


def clean_products(raw: "DataFrame") -> "DataFrame":
    """Split the source's key into category and product, write the product line as words, drop an end before the start."""
    return raw.selectExpr(
        "*",
        f"{typed('TRIM(prd_start_dt)', 'date')} AS _start",
        f"{typed('TRIM(prd_end_dt)', 'date')} AS _end",
        "TRIM(prd_id) AS product_id",
        "REPLACE(SUBSTRING(TRIM(prd_key), 1, 5), '-', '_') AS category_id",
        "SUBSTRING(TRIM(prd_key), 7) AS product_number",
        "TRIM(prd_nm) AS product_name",
        f"COALESCE({text('prd_cost')}, '0') AS cost",
        f"{words('prd_line', {'M': 'Mountain', 'R': 'Road', 'S': 'Other Sales', 'T': 'Touring'})} AS product_line",
        f"{text('prd_start_dt')} AS start_date",
    ).selectExpr("*", f"CASE WHEN _end < _start THEN NULL ELSE {text('prd_end_dt')} END AS end_date")


def clean_sales(raw: "DataFrame") -> "DataFrame":
    """Parse dates from yyyymmdd; compute sales or price from each other if one of them can't be right."""
    return (
        raw.selectExpr(
            "*",
            "TRIM(sls_ord_num) AS order_number",
            "TRIM(sls_prd_key) AS product_number",
            "TRIM(sls_cust_id) AS customer_id",
            f"{yyyymmdd('sls_order_dt')} AS order_date",
            f"{yyyymmdd('sls_ship_dt')} AS ship_date",
            f"{yyyymmdd('sls_due_dt')} AS due_date",
            "TRIM(sls_quantity) AS quantity",
            f"{CURRENCY} AS currency",
            f"{typed('TRIM(sls_quantity)', 'decimal(12,2)')} AS _quantity",
            f"{typed('TRIM(sls_sales)', 'decimal(12,2)')} AS _sales",
            f"{typed('TRIM(sls_price)', 'decimal(12,2)')} AS _price",
        )
        .selectExpr(
            "*",
            # A price of 0 counts as missing; if both price and sales are missing, the amount stays unknown.
            """CASE WHEN _price <> 0 AND (_sales IS NULL OR _sales <= 0 OR _sales <> _quantity * ABS(_price))
                    THEN _quantity * ABS(_price)
                    WHEN _price <> 0 OR _sales > 0 THEN _sales END AS sales""",
        )
        .selectExpr(
            "*", "CASE WHEN _price IS NULL OR _price <= 0 THEN ROUND(sales / NULLIF(_quantity, 0), 2) ELSE _price END AS price"
        )
    )


_CALENDAR = "BETWEEN DATE '1990-01-01' AND DATE '2100-12-31'"
"""The bounds of gold's dim_date, as in dbt_project.yml: a day outside is kept, but has no key there."""

CUSTOMERS_FEED = Feed(
    "crm/customers",
    (
        SourceColumn("cst_id", "Number of the customer; missing in a few broken rows"),
        SourceColumn("cst_key", "Customer number with prefix, such as AW00011000"),
        SourceColumn("cst_firstname", "First name, not trimmed"),
        SourceColumn("cst_lastname", "Last name, not trimmed"),
        SourceColumn("cst_marital_status", "S or M"),
        SourceColumn("cst_gndr", "F or M"),
        SourceColumn("cst_create_date", "Day of this record, yyyy-mm-dd"),
    ),
)

CUSTOMERS = SilverTable(
    Contract(
        table="crm_customers",
        description="Customers as the CRM knows them, one row a customer: the latest record.",
        owner="team:customer-data",
        key=("customer_id",),
        sequence="create_date",
        columns=(
            Column("customer_id", "int", "Number of the customer in the CRM"),
            Column("customer_number", "string", "Customer number with prefix, such as AW00011000: what the ERP calls CID"),
            Column("first_name", "string", "First name", personal=True),
            Column("last_name", "string", "Last name", personal=True),
            Column("marital_status", "string", "Single, Married or n/a", personal=True),
            Column("gender", "string", "Female, Male or n/a", personal=True),
            Column("create_date", "date", "Day of the record that stands here"),
        ),
        rules=(
            Rule("marital_status_known", "marital_status <> 'n/a'", "warn", "The marital status is given."),
            Rule("gender_known", "gender <> 'n/a'", "warn", "The gender is given: the ERP fills in where it isn't."),
            Rule("create_date_present", "create_date IS NOT NULL", "warn", "The record has a day, which orders the versions."),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(CUSTOMERS_FEED, clean_customers),),
)

CUSTOMER_VERSIONS = SilverTable(
    Contract(
        table="crm_customer_versions",
        description="Marital status of customers over time, one row a customer and period in which the CRM said the same.",
        owner="team:customer-data",
        mode="history",
        key=("customer_id",),
        sequence="create_date",
        columns=(
            Column("customer_id", "int", "Number of the customer in the CRM"),
            Column("marital_status", "string", "Single, Married or n/a", personal=True),
            Column("create_date", "date", "Day of the first record that says so"),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(CUSTOMERS_FEED, clean_customers),),
)

PRODUCTS_FEED = Feed(
    "crm/products",
    (
        SourceColumn("prd_id", "Number of the product version"),
        SourceColumn("prd_key", "Category id, dash, product number: CO-RF-FR-R92B-58"),
        SourceColumn("prd_nm", "Product name"),
        SourceColumn("prd_cost", "Cost in US dollars, whole; sometimes missing"),
        SourceColumn("prd_line", "M, R, S or T, with trailing blanks"),
        SourceColumn("prd_start_dt", "First day of the version, yyyy-mm-dd"),
        SourceColumn("prd_end_dt", "Last day of the version; often before the first, so not to be trusted"),
    ),
)

PRODUCTS = SilverTable(
    Contract(
        table="crm_products",
        description="Products as the CRM knows them, one row a version of a product.",
        owner="team:product-data",
        key=("product_id",),
        columns=(
            Column("product_id", "int", "Number of the product version in the CRM"),
            Column("category_id", "string", "Category of the ERP, such as CO_RF"),
            Column("product_number", "string", "Number of the product, the same for all its versions, such as FR-R92B-58"),
            Column("product_name", "string", "Name of the product"),
            Column("cost", "decimal(12,2)", "Cost in US dollars; 0 where the source gives none"),
            Column("product_line", "string", "Mountain, Road, Other Sales, Touring or n/a"),
            Column("start_date", "date", "First day on which the version holds"),
            Column("end_date", "date", "Last day by the source; NULL where that lies before the start"),
        ),
        rules=(
            Rule(
                "cost_present",
                "NULLIF(TRIM(prd_cost), '') IS NOT NULL",
                "warn",
                "The source gives a cost, else it is taken as 0.",
            ),
            Rule(
                "product_number_present",
                "product_number <> ''",
                "drop",
                "The source's key is long enough to hold a product number.",
            ),
            Rule("cost_not_negative", "cost >= 0", "warn", "A cost is not below 0."),
            Rule("product_line_known", "product_line <> 'n/a'", "warn", "The product line is given."),
            Rule(
                "start_date_valid",
                f"start_date {_CALENDAR}",
                "warn",
                "The version has a first day, from 1990 to 2100; without one, or with an earlier one, it holds from 1990.",
            ),
            Rule(
                "end_date_not_before_start_date",
                "COALESCE(_end >= _start, TRUE)",
                "warn",
                "A version does not end before it starts; where it does, the end is dropped.",
            ),
        ),
        relationships=(Relationship("category_id", "erp_product_categories", "category_id"),),
        freshness=timedelta(days=2),
    ),
    (Input(PRODUCTS_FEED, clean_products),),
)

SALES_FEED = Feed(
    "crm/sales",
    (
        SourceColumn("sls_ord_num", "Order number"),
        SourceColumn("sls_prd_key", "Product number"),
        SourceColumn("sls_cust_id", "Number of the customer"),
        SourceColumn("sls_order_dt", "Day of the order as yyyymmdd; 0 where unknown"),
        SourceColumn("sls_ship_dt", "Day of the shipping as yyyymmdd"),
        SourceColumn("sls_due_dt", "Day when payment is due as yyyymmdd"),
        SourceColumn("sls_sales", "Amount of the line in US dollars; sometimes missing or wrong"),
        SourceColumn("sls_quantity", "Pieces"),
        SourceColumn("sls_price", "Price of a piece in US dollars; sometimes missing or negative"),
    ),
    currency="USD",
)

SALES = SilverTable(
    Contract(
        table="crm_sales",
        description="Sales by order line: one row for each product of an order.",
        owner="team:sales",
        key=("order_number", "product_number"),
        columns=(
            Column("order_number", "string", "Number of the order"),
            Column("product_number", "string", "Number of the product, as in crm_products"),
            Column("customer_id", "int", "Number of the customer, as in crm_customers"),
            Column("order_date", "date", "Day of the order; NULL where the source gives no date"),
            Column("ship_date", "date", "Day of the shipping"),
            Column("due_date", "date", "Day when payment is due"),
            Column("quantity", "int", "Pieces"),
            Column("price", "decimal(12,2)", "Price of a piece"),
            Column("sales", "decimal(12,2)", "Amount of the line"),
            Column("currency", "string", "Currency of price and amount (ISO 4217)"),
        ),
        rules=(
            *(
                Rule(
                    f"{day}_valid",
                    f"{day} {_CALENDAR}",
                    "warn",
                    f"The {day.replace('_', ' ')} is a day as yyyymmdd, from 1990 to 2100.",
                )
                for day in ("order_date", "ship_date", "due_date")
            ),
            Rule(
                "ship_date_not_before_order_date",
                "COALESCE(ship_date >= order_date, TRUE)",
                "drop",
                "Nothing is shipped before it is ordered.",
            ),
            Rule(
                "sales_is_quantity_times_price",
                "_sales > 0 AND _sales = _quantity * ABS(_price)",
                "warn",
                "The source's amount is positive and quantity times price; where it isn't, it is worked out from them.",
            ),
            Rule(
                "price_positive",
                "_price > 0",
                "warn",
                "The source's price is positive; where it isn't, it becomes sales / quantity.",
            ),
            Rule("price_not_negative", "COALESCE(price >= 0, TRUE)", "drop", "The price, after correction, is not below 0."),
            Rule(
                "sales_near_quantity_times_price",
                "COALESCE(ABS(sales - quantity * price) <= 0.01 * ABS(CAST(quantity AS DECIMAL(12,0))), TRUE)",
                "drop",
                "The amount, after correction, is quantity times price, up to a cent a piece.",
            ),
            Rule("quantity_positive", "quantity > 0", "warn", "At least one piece is sold."),
        ),
        relationships=(
            Relationship("customer_id", "crm_customers", "customer_id"),
            Relationship("product_number", "crm_products", "product_number"),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(SALES_FEED, clean_sales),),
)

SYSTEM = System(
    name="crm",
    description="Customer relationship management: customers, products and sales.",
    tables=(CUSTOMERS, CUSTOMER_VERSIONS, PRODUCTS, SALES),
)
