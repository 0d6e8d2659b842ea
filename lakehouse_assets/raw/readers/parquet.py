"""Reads Parquet: values become text without loss, nested values compact JSON. A row's number is its place in the file, from 1.

Numbers are written as Arrow writes them, decimals with all their digits, times by the grammar of the types: a timestamp with a zone
in UTC with `Z`, as Parquet stores it. Bytes are text if they are UTF-8, as old writers mark no text; else hex digits behind `0x`. A row
group that is damaged costs its own rows only.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.provenance import ROW
from lakehouse_assets.raw.readers.batch import Batch, RefusedFileError, Reject, rejects_table, with_dialect
from lakehouse_assets.raw.readers.missing import Header, has_too_many_columns, header_of
from lakehouse_assets.raw.readers.packed import most_unpacked, unpacks_to_too_much
from lakehouse_assets.raw.readers.spool import spooled

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile

_BATCH_ROWS = 10_000
_BATCH_BYTES = 32 * 1024 * 1024
_MOST_BATCH_BYTES = 256 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024
_ITEM_BYTES = 32
"""What an item of a list takes at least while it becomes text."""
_PLAIN, _ENCRYPTED = b"PAR1", b"PARE"


def is_parquet(first: bytes) -> bool:
    """Whether a file that begins with these bytes is Parquet. Behind the mark it has bytes that no text has: 0x15 or a length."""
    return first.startswith((_PLAIN, _ENCRYPTED)) and any(byte < 32 and byte not in b"\t\r\n" for byte in first[4:8])


def read_parquet(pieces: Iterable[bytes], feed: Feed) -> Iterator[Batch]:
    """Yield the rows of a Parquet file, in batches, in the order of the file.

    Raises:
        RefusedFileError: the file can't be read at all, lacks a required column, has too many columns, or unpacks to too much.
    """
    import pyarrow as pa

    with spooled(pieces) as file:
        size = file.seek(0, 2)
        parquet, chunks = _opened(pa.PythonFile(file, mode="r"))
        header = _header(parquet, feed)
        names = header.names
        limit = most_unpacked(size)
        before = unpacked = 0
        for group in range(parquet.num_row_groups):
            rows_in = parquet.metadata.row_group(group).num_rows
            items = _most_items(parquet, chunks[group])
            if items > limit // _ITEM_BYTES:
                raise unpacks_to_too_much(size, "have it sent in several files")
            done = 0
            for batch in _batches(parquet, group, items):
                if isinstance(batch, Exception):
                    yield _in_dialect(_lost_rows(names, group, before + done, rows_in - done, batch), header)
                    break
                try:
                    result = _batch(batch, names, before + done + 1)
                except pa.ArrowException as error:  # a damaged page may be read, and make no sense
                    yield _in_dialect(_lost_rows(names, group, before + done, rows_in - done, error), header)
                    break
                unpacked += result.rows.nbytes
                if unpacked > limit:
                    raise unpacks_to_too_much(size, "have it sent in several files")
                yield _in_dialect(result, header)
                done += batch.num_rows
            before += rows_in
        if before == 0:
            yield _in_dialect(_without_rows(names), header)


def _in_dialect(batch: Batch, header: Header) -> Batch:
    """Return a batch with the dialect of its rows."""
    return replace(batch, rows=with_dialect(batch.rows, header.dialect))


def read_header(pieces: Iterable[bytes], feed: Feed) -> list[str]:
    """Return the columns of a Parquet file under their names in the raw table."""
    import pyarrow as pa

    with spooled(pieces) as file:
        return header_of(feed, _opened(pa.PythonFile(file, mode="r"))[0].schema_arrow.names).planned(feed)


def _batches(parquet: "ParquetFile", group: int, items: int) -> "Iterator[pa.RecordBatch | Exception]":
    """Yield the rows of a row group; at last, if some of them can't be read, the error."""
    import pyarrow as pa

    facts = parquet.metadata.row_group(group)
    size = max(facts.total_byte_size, items * _ITEM_BYTES, 1)
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * facts.num_rows // size))
    left = facts.num_rows
    try:
        for batch in parquet.iter_batches(rows, row_groups=[group]):
            yield batch
            left -= batch.num_rows
    except (pa.ArrowException, OSError) as error:
        yield error
        return
    if left > 0:
        yield EOFError("it ends before its last row")


def _most_items(parquet: "ParquetFile", chunks: "Sequence[ColumnChunkMetaData]") -> int:
    """Return how many values the longest column of lists has in a row group (`_chunks`): equal ones take no bytes in the file."""
    lists = (chunk for n, chunk in enumerate(chunks) if parquet.schema.column(n).max_repetition_level)
    return max((chunk.num_values for chunk in lists), default=0)


