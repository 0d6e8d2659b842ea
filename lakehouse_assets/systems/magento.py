"""The web shop, Magento 2: catalog, customers, orders and stock.

Three ways lead to the same tables: CSV exports, pages of the REST API (`{"items": [...], "total_count": ...}`) as JSON documents, and
Debezium's change events of the database's tables `customer_entity` and `sales_order`. A page has its rows in `items`, as an order has
its own: land a single order within a page, never bare.

Times are in UTC, but for those of product exports: Magento writes them in the zone that the shop is set to, and without seconds. That
zone is `EXPORT_ZONE`. A minute counts as its first second: of changes to a product within one minute, a page's wins over an export's.

Change events need a connector with `decimal.handling.mode=string`. By default Debezium writes amounts as encoded bytes, and orders are
refused, because their amounts can't be read.

Amounts are in the order's currency; those named `base_…` are in the shop's, US dollars.
"""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.debezium import (
    CHANGED_AT,
    LOG_POSITION,
    change_feed,
    change_rules,
    date_of_days,
    rows_as_read,
    rows_of_changes,
)
from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json
from lakehouse_assets.contracts.money import CURRENCY_CODE
from lakehouse_assets.contracts.provenance import CURRENCY, DATE_COLUMN, ITEM_TEXT
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.systems.cleaning import capitals, plain, text, with_columns, words

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EXPORT_ZONE = "UTC"
"""The time zone of the times in product exports: what the shop has under General > Locale Options > Timezone."""

_FORMATS = (Csv(), Json(records="items"))
_MONEY, _PIECES = "decimal(16,4)", "decimal(12,4)"
_SHOWN = {"1": "Not Visible Individually", "2": "Catalog", "3": "Search", "4": "Catalog, Search"}
_STATES = ("new", "pending_payment", "payment_review", "processing", "holded", "complete", "closed", "canceled")


def clean_products(raw: "DataFrame") -> "DataFrame":
    """Name in initial capitals, brand in upper case; further attributes from wherever the export or the API has them."""
    attributes = _objects("additional_attributes", "attribute_code:string,value:string")
    links = _objects("category_links", "category_id:string")
    listed = with_columns(raw, _attributes=attributes, _bare_pairs=_bare_pairs("additional_attributes"), _links=links)
    return with_columns(
        listed,
        sku=plain("sku"),
        product_id=text("id"),
        name=capitals(plain("name")),
        brand=f"UPPER({_attribute('brand')})",
        product_type=text("product_type"),
        # A list of paths from the root: `Default Category/Gear/Bags,Default Category/Sale`.
        category_path=text("SPLIT_PART(categories, ',', 1)"),
        category_id=text("ARRAY_JOIN(TRANSFORM(SLICE(_links, 1, 1), link -> link.category_id), '')"),
        price=text("price"),
        special_price=f"COALESCE({text('special_price')}, {_attribute('special_price')})",
        currency=CURRENCY,
        color=_attribute("color"),
        size=_attribute("size"),
        description=f"COALESCE({text('description')}, {_attribute('description')})",
        visibility=words("visibility", _SHOWN | {shown.upper(): shown for shown in _SHOWN.values()}),
        is_active=_flag("product_online"),
        quantity=text("qty"),
        is_in_stock=_flag("is_in_stock"),
        created_at=_moment("created_at"),
        updated_at=_moment("updated_at"),
    )


def clean_categories(raw: "DataFrame") -> "DataFrame":
    """Trim all texts."""
    return with_columns(
        raw,
        category_id=text("entity_id"),
        parent_id=text("parent_id"),
        name=plain("name"),
        path=text("path"),
        level=text("level"),
        position=text("position"),
        is_active=f"COALESCE({_flag('is_active')}, TRUE)",
        created_at=text("created_at"),
        updated_at=text("updated_at"),
    )


def clean_customers(raw: "DataFrame") -> "DataFrame":
    """Customers of exports and of the API, whose country is that of the billing address, or else of the first."""
    listed = with_columns(raw, _addresses=_objects("addresses", "country_id:string,default_billing:boolean"))
    first = "SLICE(CONCAT(FILTER(_addresses, a -> a.default_billing), _addresses), 1, 1)"
    country = f"COALESCE({text('country_id')}, ARRAY_JOIN(TRANSFORM({first}, a -> a.country_id), ''))"
    return _customers(rows_as_read(with_columns(listed, country_id=country)))


