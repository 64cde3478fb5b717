"""Rows that a quantisation measures with: from files of a dataset version, or the samples of the source."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .convert import TensorInfo
from .errors import ConversionError
from .parity import SAMPLES_FILE
from .runtime import load

SAMPLES_DEFAULT = 256
SAMPLES_MAX = 4096
# Values of one Arrow column, and bytes of one unpacked .npz file: both are read whole.
VALUES_MAX = 1 << 28
NPZ_BYTES_MAX = 1 << 30


@dataclass(frozen=True)
class Rows:
    """Inputs [n, …], with the truth of each row (index of its class, -1 unknown) where the files have it."""

    inputs: NDArray[np.float32]
    truth: NDArray[np.int64] | None
    source: str

    def halves(self) -> tuple[NDArray[np.float32], Rows]:
        """Every other row for the ranges, the rest for the comparison; a single row serves as both."""
        if len(self.inputs) < 2:
            return self.inputs, self
        truth = None if self.truth is None else self.truth[1::2]
        return self.inputs[::2], Rows(self.inputs[1::2], truth, self.source)


def read_rows(
    paths: Sequence[Path],
    info: TensorInfo,
    *,
    column: str | None = None,
    target: str | None = None,
    classes: Sequence[str] | None = None,
    samples: int = SAMPLES_DEFAULT,
) -> Rows:
    """Up to `samples` rows for each half, at even distances over all files (`.arrow` or `.npz`).

    Raises `calibration_unusable` for files that cannot be read or do not fit the model's input.
    """
    read = [_read_file(path, info, column or info.name, target) for path in paths]
    inputs = np.concatenate([values for values, _ in read])
    if not len(inputs):
        raise unusable('the files hold no rows')
    if not np.isfinite(inputs).all():
        raise unusable('the input has NaN or Infinity')
    chosen = np.unique(np.linspace(0, len(inputs) - 1, min(len(inputs), 2 * samples)).astype(np.int64))
    names = [name for _, texts in read for name in texts]
    truth = None
    if target is not None and classes is not None and len(names) == len(inputs):
        index = {name: at for at, name in enumerate(classes)}
        truth = np.array([index.get(names[int(at)], -1) for at in chosen.tolist()], np.int64)
    return Rows(inputs[chosen], truth, ', '.join(sorted({path.name for path in paths})))


def unusable(reason: str) -> ConversionError:
    """`calibration_unusable` with its reason."""
    return ConversionError('calibration_unusable', f'The calibration samples cannot be used: {reason[:500]}.')


def _read_file(
    path: Path, info: TensorInfo, column: str, target: str | None
) -> tuple[NDArray[np.float32], list[str]]:
    if path.suffix not in ('.arrow', '.npz'):
        raise unusable(f'{path.name} is neither an .arrow nor an .npz file')
    try:
        if path.suffix == '.npz':
            values, names = _read_npz(path, column), list[str]()
        else:
            values, names = _read_arrow(path, column, target)
    except ConversionError:
        raise
    except Exception as error:
        raise unusable(f'{path.name} cannot be read ({type(error).__name__})') from error
    sizes = info.shape[1:]
    if values.shape[1:] != tuple(sizes):
        raise unusable(f'{path.name} has rows of shape {list(values.shape[1:])}, the model takes {sizes}')
    return values.astype(np.float32), names


def _read_npz(path: Path, column: str) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > NPZ_BYTES_MAX:
        raise unusable(f'{path.name} has {size} bytes unpacked; at most {NPZ_BYTES_MAX} are read')
    with np.load(path, allow_pickle=False) as archive:
        names = [name for name in (column, 'inputs') if name in archive.files]
        if not names:
            raise unusable(f'{path.name} has neither an array {column!r} nor one called inputs')
        return archive[names[0]]


def _read_arrow(path: Path, column: str, target: str | None) -> tuple[NDArray[Any], list[str]]:
    arrow, ipc = load('pyarrow'), load('pyarrow.ipc')
    with arrow.memory_map(str(path)) as stream:
        table = ipc.open_file(stream).read_all()
        for name in (column, *([] if target is None else [target])):
            if name not in table.column_names:
                raise unusable(
                    f'{path.name} has no column {name!r}; its columns are {table.column_names[:20]}'
                )
        values = table.column(column).combine_chunks()
        if values.null_count:
            raise unusable(f'the column {column!r} of {path.name} has missing values')
        if not arrow.types.is_fixed_size_list(values.type):
            raise unusable(
                f'the column {column!r} of {path.name} holds {values.type}, not vectors of one size'
            )
        width = values.type.list_size
        if len(values) * width > VALUES_MAX:
            raise unusable(
                f'{path.name} has {len(values)} rows of {width}; at most {VALUES_MAX} values are read'
            )
        flat = values.flatten().to_numpy(zero_copy_only=False)
        names = [] if target is None else [str(name) for name in table.column(target).to_pylist()]
        return flat.reshape(-1, width).copy(), names


def samples_of_source(folder: Path) -> list[Path]:
    """The training export's samples, if there are some."""
    path = folder / SAMPLES_FILE
    return [path] if path.is_file() else []
