# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""NPY and NPZ: arrays whose first dimension counts the rows; nothing is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from millrace_analysis.errors import IngestError
from millrace_analysis.staging import CHUNK_BYTES

from .expand import RATIO_FROM_BYTES
from .reading import Reading, rows_within

FEATURES = 'features'
"""Name of the column that the one array of an NPY file becomes."""


def read_npy(reading: Reading) -> Iterator[pa.RecordBatch]:
    """A structured array is a table; any other is the column `features`."""
    array = _open(reading.path, reading.name)
    if array.dtype.names:
        yield from slices({name: array[name] for name in array.dtype.names}, reading)
    else:
        yield from slices({FEATURES: array}, reading)


def read_npz(reading: Reading) -> Iterator[pa.RecordBatch]:
    """Every array is a column."""
    arrays: dict[str, Any] = {}
    expanded = 0
    try:
        with zipfile.ZipFile(reading.path) as archive:
            members = archive.infolist()
            reading.limits.check('columnsMax', len(members), f'Arrays of {reading.name}')
            for number, member in enumerate(members):
                if not member.filename.endswith('.npy'):
                    raise IngestError('malformed_data', f'{reading.name} holds {member.filename}, no array.')
                target = reading.scratch / f'array-{number}.npy'
                expanded += _extract(archive, member, target, expanded, reading)
                arrays[member.filename.removesuffix('.npy')] = _open(
                    target, f'{reading.name}/{member.filename}'
                )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise IngestError('malformed_data', f'{reading.name} is no NPZ file: {error}.') from error
    yield from slices(arrays, reading)


def _extract(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, before: int, reading: Reading
) -> int:
    """Writes a member to disk and counts what really comes out, whatever the archive says."""
    written = 0
    with archive.open(member) as stream, target.open('wb') as out:
        while chunk := stream.read(CHUNK_BYTES):
            written += len(chunk)
            what = f'{reading.name}/{member.filename}'
            reading.limits.check('expandedBytesMax', before + written, f'Bytes of {what} after decompression')
            if written > RATIO_FROM_BYTES:
                ratio = written // max(1, member.compress_size)
                reading.limits.check('expansionRatioMax', ratio, f'Growth of {what}')
            out.write(chunk)
    return written


def _open(path: Path, name: str) -> Any:
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except ValueError as error:
        if 'allow_pickle' in str(error) or 'Object arrays' in str(error) or 'objects' in str(error):
            raise IngestError(
                'unsafe_data', f'{name} holds pickled objects; save numbers or texts.'
            ) from error
        raise IngestError('malformed_data', f'{name} is no NPY file: {str(error)[:200]}') from error
    except (OSError, EOFError, SyntaxError, TypeError) as error:
        raise IngestError(
            'malformed_data', f'{name} is no whole NPY file: {type(error).__name__}.'
        ) from error
    if not isinstance(array, np.ndarray):
        raise IngestError('malformed_data', f'{name} is no NPY file.')
    return array


def slices(arrays: Mapping[str, Any], reading: Reading) -> Iterator[pa.RecordBatch]:
    """Rows of arrays with the same first dimension: one dimension is a column, two are vectors."""
    if not arrays:
        raise IngestError('source_empty', f'{reading.name} has no array.')
    rows: dict[str, int] = {}
    width = 0
    for name, array in arrays.items():
        if array.ndim not in (1, 2):
            raise IngestError(
                'malformed_data', f'{reading.name}: {name} has {array.ndim} dimensions, not 1 or 2.'
            )
        if array.ndim == 2:
            reading.limits.check('vectorSizeMax', array.shape[1], f'Elements of {name} in {reading.name}')
        rows[name] = int(array.shape[0])
        width += int(array.dtype.itemsize) * int(np.prod(array.shape[1:], dtype=np.int64))
    if len(set(rows.values())) > 1:
        text = ', '.join(f'{name} {count}' for name, count in rows.items())
        raise IngestError('schema_mismatch', f'The arrays of {reading.name} have different rows: {text}.')
    count = next(iter(rows.values()))
    reading.limits.check('expandedBytesMax', count * width, f'Bytes of the rows of {reading.name}')
    step = rows_within(width)
    for start in range(0, count, step):
        yield pa.RecordBatch.from_arrays(
            [_to_arrow(array[start : start + step], name, reading) for name, array in arrays.items()],
            list(arrays),
        )


def _to_arrow(values: Any, name: str, reading: Reading) -> pa.Array:
    values = np.asarray(values)
    if values.dtype.kind == 'S':
        values = np.char.decode(values, 'utf-8')
    if values.dtype.kind == 'O':
        values = np.array(
            [item.decode() if isinstance(item, bytes) else str(item) for item in values.ravel()]
        )
    if values.dtype.kind not in 'biufUM':
        raise IngestError('malformed_data', f'{reading.name}: {name} has the unusable type {values.dtype}.')
    if values.ndim == 1:
        return pa.array(values.astype(values.dtype.newbyteorder('=')))
    if values.dtype.kind not in 'biuf':
        raise IngestError(
            'malformed_data', f'{reading.name}: {name} is a table of {values.dtype}, not numbers.'
        )
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), values.shape[1])
