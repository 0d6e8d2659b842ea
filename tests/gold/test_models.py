from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from lakehouse_assets.books.ledger import UNVERIFIED, InputVersion, PartitionRecord
from lakehouse_assets.gold.models import (
    Model,
    model_fingerprint,
    project_digest,
    read_models,
    shared_digest,
    stale_models,
    table_states,
    zone_built_in,
)

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
SHARED = "macros-1"


def manifest(**reads):
    """Return a dbt manifest of models, each with the nodes that it reads: `source.x` and `model.x`."""
    return {
        "nodes": {
            f"model.lakehouse.{name}": {
                "unique_id": f"model.lakehouse.{name}",
                "name": name,
                "resource_type": "model",
                "path": f"facts/{name}.sql",
                "checksum": {"name": "sha256", "checksum": f"sql of {name}"},
                "description": f"what {name} is",
                "config": {"meta": {}},
                "depends_on": {"macros": ["macro.dbt.ref"], "nodes": reading},
            }
            for name, reading in reads.items()
        }
    }


def names(models):
    return [m.name for m in models]


def test_a_model_stands_after_those_that_it_reads():
    models = read_models(manifest(a=["model.lakehouse.b"], b=["model.lakehouse.c"], c=[]))
    assert names(models) == ["c", "b", "a"]


def test_a_model_that_several_read_stands_once():
    models = read_models(
        manifest(a=["model.lakehouse.d"], b=["model.lakehouse.d"], c=["model.lakehouse.a", "model.lakehouse.b"], d=[])
    )
    assert names(models) == ["d", "a", "b", "c"]


def test_models_that_read_none_stand_by_name():
    assert names(read_models(manifest(b=[], a=[], c=[]))) == ["a", "b", "c"]


def test_only_models_are_taken_from_the_manifest():
    manifest_of_models = manifest(a=[])
    manifest_of_models["nodes"]["test.lakehouse.unique_a"] = {"name": "unique_a", "resource_type": "test"}
    assert names(read_models(manifest_of_models)) == ["a"]


def test_a_model_knows_its_silver_tables_and_models():
    models = read_models(manifest(a=["source.lakehouse.silver.crm_sales", "model.lakehouse.b"], b=[]))
    assert (models[1].sources, models[1].refs) == (("crm_sales",), ("b",))


def test_a_model_knows_its_folder_and_description():
    [models] = read_models(manifest(fact_sales=[]))
    assert (models.folder, models.description) == ("facts", "what fact_sales is")


def test_a_model_knows_the_table_whose_grain_it_keeps():
    described = manifest(fact_sales=[])
    described["nodes"]["model.lakehouse.fact_sales"]["config"]["meta"] = {"grain_of": "crm_sales"}
    assert read_models(described)[0].grain_of == (("crm_sales", None),)
    several = {"crm_sales": None, "shop_items": "case when parent_id is null then 1 else 0 end"}
    described["nodes"]["model.lakehouse.fact_sales"]["config"]["meta"] = {"grain_of": several}
    assert read_models(described)[0].grain_of == tuple(several.items())


def in_zone(zone, *, macros):
    manifest_of_models = manifest(fact=["source.lakehouse.silver.sales"])
    manifest_of_models["nodes"]["model.lakehouse.fact"]["depends_on"]["macros"] = macros
    names = {"business_day": ["macro.lakehouse.business_time"], "business_time": [], "key": []}
    manifest_of_models["macros"] = {
        f"macro.lakehouse.{name}": {"macro_sql": name, "depends_on": {"macros": used}} for name, used in names.items()
    }
    [model] = read_models(manifest_of_models, zone)
    return model


def test_a_model_depends_on_the_time_zone_only_if_it_uses_the_business_day():
    paris, rome = (in_zone(zone, macros=["macro.lakehouse.business_day"]) for zone in ("Europe/Paris", "Europe/Rome"))
    assert (paris.timezone, paris.checksum) == ("Europe/Paris", rome.checksum)
    assert model_fingerprint(paris, STATES, SHARED) != model_fingerprint(rome, STATES, SHARED)
    other = [in_zone(zone, macros=["macro.lakehouse.key"]) for zone in ("Europe/Paris", "Europe/Rome")]
    assert other[0] == other[1]
    assert other[0].timezone is None


