# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""HDF5: the data sets of a group are columns; nothing outside the file is ever opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from millrace_analysis.errors import IngestError

from .numpy_arrays import slices
from .reading import Reading

CHUNK_BYTES_MAX = 256 << 20
"""Bytes of one chunk after decompression: HDF5 expands a chunk whole."""


def read_hdf5(reading: Reading) -> Iterator[pa.RecordBatch]:
    """Raises `unsafe_data` for links and storage outside the file, `malformed_data`, `schema_mismatch`."""
    try:
        file = h5py.File(reading.path, 'r')
    except OSError as error:
        raise IngestError('malformed_data', f'{reading.name} is no HDF5 file.') from error
    with file:
        name = reading.format.group or '/'
        group = _open_group(file, name, reading)
        arrays = {key: _Column(group[key]) for key in _columns(group, reading)}
        try:
            yield from slices(arrays, reading)
        except OSError as error:
            raise IngestError(
                'malformed_data', f'{reading.name} cannot be read: {str(error)[:200]}.'
            ) from error


class _Column:
    """A data set with the shape and type that rows are cut from."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.is_text = h5py.check_string_dtype(dataset.dtype) is not None
        self.ndim = dataset.ndim
        self.shape = dataset.shape
        self.dtype = np.dtype('S64') if dataset.dtype.kind == 'O' else dataset.dtype

    def __getitem__(self, rows: slice) -> Any:
        return self._dataset.asstr()[rows] if self.is_text else self._dataset[rows]


def _open_group(file: Any, path: str, reading: Reading) -> Any:
    node = file
    for part in [part for part in path.split('/') if part]:
        _refuse_link(node, part, reading)
        if part not in node:
            raise IngestError('malformed_data', f"{reading.name} has no group '{path}'.")
        node = node[part]
    if not isinstance(node, h5py.Group):
        raise IngestError('malformed_data', f"'{path}' of {reading.name} is no group.")
    return node


def _columns(group: Any, reading: Reading) -> list[str]:
    reading.limits.check('columnsMax', len(group), f'Data sets of {reading.name}')
    names: list[str] = []
    for name in sorted(group):
        _refuse_link(group, name, reading)
        node = group[name]
        if not isinstance(node, h5py.Dataset):
            continue
        if node.external or node.is_virtual:
            raise IngestError('unsafe_data', f'{name} of {reading.name} keeps its values in another file.')
        if node.dtype.kind == 'O' and h5py.check_string_dtype(node.dtype) is None:
            raise IngestError(
                'malformed_data', f'{name} of {reading.name} has the unusable type {node.dtype}.'
            )
        if node.chunks is not None:
            chunk = int(np.prod(node.chunks, dtype=np.int64)) * int(node.dtype.itemsize)
            if chunk > CHUNK_BYTES_MAX:
                raise IngestError(
                    'ingest_limit_exceeded',
                    f'A chunk of {name} of {reading.name} has {chunk} bytes, over {CHUNK_BYTES_MAX}.',
                )
        names.append(name)
    return names


def _refuse_link(group: Any, name: str, reading: Reading) -> None:
    link = group.get(name, getlink=True) if name in group.keys() else None  # noqa: SIM118
    if isinstance(link, h5py.ExternalLink):
        raise IngestError('unsafe_data', f'{name} of {reading.name} is a link to another file.')
