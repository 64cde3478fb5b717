# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""Second pass: statistics of every column, digests of every row, and an even sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millrace_analysis.columns import ColumnKind
from millrace_analysis.hashing import Digests, row_digests
from millrace_analysis.spool import Spool

SAMPLE_ROWS_MAX = 32_768
"""Rows, evenly spread, that quantiles and leaks are looked for in."""
CLASSES_MAX = 1_000
"""Different values of a target that is still one of classes."""

Codes = np.ndarray[Any, np.dtype[np.int32]]


@dataclass
class ColumnProfile:
    """Statistics of one column; of a vector those of the sum of its elements."""

    name: str
    kind: ColumnKind
    missing: int = 0
    count: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float = 0.0
    squares: float = field(default=0.0, repr=False)
    sample: list[Any] = field(default_factory=list[Any], repr=False)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the population."""
        return math.sqrt(self.squares / self.count) if self.count and self.minimum is not None else None

    def add(self, numbers: np.ndarray[Any, Any]) -> None:
        """Takes finite numbers in; mean and squares by Chan, Golub and LeVeque (1979)."""
        if not len(numbers):
            return
        low, high = float(numbers.min()), float(numbers.max())
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)
        mean = float(numbers.mean(dtype=np.float64))
        squares = float(np.square(numbers - mean, dtype=np.float64).sum())
        total = self.count + len(numbers)
        delta = mean - self.mean
        self.squares += squares + delta * delta * self.count * len(numbers) / total
        self.mean += delta * len(numbers) / total
        self.count = total


@dataclass
class Profile:
    """All that the second pass found; `codes` number the classes of the target, -1 where it is missing."""

    columns: dict[str, ColumnProfile]
    digests: Digests
    classes: list[Any] | None
    codes: Codes | None
    sample_places: list[int]


def numbers_of(values: pa.Array, kind: ColumnKind) -> np.ndarray[Any, Any] | None:
    """One number a row: the value, or the sum of a vector; NaN where there is none, None for texts."""
    if kind.kind == 'vector':
        size = kind.size or 0
        flat = np.asarray(values.values, dtype=np.float32)
        start = values.offset * size
        matrix = flat[start : start + len(values) * size].reshape(len(values), size)
        sums = matrix.sum(axis=1, dtype=np.float64)
        if values.null_count:
            sums[np.asarray(values.is_null())] = np.nan
        return sums
    if kind.kind in ('string', 'timestamp', 'bool'):
        return None
    if values.null_count:
        values = pc.fill_null(values.cast(pa.float64()), math.nan)
    return np.asarray(values, dtype=np.float64)


def batches_of(spool: Spool, on_rows: Callable[[int], None]) -> Any:
    """The batches of the spool with the place of their first row, mapped from disk."""
    with pa.memory_map(str(spool.path)) as source, pa.ipc.open_file(source) as reader:
        start = 0
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            yield start, batch
            start += batch.num_rows
            on_rows(start)


def make_profile(spool: Spool, target: str | None, on_rows: Callable[[int], None]) -> Profile:
    """Looks at every row once."""
    columns = {name: ColumnProfile(name, kind) for name, kind in spool.kinds.items()}
    digests: Digests = np.empty(spool.rows, dtype=np.uint64)
    step = math.ceil(spool.rows / SAMPLE_ROWS_MAX)
    places: list[int] = []
    classes = _Classes(spool.kinds[target]) if target is not None else None
    for start, batch in batches_of(spool, on_rows):
        stop = start + batch.num_rows
        digests[start:stop] = row_digests(batch)
        chosen = np.arange(-start % step, batch.num_rows, step)
        places.extend((chosen + start).tolist())
        for name, column in columns.items():
            values = batch.column(name)
            numbers = numbers_of(values, column.kind)
            if numbers is None:
                column.missing += values.null_count
                column.sample.extend(values.take(pa.array(chosen)).to_pylist())
                continue
            column.missing += int(np.isnan(numbers).sum())
            column.add(numbers[np.isfinite(numbers)])
            column.sample.extend(numbers[chosen].tolist())
        if classes is not None and target is not None:
            classes.add(batch.column(target))
    names, codes = classes.finish() if classes is not None else (None, None)
    return Profile(columns, digests, names, codes, places)


class _Classes:
    """Numbers the values of a target as long as they are few."""

    def __init__(self, kind: ColumnKind) -> None:
        self._codes: dict[Any, int] = {}
        self._parts: list[Codes] = []
        self._is_over = kind.kind not in ('string', 'bool', 'int64')

    def add(self, values: pa.Array) -> None:
        if self._is_over:
            return
        encoded = values.dictionary_encode()
        known = [self._codes.setdefault(value, len(self._codes)) for value in encoded.dictionary.to_pylist()]
        if len(self._codes) > CLASSES_MAX:
            self._is_over = True
            self._parts.clear()
            return
        table = np.array([*known, -1], dtype=np.int32)
        self._parts.append(table[np.asarray(pc.fill_null(encoded.indices, len(known)))])

    def finish(self) -> tuple[list[Any] | None, Codes | None]:
        """The classes in their own order, and the number of each row's class."""
        if self._is_over:
            return None, None
        names = sorted(self._codes, key=lambda value: (str(type(value)), value))
        renumbered = np.full(len(names) + 1, -1, dtype=np.int32)
        for number, name in enumerate(names):
            renumbered[self._codes[name]] = number
        return names, renumbered[np.concatenate(self._parts)]