def clean_customer_changes(raw: "DataFrame") -> "DataFrame":
    """Customers of change events, whose dates are days since 1970."""
    return _customers(with_columns(rows_of_changes(raw, {name: name for name in _CUSTOMER}), dob=date_of_days("dob")))


def _customers(rows: "DataFrame") -> "DataFrame":
    return with_columns(
        rows,
        customer_id=text("entity_id"),
        email=f"LOWER({text('email')})",
        first_name=text("firstname"),
        last_name=text("lastname"),
        customer_group=words("group_id", {"0": "Not Logged In", "1": "General", "2": "Wholesale", "3": "Retailer"}, "Other"),
        gender=words("gender", {"1": "Male", "2": "Female"}),
        birth_date=text("dob"),
        country=f"UPPER({text('country_id')})",
        is_active=f"COALESCE({_flag('is_active')}, TRUE)",
        created_at=text("created_at"),
        updated_at=_UPDATED_AT,
    )


def clean_orders(raw: "DataFrame") -> "DataFrame":
    """Orders of exports and of the API."""
    return _orders(rows_as_read(raw))


def clean_order_changes(raw: "DataFrame") -> "DataFrame":
    """Orders of change events."""
    return _orders(rows_of_changes(raw, {name: name for name in _ORDER}))


def _orders(rows: "DataFrame") -> "DataFrame":
    return with_columns(
        rows,
        order_id=text("entity_id"),
        order_number=text("increment_id"),
        state=f"LOWER({text('state')})",
        status=f"LOWER({text('status')})",
        store_id=text("store_id"),
        customer_id=text("customer_id"),
        email=f"LOWER({text('customer_email')})",
        is_guest=_flag("customer_is_guest"),
        country=f"UPPER({text('country_id')})",
        payment_method=text("payment_method"),
        currency=f"UPPER(COALESCE({text('order_currency_code')}, {CURRENCY}))",
        base_currency=f"UPPER(COALESCE({text('base_currency_code')}, {CURRENCY}))",
        pieces=text("total_qty_ordered"),
        created_at=text("created_at"),
        updated_at=_UPDATED_AT,
        **{amount: text(amount) for amount in ("subtotal", "grand_total", "base_grand_total")},
        **{amount: f"COALESCE({text(amount)}, '0')" for amount in _AMOUNTS},
    )


def clean_order_items(raw: "DataFrame") -> "DataFrame":
    """Lines of orders, from a file of their own."""
    return _items(raw)


def clean_nested_items(raw: "DataFrame") -> "DataFrame":
    """Lines within an order of the API. Where a line lacks them, the number and the time of change are the order's."""
    fields = {name: f"GET_JSON_OBJECT({ITEM_TEXT}, '$.{name}')" for name in _ITEM}
    of_order = {"order_id": "entity_id", "updated_at": "updated_at"}
    return _items(with_columns(raw, **fields | {name: f"COALESCE({fields[name]}, {own})" for name, own in of_order.items()}))


def _items(rows: "DataFrame") -> "DataFrame":
    return with_columns(
        rows,
        **{name: text(name) for name in ("item_id", "order_id", "parent_item_id", "product_type", "updated_at")},
        sku=plain("sku"),
        name=capitals(plain("name")),
        price=text("price"),
        base_price=text("base_price"),
        row_total=text("row_total"),
        base_row_total=text("base_row_total"),
        discount_amount=f"COALESCE({text('discount_amount')}, '0')",
        tax_amount=f"COALESCE({text('tax_amount')}, '0')",
        quantity=text("qty_ordered"),
        **{f"quantity_{what}": f"COALESCE({text(f'qty_{what}')}, '0')" for what in ("canceled", "shipped", "refunded")},
    )


def clean_inventory(raw: "DataFrame") -> "DataFrame":
    """The stock of a product at a source, as of the landing date: the source writes no time to it."""
    return with_columns(
        raw,
        date=DATE_COLUMN,
        source_code=f"LOWER({text('source_code')})",
        sku=plain("sku"),
        quantity=text("quantity"),
        is_in_stock=_flag("status"),
    )


def _objects(column: str, fields: str) -> str:
    """SQL: a JSON list of objects as an array of these fields; NULL if the text is not a list."""
    listed = f"TRIM({column}) LIKE '[%' AND TRIM({column}) LIKE '%]'"
    return f"FROM_JSON(CASE WHEN {listed} THEN {column} END, 'array<struct<{fields}>>')"


