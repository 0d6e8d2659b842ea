"""The CRM/ERP job as one script: `python benchmarks/one_script.py LANDING FOLDER` builds raw, silver and gold as Delta tables.

DuckDB computes in memory, delta-rs writes; nothing is checked, recorded, quarantined or repeatable in parts. It is what the product
is held against: the same files, and the same totals in gold. Prints these totals as JSON.
"""

import json
import sys
from pathlib import Path

import duckdb
from deltalake import write_deltalake

FEEDS = {
    "crm_customers": "crm/customers",
    "crm_products": "crm/products",
    "crm_sales": "crm/sales",
    "erp_customer_demographics": "erp/customer_demographics",
    "erp_customer_locations": "erp/customer_locations",
    "erp_product_categories": "erp/product_categories",
}


def words(column: str, meanings: dict[str, str]) -> str:
    """Return SQL for a code as a word, anything else as `n/a`."""
    cases = " ".join(f"WHEN '{code}' THEN '{word}'" for code, word in meanings.items())
    return f"CASE upper(trim({column})) {cases} ELSE 'n/a' END"


def day(column: str) -> str:
    """Return SQL for a date written as yyyymmdd; NULL if it is none."""
    return f"try_strptime({column}, '%Y%m%d')::DATE"


_GENDER = {"F": "Female", "FEMALE": "Female", "M": "Male", "MALE": "Male"}

SILVER = {
    "crm_customers": f"""SELECT try_cast(cst_id AS INT) AS customer_id, trim(cst_key) AS customer_number,
        trim(cst_firstname) AS first_name, trim(cst_lastname) AS last_name,
        {words("cst_marital_status", {"S": "Single", "M": "Married"})} AS marital_status, {words("cst_gndr", _GENDER)} AS gender,
        try_cast(cst_create_date AS DATE) AS create_date, _date
        FROM raw_crm_customers WHERE cst_id IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY cst_id ORDER BY create_date DESC NULLS LAST, _row_number DESC) = 1""",
    "crm_products": f"""SELECT prd_id::INT AS product_id, replace(prd_key[1:5], '-', '_') AS category_id,
        prd_key[7:] AS product_number, trim(prd_nm) AS product_name, coalesce(prd_cost, '0')::DECIMAL(12, 2) AS cost,
        {words("prd_line", {"M": "Mountain", "R": "Road", "S": "Other Sales", "T": "Touring"})} AS product_line,
        prd_start_dt::DATE AS start_date, _date FROM raw_crm_products""",
    "crm_sales": f"""WITH typed AS (SELECT *, sls_quantity::INT AS q, sls_price::DECIMAL(12, 2) AS p, sls_sales::DECIMAL(12, 2) AS s
            FROM raw_crm_sales),
        amounts AS (SELECT *, CASE WHEN p <> 0 AND (s IS NULL OR s <= 0 OR s <> q * abs(p)) THEN q * abs(p)
            WHEN p <> 0 OR s > 0 THEN s END AS sales FROM typed)
        SELECT sls_ord_num AS order_number, sls_prd_key AS product_number, sls_cust_id::INT AS customer_id,
        {day("sls_order_dt")} AS order_date, {day("sls_ship_dt")} AS ship_date, {day("sls_due_dt")} AS due_date, q AS quantity,
        (CASE WHEN p IS NULL OR p <= 0 THEN round(sales / nullif(q, 0), 2) ELSE p END)::DECIMAL(12, 2) AS price,
        sales::DECIMAL(12, 2) AS sales, _date FROM amounts""",
    "erp_customer_demographics": f"""SELECT CASE WHEN cid LIKE 'NAS%' THEN cid[4:] ELSE cid END AS customer_number,
        CASE WHEN bdate::DATE <= _date THEN bdate::DATE END AS birth_date, {words("gen", _GENDER)} AS gender, _date
        FROM raw_erp_customer_demographics""",
    "erp_customer_locations": """SELECT replace(cid, '-', '') AS customer_number,
        CASE WHEN upper(trim(cntry)) IN ('US', 'USA', 'UNITED STATES') THEN 'United States'
             WHEN upper(trim(cntry)) IN ('DE', 'GERMANY') THEN 'Germany'
             WHEN coalesce(trim(cntry), '') = '' THEN 'n/a' ELSE trim(cntry) END AS country, _date
        FROM raw_erp_customer_locations""",
    "erp_product_categories": """SELECT trim(id) AS category_id, trim(cat) AS category, trim(subcat) AS subcategory,
        upper(trim(maintenance)) = 'YES' AS needs_maintenance, _date FROM raw_erp_product_categories""",
}