def test_a_record_knows_the_time_zone_of_its_business_day():
    model = in_zone("Europe/Paris", macros=["macro.lakehouse.business_day"])
    assert zone_built_in(record("gold", "fact", D1, 1, model_fingerprint(model, STATES, SHARED))) == "Europe/Paris"
    assert zone_built_in(record("gold", "fact", D1, 1, model_fingerprint(FACT, STATES, SHARED))) is None


def test_a_model_can_do_without_its_optional_sources():
    described = manifest(fact=["source.lakehouse.silver.sales", "source.lakehouse.silver.rates"])
    described["nodes"]["model.lakehouse.fact"]["config"]["meta"] = {"optional_sources": ["rates"]}
    [model] = read_models(described)
    assert (model.sources, model.required) == (("rates", "sales"), {"sales"})
    sales, rates = record("silver", "sales", D1, 1), record("silver", "rates", D2, 1)
    assert stale_models([model], ledger(rates), SHARED) == {}
    assert stale_models([model], ledger(sales), SHARED) == {"fact": {D1}}
    built = record("gold", "fact", D1, 1, model_fingerprint(model, table_states(ledger(sales)), SHARED), [("silver.sales", 1)])
    assert stale_models([model], ledger(sales, built), SHARED) == {}
    assert stale_models([model], ledger(sales, built, rates), SHARED) == {"fact": {D2}}


def test_a_model_that_needs_one_of_its_sources_is_built_once_one_of_them_has_been_written():
    described = manifest(
        fact=["source.lakehouse.silver.sales", "source.lakehouse.silver.orders", "source.lakehouse.silver.rates"]
    )
    described["nodes"]["model.lakehouse.fact"]["config"]["meta"] = {"needs_one_of": ["sales", "orders"]}
    [model] = read_models(described)
    sales, orders, rates = (record("silver", name, D1, 1) for name in ("sales", "orders", "rates"))
    assert stale_models([model], ledger(rates), SHARED) == {}
    assert stale_models([model], ledger(sales), SHARED) == stale_models([model], ledger(orders), SHARED) == {"fact": {D1}}


def test_an_ephemeral_model_is_part_of_those_that_read_it():
    described = manifest(
        fact=["model.lakehouse.int_lines"], int_lines=["model.lakehouse.stg_lines"], stg_lines=["source.lakehouse.silver.sales"]
    )
    for name in ("int_lines", "stg_lines"):
        described["nodes"][f"model.lakehouse.{name}"]["config"]["materialized"] = "ephemeral"
    [model] = read_models(described)
    assert (model.name, model.sources, model.refs) == ("fact", ("sales",), ())
    described["nodes"]["model.lakehouse.stg_lines"]["checksum"]["checksum"] = "changed"
    assert read_models(described)[0].checksum != model.checksum


def test_a_seed_counts_for_the_models_that_read_it_and_no_other():
    described = manifest(dimension=["seed.lakehouse.channels"], fact=[])
    described["nodes"]["seed.lakehouse.channels"] = {
        "resource_type": "seed",
        "name": "channels",
        "config": {},
        "checksum": {"checksum": "1"},
    }
    before = {model.name: model.checksum for model in read_models(described)}
    described["nodes"]["seed.lakehouse.channels"]["checksum"] = {"checksum": "2"}
    after = {model.name: model.checksum for model in read_models(described)}
    assert [name for name in before if before[name] != after[name]] == ["dimension"]


def test_a_project_without_models_has_none():
    assert read_models({"nodes": {}}) == []