_QUOTED = '[^"]*(""[^"]*)*'
"""Matches what is between quotes, where a quote within is doubled. No alternatives to repeat: Java would run out of stack."""


def _bare_pairs(column: str) -> str:
    """SQL: an export's pairs without the quoted ones, whose values may look like further pairs; NULL for the API's list."""
    return f"""CASE WHEN TRIM({column}) NOT LIKE '[%' THEN REGEXP_REPLACE({column}, '(^|,)"{_QUOTED}"', '') END"""


def _attribute(code: str) -> str:
    """SQL: the value of an attribute, from the API's list of pairs or an export's `color=Red,"brand=Bell, Sons",size=XL`."""
    of_list = f"ARRAY_JOIN(TRANSFORM(FILTER(_attributes, a -> a.attribute_code = '{code}'), a -> a.value), '')"
    quoted = f"""REGEXP_EXTRACT(additional_attributes, '(^|,)"{code}=({_QUOTED})"', 2)"""
    bare = f"REGEXP_EXTRACT(_bare_pairs, '(^|,){code}=([^,]*)', 2)"
    one_quote = f"""REPLACE({quoted}, '""', '"')"""
    return f"COALESCE({text(of_list)}, {text(one_quote)}, {text(bare)})"


def _flag(column: str) -> str:
    """SQL: yes or no, as exports (1, 0), the API (true, 1) and the state of a product (1 enabled, 2 disabled) have it."""
    given = f"LOWER(TRIM({column}))"
    return f"CASE WHEN {given} IN ('1', 'true') THEN TRUE WHEN {given} IN ('0', '2', 'false') THEN FALSE END"


def _moment(column: str) -> str:
    """SQL: a moment of a product export, `1/5/26, 2:05 PM`, as text in the usual form, without a zone: it is in the feed's.

    A moment of the API, `2026-01-05 14:05:00`, says that it is in UTC. Any other text is only trimmed.
    """
    form = "^([0-9]{1,2})/([0-9]{1,2})/([0-9]{2}), ([0-9]{1,2}):([0-9]{2}) ([AP])M$"
    # Some versions of PHP write a narrow blank before AM and PM.
    given = f"TRIM(TRANSLATE({column}, '\u202f', ' '))"
    month, day, year, hour, minute, half = (f"REGEXP_EXTRACT({given}, '{form}', {n})" for n in range(1, 7))
    hours = f"CAST(TRY_CAST({hour} AS INT) % 12 + CASE {half} WHEN 'P' THEN 12 ELSE 0 END AS STRING)"
    two = "LPAD({}, 2, '0')".format
    moment = f"CONCAT('20', {year}, '-', {two(month)}, '-', {two(day)}, ' ', {two(hours)}, ':', {minute})"
    of_api = f"{given} RLIKE '^[0-9-]{{10}} [0-9:.]+$'"
    return f"CASE WHEN {given} RLIKE '{form}' THEN {moment} WHEN {of_api} THEN CONCAT({given}, 'Z') ELSE {text(column)} END"


_UPDATED_AT = f"COALESCE(CASE WHEN NOT is_delete THEN {text('updated_at')} END, CAST({CHANGED_AT.name} AS STRING))"
"""A deleted row keeps the time of its last change: what counts is when it was deleted."""

