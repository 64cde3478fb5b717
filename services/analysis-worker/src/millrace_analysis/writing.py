# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""The files of a dataset version: three Arrow files and what describes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .columns import ColumnKind, schema_of
from .formats.reading import BATCH_ROWS
from .quality.profile import batches_of
from .splits import SPLITS, Assignment
from .spool import Spool


def write_splits(
    spool: Spool, assignment: Assignment, folder: Path, on_rows: Callable[[int], None]
) -> dict[str, int]:
    """Writes `<split>.arrow` for each split, in batches of BATCH_ROWS; returns their rows."""
    schema = schema_of(spool.kinds.items())
    writers = [_SplitWriter(folder / f'{split}.arrow', schema) for split in SPLITS]
    for start, batch in batches_of(spool, on_rows):
        part = assignment[start : start + batch.num_rows]
        for number, writer in enumerate(writers):
            chosen = np.flatnonzero(part == number)
            if len(chosen):
                writer.add(batch if len(chosen) == len(part) else batch.take(pa.array(chosen)))
    return {split: writer.close() for split, writer in zip(SPLITS, writers, strict=True)}


class _SplitWriter:
    """Collects rows until a batch is full, so that the bytes do not depend on how the source was cut."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = pa.OSFile(str(path), 'wb')
        self._writer = pa.ipc.new_file(self._sink, schema)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._rows = 0
        width = sum(
            max(8, (field.type.list_size * 4) if pa.types.is_fixed_size_list(field.type) else 8)
            for field in schema
        )
        # Wide rows make smaller batches: a power of two, so that it depends on the schema alone.
        self._batch_rows = BATCH_ROWS
        while self._batch_rows > 256 and self._batch_rows * width > 64 << 20:
            self._batch_rows //= 2

    def add(self, batch: pa.RecordBatch) -> None:
        while batch.num_rows:
            room = self._batch_rows - self._waiting_rows
            piece, batch = batch.slice(0, room), batch.slice(min(room, batch.num_rows))
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            if self._waiting_rows == self._batch_rows:
                self._flush()

    def close(self) -> int:
        if self._waiting:
            self._flush()
        self._writer.close()
        self._sink.close()
        return self._rows

    def _flush(self) -> None:
        # Concatenating copies: what is written never depends on the buffers that the rows came in.
        columns = [
            _canonical(pa.concat_arrays([batch.column(place) for batch in self._waiting]))
            for place in range(len(self._schema))
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self._rows += self._waiting_rows
        self._waiting, self._waiting_rows = [], 0


def _canonical(values: pa.Array) -> pa.Array:
    """The same values with zeros where there is none: the bytes under a null are nobody's."""
    if not values.null_count:
        return values
    return values.take(pa.array(np.arange(len(values))))


def write_schema(
    kinds: dict[str, ColumnKind], missing: dict[str, int], target: str | None, path: Path
) -> None:
    """`schema.json`: the columns in their order."""
    columns: list[dict[str, Any]] = []
    for name, kind in kinds.items():
        column: dict[str, Any] = {
            'name': name,
            'type': 'float64' if kind.kind == 'null' else kind.kind,
            'nullable': missing[name] > 0,
        }
        if kind.size is not None:
            column['size'] = kind.size
        columns.append(column)
    write_json(path, {'columns': columns, **({} if target is None else {'target': target})})


def write_json(path: Path, value: Any) -> None:
    """One form for every run: sorted keys, no spaces that mean nothing."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + '\n')
