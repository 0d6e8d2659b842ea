"""One broken row, one broken file and one missing file leave the rest loaded."""

import pytest

pytestmark = pytest.mark.worlds("sail-folder")

DAY = "2026-01-31"

CUSTOMERS = """cst_id,cst_key,cst_firstname,cst_lastname,cst_marital_status,cst_gndr,cst_create_date
1,AW1, Ann ,One,S,F,2025-10-06
2,AW2,"Bob,Two,S,M,2025-10-06
3,AW3,Cid,Three,M
4,AW4,"Dee, D.",Four,M,F,2025-10-07
"""
PRODUCTS_WITHOUT_COST = """prd_id,prd_key,prd_nm,prd_line,prd_start_dt,prd_end_dt
210,CO-RF-FR-R92B-58,Frame,R ,2003-07-01,
"""
PRODUCTS = """prd_id,prd_key,prd_nm,prd_cost,prd_line,prd_start_dt,prd_end_dt
211,CO-RF-FR-R92R-58,Frame,12,R ,2003-07-01,
"""


@pytest.fixture
def built(lakehouse):
    lakehouse.land("crm/customers", DAY, "cust.csv", CUSTOMERS)
    lakehouse.land("crm/products", DAY, "a_broken.csv", PRODUCTS_WITHOUT_COST)
    lakehouse.land("crm/products", DAY, "b_good.csv", PRODUCTS)
    lakehouse.land("erp/customer_locations", DAY, "loc.csv", "CID,CNTRY\nAW-1,DE\n")
    assert lakehouse.build() == {}
    return lakehouse


@pytest.mark.worlds("sail-folder", "spark-folder")
def test_a_broken_row_goes_to_quarantine_with_its_text(built):
    rows = built.rows("quarantine.rows", "source_file, row_number, rule, reason, payload", "row_number")
    assert [r for r in rows if r["source_file"] == "cust.csv"] == [
        {
            "source_file": "cust.csv",
            "row_number": 3,
            "rule": "row_is_csv",
            "reason": "a quote is opened and never closed",
            "payload": '2,AW2,"Bob,Two,S,M,2025-10-06',
        },
        {
            "source_file": "cust.csv",
            "row_number": 4,
            "rule": "row_has_all_fields",
            "reason": "expected 7 fields, found 5",
            "payload": "3,AW3,Cid,Three,M",
        },
    ]


def test_the_good_rows_beside_it_are_loaded(built):
    assert built.rows("silver.crm_customers", "customer_id, first_name") == [
        {"customer_id": 1, "first_name": "Ann"},
        {"customer_id": 4, "first_name": "Dee, D."},
    ]


def test_a_file_without_a_required_column_is_quarantined_as_a_whole_and_its_neighbour_loads(built):
    assert built.rows("silver.crm_products", "product_id") == [{"product_id": 211}]
    [row] = built.rows("(FROM quarantine.rows WHERE table_name = 'crm_products')", "source_file, row_number, rows, reason")
    reason = "the file lacks the required column prd_cost"
    assert row == {"source_file": "a_broken.csv", "row_number": None, "rows": 1, "reason": reason}


def test_a_missing_file_keeps_no_other_table_back(built):
    assert built.rows("silver.erp_customer_locations", "customer_number, country") == [
        {"customer_number": "AW1", "country": "Germany"}
    ]


def test_accounts_add_up_all_the_same(built):
    assert built.accounts("raw", "crm_customers") == {DAY: (4, 2, 2, 0)}
    assert built.accounts("raw", "crm_products") == {DAY: (2, 1, 1, 0)}
    assert built.accounts("silver", "crm_customers") == {DAY: (2, 2, 0, 0)}


def test_a_mended_file_comes_in_and_leaves_quarantine(built):
    built.land("crm/customers", DAY, "cust.csv", CUSTOMERS.replace('"Bob', "Bob").replace("Three,M\n", "Three,M,M,2025-10-06\n"))
    assert built.build() == {}
    assert [r["customer_id"] for r in built.rows("silver.crm_customers", "customer_id")] == [1, 2, 3, 4]
    assert built.accounts("raw", "crm_customers") == {DAY: (4, 4, 0, 0)}


def test_an_emptied_partition_is_empty(built):
    for name in ("a_broken.csv", "b_good.csv"):
        built.remove("crm/products", DAY, name)
    assert built.build() == {}
    assert built.rows("raw.crm_products") == []
    assert built.rows("silver.crm_products") == []
    assert built.rows("(FROM quarantine.rows WHERE table_name = 'crm_products')") == []
    assert built.accounts("silver", "crm_products") == {DAY: (0, 0, 0, 0)}


def test_a_new_column_is_added_and_old_rows_have_none(built):
    built.land("erp/customer_locations", DAY, "more.csv", "CID,CNTRY,Postal Code\nAW-2,US,12345\n")
    plan = built.plan()
    assert [f.name for f in plan.files] == ["more.csv"]
    assert built.build() == {}
    assert built.rows("raw.erp_customer_locations", "cid, postal_code", "cid") == [
        {"cid": "AW-1", "postal_code": None},
        {"cid": "AW-2", "postal_code": "12345"},
    ]


def test_a_file_dated_in_the_future_is_named_and_keeps_nothing_back(lakehouse):
    lakehouse.land("erp/customer_locations", "2999-01-01", "loc.csv", "CID,CNTRY\nAW-9,DE\n")
    lakehouse.land("erp/customer_locations", DAY, "loc.csv", "CID,CNTRY\nAW-1,DE\n")
    assert [(path.rsplit("/", 2)[1], "in the future" in reason) for path, reason in lakehouse.plan().ignored] == [
        ("2999-01-01", True)
    ]
    assert lakehouse.build() == {}
    assert lakehouse.rows("silver.erp_customer_locations", "customer_number") == [{"customer_number": "AW1"}]


def test_a_growing_file_is_loaded_as_far_as_it_is_there_and_whole_in_the_end(lakehouse):
    whole = CUSTOMERS.replace('"Bob', "Bob").replace("Three,M\n", "Three,M,M,2025-10-06\n")
    for cut, names in ((whole.index("Two"), ["Ann"]), (whole.index("4,AW4") + 9, ["Ann", "Bob", "Cid"]), (len(whole), None)):
        lakehouse.land("crm/customers", DAY, "cust.csv", whole[:cut])
        assert lakehouse.build() == {}
        found = [r["first_name"] for r in lakehouse.rows("silver.crm_customers", "first_name, customer_id", "customer_id")]
        assert found == (names or ["Ann", "Bob", "Cid", "Dee, D."])
        assert len(lakehouse.rows("quarantine.rows")) == (1 if names else 0)
