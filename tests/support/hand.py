"""A hand that puts files into landing under names that obstore would refuse."""

import os
from collections.abc import Callable
from pathlib import Path

import boto3

from lakehouse_assets.store.root import Root

Put = Callable[[str, bytes], None]


def hand(root: Root) -> Put:
    """Puts bytes under a key below the root, whatever the key."""
    if root.local_folder:
        folder = root.local_folder

        def into_folder(key: str, content: bytes) -> None:
            path = Path(folder, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        return into_folder
    client = boto3.Session().client("s3", region_name=os.environ["AWS_REGION"])

    def into_bucket(key: str, content: bytes) -> None:
        client.put_object(Bucket=root.bucket, Key=f"{root.prefix}/{key}", Body=content)

    return into_bucket


def eraser(root: Root) -> Callable[[str], None]:
    """Deletes what lies under a key below the root, whatever the key."""
    if root.local_folder:
        folder = root.local_folder
        return lambda key: Path(folder, key).unlink()
    client = boto3.Session().client("s3", region_name=os.environ["AWS_REGION"])
    return lambda key: client.delete_object(Bucket=root.bucket, Key=f"{root.prefix}/{key}") and None
