# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingImports=false
# pyarrow has no types, and is in the environment of PyTorch only.
"""A dataset version as files: `train.arrow`, `validation.arrow`, `test.arrow`, `schema.json`, `dataset.json`.

The layout is that of ingested datasets: Arrow IPC files, uncompressed, with at most BATCH_ROWS rows a record
batch. Equal content gives equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millrace_training.digests import canonical_json, list_files, sha256_json
from millrace_training.errors import RecipeError
from millrace_training.source import read_source

from .generator import CHANNELS, Samples, Truth

SPLITS = ('train', 'validation', 'test')
BATCH_ROWS = 65_536
MAX_ROWS = 2_000_000
"""Spectra in a split at most: 8 GiB in memory."""

SPECTRUM, TARGET = 'spectrum', 'isotope'


@dataclass(frozen=True)
class Split:
    """Spectra [n, 1024] float32, labels [n] int64 (index into the classes) and conditions [n], empty if
    unknown.
    """

    spectra: NDArray[np.float32]
    labels: NDArray[np.int64]
    conditions: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Split:
        """The chosen rows, in that order."""
        return Split(self.spectra[rows], self.labels[rows], self.conditions[rows])


@dataclass(frozen=True)
class SpectraDataset:
    """A dataset version in memory; `digest` names its content."""

    train: Split
    validation: Split
    heldout: Split
    classes: tuple[str, ...]
    digest: str
    generator: dict[str, object] | None


_TRUTHS: dict[str, Any] = {
    'isotope': pa.string(),
    'condition': pa.string(),
    'second': pa.string(),
    'dominant_share': pa.float32(),
    'source_share': pa.float32(),
    'counts': pa.int64(),
    'gain': pa.float32(),
    'offset_kev': pa.float32(),
    'resolution': pa.float32(),
}
_SCHEMA = pa.schema(
    [pa.field(SPECTRUM, pa.list_(pa.float32(), CHANNELS), False)]
    + [pa.field(name, kind, False) for name, kind in _TRUTHS.items()]
)


def write_split(path: Path, samples: Samples) -> None:
    """Write one split."""
    with pa.OSFile(str(path), 'wb') as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for start in range(0, len(samples.truths), BATCH_ROWS):
            spectra = samples.spectra[start : start + BATCH_ROWS]
            truths = samples.truths[start : start + BATCH_ROWS]
            columns = [pa.FixedSizeListArray.from_arrays(pa.array(spectra.reshape(-1)), CHANNELS)]
            columns += [_column(truths, name, kind) for name, kind in _TRUTHS.items()]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))


def _column(truths: list[Truth], name: str, kind: Any) -> Any:
    return pa.array([getattr(truth, name) for truth in truths], kind)


def write_description(folder: Path, source: dict[str, Any], counts: dict[str, int], seed: int) -> None:
    """Write `schema.json` and `dataset.json` beside the splits."""
    columns: list[dict[str, Any]] = [
        {'name': SPECTRUM, 'type': 'float32', 'nullable': False, 'size': CHANNELS}
    ]
    columns += [{'name': name, 'type': str(kind), 'nullable': False} for name, kind in _TRUTHS.items()]
    schema = {'columns': columns, 'target': TARGET}
    total = sum(counts.values())
    dataset = {
        'format': 1,
        'source': source,
        'counts': counts,
        'split': {
            'seed': seed,
            'fractions': {name: round(count / total, 6) for name, count in counts.items()},
            'stratifiedBy': TARGET,
        },
    }
    (folder / 'schema.json').write_bytes(canonical_json(schema) + b'\n')
    (folder / 'dataset.json').write_bytes(canonical_json(dataset) + b'\n')


def _unusable(reason: str) -> RecipeError:
    return RecipeError('dataset_unusable', reason)


def _read_table(path: Path) -> Any:
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise _unusable(f'{path.name} is missing or no Arrow IPC file; ingest the dataset again.') from error
    if not 0 < table.num_rows <= MAX_ROWS:
        raise _unusable(f'{path.name} holds {table.num_rows} rows; 1 to {MAX_ROWS} can be used.')
    missing = [name for name in (SPECTRUM, TARGET) if name not in table.column_names]
    if missing:
        raise _unusable(f'{path.name} has no column {" and no column ".join(missing)}.')
    return table


def _spectra(path: Path, column: Any) -> NDArray[np.float32]:
    kind = column.type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != CHANNELS:
        raise _unusable(
            f'{path.name}: the column {SPECTRUM} is {kind}; '
            f'it must be a fixed-size list of {CHANNELS} numbers.'
        )
    if column.null_count:
        raise _unusable(f'{path.name}: {column.null_count} spectra are missing; drop those rows.')
    flat = column.combine_chunks().flatten()
    # A copy: torch wants arrays that it may write to.
    values = np.array(flat.to_numpy(zero_copy_only=False), np.float32).reshape(-1, CHANNELS)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1))
    if len(bad):
        rows = ', '.join(str(row) for row in bad[:5].tolist())
        raise _unusable(f'{path.name}: counts must be finite and not negative; look at rows {rows}.')
    return values


def _strings(table: Any, name: str) -> NDArray[np.str_]:
    if name not in table.column_names:
        return np.full(table.num_rows, '', np.str_)
    values = table.column(name).to_pylist()
    return np.array(['' if value is None else str(value) for value in values], np.str_)


def read_dataset(folder: Path) -> SpectraDataset:
    """The dataset version in `folder`, checked; classes are the sorted labels of the training split.

    Raises `dataset_unusable` with the reason.
    """
    tables = {name: _read_table(folder / f'{name}.arrow') for name in SPLITS}
    labels = {name: _strings(table, TARGET) for name, table in tables.items()}
    classes = tuple(sorted(set(labels['train'].tolist())))
    if len(classes) < 2 or '' in classes:
        raise _unusable('The training split must name at least two isotopes and leave none empty.')
    splits: dict[str, Split] = {}
    for name, table in tables.items():
        unknown = sorted(set(labels[name].tolist()) - set(classes))
        if unknown:
            raise _unusable(f'{name}.arrow has isotopes that the training split lacks: {", ".join(unknown)}.')
        splits[name] = Split(
            _spectra(folder / f'{name}.arrow', table.column(SPECTRUM)),
            np.searchsorted(np.array(classes), labels[name]).astype(np.int64),
            _strings(table, 'condition'),
        )
    digest = sha256_json(list_files(folder, [f'{name}.arrow' for name in SPLITS]))
    return SpectraDataset(
        splits['train'], splits['validation'], splits['test'], classes, digest, read_source(folder)
    )
