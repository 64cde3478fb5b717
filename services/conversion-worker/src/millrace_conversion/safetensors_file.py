"""Reading a SafeTensors file of unknown origin: bounded, and nothing of it trusted before it is checked.

The format (huggingface/safetensors, format.md): eight bytes of header length, little-endian; a JSON object
of names to `dtype`, `shape` and `data_offsets`; then the data, covered by the tensors without gap or overlap.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import ConversionError

# The ONNX file must stay under the 512 MiB that the registry takes.
FILE_BYTES_MAX = 512 << 20
HEADER_BYTES_MAX = 8 << 20
TENSORS_MAX = 10_000
RANK_MAX = 8
NAME_LENGTH_MAX = 256
METADATA_NAME = '__metadata__'
_LENGTH_BYTES = 8
# Bytes of one element; those of the last row have no NumPy type and are only measured.
_DTYPES: dict[str, tuple[int, str | None]] = {
    'F64': (8, '<f8'), 'F32': (4, '<f4'), 'F16': (2, '<f2'), 'I64': (8, '<i8'), 'I32': (4, '<i4'),
    'I16': (2, '<i2'), 'I8': (1, '<i1'), 'U64': (8, '<u8'), 'U32': (4, '<u4'), 'U16': (2, '<u2'),
    'U8': (1, '<u1'), 'BOOL': (1, '|b1'),
    'BF16': (2, None), 'F8_E4M3': (1, None), 'F8_E5M2': (1, None), 'C64': (8, None),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor: its SafeTensors type (`F32`, ...), shape, and its values where NumPy has the type."""

    dtype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | None


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises `invalid_safetensors`."""
    size = path.stat().st_size
    if size > FILE_BYTES_MAX:
        raise _invalid(f'{path.name} has {size} bytes; at most {FILE_BYTES_MAX} are read')
    return parse_safetensors(path.read_bytes())


def parse_safetensors(data: bytes) -> dict[str, Tensor]:
    """The tensors of a file's bytes by name. Raises `invalid_safetensors`."""
    header, start = _read_header(data)
    entries: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    for name, entry in header.items():
        if name == METADATA_NAME:
            _check_metadata(entry)
        elif not 1 <= len(name) <= NAME_LENGTH_MAX:
            raise _invalid(f'a name has {len(name)} characters, not 1 to {NAME_LENGTH_MAX}')
        else:
            entries[name] = _read_entry(name, entry)
    if not 1 <= len(entries) <= TENSORS_MAX:
        raise _invalid(f'it holds {len(entries)} tensors, not 1 to {TENSORS_MAX}')
    _check_cover({name: (begin, end) for name, (_, _, begin, end) in entries.items()}, len(data) - start)
    return {
        name: Tensor(dtype, shape, _values(data, start + begin, dtype, shape))
        for name, (dtype, shape, begin, _) in entries.items()
    }


def _invalid(reason: str) -> ConversionError:
    return ConversionError('invalid_safetensors', f'The weights are no usable SafeTensors file: {reason}.')


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    if len(data) < _LENGTH_BYTES:
        raise _invalid(f'it has only {len(data)} bytes')
    length = int.from_bytes(data[:_LENGTH_BYTES], 'little')
    start = _LENGTH_BYTES + length
    if length > HEADER_BYTES_MAX:
        raise _invalid(f'its header has {length} bytes; at most {HEADER_BYTES_MAX} are read')
    if start > len(data):
        raise _invalid(f'its header is cut off after {len(data) - _LENGTH_BYTES} of {length} bytes')
    if data[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b'{':
        raise _invalid('its header does not begin with {')
    try:
        header = json.loads(data[_LENGTH_BYTES:start].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _invalid(f'its header is not JSON ({type(error).__name__})') from error
    return header, start


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise _invalid(f'its header has {double!r} twice')
    return found


def _check_metadata(value: Any) -> None:
    # `Any` of the header is narrowed here once
    texts = cast('dict[str, Any]', value) if isinstance(value, dict) else None
    if texts is None or not all(isinstance(text, str) for text in texts.values()):
        raise _invalid(f'{METADATA_NAME} is not an object of texts')


def _read_entry(name: str, value: Any) -> tuple[str, tuple[int, ...], int, int]:
    entry = cast('dict[str, Any]', value) if isinstance(value, dict) else {}
    if set(entry) != {'dtype', 'shape', 'data_offsets'}:
        raise _invalid(f'{name!r} must have dtype, shape and data_offsets, and nothing else')
    dtype = entry['dtype']
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _invalid(f'{name!r} has the unknown type {str(dtype)[:20]!r}')
    shape = _naturals(entry['shape'])
    offsets = _naturals(entry['data_offsets'])
    if shape is None or len(shape) > RANK_MAX:
        raise _invalid(f'the shape of {name!r} is not a list of at most {RANK_MAX} sizes')
    if offsets is None or len(offsets) != 2:
        raise _invalid(f'the data_offsets of {name!r} are not a begin and an end')
    begin, end = offsets
    expected = math.prod(shape) * _DTYPES[dtype][0]
    if end - begin != expected:
        raise _invalid(f'{name!r} takes {end - begin} bytes; {dtype} of shape {list(shape)} has {expected}')
    return dtype, shape, begin, end


def _naturals(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    items = cast('list[Any]', value)
    # a boolean is an int as well, but no size
    return tuple(items) if all(type(item) is int and item >= 0 for item in items) else None


def _check_cover(ranges: dict[str, tuple[int, int]], size: int) -> None:
    at = 0
    for name, (begin, end) in sorted(ranges.items(), key=lambda item: item[1]):
        if begin != at:
            raise _invalid(
                f'{name!r} begins at byte {begin}, where {at} is next: tensors overlap or leave a gap'
            )
        at = end
    if at != size:
        raise _invalid(f'its tensors take {at} bytes, its data has {size}')


def _values(data: bytes, at: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    name = _DTYPES[dtype][1]
    if name is None:
        return None
    flat: NDArray[Any] = np.frombuffer(data, dtype=name, count=math.prod(shape), offset=at)
    return flat.reshape(shape)
