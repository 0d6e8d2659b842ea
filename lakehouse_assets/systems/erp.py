"""The ERP: more about the CRM's customers (demographics, locations) and products (categories), exported as CSV."""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.systems.cleaning import text, words

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def clean_customer_demographics(raw: "DataFrame") -> "DataFrame":
    """Derive the CRM's customer number from the ERP's, drop births after landing, write gender as words."""
    return raw.selectExpr(
        "*",
        "CASE WHEN TRIM(cid) LIKE 'NAS%' THEN SUBSTRING(TRIM(cid), 4) ELSE TRIM(cid) END AS customer_number",
        f"{typed('TRIM(bdate)', 'date')} AS _birth",
        f"{words('gen', {'F': 'Female', 'FEMALE': 'Female', 'M': 'Male', 'MALE': 'Male'})} AS gender",
    ).selectExpr("*", f"CASE WHEN _birth > _date THEN NULL ELSE {text('bdate')} END AS birth_date")


def clean_customer_locations(raw: "DataFrame") -> "DataFrame":
    """Derive the CRM's customer number from the ERP's, and use one name per country."""
    return raw.selectExpr(
        "*",
        "REPLACE(TRIM(cid), '-', '') AS customer_number",
        """CASE WHEN UPPER(TRIM(cntry)) IN ('US', 'USA', 'UNITED STATES') THEN 'United States'
                WHEN UPPER(TRIM(cntry)) IN ('DE', 'GERMANY') THEN 'Germany'
                WHEN COALESCE(TRIM(cntry), '') = '' THEN 'n/a' ELSE TRIM(cntry) END AS country""",
    )


def clean_product_categories(raw: "DataFrame") -> "DataFrame":
    """Trim all texts; maintenance as true, false or NULL."""
    return raw.selectExpr(
        "*",
        "TRIM(id) AS category_id",
        "TRIM(cat) AS category",
        "TRIM(subcat) AS subcategory",
        "CASE UPPER(TRIM(maintenance)) WHEN 'YES' THEN TRUE WHEN 'NO' THEN FALSE END AS needs_maintenance",
    )


CUSTOMER_DEMOGRAPHICS_FEED = Feed(
    "erp/customer_demographics",
    (
        SourceColumn("CID", "Customer number, sometimes with the prefix NAS"),
        SourceColumn("BDATE", "Day of birth, yyyy-mm-dd; some lie in the future"),
        SourceColumn("GEN", "Gender in many spellings"),
    ),
)

CUSTOMER_DEMOGRAPHICS = SilverTable(
    Contract(
        table="erp_customer_demographics",
        description="Birth and gender of customers as the ERP knows them, one row a customer.",
        owner="team:customer-data",
        key=("customer_number",),
        columns=(
            Column("customer_number", "string", "Customer number as in crm_customers"),
            Column("birth_date", "date", "Day of birth; NULL where the source's lies after the landing date", personal=True),
            Column("gender", "string", "Female, Male or n/a", personal=True),
        ),
        rules=(
            Rule(
                "birth_date_not_in_future",
                "COALESCE(_birth <= _date, TRUE)",
                "warn",
                "Nobody is born after the day on which the file landed; where the source says so, the date is dropped.",
            ),
            Rule("gender_known", "gender <> 'n/a'", "warn", "The gender is given."),
        ),
        relationships=(Relationship("customer_number", "crm_customers", "customer_number"),),
        freshness=timedelta(days=2),
    ),
    (Input(CUSTOMER_DEMOGRAPHICS_FEED, clean_customer_demographics),),
)

CUSTOMER_LOCATIONS_FEED = Feed(
    "erp/customer_locations",
    (
        SourceColumn("CID", "Customer number with a dash, such as AW-00011000"),
        SourceColumn("CNTRY", "Country in many spellings"),
    ),
)

CUSTOMER_LOCATIONS = SilverTable(
    Contract(
        table="erp_customer_locations",
        description="Countries of customers as the ERP knows them, one row a customer.",
        owner="team:customer-data",
        key=("customer_number",),
        columns=(
            Column("customer_number", "string", "Customer number as in crm_customers"),
            Column("country", "string", "Name of the country in English, or n/a"),
        ),
        rules=(Rule("country_known", "country <> 'n/a'", "warn", "The country is given."),),
        relationships=(Relationship("customer_number", "crm_customers", "customer_number"),),
        freshness=timedelta(days=2),
    ),
    (Input(CUSTOMER_LOCATIONS_FEED, clean_customer_locations),),
)

CUSTOMER_LOCATION_VERSIONS = SilverTable(
    Contract(
        table="erp_customer_location_versions",
        description="Countries of customers over time, one row a customer and period in which the ERP said the same. The ERP dates "
        "nothing: a country holds from the day on which its file landed.",
        owner="team:customer-data",
        mode="history",
        key=("customer_number",),
        columns=(
            Column("customer_number", "string", "Customer number as in crm_customers"),
            Column("country", "string", "Name of the country in English, or n/a"),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(CUSTOMER_LOCATIONS_FEED, clean_customer_locations),),
)

PRODUCT_CATEGORIES_FEED = Feed(
    "erp/product_categories",
    (
        SourceColumn("ID", "Category id, such as AC_BR"),
        SourceColumn("CAT", "Category"),
        SourceColumn("SUBCAT", "Subcategory"),
        SourceColumn("MAINTENANCE", "Yes or No"),
    ),
)

PRODUCT_CATEGORIES = SilverTable(
    Contract(
        table="erp_product_categories",
        description="Categories of products, one row a category id.",
        owner="team:product-data",
        key=("category_id",),
        columns=(
            Column("category_id", "string", "Category id as in crm_products"),
            Column("category", "string", "Category, such as Accessories"),
            Column("subcategory", "string", "Subcategory, such as Bike Racks"),
            Column("needs_maintenance", "boolean", "Whether its products need maintenance"),
        ),
        rules=(Rule("maintenance_known", "needs_maintenance IS NOT NULL", "warn", "Maintenance is Yes or No."),),
        freshness=timedelta(days=2),
    ),
    (Input(PRODUCT_CATEGORIES_FEED, clean_product_categories),),
)

SYSTEM = System(
    name="erp",
    description="Enterprise resource planning: demographics and locations of customers, product categories.",
    tables=(CUSTOMER_DEMOGRAPHICS, CUSTOMER_LOCATIONS, CUSTOMER_LOCATION_VERSIONS, PRODUCT_CATEGORIES),
)
