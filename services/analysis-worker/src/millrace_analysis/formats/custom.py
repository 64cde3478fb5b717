# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""Formats of the operator's own: an installed package names a reader in the group `millrace.readers`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pyarrow as pa

from millrace_analysis.errors import IngestError, Stopped

from .reading import Reading

GROUP = 'millrace.readers'


def read_custom(reading: Reading) -> Iterator[pa.RecordBatch]:
    """Calls `reader(path)`, which gives record batches; raises `unknown_format`, `malformed_data`."""
    name = reading.format.reader or ''
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if len(found) != 1:
        known = ', '.join(sorted(point.name for point in entry_points(group=GROUP))) or 'none'
        raise IngestError(
            'unknown_format', f"No reader '{name}' is installed in {GROUP}; there are: {known}."
        )
    reader: Any = found[0].load()
    try:
        for batch in reader(reading.path):
            if not isinstance(batch, pa.RecordBatch):
                raise TypeError(f'the reader gave {type(batch).__name__}, not a RecordBatch')
            reading.limits.check('columnsMax', batch.num_columns, f'Columns of {reading.name}')
            yield batch
    except (IngestError, Stopped):
        raise
    except Exception as error:
        raise IngestError(
            'malformed_data', f"The reader '{name}' refused {reading.name}: {type(error).__name__}: {error}."
        ) from error