GOLD = {
    "dim_customer": """SELECT (hash(c.customer_id) >> 1)::BIGINT AS customer_key, c.* EXCLUDE (gender),
        coalesce(l.country, 'n/a') AS country,
        CASE WHEN c.gender <> 'n/a' THEN c.gender ELSE coalesce(d.gender, 'n/a') END AS gender, d.birth_date
        FROM silver_crm_customers AS c LEFT JOIN silver_erp_customer_demographics AS d USING (customer_number)
        LEFT JOIN silver_erp_customer_locations AS l USING (customer_number)""",
    "dim_product": """SELECT (hash(p.product_id) >> 1)::BIGINT AS product_key, p.*, g.category, g.subcategory, g.needs_maintenance,
        coalesce(lead(start_date) OVER (PARTITION BY product_number ORDER BY start_date, product_id), '9999-12-31') AS next_start,
        next_start = '9999-12-31' AS is_current
        FROM silver_crm_products AS p LEFT JOIN silver_erp_product_categories AS g USING (category_id)""",
    "fact_sales": """SELECT (hash(s.order_number, s.product_number) >> 1)::BIGINT AS sales_key, c.customer_key,
        coalesce(dated.product_key, latest.product_key) AS product_key, s.*
        FROM silver_crm_sales AS s LEFT JOIN gold_dim_customer AS c USING (customer_id)
        LEFT JOIN gold_dim_product AS dated ON dated.product_number = s.product_number
            AND s.order_date >= dated.start_date AND s.order_date < dated.next_start
        LEFT JOIN gold_dim_product AS latest ON latest.product_number = s.product_number AND latest.is_current""",
    "sales_performance": """SELECT date_trunc('month', order_date)::DATE AS month, coalesce(c.country, 'n/a') AS country,
        coalesce(p.product_line, 'n/a') AS product_line, count(DISTINCT order_number) AS orders,
        sum(quantity)::BIGINT AS quantity, sum(sales)::DECIMAL(18, 2) AS usd_amount
        FROM gold_fact_sales LEFT JOIN gold_dim_customer AS c USING (customer_key)
        LEFT JOIN gold_dim_product AS p USING (product_key) GROUP BY ALL""",
}

TOTALS = """SELECT (SELECT count(*) FROM {gold}{customers}) AS customers,
    (SELECT count(*) FILTER (product_key <> -1) FROM {gold}dim_product) AS products,
    (SELECT count(*) FROM {gold}fact_sales) AS sales, (SELECT sum(quantity)::BIGINT FROM {gold}fact_sales) AS quantity,
    (SELECT CAST(sum({amount}) AS DECIMAL(18, 2)) FROM {gold}fact_sales) AS usd_amount,
    (SELECT count(*) FILTER (product_key <> -1) FROM {gold}fact_sales) AS products_found,
    (SELECT count(*) FILTER (customer_key <> -1) FROM {gold}fact_sales) AS customers_found,
    (SELECT sum(usd_amount) FROM {gold}sales_performance) AS usd_amount_of_months"""
"""What must be the same in both: `gold` is the prefix of gold's tables, `amount` the column of the amount, `customers` the table with a
row for each customer of the CRM: in the multiplied files, many have one name and birth date, and are one person in the lakehouse."""


def build(landing: Path, folder: Path) -> str:
    """Build all tables, and return the totals of gold as JSON."""
    with duckdb.connect() as connection:

        def write(layer: str, name: str, sql: str) -> None:
            connection.execute(f"CREATE TABLE {layer}_{name} AS {sql}")
            write_deltalake(folder / layer / name, connection.table(f"{layer}_{name}").to_arrow_reader(), partition_by=["_date"])

        for name, feed in FEEDS.items():
            files = f"{landing}/{feed}/*/*.csv"
            write(
                "raw",
                name,
                f"""SELECT * EXCLUDE (filename), filename AS _source_file, row_number() OVER () AS _row_number,
                    split_part(filename, '/', -2)::DATE AS _date
                    FROM read_csv('{files}', all_varchar = true, header = true, filename = true, union_by_name = true)""",
            )
        for name, sql in SILVER.items():
            write("silver", name, sql)
        for name, sql in GOLD.items():
            connection.execute(f"CREATE TABLE gold_{name} AS {sql}")
            write_deltalake(folder / "gold" / name, connection.table(f"gold_{name}").to_arrow_reader())
        totals = connection.execute(TOTALS.format(gold="gold_", amount="sales", customers="dim_customer"))
        names = [column[0] for column in totals.description or []]
        values = totals.fetchone() or ()
        return json.dumps({name: float(value) for name, value in zip(names, values, strict=True)})


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))
