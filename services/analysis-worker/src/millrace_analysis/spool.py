# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""First pass: the rows of all files, in the types of the dataset, in one Arrow file on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from millrace_worker.contracts.models import IngestOptions, VectorRule

from .columns import ColumnKind, convert, kind_of, schema_of, size_of_vectors, wider
from .errors import IngestError
from .findings import Findings, RowMap
from .limits import Limits
from .tables import Misfit, Piece, SourceTable


@dataclass(frozen=True)
class Spool:
    """Rows on disk; `kinds` are the columns of the dataset in their order."""

    path: Path
    kinds: dict[str, ColumnKind]
    rows: int


class _Widens(Exception):
    """A batch holds values of a wider kind than the column was thought to have."""


def make_spool(
    table: SourceTable,
    options: IngestOptions,
    limits: Limits,
    path: Path,
    on_rows: Callable[[str, int], None],
) -> tuple[Spool, Findings]:
    """Reads everything once if the beginnings of the files told the kinds, else twice more."""
    try:
        return _write(table, table.guess(), frozenset(), options, limits, path, on_rows)
    except (Misfit, _Widens):
        kinds, mixed = table.scan(lambda rows: on_rows('scan', rows))
        return _write(table, kinds, mixed, options, limits, path, on_rows, is_final=True)


def _write(
    table: SourceTable,
    kinds: dict[str, ColumnKind],
    mixed: frozenset[str],
    options: IngestOptions,
    limits: Limits,
    path: Path,
    on_rows: Callable[[str, int], None],
    *,
    is_final: bool = False,
) -> tuple[Spool, Findings]:
    places = RowMap()
    findings = Findings(options.quality, places)
    vectors = _vector_columns(kinds, options.vectors or [], limits)
    members = {name for names in vectors.values() for name in names}
    columns = {name: kind for name, kind in kinds.items() if name not in members}
    columns.update({name: ColumnKind('vector', len(names)) for name, names in vectors.items()})
    if options.target is not None and options.target not in columns:
        raise IngestError('schema_mismatch', f"No file has the target column '{options.target}'.")
    leaves_out = findings.action('dimension') != 'reject'
    rows = 0
    with pa.OSFile(str(path), 'wb') as sink, pa.ipc.new_file(sink, schema_of(columns.items())) as writer:
        for piece in table.pieces(kinds, mixed, findings.add_line if leaves_out else None):
            places.add(rows, piece.file, piece.first_row)
            batch = _columns(piece, kinds, is_final, findings, rows)
            arrays = [_stack(batch, vectors[name]) if name in vectors else batch[name] for name in columns]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema_of(columns.items())))
            rows += piece.batch.num_rows
            limits.check('rowsMax', rows, 'Rows of the source')
            limits.check('expandedBytesMax', sink.tell(), 'Bytes of the rows')
            on_rows('read', rows)
    if not rows:
        raise IngestError('source_empty', 'The files of the source have no row.')
    return Spool(path, columns, rows), findings


def _columns(
    piece: Piece,
    kinds: dict[str, ColumnKind],
    is_final: bool,
    findings: Findings,
    start: int,
) -> dict[str, pa.Array]:
    """The columns of a batch in their kinds; what does not fit is null and a finding."""
    batch = piece.batch
    strange = [name for name in batch.schema.names if name not in kinds]
    if strange:
        raise _Widens
    result: dict[str, pa.Array] = {}
    for name, kind in kinds.items():
        place = batch.schema.get_field_index(name)
        if place < 0:
            result[name] = pa.nulls(batch.num_rows, kind.arrow())
            continue
        values = batch.column(place)
        if not is_final:
            _assert_not_wider(values, kind)
        converted, bad = convert(values, kind)
        if bad and kind.kind == 'timestamp' and not is_final:
            raise _Widens
        if bad:
            texts = [values[row].as_py() for row in bad[:100]]
            if kind.kind == 'vector':
                lengths = [len(text) if isinstance(text, list) else text for text in texts]
                findings.add('dimension', name, f'Not {kind.size} elements.', np.array(bad) + start, lengths)
            else:
                findings.add('type', name, f'Not of type {kind.kind}.', np.array(bad) + start, texts)
        result[name] = converted
    return result


def _assert_not_wider(values: pa.Array, kind: ColumnKind) -> None:
    found = kind_of(values.type) or ColumnKind('string')
    if found.kind == 'vector':
        found = ColumnKind('vector', found.size or size_of_vectors(values))
        if kind.kind == 'vector' and kind.size is None and found.size is not None:
            raise _Widens
    if kind.kind == 'timestamp' and found.kind == 'string':
        return
    if kind.kind != 'vector' and wider(found, kind).kind != kind.kind:
        raise _Widens


def _vector_columns(
    kinds: dict[str, ColumnKind], rules: list[VectorRule], limits: Limits
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in rules:
        names: list[str] = []
        while f'{rule.prefix}{len(names)}' in kinds:
            names.append(f'{rule.prefix}{len(names)}')
        if not names:
            raise IngestError('schema_mismatch', f"No file has the column '{rule.prefix}0' of '{rule.name}'.")
        wrong = [name for name in names if kinds[name].kind not in ('int64', 'float64', 'null')]
        if wrong:
            raise IngestError(
                'schema_mismatch', f"'{wrong[0]}' holds no numbers; it is part of '{rule.name}'."
            )
        limits.check('vectorSizeMax', len(names), f"Columns of '{rule.name}'")
        found[rule.name] = names
    return found


def _stack(columns: dict[str, pa.Array], names: list[str]) -> pa.Array:
    """Columns side by side as one vector a row; a missing element is NaN, which is found later."""
    stacked: Any = np.empty((len(columns[names[0]]), len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        values = columns[name]
        if values.null_count:
            values = pc.fill_null(values.cast(pa.float64()), float('nan'))
        stacked[:, place] = values.to_numpy(zero_copy_only=False)
    return pa.FixedSizeListArray.from_arrays(pa.array(stacked.reshape(-1)), len(names))
