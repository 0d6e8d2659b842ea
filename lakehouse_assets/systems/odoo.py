"""The ERP of warehouses and purchasing, Odoo: products, categories, stock and sale orders.

Today's Odoo answers in JSON: by `search_read`, where a reference is a pair, `[31, "[BELL-2] Bell"]`, and an empty field is `false`; or
by `web_search_read`, where a reference is an object, and a nested list has its records. Odoo 8 exported CSV, by external ids. Times are
in UTC.

Odoo's numbers mean nothing elsewhere. What it shares with the shop is `product_code`, its internal reference, or the name. A product
without a reference goes by its number, as all variants of a product have its name. An export of Odoo 8 has no numbers: what it calls by
an external id is a row of its own beside the numbered one, and the two share `product_name`.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json
from lakehouse_assets.contracts.money import CURRENCY_CODE
from lakehouse_assets.contracts.provenance import CURRENCY, DATE_COLUMN, ITEM_TEXT
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.systems.cleaning import capitals, plain, text, with_columns, words

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_JSON = Json(records="records")
_MONEY, _PIECES = "decimal(16,4)", "decimal(16,4)"
_ORDER_STATES = ("draft", "sent", "sale", "done", "cancel")
_MOVE_STATES = ("draft", "waiting", "confirmed", "partially_available", "assigned", "done", "cancel")
_UNCATEGORIZED = "Uncategorized"
_OUTSIDE = ("Partners", "Partner Locations", "Virtual Locations", "Inter-company transit", "Inter-warehouse transit")
"""The first part of the names of places that are in no warehouse: customers, vendors, losses, what is on its way."""


def clean_products(raw: "DataFrame") -> "DataFrame":
    """Name in initial capitals; `Uncategorized` and prices of 0 where they are missing."""
    path = f"COALESCE({_given('category')}, '{_UNCATEGORIZED}')"
    return with_columns(
        raw,
        product_id=_given("id"),
        default_code=_code("default_code"),
        product_code=_code_or_number(_code("default_code"), _given("id"), _given("name")),
        product_name=capitals(plain(_given("name"))),
        product_type=words("type", {"PRODUCT": "Stockable", "CONSU": "Consumable", "SERVICE": "Service", "COMBO": "Combo"}),
        category=f"SPLIT_PART({path}, ' / ', -1)",
        category_path=path,
        list_price=f"COALESCE({_given('list_price')}, '0')",
        standard_price=f"COALESCE({_given('standard_price')}, '0')",
        currency=CURRENCY,
        units_in_stock=_given("qty_available"),
        barcode=_given("barcode"),
        description=_given("description_sale"),
        is_active="COALESCE(LOWER(TRIM(active)) NOT IN ('false', '0'), TRUE)",
        created_at=_given("create_date"),
        updated_at=_given("write_date"),
    )


def clean_categories(raw: "DataFrame") -> "DataFrame":
    """The path, and what of it is above the last name."""
    names = f"SPLIT({_given('complete_name')}, ' / ')"
    return with_columns(
        raw,
        category_path=_given("complete_name"),
        category_id=_given("id"),
        category=f"SPLIT_PART({_given('complete_name')}, ' / ', -1)",
        parent_path=text(f"ARRAY_JOIN(SLICE({names}, 1, SIZE({names}) - 1), ' / ')"),
        level=f"SIZE({names}) - 1",
    )


def clean_inventory(raw: "DataFrame") -> "DataFrame":
    """A quant, as of the landing date."""
    return with_columns(
        raw,
        date=DATE_COLUMN,
        quant_id=_given("id"),
        **_product(),
        location=_given("location"),
        warehouse=_warehouse(_given("location")),
        lot=_given("lot"),
        quantity=_given("quantity"),
        reserved_quantity=f"COALESCE({_given('reserved_quantity')}, '0')",
    )


def clean_stock_moves(raw: "DataFrame") -> "DataFrame":
    """A move from a location to another. What has moved is the done quantity, or else, of older releases, what was asked for."""
    is_done = "LOWER(TRIM(state)) = 'done'"
    return with_columns(
        raw,
        move_id=_given("id"),
        reference=_given("reference"),
        origin=_given("origin"),
        **_product(),
        state=f"LOWER({_given('state')})",
        quantity_asked=_given("product_uom_qty"),
        quantity=f"CASE WHEN {is_done} THEN COALESCE({_given('quantity')}, {_given('product_uom_qty')}) ELSE '0' END",
        from_location=_given("from_location"),
        to_location=_given("to_location"),
        from_warehouse=_warehouse(_given("from_location")),
        to_warehouse=_warehouse(_given("to_location")),
        moved_at=_given("date"),
        # Not `date` where it is missing: until a move is done, that is when it is planned for, which may be after it is done.
        updated_at=_given("write_date"),
    )


def clean_sale_orders(raw: "DataFrame") -> "DataFrame":
    """Trim all texts; e-mail address in small letters."""
    return with_columns(
        raw,
        order_id=_given("id"),
        order_number=_given("name"),
        state=f"LOWER({_given('state')})",
        partner_id=_given("partner_id"),
        partner_name=_given("partner"),
        email=f"LOWER({_given('email')})",
        origin=_given("origin"),
        warehouse=_given("warehouse"),
        currency=f"UPPER(COALESCE({_given('currency')}, {CURRENCY}))",
        amount_untaxed=_given("amount_untaxed"),
        amount_tax=f"COALESCE({_given('amount_tax')}, '0')",
        amount_total=_given("amount_total"),
        ordered_at=_given("date_order"),
        updated_at=f"COALESCE({_given('write_date')}, {_given('date_order')})",
    )


def clean_sale_order_lines(raw: "DataFrame") -> "DataFrame":
    """Lines within an order. The time of change is the order's."""
    fields = {
        name: f"GET_JSON_OBJECT({ITEM_TEXT}, '$.{path}')"
        for name, path in (
            ("line_id", "id"),
            ("product_id", "product_id.id"),
            ("product", "product_id.display_name"),
            *((name, name) for name in ("product_uom_qty", "price_unit", "discount", "price_subtotal")),
        )
    }
    return with_columns(
        with_columns(raw, **fields),
        line_id=_given("line_id"),
        order_id=_given("id"),
        **_product(),
        quantity=_given("product_uom_qty"),
        price_unit=_given("price_unit"),
        discount=f"COALESCE({_given('discount')}, '0')",
        subtotal=_given("price_subtotal"),
        updated_at=f"COALESCE({_given('write_date')}, {_given('date_order')})",
    )