# sales ─► fact ─► mart, and customers ─► people
FACT = Model("fact", "facts", ("sales",), (), "sql 1", (), "")
MART = Model("mart", "marts", (), ("fact",), "sql 1", (), "")
PEOPLE = Model("people", "dimensions", ("customers",), (), "sql 1", (), "")
MODELS = [FACT, MART, PEOPLE]
STATES = {"silver.sales": "s/3", "silver.customers": "c/5", "gold.fact": "f/1", "gold.people": "p/1"}


def changed(models=MODELS, states=STATES, shared=SHARED):
    """Return the models whose fingerprint differs from the one for MODELS, STATES and SHARED."""
    pairs = zip(MODELS, models, strict=True)
    return [new.name for old, new in pairs if model_fingerprint(old, STATES, SHARED) != model_fingerprint(new, states, shared)]


@pytest.mark.parametrize(
    ("change", "models"),
    [
        ({}, []),
        ({"states": STATES | {"silver.sales": "s/4"}}, ["fact"]),
        ({"states": STATES | {"silver.sales": "another/3"}}, ["fact"]),
        ({"states": STATES | {"silver.customers": "c/6"}}, ["people"]),
        ({"states": {k: v for k, v in STATES.items() if k != "silver.customers"}}, ["people"]),
        ({"states": STATES | {"silver.tickets": "t/1"}}, []),
        ({"states": STATES | {"gold.fact": "f/2"}}, ["mart"]),
        ({"states": STATES | {"gold.people": "p/2"}}, []),
        ({"models": [replace(FACT, checksum="sql 2"), MART, PEOPLE]}, ["fact"]),
        ({"models": [FACT, replace(MART, checksum="sql 2"), PEOPLE]}, ["mart"]),
        ({"models": [replace(FACT, sources=("sales", "customers")), MART, PEOPLE]}, ["fact"]),
        ({"shared": "macros-2"}, ["fact", "mart", "people"]),
    ],
    ids=[
        "nothing",
        "a silver table",
        "a silver table created again",
        "another silver table",
        "a silver table gone",
        "a silver table that nobody reads",
        "a model",
        "a model that nobody reads",
        "SQL",
        "SQL of the last",
        "sources",
        "shared files",
    ],
)
def test_a_change_reaches_the_models_that_are_built_from_it(change, models):
    assert changed(**change) == models


def test_models_of_the_same_sql_over_different_tables_have_different_fingerprints():
    states = {"silver.sales": "t/3", "silver.customers": "t/3"}
    assert model_fingerprint(FACT, states, SHARED) != model_fingerprint(PEOPLE, states, SHARED)


def record(layer, table, day, version, fingerprint=None, inputs=(), table_id="", content=""):
    fingerprint = f"of version {version}" if fingerprint is None else fingerprint
    read = [InputVersion(*i) for i in inputs]
    return PartitionRecord(
        layer,
        table,
        day,
        None,
        1,
        0,
        0,
        version,
        "run-1",
        fingerprint,
        inputs=read,
        table_id=table_id,
        content=content,
    )


def ledger(*records):
    return {(r.layer, r.table_name, r.date): r for r in records}


SILVER = ledger(record("silver", "sales", D1, 2), record("silver", "sales", D2, 3), record("silver", "customers", D1, 5))


def built(silver=SILVER, models=MODELS, shared=SHARED):
    """Return the ledger after all models were built from `silver`."""
    newest = {"sales": 3, "customers": 5}
    records = dict(silver)
    for m in models:
        read = [(f"silver.{s}", newest[s]) for s in m.sources]
        records |= ledger(record("gold", m.name, D1, 1, model_fingerprint(m, table_states(records), shared), read))
    return records


def state(*records):
    return table_states(ledger(*records))["silver.sales"]


def test_the_state_of_a_table_is_its_id_and_what_its_partitions_were_built_from():
    standing = record("silver", "sales", D1, 2, table_id="a"), record("silver", "sales", D2, 3, table_id="a")
    others = [
        [replace(standing[0], table_id="b"), replace(standing[1], table_id="b")],
        [standing[0], replace(standing[1], fingerprint="another")],
        [standing[0]],
    ]
    assert state(*standing) == state(*(replace(r, delta_version=9, content="compacted") for r in standing))
    assert len({state(*standing), *(state(*other) for other in others)}) == 4