_CUSTOMER = {
    "entity_id": "Number",
    "group_id": "Number of the customer group",
    "email": "E-mail address",
    "firstname": "First name",
    "lastname": "Last name",
    "gender": "1 male, 2 female, 3 not specified",
    "dob": "Day of birth, yyyy-mm-dd; days since 1970 in change events",
    "is_active": "1 or 0; the API leaves it out",
    "country_id": "Country of the billing address (ISO 3166); change events have it only if the connector adds it",
    "created_at": "When the customer registered",
    "updated_at": "When the record was last changed",
}
_AMOUNTS = ("discount_amount", "shipping_amount", "tax_amount", "total_paid", "total_refunded")
_ORDER = {
    "entity_id": "Number within the database",
    "increment_id": "Number that the customer knows, such as 000000042",
    "state": "Where the order stands: " + ", ".join(_STATES),
    "status": "The shop's own name for it",
    "store_id": "Number of the store view",
    "customer_id": "Number of the customer; none for guests",
    "customer_email": "E-mail address",
    "customer_is_guest": "1 or 0",
    "country_id": "Country of the billing address; change events have it only if the connector adds it",
    "payment_method": "Code of the payment method; change events have it only if the connector adds it",
    "order_currency_code": "Currency of the amounts",
    "base_currency_code": "Currency of the amounts named base_…",
    "subtotal": "Sum of the lines",
    "discount_amount": "Discount, negative",
    "shipping_amount": "Shipping",
    "tax_amount": "Tax",
    "grand_total": "What is to be paid",
    "base_grand_total": "The same in the shop's currency",
    "total_paid": "What has been paid",
    "total_refunded": "What has been paid back",
    "total_qty_ordered": "Pieces",
    "created_at": "When it was ordered",
    "updated_at": "When the order was last changed",
}
_ITEM = {
    "item_id": "Number",
    "order_id": "Number of the order within the database",
    "parent_item_id": "Line that this one is part of",
    "product_type": "simple, configurable, virtual, bundle, …",
    "sku": "Stock keeping unit",
    "name": "Name of the product",
    "qty_ordered": "Pieces ordered",
    "qty_canceled": "Pieces canceled",
    "qty_shipped": "Pieces shipped",
    "qty_refunded": "Pieces refunded",
    "price": "Price of a piece, without tax",
    "base_price": "The same in the shop's currency",
    "row_total": "Price times pieces",
    "base_row_total": "The same in the shop's currency",
    "discount_amount": "Discount on the line",
    "tax_amount": "Tax on the line",
    "updated_at": "When the line was last changed",
}
_PRODUCT = {
    "sku": "Stock keeping unit",
    "name": "Name",
    "product_type": "simple, configurable, virtual, bundle, …",
    "price": "Price in the shop's currency",
}
_MORE_OF_PRODUCT = {
    "store_view_code": "Store view, of rows that have only what differs in it",
    "attribute_set_code": "Attribute set",
    "categories": "Paths of categories from the root, separated by commas",
    "product_websites": "Websites",
    "description": "Description, HTML of several lines",
    "short_description": "Short description, HTML",
    "weight": "Weight",
    "product_online": "1 enabled, 2 disabled",
    "tax_class_name": "Tax class",
    "visibility": "Where it is shown, in words; in the API 1 to 4",
    "special_price": "Reduced price",
    "special_price_from_date": "From when the reduced price holds",
    "special_price_to_date": "Until when the reduced price holds",
    "url_key": "Last part of its address",
    "meta_title": "Title for search engines",
    "meta_keywords": "Keywords for search engines",
    "meta_description": "Description for search engines",
    **{f"{size}_image": f"The {size} image" for size in ("base", "small", "thumbnail")},
    **{f"{size}_image_label": f"Label of the {size} image" for size in ("base", "small", "thumbnail")},
    "created_at": "When it was created; in an export 1/5/26, 2:05 PM, in the shop's zone",
    "updated_at": "When it was last changed",
    "new_from_date": "From when it counts as new",
    "new_to_date": "Until when it counts as new",
    "display_product_options_in": "Where its options are shown",
    "map_price": "Minimum advertised price",
    "msrp_price": "Manufacturer's suggested price",
    "map_enabled": "Whether the minimum advertised price applies",
    "gift_message_available": "Whether it may come with a message",
    "custom_design": "Theme",
    "custom_design_from": "From when the theme applies",
    "custom_design_to": "Until when the theme applies",
    "custom_layout_update": "Changes of the layout, XML",
    "page_layout": "Layout",
    "product_options_container": "Block of its options",
    "msrp_display_actual_price_type": "When the actual price is shown",
    "country_of_manufacture": "Where it is made",
    "additional_attributes": "Further attributes, color=Red,size=XL; in the API a list of pairs",
    "qty": "Pieces in stock, over all sources",
    "out_of_stock_qty": "Pieces from which it is out of stock",
    "is_qty_decimal": "Whether parts of a piece are sold",
    "allow_backorders": "Whether more may be ordered than is there",
    "min_cart_qty": "Fewest pieces in an order",
    "max_cart_qty": "Most pieces in an order",
    "is_in_stock": "1 or 0",
    "notify_on_stock_below": "Pieces below which the shop gives notice",
    "manage_stock": "Whether stock is counted",
    "qty_increments": "Pieces in which it is sold",
    "enable_qty_increments": "Whether it is sold in such steps",
    "is_decimal_divided": "Whether parts of a piece are shipped apart",
    **{
        f"use_config_{setting}": "Whether the shop's setting applies in place of the product's"
        for setting in (
            *("min_qty", "backorders", "min_sale_qty", "max_sale_qty", "notify_stock_qty"),
            *("manage_stock", "qty_increments", "enable_qty_inc"),
        )
    },
    "website_id": "Number of the website",
    "configurable_variations": "The variants of a configurable product",
    "configurable_variation_prices": "What the variants cost more",
    "configurable_variation_labels": "Names of what the variants differ in",
    "additional_images": "Further images",
    "id": "Number within the database; only the API has it",
    "category_links": "Categories by number, JSON; only the API has it",
}


