"""The key filter on each kind of store."""

import io

import obstore
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from lakehouse_assets.delta import key_filter
from lakehouse_assets.delta.duck import connect


@pytest.mark.worlds("sail-folder", "sail-minio")
def test_a_filter_names_the_files_that_have_a_key(make_lakehouse, monkeypatch):
    monkeypatch.setattr(key_filter, "WORTHWHILE", 100)
    root, key = make_lakehouse().settings.root, {"id": "string", "item": "bigint"}
    files = {f"data-1/part-{n}.parquet": 5_000 for n in range(4)}
    for n, file in enumerate(files):
        content = io.BytesIO()
        numbers = range(n * 5_000, (n + 1) * 5_000)
        parquet.write_table(pa.table({"id": [f"{number * 7919 % 100_003}" for number in numbers], "item": numbers}), content)
        obstore.put(root.store, f"silver/things/{file}", content.getvalue())
    with connect(root) as connection:

        def without(*numbers: int) -> set[str]:
            keys = pa.table({"id": [f"{number * 7919 % 100_003}" for number in numbers], "item": numbers})
            connection.register("keys", keys)
            return opened().files_without(connection, "keys", files)

        def opened() -> key_filter.KeyFilter:
            result = key_filter.key_filter(root, "silver", "things", key)
            assert result is not None
            return result

        assert without(1, 2, 3) == set()
        opened().extend(connection, files, kept=files)
        assert without(30_000) == files.keys()
        assert without(5_000, 19_999, 30_000) == {"data-1/part-0.parquet", "data-1/part-2.parquet"}
        assert without(*range(4_990, 5_005)) == {"data-1/part-2.parquet", "data-1/part-3.parquet"}
        # With so many keys for so few rows, it is not looked at.
        assert without(*range(1_000)) == set()
