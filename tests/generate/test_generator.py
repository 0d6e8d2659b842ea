"""Generated files: the same bytes for the same options, in the sources' shapes, and what the lakehouse makes of them."""

import csv
import gzip
import hashlib
import json
from datetime import date

import pytest
from typer.testing import CliRunner

from lakehouse_assets import cli
from lakehouse_assets.errors import GenerateError, LandingError
from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.generator import TRUTH, generate, read_truth, system_names
from lakehouse_assets.generate.options import Options
from lakehouse_assets.generate.truth import differences
from lakehouse_assets.serving.query import as_json, query
from lakehouse_assets.systems import all_systems

SMALL = Options(scale=0.05, last=date(2026, 1, 8), dirt=0.04)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small generated folder of all systems."""
    made = tmp_path_factory.mktemp("generated") / "made"
    generate(made, SMALL, system_names())
    return made


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(folder, pattern):
    return [row for path in sorted(folder.glob(pattern)) for row in csv.DictReader(path.read_text().splitlines())]


def records(folder, pattern):
    lines = (line for path in sorted(folder.glob(pattern)) for line in gzip.decompress(path.read_bytes()).decode().splitlines())
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_the_same_options_write_the_same_bytes_and_another_seed_others(folder, tmp_path):
    generate(tmp_path / "again", SMALL, system_names())
    assert hashes(tmp_path / "again") == hashes(folder)
    other = Options(seed=2, scale=0.05, last=date(2026, 1, 8), dirt=0.04)
    generate(tmp_path / "other", other, ["crm"])
    same = hashes(folder)
    assert not [name for name, digest in hashes(tmp_path / "other").items() if same.get(name) == digest]


def test_a_system_tells_the_same_whether_others_do_or_not(folder, tmp_path):
    generate(tmp_path / "alone", SMALL, ["odoo"])
    of_all = {name: digest for name, digest in hashes(folder).items() if name.startswith("odoo/")}
    assert {name: digest for name, digest in hashes(tmp_path / "alone").items() if name != TRUTH} == of_all


def test_what_systems_share_is_the_same_in_each(folder):
    skus = {row["sku"] for row in rows(folder, "magento/products/*/*.csv")} - {""}
    erp = [record for path in folder.glob("odoo/products/*/product.product.json") for record in json.loads(path.read_text())]
    assert {record["default_code"] for record in erp} - {False} == skus
    shop = {record["after"]["increment_id"] for record in records(folder, "magento/orders_cdc/*/*.gz") if record["after"]}
    documents = [json.loads(path.read_text()) for path in folder.glob("odoo/sale_orders/*/*")]
    assert {record["origin"] for document in documents for record in document["records"]} == shop
    tickets = [record for path in folder.glob("freshdesk/tickets/*/*") for record in json.loads(path.read_text())]
    assert tickets
    assert {ticket["custom_fields"]["cf_order_number"] for ticket in tickets} <= shop
    contacts = {row["email"].strip().lower() for row in rows(folder, "retail/contacts/*/*.csv")}
    assert {row["email"].strip().lower() for row in rows(folder, "magento/customers/*/*.csv")} <= contacts


def test_each_system_has_a_generator_and_each_feed_files(folder):
    systems = all_systems()
    assert system_names() == sorted(system.name for system in systems)
    feeds = {given.feed.landing for system in systems for table in system.tables for given in table.inputs}
    assert {f"{path.parent.name}/{path.name}" for path in folder.glob("*/*") if path.is_dir()} == feeds


def test_without_dirt_nothing_is_dirty(tmp_path):
    truth = generate(tmp_path / "clean", Options(scale=0.05, last=date(2026, 1, 8), dirt=0), system_names())
    refused = {rule for system in truth["systems"].values() for rules in system["quarantined"].values() for rule in rules}
    assert [system["dirt"] for system in truth["systems"].values()] == [{}] * len(system_names())
    # The shop purges some canceled orders: their lines stay behind.
    assert refused <= {"order_id_in_magento_orders"}


def test_dirt_is_in_the_files_as_often_as_the_truth_says(folder):
    crm = read_truth(folder)["crm"]
    without_number = [row for row in rows(folder, "crm/customers/*/*.csv") if row["cst_id"] == ""]
    assert len(without_number) == crm["dirt"]["customers"]["no number"] > 0
    assert crm["quarantined"]["silver.crm_customers"] == {"customer_id_present": len(without_number)}


def test_files_of_an_entity_are_written_in_the_order_of_landing(tmp_path):
    out = Deliveries(tmp_path, "crm", SMALL)
    for day, name in ((date(2026, 1, 1), "b.csv"), (date(2026, 1, 2), "a.csv"), (date(2026, 1, 2), "b.csv")):
        out.csv("sales", day, name, ("id",), [(1,)])
    out.csv("sales", date(2026, 1, 1), "nothing.csv", ("id",), [])
    with pytest.raises(ValueError, match=r"crm/sales: 2026-01-02/a\.csv comes after 2026-01-02/b\.csv"):
        out.csv("sales", date(2026, 1, 2), "a.csv", ("id",), [(1,)])
    assert out.files == 3


def test_a_folder_that_is_not_empty_is_left_alone(folder):
    before = hashes(folder)
    with pytest.raises(GenerateError, match="not an empty folder"):
        generate(folder, SMALL, ["crm"])
    assert hashes(folder) == before


def test_an_unknown_system_is_told(tmp_path):
    with pytest.raises(GenerateError, match=r"No data is generated for crn\. Known systems are bikes, crm"):
        generate(tmp_path / "made", SMALL, ["crm", "crn"])
    assert not (tmp_path / "made").exists()


def test_a_folder_without_truth_is_told(tmp_path):
    with pytest.raises(GenerateError, match=r"has no truth\.json: name a folder that `lakehouse generate` wrote"):
        read_truth(tmp_path)


@pytest.mark.worlds("sail-folder")
def test_the_tables_are_what_the_truth_says_to_the_row_and_the_cent(folder, make_lakehouse):
    lakehouse = make_lakehouse(*(table for system in all_systems() for table in system.tables))
    for path in folder.glob("*/*/*/*"):
        system, entity, day, name = path.parts[-4:]
        lakehouse.land(f"{system}/{entity}", day, name, path.read_bytes())
    assert lakehouse.build() == {}
    truth = read_truth(folder)
    assert differences(truth, lambda sql: as_json(query(lakehouse.settings.root, sql))) == []


def test_the_command_lands_what_it_writes_and_compare_tells_what_is_not_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lake"))
    arguments = ["generate", "made", "--scale", "0.02", "--to", "2026-01-03", "--systems", "crm,erp", "--land"]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0
    landed = {name.removeprefix("landing/") for name in hashes(tmp_path / "lake") if name.startswith("landing/")}
    assert landed == hashes(tmp_path / "made").keys() - {TRUTH}
    compared = CliRunner().invoke(cli.app, ["compare", "made"])
    assert compared.exit_code == 1
    assert "silver.erp_product_categories: 0 rows, the truth is 16" in compared.stdout


def test_what_landing_would_ignore_is_not_generated_for_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lake"))
    error = CliRunner().invoke(cli.app, ["generate", "made", "--from", "2025-12-31", "--land"]).exception
    assert isinstance(error, LandingError)
    assert str(error) == "--from 2025-12-31 is before the first partition, LAKEHOUSE_START_DATE=2026-01-01."
    assert not (tmp_path / "made").exists()


def test_a_file_of_another_seed_with_the_same_name_and_size_is_not_taken_for_the_same(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lake"))
    arguments = ["--scale", "0.02", "--to", "2026-01-03", "--systems", "erp", "--land"]
    assert CliRunner().invoke(cli.app, ["generate", "made", *arguments]).exit_code == 0
    landed = sorted((tmp_path / "lake" / "landing").rglob("*.csv"))
    before = landed[0].stat()
    assert CliRunner().invoke(cli.app, ["generate", "again", *arguments]).exit_code == 0
    assert landed[0].stat() == before  # the same bytes are not landed again
    landed[0].write_bytes(landed[0].read_bytes()[::-1])
    landed[1].unlink()
    error = CliRunner().invoke(cli.app, ["generate", "other", *arguments]).exception
    assert isinstance(error, LandingError)
    assert f"has other files of erp, such as {landed[0].relative_to(tmp_path / 'lake')}." in str(error)
    assert not landed[1].exists()


def test_generated_files_are_not_landed_beside_others_of_their_systems(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lake"))
    sample = tmp_path / "lake" / "landing" / "erp" / "customer_locations" / "2026-01-02" / "sample.csv"
    sample.parent.mkdir(parents=True)
    sample.write_text("CID\n1\n")
    arguments = ["--scale", "0.02", "--to", "2026-01-03", "--land", "--systems"]
    error = CliRunner().invoke(cli.app, ["generate", "made", *arguments, "crm,erp"]).exception
    assert isinstance(error, LandingError)
    assert str(error) == (
        f"Nothing was landed: {tmp_path}/lake/landing has other files of erp, such as "
        "landing/erp/customer_locations/2026-01-02/sample.csv. Set LAKEHOUSE_ROOT to a root that has none."
    )
    assert [file for file in (tmp_path / "lake" / "landing").rglob("*") if file.is_file()] == [sample]
    assert CliRunner().invoke(cli.app, ["generate", "other", *arguments, "crm"]).exit_code == 0


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"\xff",
        b"{}",
        b'{"systems": []}',
        b'{"systems": {"crm": 1}}',
        b'{"systems": {"crm": {}}}',
        b'{"systems": {"crm": {"rows": {}, "quarantined": {"silver.x": 1}}}}',
    ],
)
def test_a_broken_truth_is_told(tmp_path, text):
    (tmp_path / TRUTH).write_bytes(text)
    with pytest.raises(GenerateError, match=r"truth\.json is broken, or no truth of generated data: generate the folder again"):
        read_truth(tmp_path)
