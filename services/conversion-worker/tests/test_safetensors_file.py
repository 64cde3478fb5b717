"""SafeTensors files: what the library of the format writes is read, and nothing else breaks the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy as library
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from millrace_conversion import safetensors_file as reader
from millrace_conversion.errors import ConversionError
from safetensors import SafetensorError

DTYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_]
VALUES = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def file_of(header: Any, data: bytes = b'') -> bytes:
    """A file of a header and its data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, 'little') + text + data


def entry(begin: int, end: int, shape: list[Any] | None = None, dtype: Any = 'U8') -> dict[str, Any]:
    return {'dtype': dtype, 'shape': [end - begin] if shape is None else shape, 'data_offsets': [begin, end]}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != '__metadata__'), VALUES, min_size=1
    )
)
def test_what_the_library_writes_is_read(tensors: dict[str, Any]) -> None:
    data = library.save(tensors, metadata={'made': 'here'})
    found = reader.parse_safetensors(data)
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        read = found[name].values
        assert read is not None
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'', 'only 0 bytes'),
        ((1 << 40).to_bytes(8, 'little'), 'its header has 1099511627776 bytes'),
        ((99).to_bytes(8, 'little') + b'{}', 'cut off after 2 of 99'),
        (file_of(b'[]'), 'does not begin with {'),
        (file_of(b'{"a":'), 'not JSON'),
        (file_of(b'{"a": "\xff"}'), 'not JSON'),
        (file_of(b'{"a":' * 50_000), 'not JSON'),
        (file_of(b'{"a":1,"a":2}'), "'a' twice"),
        (file_of({}), 'holds 0 tensors'),
        (file_of({'__metadata__': {'a': 1}, 't': entry(0, 0)}), 'no object of texts'),
        (file_of({'__metadata__': [], 't': entry(0, 0)}), '__metadata__'),
        (file_of({'': entry(0, 0)}), 'a name has 0 characters'),
        (file_of({'t': {}}), 'must have dtype'),
        (file_of({'t': {**entry(0, 0), 'more': 1}}), 'nothing else'),
        (file_of({'t': entry(0, 1, dtype='F128')}, b'1'), 'unknown type'),
        (file_of({'t': entry(0, 1, dtype=['F32'])}, b'1'), 'unknown type'),
        (file_of({'t': entry(0, 1, [-1])}, b'1'), 'the shape of'),
        (file_of({'t': entry(0, 1, [True])}, b'1'), 'the shape of'),
        (file_of({'t': entry(0, 1, [1] * 9)}, b'1'), 'at most 8 sizes'),
        (file_of({'t': {'dtype': 'U8', 'shape': [1], 'data_offsets': [0]}}, b'1'), 'data_offsets'),
        (file_of({'t': entry(0, 3, [1 << 62, 1 << 62])}, b'123'), 'takes 3 bytes'),
        (file_of({'t': {'dtype': 'U8', 'shape': [1], 'data_offsets': [1, 0]}}, b'1'), 'takes -1 bytes'),
        (file_of({'a': entry(0, 2), 'b': entry(1, 3)}, b'123'), 'overlap or leave a gap'),
        (file_of({'a': entry(0, 1), 'b': entry(2, 3)}, b'123'), 'overlap or leave a gap'),
        (file_of({'a': entry(0, 2)}, b'123'), 'its tensors take 2 bytes, its data has 3'),
        (file_of({'a': entry(0, 4)}, b'123'), 'its tensors take 4 bytes, its data has 3'),
        (file_of({f'{index}': entry(0, 0) for index in range(10_001)}), 'holds 10001 tensors'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ConversionError, match='no usable SafeTensors file') as caught:
        reader.parse_safetensors(data)
    assert caught.value.code == 'invalid_safetensors'
    assert reason.replace('no object', 'not an object') in caught.value.message


def test_a_file_over_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / 'model.safetensors'
    with path.open('wb') as stream:
        stream.truncate(reader.FILE_BYTES_MAX + 1)
    with pytest.raises(ConversionError, match='at most 536870912 are read'):
        reader.read_safetensors(path)


def _library_accepts(data: bytes) -> bool:
    try:
        library.load(data)
    except (SafetensorError, KeyError, ValueError, TypeError):
        return False
    return True


@settings(deadline=None)
@given(st.data())
def test_a_changed_file_is_read_as_the_library_reads_it_or_refused(draw: st.DataObject) -> None:
    """Never another exception, and nothing that the format's own library refuses."""
    good = bytearray(
        library.save({'a': np.arange(6, dtype=np.float32).reshape(2, 3), 'b': np.arange(3, dtype=np.int64)})
    )
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(good) - 1))
        good[at] = draw.draw(st.integers(0, 255))
    data = bytes(good[: draw.draw(st.integers(0, len(good)))]) if draw.draw(st.booleans()) else bytes(good)
    try:
        reader.parse_safetensors(data)
    except ConversionError as error:
        assert error.code == 'invalid_safetensors'
    else:
        assert _library_accepts(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_header_is_read_or_refused(text: bytes) -> None:
    for data in (text, file_of(b'{' + text)):
        with pytest.raises(ConversionError) as caught:
            reader.parse_safetensors(data)
        assert caught.value.code == 'invalid_safetensors'