def _given(column: str) -> str:
    """SQL: the trimmed text; NULL if it is empty or `false`, which is how Odoo writes nothing."""
    return f"NULLIF({text(column)}, 'false')"


def _code(column: str) -> str:
    """SQL: an internal reference, with plain hyphens."""
    return plain(_given(column))


def _code_or_number(code: str, number: str, name: str) -> str:
    """SQL: what identifies a product: its internal reference, else `id:` and its number, else `name:` and the name in small letters."""
    return f"COALESCE({code}, CONCAT('id:', {number}), CONCAT('name:', LOWER({plain(name)})))"


def _product() -> dict[str, str]:
    """SQL by column: the product that `product_id` and its name in `product`, `[BELL-2] Bell`, refer to."""
    shown, reference = _given("product"), r"^\\[([^\\]]+)\\] *"
    name = f"REGEXP_REPLACE({shown}, '{reference}', '')"
    return {
        "product_id": _given("product_id"),
        "product_code": _code_or_number(_code(f"REGEXP_EXTRACT({shown}, '{reference}', 1)"), _given("product_id"), name),
        "product_name": capitals(plain(name)),
    }


def _warehouse(location: str) -> str:
    """SQL: the short name of the warehouse, the first part of `WH/Stock/Shelf 1`; NULL for a place outside of all warehouses."""
    first = f"TRIM(SPLIT_PART(REGEXP_REPLACE({location}, '^Physical Locations */ *', ''), '/', 1))"
    return f"CASE WHEN {first} NOT IN {_OUTSIDE} THEN {first} END"


