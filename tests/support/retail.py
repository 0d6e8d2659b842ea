"""A small source system for tests and benchmarks: an online shop that sends the lines of its invoices in one CSV a day.

The columns are those of the UCI data set "Online Retail" (Chen, Sain, Guo 2012), in which whole lines repeat and prices may be 0.
"""

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import SourceColumn
from tests.support.declare import one_feed

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")


def clean_lines(raw):
    line = ", '|', ".join(f"COALESCE({name}, '')" for name in RAW_NAMES)
    return raw.selectExpr(
        "*",
        f"MD5(CONCAT({line})) AS line_id",
        "invoice_no AS invoice_number",
        "TRIM(stock_code) AS product_code",
        "NULLIF(TRIM(description), '') AS product_name",
        "quantity AS pieces",
        "invoice_date AS invoiced_at",
        "unit_price AS price",
        "TRY_CAST(customer_id AS DOUBLE) AS customer_number",
        "country AS country_name",
        "invoice_no LIKE 'C%' AS is_cancellation",
    )


RAW_NAMES = ("invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country")

LINES = one_feed(
    landing="retail/lines",
    columns=tuple(SourceColumn(name, "") for name in HEADER),
    contract=Contract(
        table="retail_lines",
        description="Lines of invoices, one row a line.",
        owner="team:retail",
        key=("line_id",),
        mode="snapshot",
        columns=(
            Column("line_id", "string", "Hash of all that the line says"),
            Column("invoice_number", "string", "Number of the invoice; those of cancellations begin with C"),
            Column("product_code", "string", "Code of the product"),
            Column("product_name", "string", "Name of the product"),
            Column("pieces", "int", "Pieces; negative in a cancellation"),
            Column("invoiced_at", "timestamp", "When the invoice was made"),
            Column("price", "double", "Price of a piece in pounds"),
            Column("customer_number", "int", "Number of the customer; NULL where unknown"),
            Column("country_name", "string", "Country of the customer"),
            Column("is_cancellation", "boolean", "Whether the invoice cancels another"),
        ),
        rules=(
            Rule("price_positive", "price > 0", "drop", "The price is above 0."),
            Rule("customer_known", "customer_number IS NOT NULL", "warn", "The customer is known."),
            Rule("invoice_number_present", "invoice_number IS NOT NULL", "fail", "The line names its invoice."),
        ),
    ),
    function=clean_lines,
)
