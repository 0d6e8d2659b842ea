"""The files of a commit: which stay after it."""

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.delta.data_files import data_folder


@pytest.mark.parametrize(("error", "stays"), [(CommitFailedError, False), (OSError, True), (KeyboardInterrupt, True)])
def test_a_file_stays_unless_its_commit_is_known_to_have_failed(error, stays, root):
    """Of a reply that was lost, or a process that is ended, nobody knows."""

    def commit():
        with data_folder(root, "silver", "things", "run") as folder:
            folder.put(pa.table({"id": [1]}), "kept")
            folder.put(pa.table({"id": [2]}), "other")
            with folder.committing([f"{folder.name}/kept.parquet"]):
                raise error

    with pytest.raises(error):
        commit()
    left = [path.rpartition("/")[2] for path, _ in root.files("silver/things/")]
    assert left == (["kept.parquet"] if stays else [])
