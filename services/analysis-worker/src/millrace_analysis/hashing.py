# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""A 64-bit digest of each row, by columns: equal rows have equal digests, on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Digests = np.ndarray[Any, np.dtype[np.uint64]]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_VECTORS_AT_ONCE = 1_024
"""Vectors whose bits are widened to 64 at the same time."""
_MISSING = np.uint64(0x5851F42D4C957F2D)


def mix(values: Digests) -> Digests:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): spreads every bit over all."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def row_digests(batch: pa.RecordBatch) -> Digests:
    """One digest a row, over all columns."""
    digests: Digests = np.full(batch.num_rows, 0x243F6A8885A308D3, dtype=np.uint64)
    for column in batch.columns:
        digests ^= _bits(column)
        digests *= _MULTIPLIER
        digests ^= digests >> np.uint64(29)
    return mix(digests)


def _bits(column: pa.Array) -> Digests:
    if pa.types.is_fixed_size_list(column.type):
        return _vector_bits(column)
    if pa.types.is_string(column.type):
        return _text_bits(column)
    is_missing = column.is_null(nan_is_null=True) if pa.types.is_floating(column.type) else column.is_null()
    if pa.types.is_floating(column.type):
        # Adding zero makes of -0.0 the 0.0 that it equals.
        values: Any = np.asarray(pc.fill_null(column, 0.0), dtype=np.float64) + 0.0
        bits = values.view(np.uint64).copy()
    else:
        bits = np.asarray(pc.fill_null(column.cast(pa.int64()), 0), dtype=np.int64).view(np.uint64).copy()
    if column.null_count or pa.types.is_floating(column.type):
        bits[np.asarray(is_missing)] = _MISSING
    return bits


def _text_bits(column: pa.Array) -> Digests:
    encoded = column.dictionary_encode()
    unique = np.array(
        [_text_digest(value) for value in encoded.dictionary.to_pylist()] + [_MISSING], dtype=np.uint64
    )
    places = np.asarray(pc.fill_null(encoded.indices, len(unique) - 1))
    return unique[places]


def _text_digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), 'little')


def _vector_bits(column: pa.Array) -> Digests:
    size = column.type.list_size
    flat = np.nan_to_num(np.asarray(column.values, dtype=np.float32), nan=0.0) + np.float32(0)
    start = column.offset * size
    matrix = flat[start : start + len(column) * size].reshape(len(column), size).view(np.uint32)
    weights = mix(np.arange(1, size + 1, dtype=np.uint64) * _MULTIPLIER) | np.uint64(1)
    bits: Digests = np.empty(len(column), dtype=np.uint64)
    for first in range(0, len(column), _VECTORS_AT_ONCE):
        part = matrix[first : first + _VECTORS_AT_ONCE]
        bits[first : first + _VECTORS_AT_ONCE] = part.astype(np.uint64) @ weights
    bits = mix(bits)
    if column.null_count:
        bits[np.asarray(column.is_null())] = _MISSING
    return bits
