"""What can be a root, and what lies below it. Nothing here asks a store."""

from pathlib import Path

import obstore
import pytest

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.store.root import Root


def refusal(text):
    with pytest.raises(SettingsError) as raised:
        Root.parse(text)
    return str(raised.value)


@pytest.mark.parametrize("text", ["{folder}/lake", "{folder}/lake/", "{folder}/./lake", "{folder}//lake"])
def test_a_folder_is_an_absolute_path_without_a_slash_at_its_end(tmp_path, text):
    root = Root.parse(text.format(folder=tmp_path))
    assert (root.uri, root.local_folder) == (f"{tmp_path}/lake", tmp_path / "lake")


def test_a_relative_folder_is_taken_from_where_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Root.parse("./lake").uri == f"{tmp_path}/lake"


def test_a_folder_can_begin_with_the_home_folder():
    assert Root.parse("~/lake").uri == str(Path.home() / "lake")


def test_a_folder_may_have_blanks_and_letters_of_any_language(tmp_path):
    assert Root.parse(f"{tmp_path}/mein See, größer").uri == f"{tmp_path}/mein See, größer"


def test_a_folder_has_no_bucket(tmp_path):
    root = Root.parse(str(tmp_path))
    assert (root.bucket, root.prefix) == (None, "")


def test_nothing_is_made_by_naming_a_folder(tmp_path):
    Root.parse(f"{tmp_path}/lake")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "uri", "bucket", "prefix"),
    [
        ("s3://lake", "s3://lake", "lake", ""),
        ("s3://lake/", "s3://lake", "lake", ""),
        ("s3://lake/retail", "s3://lake/retail", "lake", "retail"),
        ("s3://lake/retail/2026/", "s3://lake/retail/2026", "lake", "retail/2026"),
        ("s3://my.lake-1/a!b-c_d.(e)", "s3://my.lake-1/a!b-c_d.(e)", "my.lake-1", "a!b-c_d.(e)"),
    ],
)
def test_a_bucket_or_a_prefix_in_one(text, uri, bucket, prefix):
    root = Root.parse(text)
    assert (root.uri, root.bucket, root.prefix, root.local_folder) == (uri, bucket, prefix, None)


@pytest.mark.parametrize(
    "text",
    [
        "gs://lake/retail",
        "http://lake",
        "file:///lake",
        "S3://lake",
        "s3a://lake",
        "s3://",
        "s3:///lake",
        "s3://ab",
        "s3://La_ke",
        "s3://-lake",
        "s3://lake/a b",
        "s3://lake/größe",
        "s3://lake/a=1",
        "s3://lake/a%20b",
        "s3://lake/a//b",
        "s3://lake/../other",
        "s3://lake?region=here",
        "s3://key:secret@lake",
    ],
)
def test_other_kinds_of_stores_and_prefixes_that_readers_stumble_over_are_refused(text):
    message = refusal(text)
    assert message.startswith(
        "LAKEHOUSE_ROOT: a root is a local folder or s3://bucket/prefix, the prefix of letters, digits and !-_.()/"
    )
    assert text not in message.replace("s3://bucket/prefix", "")


@pytest.mark.parametrize("character", "%[]*?{}")
def test_a_folder_that_readers_take_for_a_pattern_is_refused(tmp_path, character):
    message = f"LAKEHOUSE_ROOT: the path has {character}, which readers of tables take for patterns. Name another folder."
    assert refusal(f"{tmp_path}/la{character}ke") == message


def test_all_characters_that_can_t_stand_in_a_folder_are_named(tmp_path):
    assert "the path has * ?, which" in refusal(f"{tmp_path}/*/?")


@pytest.mark.parametrize("text", ["s3://lake/retail", "/data/lake"])
def test_tables_lie_below_their_layer(text):
    root = Root.parse(text)
    assert root.table("silver", "crm_customers") == f"{text}/silver/crm_customers"


def test_two_names_of_one_root_are_equal(tmp_path):
    assert Root.parse(f"{tmp_path}/lake/") == Root.parse(f"{tmp_path}/lake")


def test_keys_in_the_store_begin_below_the_folder(tmp_path):
    root = Root.parse(f"{tmp_path}/lake")
    obstore.put(root.store, "raw/rows/one.parquet", b"1")
    assert (tmp_path / "lake/raw/rows/one.parquet").read_bytes() == b"1"
    assert root.files("raw") == [("raw/rows/one.parquet", 1)]


def test_keys_in_the_store_begin_below_the_prefix(stores, monkeypatch):
    environment = stores("minio")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    uri = environment["LAKEHOUSE_ROOT"]
    obstore.put(Root.parse(f"{uri}/inner").store, "raw/rows/one.parquet", b"1")
    assert Root.parse(uri).files("") == [("inner/raw/rows/one.parquet", 1)]


def test_the_tables_of_a_layer_are_named_in_order(tmp_path):
    root = Root.parse(str(tmp_path))
    for path in ("raw/b/1.parquet", "raw/a/_delta_log/0.json", "raw/note.txt", "silver/c/1.parquet"):
        obstore.put(root.store, path, b"")
    assert root.table_names("raw") == ["a", "b"]


def test_objects_are_deleted_by_their_paths(tmp_path):
    root = Root.parse(str(tmp_path))
    for name in ("one", "two", "three"):
        obstore.put(root.store, f"landing/{name}.csv", b"1")
    root.delete(["landing/one.csv", "landing/three.csv"])
    root.delete([])
    assert root.files("landing") == [("landing/two.csv", 1)]


def test_what_is_gone_already_can_be_deleted(tmp_path):
    root = Root.parse(str(tmp_path))
    obstore.put(root.store, "landing/one.csv", b"1")
    root.delete(["landing/gone.csv", "landing/one.csv"])
    assert root.files("landing") == []