def _columns(described: dict[str, str], *optional: str) -> tuple[SourceColumn, ...]:
    return tuple(SourceColumn(name, meaning, required=name not in optional) for name, meaning in described.items())


PRODUCTS_FEED = Feed(
    "magento/products",
    (*_columns(_PRODUCT), *_columns(_MORE_OF_PRODUCT, *_MORE_OF_PRODUCT)),
    _FORMATS,
    dialects=(
        Dialect(
            "rest",
            told_by=("sku", "type_id"),
            columns={
                "product_type": "type_id",
                "product_online": "status",
                "additional_attributes": "custom_attributes",
                "category_links": "extension_attributes.category_links",
                "qty": "extension_attributes.stock_item.qty",
                "is_in_stock": "extension_attributes.stock_item.is_in_stock",
            },
            omits_nulls=True,
        ),
        Dialect("export", told_by=("sku", "product_type")),
    ),
    zone=EXPORT_ZONE,
    currency="USD",
)
CATEGORIES_FEED = Feed(
    "magento/categories",
    _columns(
        {
            "entity_id": "Number",
            "parent_id": "Number of the category above",
            "name": "Name",
            "path": "Numbers from the root to the category, such as 1/2/20",
            "level": "How many categories are above",
            "position": "Place among its neighbours",
            "is_active": "1 or 0",
            "created_at": "When it was created",
            "updated_at": "When it was last changed",
        },
        "is_active",
    ),
    _FORMATS,
    dialects=(
        Dialect("rest", told_by=("id", "parent_id"), columns={"entity_id": "id"}, omits_nulls=True),
        Dialect("export", told_by=("entity_id", "parent_id")),
    ),
)
CUSTOMERS_FEED = Feed(
    "magento/customers",
    _columns(_CUSTOMER | {"addresses": "Addresses, JSON; only the API has them"}, "is_active", "country_id", "addresses"),
    _FORMATS,
    dialects=(
        Dialect("rest", told_by=("id", "email"), columns={"entity_id": "id"}, omits_nulls=True),
        Dialect("export", told_by=("entity_id", "email")),
    ),
)
CUSTOMER_CHANGES_FEED = change_feed("magento/customers_cdc")
ORDERS_FEED = Feed(
    "magento/orders",
    _columns(_ORDER | {"items": "The order's lines, JSON; only the API has them"}, "country_id", "payment_method", "items"),
    _FORMATS,
    dialects=(
        Dialect(
            "rest",
            told_by=("entity_id", "increment_id", "items"),
            columns={"payment_method": "payment.method", "country_id": "billing_address.country_id"},
            omits_nulls=True,
        ),
        Dialect("export", told_by=("entity_id", "increment_id")),
    ),
    currency="USD",
)
ORDER_CHANGES_FEED = replace(change_feed("magento/orders_cdc"), currency="USD")
ORDER_ITEMS_FEED = Feed("magento/order_items", _columns(_ITEM, "parent_item_id"), _FORMATS)
INVENTORY_FEED = Feed(
    "magento/inventory",
    _columns(
        {
            "source_code": "Source: where the pieces are",
            "sku": "Stock keeping unit",
            "quantity": "Pieces",
            "status": "1 in stock, 0 out of stock",
        }
    ),
    _FORMATS,
)

_IN_LOG = Column(LOG_POSITION.name, LOG_POSITION.type, f"{LOG_POSITION.description}; NULL from exports and the API")

_PRODUCT_RULES = (
    Rule("price_positive", "price > 0", "drop", "The price is above 0."),
    Rule(
        "row_of_all_store_views",
        "COALESCE(TRIM(store_view_code), '') = ''",
        "drop",
        "The row is the product's own: that of a store view has only what differs there.",
    ),
)

