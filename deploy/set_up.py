"""What the stack needs once, before it starts: the bucket, and Dagster's tables in PostgreSQL as this version of Dagster wants them.

Does nothing where that is done.
"""

import sys

import boto3
import dagster as dg
from botocore.exceptions import ClientError

from lakehouse_assets.settings import load_settings


def make_bucket(name: str) -> None:
    """Make a bucket in the store of the environment."""
    try:
        boto3.client("s3").create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise


def main() -> None:
    """Set up."""
    bucket = load_settings().root.bucket
    if bucket is not None:
        make_bucket(bucket)
    # An instance makes its tables where there are none; the upgrade changes those of an older version.
    with dg.DagsterInstance.get() as instance:
        instance.upgrade(lambda told: print(told, file=sys.stderr))  # noqa: T201 - the log of this one-shot service


if __name__ == "__main__":
    main()
