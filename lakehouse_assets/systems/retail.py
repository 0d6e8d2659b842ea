"""Retail: what a gift shop sells by post and over the counter, its stores, its promotions, and its contacts at customers.

Transactions come in two dialects. `uci` is the web shop's export of a day, in the columns of the UCI data set "Online Retail". `till`
is a till's journal: it numbers the lines of a receipt, and names store, promotion, discount and how it was paid.

What a line is, and what becomes of it:

- The key is `line_id`, a hash of all that a line says. An invoice may have several lines of one product, at other quantities and
  prices, so invoice and stock code are no key. Lines that are equal in everything can't be told from a line that was exported
  twice: one of them counts, the others are superseded. A till numbers its lines, so there both count.
- Cancellations, lines without a customer, and codes that are no product's stay, each with a column that says what it is.
- A price of 0 is a gift, a sample or a correction of stock: it stays and is counted. A price below 0 goes to quarantine. The sign of
  an amount is that of its quantity; a negative price is a booking (UCI has two, "Adjust bad debt"), and nothing was sold.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.provenance import CURRENCY, DIALECT
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.systems.cleaning import text, whole, with_columns, words

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_KINDS = {
    "POST": "postage",
    "DOT": "postage",
    "C2": "postage",
    "M": "manual",
    "D": "discount",
    "S": "sample",
    "BANK CHARGES": "fee",
    "AMAZONFEE": "fee",
    "CRUK": "fee",
    "B": "bad debt",
}
"""What a stock code stands for that is not a product's."""

_COUNTRIES = {"EIRE": "Ireland", "RSA": "South Africa", "USA": "United States", "UNSPECIFIED": "n/a"}
"""The countries that UCI names otherwise than the other systems do."""


def clean_transactions(raw: "DataFrame") -> "DataFrame":
    """Clean the values of a line, compute its amount, and say what kind of line it is."""
    cleaned = with_columns(
        raw,
        invoice_number=f"UPPER({text('invoice_no')})",
        line_number=text("line_number"),
        stock_code=f"UPPER({text('stock_code')})",
        description=text("description"),
        quantity=whole("quantity"),
        invoiced_at=text("invoice_date"),
        unit_price=text("unit_price"),
        discount=f"COALESCE({text('discount')}, '0')",
        customer_id=f"NULLIF({whole('customer_id')}, '')",
        country=f"NULLIF({words('country', _COUNTRIES, otherwise='')}, '')",
        _country=text("country"),
        store_id=f"UPPER({text('store_id')})",
        promotion_id=f"UPPER({text('promotion_id')})",
        payment_method=f"LOWER({text('payment_method')})",
        currency=CURRENCY,
        channel=f"CASE {DIALECT} WHEN 'till' THEN 'store' ELSE 'online' END",
    )
    valued = with_columns(
        cleaned,
        _quantity=typed("quantity", "int"),
        _price=typed("unit_price", "decimal(12,3)"),
        _discount=typed("discount", "decimal(12,2)"),
        country="COALESCE(country, _country)",
        line_kind=f"CASE WHEN stock_code LIKE 'GIFT%' THEN 'voucher' ELSE {words('stock_code', _KINDS, otherwise='product')} END",
    )
    judged = with_columns(
        valued,
        amount="_quantity * _price - _discount",
        # The web shop's invoices say that they cancel; a till takes a line back at a negative quantity.
        is_cancellation="CASE channel WHEN 'store' THEN _quantity < 0 ELSE invoice_number LIKE 'C%' END",
        line_id=f"MD5(CONCAT({_LINE}))",
    )
    return with_columns(
        judged,
        transaction_type="""CASE WHEN is_cancellation THEN 'cancellation'
            WHEN _quantity < 0 OR line_kind = 'bad debt' THEN 'adjustment' ELSE 'sale' END""",
    )


_LINE = ", '|', ".join(
    f"COALESCE({value}, '')"
    for value in (
        "invoice_number",
        "line_number",
        "stock_code",
        "CAST(_quantity AS STRING)",
        "invoiced_at",
        "CAST(_price AS STRING)",
        "CAST(_discount AS STRING)",
        "customer_id",
        "country",
        "store_id",
        "promotion_id",
        "payment_method",
        "description",
    )
)
"""SQL: all that a line says. The description comes last: only it may have a bar in it."""


def clean_stores(raw: "DataFrame") -> "DataFrame":
    """Trim all values, write ids in upper case and kinds in lower case."""
    return with_columns(
        raw,
        store_id=f"UPPER({text('store_id')})",
        store_name=text("store_name"),
        store_type=f"LOWER({text('store_type')})",
        city=text("city"),
        county=text("county"),
        postcode=f"UPPER({text('postcode')})",
        country=text("country"),
        opened_on=text("opened_on"),
        closed_on=text("closed_on"),
        updated_at=text("updated_at"),
    )