def _chunks(parquet: "ParquetFile", group: int) -> "list[ColumnChunkMetaData]":
    """Return what the footer says of the columns of a row group; nothing if it can't be read.

    pyarrow ends the process where it is asked for a column of which the footer is damaged; where it reads one, it raises.
    """
    import pyarrow as pa

    try:
        next(parquet.iter_batches(1, row_groups=[group]), None)
    except (pa.ArrowException, OSError):
        return []
    facts = parquet.metadata.row_group(group)
    return [facts.column(number) for number in range(facts.num_columns)]


def _opened(file: "pa.PythonFile") -> "tuple[ParquetFile, list[list[ColumnChunkMetaData]]]":
    """Open a file by its footer. Also return `_chunks` of its row groups.

    Raises:
        RefusedFileError: the footer is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    options: dict[str, Any] = {
        "page_checksum_verification": True,
        "arrow_extensions_enabled": True,
        "buffer_size": _BUFFER_BYTES,
        "coerce_int96_timestamp_unit": "us",  # nanoseconds end in 2262, and silently begin again
    }
    try:
        opened = parquet.ParquetFile(file, **options)
        chunks = [_chunks(opened, group) for group in range(opened.num_row_groups)]
        # What is stored as a dictionary is read as one: a long value that is often repeated takes no memory before it is counted.
        opened = parquet.ParquetFile(file, metadata=opened.metadata, read_dictionary=_dictionaries(chunks), **options)
        rows = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        if opened.metadata.num_rows != sum(rows) or min(rows, default=0) < 0:
            raise pa.ArrowInvalid("the footer contradicts itself")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (
            f"the file can't be read as Parquet: it is cut off, damaged or encrypted ({_first_line(error)}); have it sent again"
        )
        raise RefusedFileError("file_is_parquet", reason) from None
    return opened, chunks


def _dictionaries(chunks: "Iterable[Sequence[ColumnChunkMetaData]]") -> list[int]:
    """Return the numbers of the values of bytes or text of which a part is stored as a dictionary."""
    text_columns = (
        n for group in chunks for n, c in enumerate(group) if c.physical_type == "BYTE_ARRAY" and c.has_dictionary_page
    )
    return sorted(set(text_columns))


def _header(parquet: "ParquetFile", feed: Feed) -> Header:
    """Return the file's columns.

    Raises:
        RefusedFileError: the file lacks a required column, or has too many.
    """
    fields = parquet.schema_arrow.names
    rows = parquet.metadata.num_rows
    if too_many := has_too_many_columns(feed, len(fields)):
        raise RefusedFileError("file_has_few_new_columns", too_many, fields, rows)
    header = header_of(feed, fields)
    if header.fault is not None:
        rule, reason, advice = header.fault
        raise RefusedFileError(f"file_{rule}", reason + advice, fields, rows)
    return header


def _batch(batch: "pa.RecordBatch", names: list[str], number: int) -> Batch:
    """Convert rows, of which the first has this number, to text."""
    import pyarrow as pa

    columns = dict(zip(names, map(_text, batch.columns), strict=True))
    return Batch(_table(columns, pa.arange(number, number + batch.num_rows)), rejects_table([]))


def _table(columns: "dict[str, pa.Array]", numbers: "pa.Array") -> "pa.Table":
    import pyarrow as pa

    return pa.table({**columns, ROW: numbers})


def _lost_rows(names: list[str], group: int, before: int, rows: int, error: Exception) -> Batch:
    """Return the entry for the rows of a row group that can't be read, which are the rows from `before` + 1 on."""
    lost = f"rows {before + 1:,} to {before + rows:,} are lost"
    reason = f"row group {group} is damaged ({_first_line(error)}): {lost}; have the file sent again"
    entry = Reject(None, "row_group_is_readable", reason, "", max(rows, 1), place=f"row group {group}")
    return _without_rows(names, entry)