PRODUCTS = SilverTable(
    Contract(
        table="magento_products",
        description="Products of the web shop, one row a SKU; variants and the configurable products over them.",
        owner="team:product-data",
        key=("sku",),
        sequence="updated_at",
        columns=(
            Column("sku", "string", "Stock keeping unit: what the ERP calls product_code"),
            Column("product_id", "int", "Number within the shop; NULL from an export"),
            Column("name", "string", "Name, each word with a capital"),
            Column("brand", "string", "Brand, in capitals"),
            Column("product_type", "string", "simple, configurable, virtual, bundle, …"),
            Column("category_path", "string", "First category, as names from the root; NULL from the API"),
            Column("category_id", "int", "First category, as in magento_categories; NULL from an export"),
            Column("price", _MONEY, "Price"),
            Column("special_price", _MONEY, "Reduced price"),
            Column("currency", "string", "Currency of the prices (ISO 4217)"),
            Column("color", "string", "Color; from the API, the number of the option if it is one of a list"),
            Column("size", "string", "Size; likewise"),
            Column("description", "string", "Description, HTML"),
            Column("visibility", "string", "Where it is shown: Catalog, Search; n/a if unknown"),
            Column("is_active", "boolean", "Whether it is enabled"),
            Column("quantity", _PIECES, "Pieces in stock, over all sources"),
            Column("is_in_stock", "boolean", "Whether it can be bought"),
            Column("created_at", "timestamp", "When it was created"),
            Column("updated_at", "timestamp", "When it was last changed"),
        ),
        rules=(
            *_PRODUCT_RULES,
            Rule("name_present", "name IS NOT NULL", "warn", "The product has a name."),
            Rule("brand_present", "brand IS NOT NULL", "warn", "The brand is given."),
            Rule("special_price_below_price", "COALESCE(special_price < price, TRUE)", "warn", "A reduced price is lower."),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(PRODUCTS_FEED, clean_products),),
)

PRODUCT_VERSIONS = SilverTable(
    Contract(
        table="magento_product_versions",
        description="Price, brand and category of the shop's products over time, one row a SKU and period in which none of them "
        "changed. Exports name a category by its path, the API by its number: the change from one to the other is a row version too.",
        owner="team:product-data",
        mode="history",
        key=("sku",),
        sequence="updated_at",
        columns=(
            Column("sku", "string", "Stock keeping unit"),
            Column("price", _MONEY, "Price"),
            Column("currency", "string", "Currency of the price (ISO 4217)"),
            Column("brand", "string", "Brand, in capitals"),
            Column("category_path", "string", "First category, as names from the root; NULL from the API"),
            Column("category_id", "int", "First category, as in magento_categories; NULL from an export"),
            Column("updated_at", "timestamp", "When the product was last changed"),
        ),
        rules=_PRODUCT_RULES,
        freshness=timedelta(days=2),
    ),
    (Input(PRODUCTS_FEED, clean_products),),
)

CATEGORIES = SilverTable(
    Contract(
        table="magento_categories",
        description="Categories of the web shop, one row each: a tree.",
        owner="team:product-data",
        key=("category_id",),
        sequence="updated_at",
        columns=(
            Column("category_id", "int", "Number of the category"),
            Column("parent_id", "int", "Number of the category above; 0 for the root"),
            Column("name", "string", "Name"),
            Column("path", "string", "Numbers from the root to the category, such as 1/2/20"),
            Column("level", "int", "How many categories are above"),
            Column("position", "int", "Place among its neighbours"),
            Column("is_active", "boolean", "Whether it is shown"),
            Column("created_at", "timestamp", "When it was created"),
            Column("updated_at", "timestamp", "When it was last changed"),
        ),
        rules=(
            Rule("name_present", "name IS NOT NULL", "warn", "The category has a name."),
            Rule(
                "path_ends_in_category_id",
                "SPLIT_PART(path, '/', -1) = CAST(category_id AS STRING)",
                "warn",
                "The path ends with the category itself.",
            ),
        ),
        freshness=timedelta(days=14),
    ),
    (Input(CATEGORIES_FEED, clean_categories),),
)

CUSTOMERS = SilverTable(
    Contract(
        table="magento_customers",
        description="Customers with an account in the web shop, one row each.",
        owner="team:customer-data",
        key=("customer_id",),
        sequence=("updated_at", LOG_POSITION.name),
        deleted="is_delete",
        columns=(
            Column("customer_id", "int", "Number of the customer in the shop"),
            Column("email", "string", "E-mail address, in small letters", personal=True),
            Column("first_name", "string", "First name", personal=True),
            Column("last_name", "string", "Last name", personal=True),
            Column("customer_group", "string", "General, Wholesale, Retailer or Not Logged In; Other for the shop's own groups"),
            Column("gender", "string", "Female, Male or n/a", personal=True),
            Column("birth_date", "date", "Day of birth", personal=True),
            Column("country", "string", "Country of the billing address (ISO 3166); NULL where the source does not say"),
            Column("is_active", "boolean", "Whether the account is active; true where the source does not say"),
            Column("created_at", "timestamp", "When the customer registered"),
            Column("updated_at", "timestamp", "When the record was last changed"),
            _IN_LOG,
        ),
        rules=(
            *change_rules(),
            Rule("email_has_at", "email LIKE '%_@_%'", "warn", "The e-mail address has an @."),
            Rule("country_present", "country IS NOT NULL", "warn", "The country is given."),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(CUSTOMERS_FEED, clean_customers), Input(CUSTOMER_CHANGES_FEED, clean_customer_changes)),
)

CUSTOMER_VERSIONS = SilverTable(
    Contract(
        table="magento_customer_versions",
        description="Country of the web shop's customers over time, one row a customer and period in which the shop said the same. "
        "Change events name no country, unless the connector adds it: the change from an export to them is a row version too.",
        owner="team:customer-data",
        mode="history",
        key=("customer_id",),
        sequence=("updated_at", LOG_POSITION.name),
        deleted="is_delete",
        columns=(
            Column("customer_id", "int", "Number of the customer in the shop"),
            Column("country", "string", "Country of the billing address (ISO 3166); NULL where the source does not say"),
            Column("updated_at", "timestamp", "When the record was last changed"),
            _IN_LOG,
        ),
        rules=change_rules(),
        freshness=timedelta(days=2),
    ),
    (Input(CUSTOMERS_FEED, clean_customers), Input(CUSTOMER_CHANGES_FEED, clean_customer_changes)),
)

ORDERS = SilverTable(
    Contract(
        table="magento_orders",
        description="Orders of the web shop, one row each: as they stand now.",
        owner="team:sales",
        key=("order_id",),
        sequence=("updated_at", LOG_POSITION.name),
        deleted="is_delete",
        columns=(
            Column("order_id", "int", "Number of the order within the shop"),
            Column("order_number", "string", "Number that the customer knows, such as 000000042"),
            Column("state", "string", ", ".join(_STATES)),
            Column("status", "string", "The shop's own name for the state"),
            Column("store_id", "int", "Number of the store view"),
            Column("customer_id", "int", "Number of the customer, as in magento_customers; NULL for guests"),
            Column("email", "string", "E-mail address, in small letters", personal=True),
            Column("is_guest", "boolean", "Whether it was ordered without an account"),
            Column("country", "string", "Country of the billing address (ISO 3166)"),
            Column("payment_method", "string", "Code of the payment method, such as checkmo"),
            Column("currency", "string", "Currency of the amounts (ISO 4217)"),
            Column("base_currency", "string", "Currency of base_grand_total (ISO 4217)"),
            Column("subtotal", _MONEY, "Sum of the lines"),
            Column("discount_amount", _MONEY, "Discount, negative"),
            Column("shipping_amount", _MONEY, "Shipping"),
            Column("tax_amount", _MONEY, "Tax"),
            Column("grand_total", _MONEY, "What is to be paid"),
            Column("base_grand_total", _MONEY, "What is to be paid, in the base currency"),
            Column("total_paid", _MONEY, "What has been paid; 0 where the source gives nothing"),
            Column("total_refunded", _MONEY, "What has been paid back; 0 where the source gives nothing"),
            Column("pieces", _PIECES, "Pieces ordered"),
            Column("created_at", "timestamp", "When it was ordered"),
            Column("updated_at", "timestamp", "When the order was last changed"),
            _IN_LOG,
        ),
        rules=(
            *change_rules(),
            Rule("state_known", f"state IN {_STATES}", "warn", "The state is one of Magento's."),
            Rule("currency_is_a_code", f"currency RLIKE '^{CURRENCY_CODE}\\\\z'", "drop", "The currency is a code of ISO 4217."),
            Rule("created_at_present", "created_at IS NOT NULL", "drop", "An order has a time at which it was placed."),
            Rule("grand_total_not_negative", "grand_total >= 0", "drop", "What is to be paid is known and not below 0."),
            Rule(
                "grand_total_is_the_sum",
                "ABS(subtotal + discount_amount + shipping_amount + tax_amount - grand_total) <= 0.01",
                "warn",
                "What is to be paid is lines, discount, shipping and tax, up to a cent.",
            ),
            Rule("paid_in_full_when_complete", "state <> 'complete' OR total_paid >= grand_total", "warn", "It is paid."),
            Rule("email_has_at", "email LIKE '%_@_%'", "warn", "The e-mail address has an @."),
        ),
        relationships=(Relationship("customer_id", "magento_customers", "customer_id"),),
        freshness=timedelta(days=2),
    ),
    (Input(ORDERS_FEED, clean_orders), Input(ORDER_CHANGES_FEED, clean_order_changes)),
)

ORDER_ITEMS = SilverTable(
    Contract(
        table="magento_order_items",
        description="Lines of the web shop's orders. A variant comes as two: count lines without parent_item_id, which have the price.",
        owner="team:sales",
        key=("item_id",),
        sequence="updated_at",
        columns=(
            Column("item_id", "int", "Number of the line"),
            Column("order_id", "int", "Number of the order, as in magento_orders"),
            Column("parent_item_id", "int", "Line that this one is part of; NULL for what the customer bought"),
            Column("product_type", "string", "simple, configurable, virtual, bundle, …"),
            Column("sku", "string", "Stock keeping unit, as in magento_products; that of the variant"),
            Column("name", "string", "Name of the product when it was ordered, each word with a capital"),
            Column("quantity", _PIECES, "Pieces ordered"),
            Column("quantity_canceled", _PIECES, "Pieces canceled"),
            Column("quantity_shipped", _PIECES, "Pieces shipped"),
            Column("quantity_refunded", _PIECES, "Pieces refunded"),
            Column("price", _MONEY, "Price of a piece in the order's currency, without tax"),
            Column("base_price", _MONEY, "The same in the order's base currency"),
            Column("row_total", _MONEY, "Price times pieces in the order's currency"),
            Column("base_row_total", _MONEY, "The same in the order's base currency"),
            Column("discount_amount", _MONEY, "Discount on the line"),
            Column("tax_amount", _MONEY, "Tax on the line"),
            Column("updated_at", "timestamp", "When the line was last changed"),
        ),
        rules=(
            Rule("sku_present", "sku IS NOT NULL", "drop", "It is known what was ordered."),
            Rule("quantity_positive", "quantity > 0", "drop", "At least a part of a piece was ordered."),
            Rule("price_not_negative", "price >= 0", "drop", "The price is known and not below 0."),
            Rule(
                "row_total_is_quantity_times_price",
                "ABS(row_total - quantity * price) <= 0.01 * quantity",
                "warn",
                "The amount is quantity times price, up to a cent a piece.",
            ),
        ),
        relationships=(
            Relationship("order_id", "magento_orders", "order_id", outcome="drop"),
            Relationship("sku", "magento_products", "sku"),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(ORDER_ITEMS_FEED, clean_order_items), Input(ORDERS_FEED, clean_nested_items, each="items")),
)

INVENTORY = SilverTable(
    Contract(
        table="magento_inventory",
        description="Stock of the web shop by day, source and SKU, as it was when the file landed.",
        owner="team:logistics",
        key=("source_code", "sku"),
        mode="snapshot",
        columns=(
            Column("date", "date", "Day of the count: the landing date"),
            Column("source_code", "string", "Source, in small letters: where the pieces are"),
            Column("sku", "string", "Stock keeping unit, as in magento_products"),
            Column("quantity", _PIECES, "Pieces; what is ordered and not shipped is among them"),
            Column("is_in_stock", "boolean", "Whether the source may sell it"),
        ),
        rules=(
            Rule("quantity_present", "quantity IS NOT NULL", "drop", "The number of pieces is given."),
            Rule("quantity_not_negative", "quantity >= 0", "warn", "There are not fewer than no pieces."),
        ),
        relationships=(Relationship("sku", "magento_products", "sku"),),
        freshness=timedelta(days=2),
    ),
    (Input(INVENTORY_FEED, clean_inventory),),
)

SYSTEM = System(
    name="magento",
    description="The web shop, Magento 2: catalog, customers, orders and stock, from exports, the REST API and change events.",
    tables=(PRODUCTS, PRODUCT_VERSIONS, CATEGORIES, CUSTOMERS, CUSTOMER_VERSIONS, ORDERS, ORDER_ITEMS, INVENTORY),
)