def _columns(described: dict[str, str], *required: str) -> tuple[SourceColumn, ...]:
    return tuple(SourceColumn(name, meaning, required=name in required) for name, meaning in described.items())


def _references(told_by: str, nested: dict[str, str], **fields: str) -> tuple[Dialect, Dialect]:
    """Return the dialects of today's Odoo. Each record has an `id` and the field `told_by`, and a reference in the first of `fields`.

    `fields` has the field of each column that is read from a reference: the number where the column is named like the field, else the
    name. `nested` has paths of further columns, of which only `web_search_read` has values.
    """
    numbers, names = ({c: f for c, f in fields.items() if (c == f) is wanted} for wanted in (True, False))
    records = {c: f"{f}.id" for c, f in numbers.items()} | {c: f"{f}.display_name" for c, f in names.items()} | nested
    pairs = {c: f"{f}.0" for c, f in numbers.items()} | {c: f"{f}.1" for c, f in names.items()}
    told_by_record = ("id", f"{next(iter(fields.values()))}.display_name")
    return (
        Dialect("web_search_read", told_by=told_by_record, columns=records, omits_nulls=True),
        Dialect("search_read", told_by=("id", told_by), columns=pairs, omits_nulls=True),
    )


_PRODUCT_FIELDS = {"product_id": "Number of the product", "product": "Reference and name of the product, [BELL-2] Bell"}

PRODUCTS_FEED = Feed(
    "odoo/products",
    _columns(
        {
            "id": "Number, or the external id in an export",
            "name": "Name; variants may have none of their own",
            "default_code": "Internal reference",
            "category": "Path of the category",
            "type": "consu, service, combo; product in older releases",
            "uom": "Unit",
            "list_price": "Price",
            "standard_price": "Cost",
            "weight": "Weight",
            "barcode": "Barcode",
            "qty_available": "Pieces in stock, over all warehouses",
            "description_sale": "Description, of several lines",
            "active": "Whether it is not archived",
            "create_date": "When it was created",
            "write_date": "When it was last changed",
        },
        *("id", "name", "default_code"),
    ),
    (Csv(), _JSON),
    dialects=(
        Dialect("export_8", told_by=("external_id", "default_code"), columns={"id": "external_id", "category": "categ_path"}),
        *_references("name", {}, category="categ_id", uom="uom_id"),
    ),
    currency="USD",
)
CATEGORIES_FEED = Feed(
    "odoo/categories",
    _columns(
        {
            "id": "Number, or the external id in an export",
            "name": "Name",
            "complete_name": "Path: the names from the top, with / between them",
        },
        *("id", "complete_name"),
    ),
    (Csv(), _JSON),
    dialects=(
        Dialect("export_8", told_by=("external_id", "complete_name"), columns={"id": "external_id"}),
        Dialect("search_read", told_by=("id", "complete_name")),
    ),
)
INVENTORY_FEED = Feed(
    "odoo/inventory",
    _columns(
        {
            "id": "Number of the quant",
            **_PRODUCT_FIELDS,
            "location": "Where the pieces are, WH/Stock",
            "lot": "Lot or serial number",
            "quantity": "Pieces",
            "reserved_quantity": "Pieces that are reserved for moves",
        },
        *("id", "product_id", "location", "quantity"),
    ),
    _JSON,
    dialects=_references("product_id", {}, product="product_id", product_id="product_id", location="location_id", lot="lot_id"),
)
STOCK_MOVES_FEED = Feed(
    "odoo/stock_moves",
    _columns(
        {
            "id": "Number of the move",
            "reference": "Document, WH/OUT/00042",
            "origin": "What caused it, such as the number of an order",
            **_PRODUCT_FIELDS,
            "product_uom_qty": "Pieces asked for",
            "quantity": "Pieces moved, or reserved so far",
            "from_location": "Where from",
            "to_location": "Where to",
            "state": "One of " + ", ".join(_MOVE_STATES),
            "date": "When it took place, or is to",
            "write_date": "When it was last changed",
        },
        *("id", "product_id", "from_location", "to_location", "state", "date"),
    ),
    _JSON,
    dialects=_references(
        "product_id",
        {},
        product="product_id",
        product_id="product_id",
        from_location="location_id",
        to_location="location_dest_id",
    ),
)
SALE_ORDERS_FEED = Feed(
    "odoo/sale_orders",
    _columns(
        {
            "id": "Number within the database",
            "name": "Number that the customer knows, S00042",
            "state": "One of " + ", ".join(_ORDER_STATES),
            "partner_id": "Number of the customer",
            "partner": "Name of the customer",
            "email": "E-mail address of the customer, if it is asked for with the partner",
            "origin": "What it came from, such as the number of an order of the shop",
            "warehouse": "Warehouse",
            "currency": "Currency of the amounts",
            "amount_untaxed": "Sum of the lines",
            "amount_tax": "Tax",
            "amount_total": "What is to be paid",
            "date_order": "When it was ordered",
            "write_date": "When it was last changed",
            "lines": "The order's lines, JSON, where they are nested; mere numbers of lines stay in order_line",
        },
        *("id", "name", "state", "amount_total", "date_order"),
    ),
    _JSON,
    dialects=_references(
        "name",
        {"email": "partner_id.email", "lines": "order_line"},
        partner="partner_id",
        partner_id="partner_id",
        currency="currency_id",
        warehouse="warehouse_id",
    ),
    currency="USD",
)