def _without_rows(names: list[str], *entries: Reject) -> Batch:
    """Return the columns without a row, and entries."""
    import pyarrow as pa

    return Batch(_table({name: pa.array([], pa.string()) for name in names}, pa.array([], pa.int64())), rejects_table(entries))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _text(array: "pa.Array") -> "pa.Array":
    """Convert values to text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = array.type, pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _valid(array.cast(pa.string()))
    if isinstance(array, pa.ExtensionArray):
        is_uuid = isinstance(kind, pa.UuidType)
        return pa.array([value and str(value) for value in array.to_pylist()], pa.string()) if is_uuid else _text(array.storage)
    if types.is_dictionary(kind):
        return _text(_expanded(array))
    if types.is_nested(kind):
        return pa.array([None if text == "null" else text for text in _json(array)], pa.string())
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return pa.array([None if value is None else _of_bytes(value) for value in array.to_pylist()], pa.string())
    if types.is_decimal(kind):
        return _plain(array.cast(pa.string()))
    if types.is_timestamp(kind):
        if kind.tz is not None:
            array = array.cast(pa.timestamp(kind.unit, "UTC"))
        return _trimmed(array.cast(pa.string()), kind.unit)
    if types.is_time(kind):
        return _trimmed(array.cast(pa.string()), kind.unit)
    if types.is_float64(kind):
        return _without_exponent(array)
    return pc.cast(array, pa.string())


def _without_exponent(doubles: "pa.DoubleArray") -> "pa.Array":
    """Return the texts of doubles, as a workbook has them: up to 2**53, where whole numbers cease to be exact, without an exponent."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts, sizes = pc.cast(doubles, pa.string()), pc.abs(doubles)
    # Arrow writes an exponent from here on; Python from 1e16 on.
    is_long = pc.and_(pc.greater_equal(sizes, 1e10), pc.less_equal(sizes, 2.0**53)).fill_null(False)
    long = [repr(value).removesuffix(".0") for value in doubles.filter(is_long).to_pylist()]
    return pc.replace_with_mask(texts, is_long, pa.array(long, pa.string())) if long else texts


def _expanded(array: "pa.DictionaryArray") -> "pa.Array":
    """Return the values of a dictionary array, each in its place.

    Raises:
        RefusedFileError: they take too much memory: a long value is repeated too often.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(array.type.value_type) or pa.types.is_binary(array.type.value_type):
        size = pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0
        if size > _MOST_BATCH_BYTES:
            reason = f"{len(array):,} values of one column take {size:,} bytes; allowed are {_MOST_BATCH_BYTES:,}"
            raise RefusedFileError("file_has_bounded_size", f"{reason}: have it sent in several files")
    return array.dictionary_decode()


def _valid(texts: "pa.Array") -> "pa.Array":
    """Return texts; those that are not UTF-8, as bytes in hex."""
    import pyarrow as pa

    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return _text(texts.cast(pa.binary()))
    return texts


def _of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"


def _plain(texts: "pa.Array") -> "pa.Array":
    """Write decimals without an exponent, which Arrow uses for small ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(texts, "E")).as_py():
        return texts
    from decimal import Decimal

    return pa.array([None if text is None else format(Decimal(text), "f") for text in texts.to_pylist()], pa.string())


def _trimmed(texts: "pa.Array", unit: str) -> "pa.Array":
    """Leave out the zeros at the end of a fraction of a second."""
    import pyarrow.compute as pc

    return texts if unit == "s" else pc.replace_substring_regex(texts, r"\.?0+(Z?)$", r"\1")


def _json(array: "pa.Array") -> list[str]:
    """Write each value as compact JSON: numbers as they are, everything else that is not nested as text."""
    import pyarrow as pa

    kind, types = array.type, pa.types
    if types.is_struct(kind):
        children = [_json(child) for child in array.flatten()]
        names = [json.dumps(field.name, ensure_ascii=False) for field in kind]
        rows = zip(*children, strict=True) if children else ((),) * len(array)
        made = ["{" + ",".join(map("{}:{}".format, names, row)) + "}" for row in rows]
        return _with_nulls(made, array)
    if types.is_map(kind):
        entries = array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        pairs = zip(*map(_json, entries.flatten().flatten()), strict=True)
        members = [f"{key}:{value}" if key.startswith('"') else f'"{key}":{value}' for key, value in pairs]
        return _with_nulls([f"{{{','.join(members[a:b])}}}" for a, b in _bounds(entries)], array)
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        return _json(array.cast(pa.large_list(kind.value_type)))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        items = _json(array.flatten())
        return _with_nulls([f"[{','.join(items[a:b])}]" for a, b in _bounds(array)], array)
    texts = _text(array).to_pylist()
    written: Callable[[str], str] = str if _is_json(kind) else lambda text: json.dumps(text, ensure_ascii=False)
    return ["null" if text is None else written(text) if text not in _NOT_JSON else f'"{text}"' for text in texts]


_NOT_JSON = ("nan", "inf", "-inf")


def _is_json(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind))


def _with_nulls(texts: list[str], array: "pa.Array") -> list[str]:
    return [text if valid else "null" for text, valid in zip(texts, array.is_valid().to_pylist(), strict=True)]


def _bounds(array: "pa.Array") -> Iterator[tuple[int, int]]:
    """Yield where the items of each list begin and end among those of all lists; null has none."""
    import pyarrow.compute as pc

    end = 0
    for length in pc.list_value_length(array).to_pylist():
        yield end, (end := end + (length or 0))
