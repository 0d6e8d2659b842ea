"""One-time set-up of the stack before it starts: creates the bucket, and creates or upgrades Dagster's tables in PostgreSQL.

Running it again does nothing.
"""

import sys

import boto3
import dagster as dg
from botocore.exceptions import ClientError

from lakehouse_assets.settings import load_settings


def make_bucket(name: str) -> None:
    """Create a bucket in the store that the environment names, unless it exists."""
    try:
        boto3.client("s3").create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise


def main() -> None:
    """Set up the bucket and Dagster's tables."""
    bucket = load_settings().root.bucket
    if bucket is not None:
        make_bucket(bucket)
    # Opening an instance creates missing tables; the upgrade migrates those of an older version.
    with dg.DagsterInstance.get() as instance:
        instance.upgrade(lambda message: print(message, file=sys.stderr))  # noqa: T201 - the log of this one-shot service


if __name__ == "__main__":
    main()