_PRODUCT_COLUMNS = (
    Column("product_id", "string", "Number of the product within Odoo"),
    Column("product_code", "string", "Code of the product, as in odoo_products"),
    Column("product_name", "string", "Name of the product, each word with a capital"),
)
_TO_PRODUCT = Relationship("product_code", "odoo_products", "product_code")

PRODUCTS = SilverTable(
    Contract(
        table="odoo_products",
        description="Products of the ERP, one row a code. Of several products with one internal reference, the last changed one.",
        owner="team:product-data",
        key=("product_code",),
        sequence="updated_at",
        columns=(
            Column(
                "product_code",
                "string",
                "Internal reference, which is the shop's SKU; else `id:` and product_id; without either, `name:` and the name",
            ),
            Column("default_code", "string", "Internal reference; NULL where there is none"),
            Column("product_id", "string", "Number within Odoo; the external id from an export"),
            Column("product_name", "string", "Name, each word with a capital"),
            Column("product_type", "string", "Stockable, Consumable, Service, Combo or n/a"),
            Column("category", "string", "Category; Uncategorized where there is none"),
            Column(
                "category_path", "string", "Category and those above, as in odoo_categories; Uncategorized where there is none"
            ),
            Column("list_price", _MONEY, "Price; 0 where there is none"),
            Column("standard_price", _MONEY, "Cost; 0 where there is none"),
            Column("currency", "string", "Currency of price and cost (ISO 4217)"),
            Column("units_in_stock", _PIECES, "Pieces in stock, over all warehouses"),
            Column("barcode", "string", "Barcode"),
            Column("description", "string", "Description"),
            Column("is_active", "boolean", "Whether it is not archived"),
            Column("created_at", "timestamp", "When it was created; NULL from an export"),
            Column("updated_at", "timestamp", "When it was last changed; NULL from an export"),
        ),
        rules=(
            Rule(
                "default_code_present",
                "default_code IS NOT NULL",
                "warn",
                "The product has an internal reference; without one it stays, and goes by its number.",
            ),
            Rule("product_name_present", "product_name IS NOT NULL", "warn", "The product has a name: variants may lack one."),
            Rule("prices_not_negative", "list_price >= 0 AND standard_price >= 0", "drop", "Neither price nor cost is below 0."),
        ),
        freshness=timedelta(days=14),
    ),
    (Input(PRODUCTS_FEED, clean_products),),
)

