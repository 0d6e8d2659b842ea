"""The policies of deploy/policies on a real MinIO: what each identity may do and may not, and that its part of the work succeeds."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import obstore
import pyarrow as pa
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from deltalake import DeltaTable, write_deltalake
from obstore.exceptions import PermissionDeniedError
from obstore.store import S3Store

from lakehouse_assets.delta.tables import DataFile, commit_files, ensure_table, open_table, replace_rows, replace_table

POLICIES = Path(__file__).parents[2] / "deploy" / "policies"
NAMES = ("ingest", "pipeline", "reader", "maintenance")

TABLES = [
    "raw/t/_date=2026-01-31/part-0.parquet",
    "silver/t/_date=2026-01-31/part-0.parquet",
    "gold/t/_date=2026-01-31/part-0.parquet",
    "quarantine/rows/layer=raw/part-0.parquet",
    "quarantine/rows/data-1/part-0.parquet",
    "ops/partitions/layer=raw/part-0.parquet",
    "ops/partitions/data-1/part-0.parquet",
    "ops/.conditional-put",
]
DATA_FOLDERS = [f"{layer}/t/data-1/rows/_date=2026-01-31/part-0.parquet" for layer in ("raw", "silver", "gold")]
LOGS = [
    f"{table}/_delta_log/{name}"
    for table in ("raw/t", "silver/t", "gold/t", "quarantine/rows", "ops/partitions")
    for name in ("00000000000000000001.json", "00000000000000000001.checkpoint.parquet", "data-1/part-0.parquet")
]
LANDING = ["landing/erp/customer_locations/2026-01-31/a.csv", "landing/data-1/a.csv"]
DAGSTER = ["dagster/storage/a-run/compute_logs/a-step.err"]
ELSEWHERE = ["a.txt", "elsewhere/a.txt", "landings/a.txt", "rawer/t/data-1/a.parquet"]

RIGHTS: dict[str, dict[str, list[str]]] = {
    "ingest": {"list put": LANDING},
    "pipeline": {
        "list read": LANDING,
        "list read put": [*TABLES, *LOGS, *DAGSTER],
        "list read put delete": DATA_FOLDERS,
    },
    "reader": {"list read": [*TABLES, *DATA_FOLDERS, *LOGS]},
    "maintenance": {"list read put delete": [*TABLES, *DATA_FOLDERS, *LOGS]},
}
"""By identity: all that it may do, and where. What is not here is refused."""


@dataclass(frozen=True)
class Identity:
    """Somebody with the rights of one policy, or of none (the administrator), at a machine with a folder of its own."""

    environment: dict[str, str] = field(repr=False)
    folder: Path

    @property
    def bucket(self) -> str:
        return self.environment["LAKEHOUSE_ROOT"].split("/")[2]

    @property
    def prefix(self) -> str:
        """What stands before all keys, with its slash."""
        return self.environment["LAKEHOUSE_ROOT"].split("/", 3)[3] + "/"

    @cached_property
    def s3(self) -> Any:
        return _client("s3", self.environment)

    @cached_property
    def store(self) -> S3Store:
        """The client that the lakehouse itself uses."""
        return S3Store(
            self.bucket,
            prefix=self.prefix,
            endpoint=self.environment["AWS_ENDPOINT_URL"],
            region=self.environment["AWS_REGION"],
            access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            session_token=self.environment.get("AWS_SESSION_TOKEN"),
            client_options={"allow_http": True},
        )

    @property
    def options(self) -> dict[str, str]:
        """The identity as delta-rs takes it."""
        return {name: value for name, value in self.environment.items() if name.startswith("AWS_")}

    def call(self, operation: str, **arguments: Any) -> Any:
        return getattr(self.s3, operation)(Bucket=self.bucket, **arguments)

    def may(self, operation: str, **arguments: Any) -> bool:
        """Whether the store does it; any other fault than a refusal is the test's own."""
        try:
            self.call(operation, **arguments)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                raise
            return False
        return True

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command line, as this identity and nobody else."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}
        return subprocess.run(
            [str(Path(sys.executable).with_name("lakehouse")), *arguments],
            env={**inherited, **self.environment, "LAKEHOUSE_ENGINE": "sail"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def does(self, *arguments: str) -> str:
        """What a command prints that succeeds."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return json.loads(self.does("query", sql, "--format", "json"))


@dataclass(frozen=True)
class Store:
    """A root on MinIO, its administrator, and the four identities."""

    admin: Identity
    identities: dict[str, Identity]

    def __getitem__(self, name: str) -> Identity:
        return self.identities[name]

    def objects(self, below: str = "") -> dict[str, str]:
        """All keys below the root, with their ETags."""
        pages = self.admin.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.admin.bucket, Prefix=self.admin.prefix + below
        )
        return {o["Key"].removeprefix(self.admin.prefix): o["ETag"] for page in pages for o in page.get("Contents", [])}


def filled(name: str, bucket: str, prefix: str) -> str:
    """A policy as a store takes it."""
    text = (POLICIES / f"{name}.json").read_text().replace("${BUCKET}", bucket).replace("${PREFIX}", prefix)
    return json.dumps(json.loads(text), separators=(",", ":"))


def _client(service: str, environment: Mapping[str, str]) -> Any:
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def _limited(admin: Identity, name: str, folder: Path) -> Identity:
    """A session of the administrator's to which a policy leaves no more than it allows."""
    policy = filled(name, admin.bucket, admin.prefix)
    sessions = _client("sts", admin.environment)
    # MinIO wants a role, and takes no notice of it.
    session = sessions.assume_role(RoleArn="arn:xxx:xxx:xxx:xxxx", RoleSessionName=name, Policy=policy)["Credentials"]
    keys = {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
    return Identity({**admin.environment, **keys}, folder)


@pytest.fixture(scope="module")
def make_store(stores: Callable[[str], dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """A maker of empty roots, each with identities of its own."""

    def make() -> Store:
        admin = Identity(stores("minio"), tmp_path_factory.mktemp("admin"))
        return Store(admin, {name: _limited(admin, name, tmp_path_factory.mktemp(name)) for name in NAMES})

    return make


@pytest.fixture(scope="module")
def store(make_store: Callable[[], Store]) -> Store:
    """A root with an object at each kind of place."""
    store = make_store()
    for path in (*LANDING, *TABLES, *DATA_FOLDERS, *LOGS, *DAGSTER, *ELSEWHERE):
        store.admin.call("put_object", Key=store.admin.prefix + path, Body=b"as it was")
    return store


# The policies as texts.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["lake/", "teams/retail/lake/", ""])
def test_a_policy_names_nothing_beyond_the_root(name, prefix):
    text = filled(name, "company-data", prefix)
    assert "$" not in text
    assert len(text) <= 2048, "the most that a session policy may have"
    policy = json.loads(text)
    assert set(policy) == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"])
        assert all(re.fullmatch(r"s3:[A-Za-z]+", action) for action in statement["Action"]), "no wildcards"
        if statement["Action"] == ["s3:ListBucket"]:
            assert statement["Resource"] == ["arn:aws:s3:::company-data"]
            listed = statement["Condition"]["StringLike"]["s3:prefix"]
            assert all(re.fullmatch(re.escape(prefix) + r"[a-z]+/\*", below) for below in listed)
        elif statement["Effect"] == "Allow":
            below = re.escape(f"arn:aws:s3:::company-data/{prefix}")
            assert all(
                re.fullmatch(below + r"[a-z]+/(\*|\*/data-\*|\*/_keys/\*)", resource) for resource in statement["Resource"]
            )


def test_every_policy_is_tried_here():
    assert sorted(file.stem for file in POLICIES.glob("*.json")) == sorted(NAMES) == sorted(RIGHTS)


# The policies in force.


@pytest.mark.parametrize("name", NAMES)
def test_an_identity_has_its_rights_and_no_others(store, name):
    identity = store[name]
    expected = {path: set(rights.split()) for rights, paths in RIGHTS[name].items() for path in paths}
    neighbour = f"{store.admin.prefix.rstrip('/')}-2/"
    places = {path: store.admin.prefix + path for path in (*LANDING, *TABLES, *DATA_FOLDERS, *LOGS, *DAGSTER, *ELSEWHERE)}
    places |= {f"neighbour {paths[0]}": neighbour + paths[0] for paths in (LANDING, TABLES, DATA_FOLDERS, LOGS)}
    result = {place: _rights(store.admin, identity, key) for place, key in places.items()}
    assert result == {place: expected.get(place, set()) for place in places}


def _rights(admin: Identity, identity: Identity, key: str) -> set[str]:
    """What an identity can do with an object, tried out. However it is put, the answer is the same; a refusal leaves it as it was."""
    admin.call("put_object", Key=key, Body=b"as it was")
    rights = set()
    if identity.may("list_objects_v2", Prefix=key.rpartition("/")[0] + "/"):
        rights.add("list")
    if identity.may("get_object", Key=key):
        rights.add("read")
    assert identity.may("head_object", Key=key) is ("read" in rights)
    new = f"{key}.{uuid4().hex[:8]}"
    if identity.may("put_object", Key=new, Body=b"new", IfNoneMatch="*"):
        rights.add("put")
    assert identity.may("put_object", Key=key, Body=b"put over") is ("put" in rights)
    assert identity.may("create_multipart_upload", Key=f"{key}.large") is ("put" in rights)
    if identity.may("delete_object", Key=key):
        rights.add("delete")
    left = {o["Key"] for o in admin.call("list_objects_v2", Prefix=key).get("Contents", [])}
    assert (key in left) is ("delete" not in rights)
    assert (new in left) is ("put" in rights)
    if "put" not in rights and "delete" not in rights:
        assert admin.call("get_object", Key=key)["Body"].read() == b"as it was"
    return rights


@pytest.mark.parametrize("name", NAMES)
def test_nobody_lists_more_than_the_root(store, name):
    identity, prefix = store[name], store.admin.prefix
    assert not identity.may("list_objects_v2")
    assert not identity.may("list_objects")
    for beyond in ("", prefix.rstrip("/"), prefix[:3], f"{prefix.rstrip('/')}-2/", "raw/", "landing/"):
        assert not identity.may("list_objects_v2", Prefix=beyond), beyond
        assert not identity.may("list_objects_v2", Prefix=beyond, Delimiter="/"), beyond
        assert not identity.may("list_object_versions", Prefix=beyond), beyond
    assert not identity.may("list_multipart_uploads")


@pytest.mark.parametrize("name", NAMES)
def test_nobody_changes_the_bucket(store, name):
    identity = store[name]
    anybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{identity.bucket}/*"}
    expiring = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    assert not identity.may("get_bucket_policy")
    assert not identity.may("put_bucket_policy", Policy=json.dumps({"Version": "2012-10-17", "Statement": [anybody]}))
    assert not identity.may("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"})
    assert not identity.may("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [expiring]})
    assert not identity.may("delete_bucket")


def test_with_versions_nothing_is_lost_for_good(store, tmp_path):
    admin = Identity({**store.admin.environment, "LAKEHOUSE_ROOT": "s3://test-versions/lake"}, tmp_path)
    admin.call("create_bucket")
    admin.call("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})
    path = {"Key": admin.prefix + DATA_FOLDERS[0]}
    first = {**path, "VersionId": admin.call("put_object", **path, Body=b"as it was")["VersionId"]}
    _limited(admin, "pipeline", tmp_path).call("put_object", **path, Body=b"put over")
    _limited(admin, "maintenance", tmp_path).call("delete_object", **path)
    for name in NAMES:
        assert not _limited(admin, name, tmp_path).may("delete_object", **first)
    assert admin.call("get_object", **first)["Body"].read() == b"as it was"


def test_what_landed_is_not_carried_off_by_copying(store):
    """A copy reads with the rights of whoever asks for it."""
    prefix, bucket = store.admin.prefix, store.admin.bucket
    table, landed = prefix + TABLES[0], prefix + LANDING[0]
    assert not store["ingest"].may("copy_object", Key=f"{landed}.copy", CopySource=f"{bucket}/{table}")
    assert not store["ingest"].may("copy_object", Key=f"{landed}.copy", CopySource=f"{bucket}/{landed}")
    assert not store["maintenance"].may("copy_object", Key=f"{table}.copy", CopySource=f"{bucket}/{landed}")
    assert not store["reader"].may("copy_object", Key=f"{table}.copy", CopySource=f"{bucket}/{table}")
    upload = store["ingest"].call("create_multipart_upload", Key=f"{landed}.copy")["UploadId"]
    part = {"Key": f"{landed}.copy", "UploadId": upload, "PartNumber": 1, "CopySource": f"{bucket}/{table}"}
    assert not store["ingest"].may("upload_part_copy", **part)


def test_a_bulk_delete_spares_the_log(store):
    keys = {path: store.admin.prefix + path for path in (DATA_FOLDERS[1], TABLES[1], LOGS[3], LANDING[0])}
    for key in keys.values():
        store.admin.call("put_object", Key=key, Body=b"")
    done = store["pipeline"].call("delete_objects", Delete={"Objects": [{"Key": key} for key in keys.values()]})
    assert [result["Key"] for result in done["Deleted"]] == [keys[DATA_FOLDERS[1]]]
    assert {(fault["Key"], fault["Code"]) for fault in done["Errors"]} == {
        (key, "AccessDenied") for path, key in keys.items() if path != DATA_FOLDERS[1]
    }
    assert set(keys) & set(store.objects()) == set(keys) - {DATA_FOLDERS[1]}


@pytest.mark.parametrize("name", ["ingest", "pipeline", "maintenance"])
def test_large_objects_are_put_in_parts_and_aborted_uploads_cleared_away(store, name):
    identity, path = store[name], {"ingest": LANDING[0]}.get(name, DATA_FOLDERS[0])
    large = b"0123456789abcdef" * (6 * 1024 * 1024 // 16)
    obstore.put(identity.store, f"{path}.{name}.large", large, chunk_size=5 * 1024 * 1024, use_multipart=True)
    assert store.admin.call("head_object", Key=f"{store.admin.prefix}{path}.{name}.large")["ContentLength"] == len(large)
    upload = {"Key": f"{store.admin.prefix}{path}.{name}.aborted"}
    upload["UploadId"] = identity.call("create_multipart_upload", Key=upload["Key"])["UploadId"]
    identity.call("upload_part", **upload, PartNumber=1, Body=b"half")
    identity.call("abort_multipart_upload", **upload)
    assert store.admin.call("list_multipart_uploads", Prefix=upload["Key"]).get("Uploads", []) == []


def test_a_commit_is_put_once(store):
    commit = "raw/t/_delta_log/00000000000000000042.json"
    obstore.put(store["pipeline"].store, commit, b"mine", mode="create")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store["pipeline"].store, commit, b"another's", mode="create")
    assert bytes(obstore.get(store["reader"].store, commit).bytes()) == b"mine"
    with pytest.raises(PermissionDeniedError):
        obstore.put(store["reader"].store, "raw/t/_delta_log/00000000000000000043.json", b"", mode="create")


# The work, by the command line.


@pytest.fixture(scope="module")
def lake(make_store: Callable[[], Store]) -> Store:
    """A root into which `ingest` has landed two files, and which `pipeline` has brought up to date."""
    store = make_store()
    (store["ingest"].folder / "first.csv").write_text("CID,CNTRY\nAW-00000001,US\nAW-00000002,DE\n")
    # A newer row of a key, one without a key, and one that can't be read.
    (store["ingest"].folder / "second.csv").write_text("CID,CNTRY\nAW-00000002,FR\nAW-00000003,\n,US\nAW-00000004\n")
    for file, day in (("first.csv", "2026-01-31"), ("second.csv", "2026-02-01")):
        landed = store["ingest"].does("land", "erp/customer_locations", file, "--date", day)
        assert landed.strip() == f"landing/erp/customer_locations/{day}/{file}"
    before = store.objects("landing/")
    assert len(before) == 2
    done = json.loads(store["pipeline"].does("sync", "--json"))
    assert {(t["layer"], t["table"]) for t in done["tables"]} == {
        ("raw", "erp_customer_locations"),
        ("silver", "erp_customer_locations"),
        ("silver", "erp_customer_location_versions"),
    }
    assert store.objects("landing/") == before
    return store


def test_the_identities_work_together_from_landing_to_a_query(lake):
    sql = "SELECT customer_number, country FROM silver.erp_customer_locations ORDER BY customer_number"
    locations = [(row["customer_number"], row["country"]) for row in lake["reader"].rows(sql)]
    assert locations == [("AW00000001", "United States"), ("AW00000002", "FR"), ("AW00000003", "n/a")]
    quarantined = json.loads(lake["reader"].does("quarantine", "--json"))
    assert {group["layer"] for group in quarantined} == {"raw", "silver"}
    # What the engine wrote for rows that are not in the table has been deleted; what is left is named by a commit.
    uri = f"{lake.admin.environment['LAKEHOUSE_ROOT']}/silver/erp_customer_locations"
    table = DeltaTable(uri, storage_options=lake["reader"].options)
    named = {file.removeprefix(f"{uri}/") for file in table.file_uris()}
    lists = lake.objects("silver/erp_customer_locations/_superseded")
    [newest] = [path for path in lists if path.endswith(f"/{table.transaction_version('lakehouse.superseded')}.json")]
    listed = lake.admin.s3.get_object(Bucket=lake.admin.bucket, Key=lake.admin.prefix + newest)["Body"].read()
    named |= {file for batch in json.loads(listed)["batches"] for file in batch["files"]}
    stored = {path.removeprefix("silver/erp_customer_locations/") for path in lake.objects("silver/erp_customer_locations/data-")}
    assert stored == named


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("reader", "sync"),
        ("reader", "plan"),
        ("reader", "land erp/customer_locations more.csv --date 2026-02-02"),
        ("pipeline", "land erp/customer_locations more.csv --date 2026-02-02"),
        ("maintenance", "sync"),
        ("ingest", "sync"),
        ("ingest", "query SELECT(1)"),
        ("ingest", "quarantine"),
    ],
)
def test_a_command_without_the_right_says_so_in_a_sentence_and_changes_nothing(lake, name, command):
    identity = lake[name]
    (identity.folder / "more.csv").write_text("CID,CNTRY\nAW-00000009,US\n")
    before = lake.objects()
    done = identity.run(*command.split())
    assert lake.objects() == before
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: .* no right to (list|read|write) .*\n", done.stderr), done.stderr
    for secret in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert identity.environment[secret] not in done.stderr


# The work of delta-rs that comes up later in a table's life.

ROWS = pa.table({"n": pa.array([1], pa.int64()), "_date": pa.array([date(2026, 1, 31)])})


def _commit_by_rows(uri: str, number: int) -> None:
    replace_rows(uri, ROWS, predicate="_date IN (DATE '2026-01-31')", key=str(number), run_id="a-run")


def _commit_by_files(uri: str, number: int) -> None:
    table = open_table(uri)
    assert table is not None
    file = DataFile(f"data-{number}/_date=2026-01-31/part-0.parquet", 1, 1, date(2026, 1, 31))
    commit_files(table, [file], [], key=str(number), run_id="a-run")


def _commit_a_new_table(uri: str, number: int) -> None:
    replace_table(DeltaTable(uri), uri, ROWS, key=str(number), run_id="a-run")


@pytest.mark.parametrize("commit", [_commit_by_rows, _commit_by_files, _commit_a_new_table])
def test_commits_go_on_once_the_log_has_expired(store, commit, monkeypatch):
    for name, value in store["pipeline"].environment.items():
        monkeypatch.setenv(name, value)
    name = f"raw/expiring{commit.__name__}"
    uri = f"{store.admin.environment['LAKEHOUSE_ROOT']}/{name}"
    ensure_table(uri, ROWS.schema)
    commit(uri, 0)
    table = DeltaTable(uri, storage_options=store["maintenance"].options)
    table.create_checkpoint()
    # From now on every entry before the checkpoint is old enough to go.
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds", "delta.checkpointInterval": "2"})
    before = DeltaTable(uri, storage_options=store["reader"].options).version()
    log = store.objects(f"{name}/_delta_log/")
    for number in (1, 2, 3):
        commit(uri, number)
    assert DeltaTable(uri, storage_options=store["reader"].options).version() == before + 3
    assert set(log) < set(store.objects(f"{name}/_delta_log/"))


def test_maintenance_compacts_and_vacuums_what_the_pipeline_may_not(lake):
    uri = f"{lake.admin.environment['LAKEHOUSE_ROOT']}/raw/many_files"
    for _ in range(3):
        write_deltalake(uri, ROWS, mode="append", partition_by=["_date"], storage_options=lake["pipeline"].options)

    def table(name: str, of: str = uri) -> DeltaTable:
        return DeltaTable(of, storage_options=lake[name].options)

    now = {"retention_hours": 0, "enforce_retention_duration": False, "dry_run": False}
    assert table("maintenance").optimize.compact()["numFilesRemoved"] == 3
    before = lake.objects("raw/many_files/")
    for name in ("pipeline", "reader"):
        with pytest.raises(OSError, match="AccessDenied"):
            table(name).vacuum(**now)
        assert before.keys() <= lake.objects("raw/many_files/").keys()
    assert len(table("maintenance").vacuum(**now)) == 3
    assert table("reader").to_pyarrow_table().num_rows == 3

    table("maintenance").create_checkpoint()
    table("maintenance").alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    table("maintenance").cleanup_metadata()
    assert "raw/many_files/_delta_log/00000000000000000000.json" not in lake.objects("raw/many_files/")
    assert table("reader").to_pyarrow_table().num_rows == 3

    # The tables of the lakehouse: neither a query nor the next pass notices.
    sql = "SELECT * FROM silver.erp_customer_locations ORDER BY ALL"
    standing = lake["reader"].rows(sql)
    for path in ("ops/partitions", "raw/erp_customer_locations", "silver/erp_customer_locations", "quarantine/rows"):
        of = f"{lake.admin.environment['LAKEHOUSE_ROOT']}/{path}"
        table("maintenance", of).optimize.compact()
        table("maintenance", of).vacuum(**now)
    assert lake["reader"].rows(sql) == standing
    assert "Nothing to do" in lake["pipeline"].run("sync").stderr
