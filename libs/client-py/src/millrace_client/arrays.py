"""Arrays that a model takes, of whatever the caller has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import RequestError

Array = npt.NDArray[Any]
#: An input: an array, or nested sequences of numbers, truth values or texts.
ArrayLike = npt.ArrayLike

#: Datatypes of the protocol with their form in memory; BYTES are texts.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(name: str, array: Array) -> str:
    """The datatype of the protocol that an array has. Raises RequestError `invalid_type`."""
    if array.dtype.kind in "UO":
        return "BYTES"
    datatype = _NAMES.get(array.dtype.newbyteorder("<"))
    if datatype is None:
        raise RequestError("invalid_type", f'Input "{name}" is {array.dtype}, which no model takes.')
    return datatype


def as_array(name: str, value: ArrayLike) -> Array:
    """The value as an array as it is. Raises RequestError `invalid_shape` for rows of different lengths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise RequestError("invalid_shape", f'Input "{name}" has rows of different lengths.') from error


def fit(name: str, value: ArrayLike, datatype: str, shape: Sequence[int]) -> Array:
    """The array of an input that takes this datatype and shape, where -1 may have any size.

    No value is rounded or cut to fit, but doubles become floats. Raises RequestError `invalid_type` or
    `invalid_shape`.
    """
    array = _cast(name, as_array(name, value), datatype)
    return array.reshape(_shape_for(name, array.shape, shape))


def _wrong_type(name: str, datatype: str, array: Array) -> RequestError:
    return RequestError(
        "invalid_type",
        f'Input "{name}" takes {datatype}, and the {array.dtype} given has values that it cannot hold.',
    )


def _cast(name: str, array: Array, datatype: str) -> Array:
    if datatype == "BYTES":
        if array.dtype.kind == "U":
            return array.astype(object)
        if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat):
            return array
        raise RequestError("invalid_type", f'Input "{name}" takes texts, not {array.dtype}.')
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise RequestError(
            "invalid_type", f'Input "{name}" takes {datatype}, which this client does not know.'
        )
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "iuf" or dtype.kind == "b" or (array.dtype.kind == "f" and dtype.kind in "iu"):
        raise _wrong_type(name, datatype, array)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if array.dtype.kind == "f":
        is_kept = bool(np.array_equal(np.isfinite(cast), np.isfinite(array)))
    else:
        is_kept = bool(np.array_equal(cast, array)) and _has_same_signs(cast, array)
    if not is_kept:
        raise _wrong_type(name, datatype, array)
    return cast


def _has_same_signs(cast: Array, array: Array) -> bool:
    return bool(np.array_equal(cast < 0, array < 0))


def _shape_for(name: str, shape: Sequence[int], spec: Sequence[int]) -> tuple[int, ...]:
    if len(shape) == len(spec):
        return tuple(shape)
    is_row = (
        len(shape) == len(spec) - 1
        and spec[0] < 0
        and all(wanted in (-1, size) for size, wanted in zip(shape, spec[1:], strict=True))
    )
    if is_row and len(shape) > 0:
        return (1, *shape)
    if len(shape) <= 1 and sum(size < 0 for size in spec) <= 1:
        count = shape[0] if len(shape) == 1 else 1
        fixed = int(np.prod([size for size in spec if size >= 0], dtype=np.int64))
        rows, rest = divmod(count, fixed)
        if rest == 0 and rows > 0 and (rows == 1 or any(size < 0 for size in spec)):
            return tuple(rows if size < 0 else size for size in spec)
    wanted = ", ".join("N" if size < 0 else str(size) for size in spec)
    raise RequestError("invalid_shape", f'Input "{name}" takes [{wanted}], not {list(shape)}.')