CATEGORIES = SilverTable(
    Contract(
        table="odoo_categories",
        description="Categories of products in the ERP, one row a path.",
        owner="team:product-data",
        key=("category_path",),
        columns=(
            Column("category_path", "string", "Names from the top, with / between them: All / Saleable / Parts"),
            Column("category_id", "string", "Number within Odoo; the external id from an export"),
            Column("category", "string", "Name"),
            Column("parent_path", "string", "Path of the category above; NULL at the top"),
            Column("level", "int", "How many categories are above"),
        ),
        relationships=(Relationship("parent_path", "odoo_categories", "category_path"),),
        freshness=timedelta(days=14),
    ),
    (Input(CATEGORIES_FEED, clean_categories),),
)

INVENTORY = SilverTable(
    Contract(
        table="odoo_inventory",
        description="Stock of the ERP by day: quants, the pieces of a product at a location, as they were when the file landed.",
        owner="team:logistics",
        key=("quant_id",),
        mode="snapshot",
        columns=(
            Column("date", "date", "Day of the count: the landing date"),
            Column("quant_id", "string", "Number of the quant"),
            *_PRODUCT_COLUMNS,
            Column("location", "string", "Where the pieces are, such as WH/Stock/Shelf 1"),
            Column("warehouse", "string", "Short name of the warehouse, such as WH; NULL outside of all warehouses"),
            Column("lot", "string", "Lot or serial number"),
            Column("quantity", _PIECES, "Pieces; reserved ones are among them"),
            Column("reserved_quantity", _PIECES, "Pieces that are reserved for moves"),
        ),
        rules=(
            Rule("product_code_present", "product_code IS NOT NULL", "drop", "It is known what is there."),
            Rule("quantity_present", "quantity IS NOT NULL", "drop", "The number of pieces is given."),
            Rule(
                "quantity_not_negative", "quantity >= 0 OR warehouse IS NULL", "warn", "A warehouse has not fewer than no pieces."
            ),
            Rule("reserved_is_there", "reserved_quantity <= quantity", "warn", "No more is reserved than is there."),
        ),
        relationships=(_TO_PRODUCT,),
        freshness=timedelta(days=2),
    ),
    (Input(INVENTORY_FEED, clean_inventory),),
)

STOCK_MOVES = SilverTable(
    Contract(
        table="odoo_stock_moves",
        description="Moves of stock in the ERP, one row each: what came, went, and changed its place.",
        owner="team:logistics",
        key=("move_id",),
        sequence="updated_at",
        columns=(
            Column("move_id", "int", "Number of the move"),
            Column("reference", "string", "Document, such as WH/OUT/00042"),
            Column("origin", "string", "What caused it, such as the number of an order of the shop"),
            *_PRODUCT_COLUMNS,
            Column("state", "string", ", ".join(_MOVE_STATES)),
            Column("quantity_asked", _PIECES, "Pieces asked for"),
            Column("quantity", _PIECES, "Pieces moved; 0 until it is done"),
            Column("from_location", "string", "Where from"),
            Column("to_location", "string", "Where to"),
            Column("from_warehouse", "string", "Warehouse that the pieces left; NULL if they came from outside"),
            Column("to_warehouse", "string", "Warehouse that the pieces reached; NULL if they went outside"),
            Column("moved_at", "timestamp", "When it took place; of a move that is not done, when it is to"),
            Column(
                "updated_at",
                "timestamp",
                "When the move was last changed; NULL if not sent: of such rows the last landed counts",
            ),
        ),
        rules=(
            Rule("product_code_present", "product_code IS NOT NULL", "drop", "It is known what moved."),
            Rule("state_known", f"state IN {_MOVE_STATES}", "drop", "The state is one of Odoo's."),
            Rule("moved_at_present", "moved_at IS NOT NULL", "drop", "The move has a time."),
            Rule("quantity_not_negative", "quantity >= 0", "drop", "The pieces moved are known and not below 0."),
        ),
        relationships=(_TO_PRODUCT,),
        freshness=timedelta(days=2),
    ),
    (Input(STOCK_MOVES_FEED, clean_stock_moves),),
)

