"""Which people of the generated world gold has found: counted over made-up matches."""

from datetime import date

from lakehouse_assets.generate.generator import generate, read_truth
from lakehouse_assets.generate.options import Options
from lakehouse_assets.generate.persons import persons_found

TRUTH = {
    "crm": {"persons": "10 11 12 13"},
    "shop": {"persons": "1 2 guest:c@x.org 4"},
    "desk": {"persons": "7 8 9 6"},
    "bikes": {},
}


def lakehouse(*rows):
    """What a lakehouse answers: rows of the bridge."""
    return lambda sql: (
        [dict(zip(("system", "id", "person", "rule"), row, strict=True)) for row in rows] if "matched_by" in sql else [{"1": 1}]
    )


def test_people_are_found_missed_and_merged_by_rule():
    result = persons_found(
        TRUTH,
        lakehouse(
            *(("crm", "10", "A", "itself"), ("shop", "1", "A", "name"), ("desk", "7", "A", "email")),
            *(("crm", "11", "B", "itself"), ("shop", "2", "C", "itself"), ("desk", "8", "C", "email")),
            # The third and the fourth are one, by the name of the third.
            *(("crm", "13", "D", "itself"), ("shop", "guest:c@x.org", "D", "name"), ("desk", "9", "D", "email")),
            *(("desk", "999", "E", "itself"), ("storefront", "10", "F", "itself")),
        ),
    )
    assert result is not None
    assert (result.found, result.split, result.merged) == (1, 1, 2)
    assert (result.missed, result.linked, result.wrong) == ({"crm": 1}, {"name": 1, "email": 2}, {"name": 1})
    assert result.sentences()[1] == "Records that are apart from others of their person: crm 1."


def test_without_gold_or_people_nothing_is_counted():
    assert persons_found(TRUTH, lambda sql: []) is None
    assert persons_found({"bikes": {}}, lakehouse(("crm", "10", "A", "itself"))) is None


def test_the_truth_knows_everybody_under_the_numbers_that_the_files_have(tmp_path):
    generate(tmp_path / "made", Options(scale=0.02, last=date(2026, 1, 3), dirt=0), ["crm", "magento", "retail", "erp"])
    truth = read_truth(tmp_path / "made")
    known = {system: document["persons"].split() for system, document in truth.items() if "persons" in document}
    assert {system: len(ids) for system, ids in known.items()} == {"crm": 20, "magento": 20, "retail": 20}
    crm = (tmp_path / "made/crm/customers/2026-01-01/cust_info.csv").read_text().splitlines()[1:]
    shop = (tmp_path / "made/magento/customers/2026-01-01/customers.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in crm} <= {*known["crm"]}
    assert {line.split(",")[0] for line in shop} <= {*known["magento"]}
    assert sum(number.startswith("guest:") for number in known["magento"]) == 4