def test_the_state_of_a_table_that_is_not_as_its_records_say_is_what_it_holds():
    verified = record("silver", "sales", D1, 3, table_id="a")

    def holding(content, version=3):
        return state(verified, record("silver", "sales", D2, version, fingerprint=UNVERIFIED, table_id="a", content=content))

    assert holding("x") == holding("x", version=9)
    assert len({holding("x"), holding("y"), state(verified)}) == 3


def test_a_model_of_which_a_partition_is_not_as_its_record_says_is_stale_on_that_date():
    unverified = record("gold", "people", D1, 1, UNVERIFIED, [("silver.customers", 5)])
    assert stale_models(MODELS, built() | ledger(unverified), SHARED) == {"people": {D1}}


def test_a_model_is_stale_where_one_that_it_reads_was_built_after_it():
    """The fact was built again by hand after silver changed, so the mart is from the older fact."""
    records = built()
    newer = records | ledger(record("silver", "sales", D2, 4))
    fact = replace(records["gold", "fact", D1], fingerprint=model_fingerprint(FACT, table_states(newer), SHARED))
    assert list(stale_models(MODELS, newer | ledger(fact), SHARED)) == ["mart"]


def test_a_table_that_was_made_anew_makes_its_models_stale():
    another = record("silver", "customers", D1, 5, table_id="another")
    assert stale_models(MODELS, built() | ledger(another), SHARED) == {"people": {D1}}


def test_what_was_never_built_is_stale_on_the_dates_of_its_silver_tables():
    assert stale_models(MODELS, SILVER, SHARED) == {"fact": {D1, D2}, "mart": {D1, D2}, "people": {D1}}


def test_what_was_built_is_not_stale():
    assert stale_models(MODELS, built(), SHARED) == {}


def test_a_date_that_changed_makes_its_models_stale_on_that_date():
    assert stale_models(MODELS, built() | ledger(record("silver", "sales", D2, 4)), SHARED) == {"fact": {D2}, "mart": {D2}}


def test_a_new_date_makes_its_models_stale_on_that_date():
    assert stale_models(MODELS, built() | ledger(record("silver", "customers", D3, 6)), SHARED) == {"people": {D3}}


def test_changed_sql_makes_the_model_and_its_readers_stale_on_all_dates():
    models = [replace(FACT, checksum="sql 2"), MART, PEOPLE]
    assert stale_models(models, built(), SHARED) == {"fact": {D1, D2}, "mart": {D1, D2}}


def test_changed_shared_files_make_all_models_stale():
    assert list(stale_models(MODELS, built(), "macros-2")) == ["fact", "mart", "people"]


def test_a_model_of_which_a_partition_was_built_from_something_else_is_stale():
    records = built() | ledger(record("gold", "people", D2, 1, "older", [("silver.customers", 5)]))
    assert list(stale_models(MODELS, records, SHARED)) == ["people"]


def test_a_model_that_was_built_from_an_older_version_is_stale_though_others_are_not():
    older = built(SILVER | ledger(record("silver", "customers", D1, 4)))
    people = {key: r for key, r in older.items() if key[:2] == ("gold", "people")}
    assert list(stale_models(MODELS, built() | people, SHARED)) == ["people"]


def test_a_model_of_which_a_silver_table_was_never_written_is_left_out_with_its_readers():
    only_customers = ledger(record("silver", "customers", D1, 5))
    assert list(stale_models(MODELS, only_customers, SHARED)) == ["people"]


def test_nothing_is_stale_before_silver_is_written():
    assert stale_models(MODELS, {}, SHARED) == {}


@pytest.fixture
def project(tmp_path):
    for name in ("dbt_project.yml", "macros/a.sql", "models/facts/fact.sql", "models/facts/facts.yml", "tests/b.sql"):
        file = Path(tmp_path, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"-- {name}\n")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["dbt_project.yml", "macros/a.sql", "models/facts/fact.sql", "models/facts/facts.yml", "tests/b.sql"]
)
def test_every_file_of_the_project_counts_for_its_digest(project, name):
    before = project_digest(project)
    (project / name).write_text("-- changed\n")
    assert project_digest(project) != before