SALE_ORDERS = SilverTable(
    Contract(
        table="odoo_sale_orders",
        description="Sale orders of the ERP, one row each: as they stand now.",
        owner="team:sales",
        key=("order_id",),
        sequence="updated_at",
        columns=(
            Column("order_id", "int", "Number of the order within Odoo"),
            Column("order_number", "string", "Number that the customer knows, such as S00042"),
            Column("state", "string", ", ".join(_ORDER_STATES)),
            Column("partner_id", "int", "Number of the customer within Odoo"),
            Column("partner_name", "string", "Name of the customer", personal=True),
            Column("email", "string", "E-mail address of the customer, in small letters", personal=True),
            Column("origin", "string", "What it came from, such as the number of an order of the shop"),
            Column("warehouse", "string", "Name of the warehouse that delivers"),
            Column("currency", "string", "Currency of the amounts (ISO 4217)"),
            Column("amount_untaxed", _MONEY, "Sum of the lines"),
            Column("amount_tax", _MONEY, "Tax"),
            Column("amount_total", _MONEY, "What is to be paid"),
            Column("ordered_at", "timestamp", "When it was ordered"),
            Column("updated_at", "timestamp", "When the order was last changed"),
        ),
        rules=(
            Rule("state_known", f"state IN {_ORDER_STATES}", "drop", "The state is one of Odoo's."),
            Rule("ordered_at_present", "ordered_at IS NOT NULL", "drop", "An order has a time at which it was placed."),
            Rule("amount_total_not_negative", "amount_total >= 0", "drop", "What is to be paid is known and not below 0."),
            Rule("currency_is_a_code", f"currency RLIKE '^{CURRENCY_CODE}\\\\z'", "drop", "The currency is a code of ISO 4217."),
            Rule(
                "amount_total_is_the_sum",
                "ABS(amount_untaxed + amount_tax - amount_total) <= 0.01",
                "warn",
                "What is to be paid is lines and tax, up to a cent.",
            ),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(SALE_ORDERS_FEED, clean_sale_orders),),
)

SALE_ORDER_LINES = SilverTable(
    Contract(
        table="odoo_sale_order_lines",
        description="Lines of the ERP's sale orders, where they come within the order.",
        owner="team:sales",
        key=("line_id",),
        sequence="updated_at",
        columns=(
            Column("line_id", "int", "Number of the line"),
            Column("order_id", "int", "Number of the order, as in odoo_sale_orders"),
            *_PRODUCT_COLUMNS,
            Column("quantity", _PIECES, "Pieces; 0 in a line that was canceled, below 0 in a return"),
            Column(
                "price_unit",
                _MONEY,
                "Price of a piece in the order's currency, without tax; below 0 in a line that is a discount",
            ),
            Column("discount", "decimal(7,4)", "Discount in percent"),
            Column("subtotal", _MONEY, "Amount of the line in the order's currency, without tax"),
            Column("updated_at", "timestamp", "When the order was last changed"),
        ),
        rules=(
            Rule(
                "product_code_present", "product_code IS NOT NULL", "drop", "A line is of a product: notes and headings are not."
            ),
            Rule("quantity_present", "quantity IS NOT NULL", "drop", "The number of pieces is given."),
            Rule("price_present", "price_unit IS NOT NULL", "drop", "The price is given."),
            Rule(
                "subtotal_is_quantity_times_price",
                "ABS(subtotal - quantity * price_unit * (100 - discount) / 100) <= 0.01 * GREATEST(ABS(quantity), 1)",
                "warn",
                "The amount is quantity times price less discount, up to a cent a piece, and to a cent in any case.",
            ),
        ),
        relationships=(Relationship("order_id", "odoo_sale_orders", "order_id", outcome="drop"), _TO_PRODUCT),
        freshness=timedelta(days=2),
    ),
    (Input(SALE_ORDERS_FEED, clean_sale_order_lines, each="lines"),),
)

SYSTEM = System(
    name="odoo",
    description="The ERP of warehouses and purchasing, Odoo: products, categories, stock, its moves, and sale orders.",
    tables=(PRODUCTS, CATEGORIES, INVENTORY, STOCK_MOVES, SALE_ORDERS, SALE_ORDER_LINES),
)
