# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""Parquet: columns and flat structures of columns, read a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from millrace_analysis.errors import IngestError

from .reading import Reading, rows_within


def read_parquet(reading: Reading) -> Iterator[pa.RecordBatch]:
    """Raises `malformed_data`, `ingest_limit_exceeded`."""
    try:
        file = pq.ParquetFile(str(reading.path), memory_map=True)
        metadata = file.metadata
        reading.limits.check('columnsMax', metadata.num_columns, f'Columns of {reading.name}')
        reading.limits.check('rowsMax', metadata.num_rows, f'Rows of {reading.name}')
        depth = max((_depth(field.type) for field in file.schema_arrow), default=0)
        reading.limits.check('nestingMax', depth, f'Nesting of {reading.name}')
        expanded = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        reading.limits.check('expandedBytesMax', expanded, f'Bytes of {reading.name} after decompression')
        rows = rows_within(expanded // max(1, metadata.num_rows))
        for batch in file.iter_batches(batch_size=min(rows, reading.rows_per_batch)):
            flat = _flatten(batch, reading)
            if flat.num_rows:
                yield flat
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise IngestError('malformed_data', f'{reading.name}: {str(error).splitlines()[0][:200]}') from error


def _flatten(batch: pa.RecordBatch, reading: Reading) -> pa.RecordBatch:
    table = pa.Table.from_batches([batch])
    for _ in range(reading.limits.nestingMax):
        if not any(pa.types.is_struct(field.type) for field in table.schema):
            break
        table = table.flatten()
        reading.limits.check('columnsMax', table.num_columns, f'Columns of {reading.name}')
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else batch.slice(0, 0)


def _depth(type_: pa.DataType) -> int:
    children = [type_.field(place).type for place in range(type_.num_fields)]
    return 1 + max((_depth(child) for child in children), default=0) if children else 0