def test_settings_count_for_all_models_and_their_comments_do_not(project):
    before = shared_digest(project)
    for name in ("models/facts/fact.sql", "macros/a.sql", "models/facts/facts.yml"):
        (project / name).write_text("-- changed\n")
    (project / "dbt_project.yml").write_text((project / "dbt_project.yml").read_text() + "\n# a comment\n")
    assert shared_digest(project) == before
    (project / "dbt_project.yml").write_text("vars: {}\n")
    assert shared_digest(project) != before


def with_test(**changes):
    """Return the checksums of two models after a change to the manifest. One of them uses a macro and has a test."""
    manifest_of_models = manifest(fact=[], people=[])
    fact = manifest_of_models["nodes"]["model.lakehouse.fact"]
    fact["depends_on"]["macros"] = ["macro.dbt.ref", "macro.lakehouse.key"]
    manifest_of_models["macros"] = {
        "macro.dbt.ref": {"macro_sql": "ref", "depends_on": {"macros": []}},
        "macro.lakehouse.key": {"macro_sql": "key", "depends_on": {"macros": ["macro.lakehouse.hash"]}},
        "macro.lakehouse.hash": {"macro_sql": "hash", "depends_on": {"macros": []}},
    }
    manifest_of_models["nodes"]["test.lakehouse.not_null"] = {
        "name": "not_null",
        "resource_type": "test",
        "raw_code": "not null",
        "test_metadata": {"kwargs": {"column_name": "id"}},
        "config": {"severity": "ERROR"},
        "attached_node": "model.lakehouse.fact",
        "depends_on": {"macros": [], "nodes": ["model.lakehouse.fact"]},
    }
    for path, value in changes.items():
        *folders, last = path.split("__")
        place = manifest_of_models["nodes"]["model.lakehouse.fact"] if folders[0] == "fact" else manifest_of_models
        for folder in folders[1 if folders[0] == "fact" else 0 :]:
            place = place[
                {"key": "macro.lakehouse.key", "hash": "macro.lakehouse.hash", "test": "test.lakehouse.not_null"}.get(
                    folder, folder
                )
            ]
        place[last] = value
    return {model.name: model.checksum for model in read_models(manifest_of_models)}


@pytest.mark.parametrize(
    "change",
    [
        {"macros__hash__macro_sql": "hash 2"},
        {"macros__key__macro_sql": "key 2"},
        {"nodes__test__config__severity": "WARN"},
        {"nodes__test__test_metadata": {"kwargs": {"column_name": "no"}}},
        {"nodes__test__raw_code": "not null 2"},
        {"fact__config__materialized": "view"},
        {"fact__config__meta": {"grain_of": "crm_sales"}},
        {"fact__checksum": {"checksum": "other sql"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_macro_a_test_or_a_config_concerns_the_model_that_has_it_and_no_other(change):
    was, now = with_test(), with_test(**change)
    assert (now["fact"] != was["fact"], now["people"] == was["people"]) == (True, True)


@pytest.mark.parametrize(
    "change",
    [
        {"fact__description": "other words"},
        {"fact__config__meta": {"owner": "team:other"}},
        {"fact__config__docs": {"show": False}},
        {"fact__columns": {"id": {"description": "other words"}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_describes_a_model_rebuilds_nothing(change):
    assert with_test(**change) == with_test()


def test_a_renamed_file_changes_the_digest(project):
    before = project_digest(project)
    (project / "models/facts/fact.sql").rename(project / "models/facts/other.sql")
    assert project_digest(project) != before


def test_dbt_s_own_files_do_not_count(project):
    before = project_digest(project)
    (project / "target").mkdir()
    (project / "target" / "manifest.json").write_text("{}")
    assert project_digest(project) == before
