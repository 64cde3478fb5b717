# pyright: reportAttributeAccessIssue=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""The few types that a dataset's columns have, and how values become one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal['null', 'bool', 'int64', 'float64', 'timestamp', 'string', 'vector']

MISSING_TEXT = ('', 'NA', 'N/A', 'NaN', 'nan', 'NULL', 'null', 'None')
"""Texts of a CSV cell that mean that there is no value."""

MOSTLY_NUMBERS = 0.95
"""A column whose texts are numbers to this share is a column of numbers with mistakes in it."""


@dataclass(frozen=True)
class ColumnKind:
    """Type of a column; `size` counts the elements of a vector."""

    kind: Kind
    size: int | None = None

    def arrow(self) -> pa.DataType:
        """The Arrow type that the column has in files."""
        match self.kind:
            case 'null' | 'float64':
                return pa.float64()
            case 'bool':
                return pa.bool_()
            case 'int64':
                return pa.int64()
            case 'timestamp':
                return pa.timestamp('us')
            case 'string':
                return pa.string()
            case 'vector':
                return pa.list_(pa.float32(), self.size or 0)


def kind_of(type_: pa.DataType) -> ColumnKind | None:
    """The kind that holds values of an Arrow type; None for what a dataset has no column for."""
    if pa.types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if pa.types.is_null(type_):
        return ColumnKind('null')
    if pa.types.is_boolean(type_):
        return ColumnKind('bool')
    if pa.types.is_uint64(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return ColumnKind('float64')
    if pa.types.is_integer(type_):
        return ColumnKind('int64')
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return ColumnKind('timestamp')
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return ColumnKind('string')
    if pa.types.is_fixed_size_list(type_) and _is_number(type_.value_type):
        return ColumnKind('vector', type_.list_size)
    if (pa.types.is_list(type_) or pa.types.is_large_list(type_)) and _is_number(type_.value_type):
        return ColumnKind('vector')
    return None


def wider(first: ColumnKind, second: ColumnKind) -> ColumnKind:
    """The narrowest kind that holds the values of both."""
    if first.kind == second.kind:
        return first if first.size is not None else second
    kinds = {first.kind, second.kind}
    if 'null' in kinds:
        return second if first.kind == 'null' else first
    if kinds == {'int64', 'float64'}:
        return ColumnKind('float64')
    return ColumnKind('string')


def kind_of_texts(texts: pa.Array) -> tuple[ColumnKind, int, int]:
    """The narrowest kind of a column of texts, how many of them are numbers, and how many there are."""
    present = texts.drop_null()
    count = len(present)
    if count == 0:
        return ColumnKind('null'), 0, 0
    for kind in (ColumnKind('int64'), ColumnKind('float64')):
        if _casts(present, kind.arrow()):
            return kind, count, count
    for kind in (ColumnKind('bool'), ColumnKind('timestamp')):
        if _casts(present, kind.arrow()):
            return kind, 0, count
    numbers = int(pc.sum(pc.match_substring_regex(present, _NUMBER)).as_py() or 0)
    return ColumnKind('string'), numbers, count


def convert(values: pa.Array, kind: ColumnKind) -> tuple[pa.Array, list[int]]:
    """Values as the kind, and the places of those that could not become one: they are null then."""
    if kind.kind == 'vector':
        return _to_vectors(values, kind)
    target = kind.arrow()
    if values.type == target:
        return values, []
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind.kind == 'string' and kind_of(values.type) is None:
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], target), []
    try:
        return _cast(values, target), []
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _one_by_one(values, target)


def _cast(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Times with a zone become UTC; those without are taken to be UTC."""
    if not pa.types.is_timestamp(target) or not pa.types.is_string(values.type):
        return values.cast(target)
    try:
        return values.cast(pa.timestamp('us', 'UTC')).cast(target)
    except pa.ArrowInvalid:
        return values.cast(target)


def _one_by_one(values: pa.Array, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Halves an array that does not cast until the values that are at fault are alone."""
    bad: list[int] = []

    def part(start: int, stop: int) -> pa.Array:
        piece = values.slice(start, stop - start)
        try:
            return _cast(piece, target)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            if stop - start == 1:
                bad.append(start)
                return pa.nulls(1, target)
            middle = (start + stop) // 2
            return pa.concat_arrays([part(start, middle), part(middle, stop)])

    return part(0, len(values)), bad


def _to_vectors(values: pa.Array, kind: ColumnKind) -> tuple[pa.Array, list[int]]:
    target = kind.arrow()
    size = kind.size or 0
    if pa.types.is_fixed_size_list(values.type) and values.type.list_size == size:
        return values.cast(target), []
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        missing = [place for place, valid in enumerate(values.is_valid().to_pylist()) if valid]
        return pa.nulls(len(values), target), missing
    lengths = pc.list_value_length(values)
    fits = pc.fill_null(pc.equal(lengths, size), False)
    bad = [
        place
        for place, (fit, valid) in enumerate(
            zip(fits.to_pylist(), values.is_valid().to_pylist(), strict=True)
        )
        if valid and not fit
    ]
    elements = pc.list_flatten(values.filter(fits)).cast(pa.float32())
    dense = pa.FixedSizeListArray.from_arrays(elements, size)
    if len(dense) == len(values):
        return dense.cast(target), bad
    places = pc.if_else(fits, pc.subtract(pc.cumulative_sum(fits.cast(pa.int64())), 1), None)
    return dense.take(places).cast(target), bad


def size_of_vectors(values: pa.Array) -> int | None:
    """Elements of the first vector that is there."""
    for length in pc.list_value_length(values).drop_null().to_pylist():
        return int(length)
    return None


def schema_of(columns: Iterable[tuple[str, ColumnKind]]) -> pa.Schema:
    """The Arrow schema of a dataset."""
    return pa.schema([pa.field(name, kind.arrow()) for name, kind in columns])


_NUMBER = r'^\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*$'


def _casts(values: pa.Array, type_: pa.DataType) -> bool:
    try:
        _cast(values, type_)
        return True
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False


def _is_number(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_floating(type_)