def clean_promotions(raw: "DataFrame") -> "DataFrame":
    """Trim all values, write ids in upper case and kinds in lower case."""
    return with_columns(
        raw,
        promotion_id=f"UPPER({text('promotion_id')})",
        promotion_name=text("promotion_name"),
        promotion_type=f"LOWER({text('promotion_type')})",
        discount_percent=f"REGEXP_REPLACE({text('discount_percent')}, ' ?%$', '')",
        channel=f"COALESCE(LOWER({text('channel')}), 'all')",
        starts_on=text("starts_on"),
        ends_on=text("ends_on"),
        updated_at=text("updated_at"),
    )


def clean_contacts(raw: "DataFrame") -> "DataFrame":
    """Trim all values, write e-mail addresses in lower case; a customer's number may be written as a float."""
    return with_columns(
        raw,
        contact_id=text("contact_id"),
        customer_id=f"NULLIF({whole('customer_id')}, '')",
        first_name=text("first_name"),
        last_name=text("last_name"),
        email=f"LOWER({text('email')})",
        phone=text("phone"),
        job_title=text("job_title"),
        address=text("address"),
        city=text("city"),
        county=text("county"),
        postcode=f"UPPER({text('postcode')})",
        country=text("country"),
        created_at=text("created_at"),
        updated_at=text("updated_at"),
    )


_ZONE = "Europe/London"

TRANSACTIONS_FEED = Feed(
    "retail/transactions",
    (
        SourceColumn("invoice_no", "Number of the invoice; those of cancellations begin with C"),
        SourceColumn("stock_code", "Code of the product; POST, D, M, BANK CHARGES and so on are none"),
        SourceColumn("description", "Name of the product, not trimmed; sometimes missing"),
        SourceColumn("quantity", "Pieces; negative where they are taken back or written off"),
        SourceColumn("invoice_date", "When the invoice was made, UK time"),
        SourceColumn("unit_price", "Price of a piece in pounds; sometimes 0"),
        SourceColumn("customer_id", "Number of the customer as a float, such as 17850.0; often missing"),
        SourceColumn("country", "Country of the customer; a till has none", required=False),
        SourceColumn("line_number", "Number of the line on the receipt, from a till", required=False),
        SourceColumn("store_id", "Store, from a till", required=False),
        SourceColumn("promotion_id", "Promotion by which the line is cheaper, from a till", required=False),
        SourceColumn("discount", "What is taken off the line in pounds, from a till", required=False),
        SourceColumn("payment_method", "How the receipt was paid, from a till", required=False),
    ),
    dialects=(
        Dialect("uci", told_by=("InvoiceNo", "StockCode")),
        Dialect(
            "till",
            told_by=("receipt_no", "store_id"),
            columns={
                "invoice_no": "receipt_no",
                "line_number": "line_no",
                "stock_code": "product_code",
                "description": "product_name",
                "quantity": "qty",
                "invoice_date": "sold_at",
                "unit_price": "price",
                "customer_id": "customer_no",
            },
        ),
    ),
    zone=_ZONE,
    currency="GBP",
)

TRANSACTIONS = SilverTable(
    Contract(
        table="retail_transactions",
        description="Lines of invoices and receipts, one row a line; lines that are equal in everything are one.",
        owner="team:sales",
        key=("line_id",),
        columns=(
            Column("line_id", "string", "Hash of all that the line says"),
            Column("invoice_number", "string", "Number of the invoice or receipt"),
            Column("line_number", "int", "Number of the line on the receipt; NULL where the source numbers none"),
            Column("stock_code", "string", "Code of the product, in upper case"),
            Column("description", "string", "Name of the product as the line has it"),
            Column("line_kind", "string", "product, postage, voucher, sample, manual, discount, fee or bad debt"),
            Column("transaction_type", "string", "sale, cancellation, or adjustment: stock or a debt that is written off"),
            Column("is_cancellation", "boolean", "Whether the line takes back another one"),
            Column("quantity", "int", "Pieces; negative where they are taken back or written off"),
            Column("unit_price", "decimal(12,3)", "Price of a piece"),
            Column("discount", "decimal(12,2)", "What is taken off the line"),
            Column("amount", "decimal(14,2)", "Pieces times price, less the discount"),
            Column("currency", "string", "Currency of price and amount (ISO 4217)"),
            Column("invoiced_at", "timestamp", "When the invoice or receipt was made"),
            Column("customer_id", "int", "Number of the customer; NULL where unknown"),
            Column("country", "string", "Country of the customer, n/a where the source does not specify it; NULL at a till"),
            Column("channel", "string", "online or store"),
            Column("store_id", "string", "Store, as in retail_stores; NULL online"),
            Column("promotion_id", "string", "Promotion, as in retail_promotions; NULL without one"),
            Column("payment_method", "string", "How it was paid, from a till: card, cash or voucher"),
        ),
        rules=(
            Rule("invoice_number_present", "invoice_number IS NOT NULL", "drop", "A line names its invoice."),
            Rule("unit_price_not_negative", "COALESCE(unit_price >= 0, TRUE)", "drop", "Nothing is sold at a price below 0."),
            Rule("unit_price_present", "unit_price IS NOT NULL", "drop", "A line has a price, be it 0."),
            Rule("quantity_present", "quantity IS NOT NULL", "drop", "A line says how many pieces."),
            Rule(
                "unit_price_above_0",
                "unit_price > 0",
                "warn",
                "A price is above 0, except for gifts, samples and corrections of stock.",
            ),
            Rule("quantity_not_0", "quantity <> 0", "warn", "A line is about at least one piece."),
            Rule(
                "quantity_positive_in_a_sale",
                "is_cancellation OR quantity >= 0",
                "warn",
                "Pieces are above 0 unless a line is cancelled; else they are written off.",
            ),
            Rule("cancellation_is_negative", "NOT is_cancellation OR quantity < 0", "warn", "A cancellation takes pieces back."),
            Rule(
                "line_is_a_product", "line_kind = 'product'", "warn", "The line is of a product, not of postage, fees and so on."
            ),
            Rule(
                "stock_code_known",
                "line_kind <> 'product' OR COALESCE(stock_code RLIKE '^([0-9]{5}|DCGS|PADS)', FALSE)",
                "warn",
                "The code of a product begins with five digits, DCGS or PADS.",
            ),
            Rule("description_present", "description IS NOT NULL", "warn", "The product has a name."),
            Rule("customer_known", "customer_id IS NOT NULL", "warn", "The customer is known."),
            Rule("country_specified", "COALESCE(country <> 'n/a', TRUE)", "warn", "The country of the customer is specified."),
            Rule("invoiced_at_present", "invoiced_at IS NOT NULL", "warn", "The line has a time."),
            Rule("store_known_at_a_till", "channel = 'online' OR store_id IS NOT NULL", "warn", "A till names its store."),
        ),
        relationships=(
            Relationship("store_id", "retail_stores", "store_id"),
            Relationship("promotion_id", "retail_promotions", "promotion_id"),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(TRANSACTIONS_FEED, clean_transactions),),
)

STORES_FEED = Feed(
    "retail/stores",
    (
        SourceColumn("store_id", "Number of the store, such as S01"),
        SourceColumn("store_name", "Name of the store"),
        SourceColumn("store_type", "flagship, high street or outlet"),
        SourceColumn("city", "City"),
        SourceColumn("county", "County"),
        SourceColumn("postcode", "Postcode"),
        SourceColumn("country", "Country"),
        SourceColumn("opened_on", "First day of business, yyyy-mm-dd"),
        SourceColumn("closed_on", "Last day of business, yyyy-mm-dd; empty while the store is open"),
        SourceColumn("updated_at", "When the record was last changed, UK time"),
    ),
    zone=_ZONE,
)

STORES = SilverTable(
    Contract(
        table="retail_stores",
        description="Stores, one row a store: the latest record.",
        owner="team:sales",
        key=("store_id",),
        sequence="updated_at",
        columns=(
            Column("store_id", "string", "Number of the store, such as S01"),
            Column("store_name", "string", "Name of the store"),
            Column("store_type", "string", "flagship, high street or outlet"),
            Column("city", "string", "City"),
            Column("county", "string", "County"),
            Column("postcode", "string", "Postcode"),
            Column("country", "string", "Country"),
            Column("opened_on", "date", "First day of business"),
            Column("closed_on", "date", "Last day of business; NULL while the store is open"),
            Column("updated_at", "timestamp", "When the record was last changed"),
        ),
        rules=(
            Rule("store_name_present", "store_name IS NOT NULL", "warn", "The store has a name."),
            Rule("city_present", "city IS NOT NULL", "warn", "The store is in a city."),
            Rule(
                "closed_on_not_before_opened_on",
                "COALESCE(closed_on >= opened_on, TRUE)",
                "warn",
                "A store does not close before it opens.",
            ),
        ),
        freshness=timedelta(days=32),
    ),
    (Input(STORES_FEED, clean_stores),),
)

PROMOTIONS_FEED = Feed(
    "retail/promotions",
    (
        SourceColumn("promotion_id", "Code of the promotion, such as XMAS10"),
        SourceColumn("promotion_name", "Name of the promotion"),
        SourceColumn("promotion_type", "percent off, clearance or staff"),
        SourceColumn("discount_percent", "What is taken off, in percent: 10 or 10%"),
        SourceColumn("channel", "store or online; empty for all", required=False),
        SourceColumn("starts_on", "First day, yyyy-mm-dd"),
        SourceColumn("ends_on", "Last day, yyyy-mm-dd; empty while it has no end"),
        SourceColumn("updated_at", "When the record was last changed, UK time"),
    ),
    zone=_ZONE,
)

PROMOTIONS = SilverTable(
    Contract(
        table="retail_promotions",
        description="Promotions, one row a promotion: the latest record.",
        owner="team:sales",
        key=("promotion_id",),
        sequence="updated_at",
        columns=(
            Column("promotion_id", "string", "Code of the promotion, such as XMAS10"),
            Column("promotion_name", "string", "Name of the promotion"),
            Column("promotion_type", "string", "percent off, clearance or staff"),
            Column("discount_percent", "decimal(5,2)", "What is taken off, in percent"),
            Column("channel", "string", "store, online or all"),
            Column("starts_on", "date", "First day"),
            Column("ends_on", "date", "Last day; NULL while it has no end"),
            Column("updated_at", "timestamp", "When the record was last changed"),
        ),
        rules=(
            Rule(
                "discount_percent_up_to_100",
                "COALESCE(discount_percent BETWEEN 0 AND 100, TRUE)",
                "drop",
                "No more is taken off than the price.",
            ),
            Rule("discount_percent_present", "discount_percent IS NOT NULL", "warn", "It says how much is taken off."),
            Rule(
                "ends_on_not_before_starts_on",
                "COALESCE(ends_on >= starts_on, TRUE)",
                "warn",
                "It does not end before it starts.",
            ),
        ),
        freshness=timedelta(days=32),
    ),
    (Input(PROMOTIONS_FEED, clean_promotions),),
)

CONTACTS_FEED = Feed(
    "retail/contacts",
    (
        SourceColumn("contact_id", "Number of the contact"),
        SourceColumn("customer_id", "Number of the customer that it belongs to"),
        SourceColumn("first_name", "First name"),
        SourceColumn("last_name", "Last name"),
        SourceColumn("email", "E-mail address, in any case"),
        SourceColumn("phone", "Telephone number"),
        SourceColumn("job_title", "Job at the customer"),
        SourceColumn("address", "Street and number"),
        SourceColumn("city", "City"),
        SourceColumn("county", "County or state"),
        SourceColumn("postcode", "Postcode"),
        SourceColumn("country", "Country"),
        SourceColumn("created_at", "When the contact was added, UK time"),
        SourceColumn("updated_at", "When the record was last changed, UK time"),
    ),
    zone=_ZONE,
)

CONTACTS = SilverTable(
    Contract(
        table="retail_contacts",
        description="Contacts at customers, one row a contact: the latest record.",
        owner="team:customer-data",
        key=("contact_id",),
        sequence="updated_at",
        columns=(
            Column("contact_id", "int", "Number of the contact"),
            Column("customer_id", "int", "Number of the customer, as in retail_transactions"),
            Column("first_name", "string", "First name", personal=True),
            Column("last_name", "string", "Last name", personal=True),
            Column("email", "string", "E-mail address in lower case", personal=True),
            Column("phone", "string", "Telephone number", personal=True),
            Column("job_title", "string", "Job at the customer"),
            Column("address", "string", "Street and number", personal=True),
            Column("city", "string", "City"),
            Column("county", "string", "County or state"),
            Column("postcode", "string", "Postcode", personal=True),
            Column("country", "string", "Country"),
            Column("created_at", "timestamp", "When the contact was added"),
            Column("updated_at", "timestamp", "When the record was last changed"),
        ),
        rules=(
            Rule("customer_id_present", "customer_id IS NOT NULL", "warn", "The contact belongs to a customer."),
            Rule("last_name_present", "last_name IS NOT NULL", "warn", "The contact has a name."),
            Rule(
                "email_is_an_address",
                "COALESCE(email RLIKE '^[^@ ]+@[^@ ]+[.][^@ ]+$', TRUE)",
                "warn",
                "The e-mail address is one, if there is one.",
            ),
            Rule(
                "updated_at_not_before_created_at",
                "COALESCE(updated_at >= created_at, TRUE)",
                "warn",
                "A record is not changed before it is there.",
            ),
        ),
        freshness=timedelta(days=32),
    ),
    (Input(CONTACTS_FEED, clean_contacts),),
)

SYSTEM = System(
    name="retail",
    description="Retail: transactions of the web shop and the tills, stores, promotions, contacts at customers.",
    tables=(TRANSACTIONS, STORES, PROMOTIONS, CONTACTS),
)
