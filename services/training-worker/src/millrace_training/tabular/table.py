# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false
# pyarrow has no types.
"""A dataset version of rows: `dataset.csv` with `schema.json`, or the Arrow files of an ingested version.

`schema.json` is that of ingested versions: `{"columns": [{"name", "type", "size"?}], "target"}`. A column
with a size is a vector; in CSV it is the columns `name_0` to `name_<size-1>`, as the dataset API writes it.
Both forms of the same rows give the same table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from millrace_training.digests import list_files, sha256_file, sha256_json

from .schema import SCHEMA_FILE, SHOWN, Schema, names_of, read_schema, unusable

CSV_FILE = 'dataset.csv'
ARROW_FILES = ('train.arrow', 'validation.arrow', 'test.arrow')

MAX_ROWS = 2_000_000
"""Of all splits together."""

MAX_CLASSES = 256
"""An int8 output has no finer scale than that."""

_LARGEST = float(np.finfo(np.float32).max)
"""Devices and the served graph compute in float32."""


@dataclass(frozen=True)
class Table:
    """Features [n, f] float64, all finite; labels [n] int64 into `classes`, which are sorted. `digest`
    names the rows.
    """

    features: NDArray[np.float64]
    labels: NDArray[np.int64]
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    digest: str


def _read_csv(path: Path, schema: Schema) -> Any:
    kinds = {name: pa.float64() for name in schema.features} | {schema.target: pa.string()}
    missing_values = ['', 'NaN', 'nan', 'NA', 'null']
    try:
        with path.open('rb') as source:
            header = source.readline().rstrip(b'\r\n')
        if not header:
            raise unusable(f'{path.name} is empty.')
        return arrow_csv.read_csv(
            path,
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=kinds,
                null_values=missing_values,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise unusable(f'{path.name} cannot be read as {SCHEMA_FILE} says: {error}') from error


def _flat(table: Any) -> Any:
    """`table` with vectors taken apart into columns of numbers."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_fixed_size_list(column.type):
            for index in range(column.type.list_size):
                columns[f'{name}_{index}'] = pc.list_element(column, index)
        else:
            columns[name] = column
    return pa.table(columns)


def _read_arrow(folder: Path) -> Any:
    tables: list[Any] = []
    for name in ARROW_FILES:
        try:
            with pa.memory_map(str(folder / name)) as source:
                tables.append(pa.ipc.open_file(source).read_all())
        except (OSError, pa.ArrowException) as error:
            raise unusable(f'{name} is missing or no Arrow IPC file; ingest the dataset again.') from error
    try:
        return _flat(pa.concat_tables(tables))
    except pa.ArrowException as error:
        raise unusable(f'The splits of the dataset have different columns: {error}') from error


def _features(table: Any, schema: Schema) -> NDArray[np.float64]:
    values = np.empty((table.num_rows, len(schema.features)), np.float64)
    for index, name in enumerate(schema.features):
        column = table.column(name)
        try:
            numbers = pc.cast(column, pa.float64())
        except pa.ArrowException as error:
            raise unusable(f'The column {name!r} is {column.type}; a feature is a number.') from error
        values[:, index] = pc.fill_null(numbers, float('nan')).to_numpy()
        bad = np.flatnonzero(~(np.abs(values[:, index]) <= _LARGEST))
        if len(bad):
            rows = ', '.join(str(row + 1) for row in bad[:SHOWN].tolist())
            raise unusable(
                f'The column {name!r} has no finite number in {len(bad)} rows (such as row {rows}); '
                'mend or drop those rows.'
            )
    return values


def _labels(column: Any, target: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    kind = column.type
    if pa.types.is_floating(kind):
        raise unusable(
            f'The label {target!r} is a number with fractions; classes are texts or whole numbers.'
        )
    if column.null_count:
        raise unusable(
            f'The label {target!r} is missing in {column.null_count} rows; mend or drop those rows.'
        )
    texts = np.array(pc.cast(column, pa.string()).to_pylist(), np.str_)
    empty = int((np.char.strip(texts) == '').sum())
    if empty:
        raise unusable(f'The label {target!r} is empty in {empty} rows; mend or drop those rows.')
    classes, labels = np.unique(texts, return_inverse=True)
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise unusable(
            f'The label {target!r} has {len(classes)} class{"" if len(classes) == 1 else "es"}; '
            f'a classifier needs 2 to {MAX_CLASSES}.'
        )
    return labels.astype(np.int64), tuple(str(name) for name in classes)


def read_table(folder: Path) -> Table:
    """The rows in `folder`, checked; raises `dataset_unusable` with the reason.

    The splits of an ingested version follow each other, as in the CSV that the dataset API gives of it.
    """
    schema = read_schema(folder / SCHEMA_FILE)
    if (folder / ARROW_FILES[0]).exists():
        table, digest = _read_arrow(folder), sha256_json(list_files(folder, ARROW_FILES))
    else:
        path = csv_file(folder)
        table, digest = _read_csv(path, schema), sha256_file(path)
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise unusable(f'The data have the column {names_of(twice)} twice.')
    missing = [name for name in (*schema.features, schema.target) if name not in table.column_names]
    if schema.target in missing:
        raise unusable(f'The data have no column {schema.target!r}, which {SCHEMA_FILE} names as the label.')
    extra = [name for name in table.column_names if name not in (*schema.features, schema.target)]
    if missing or extra:
        raise unusable(
            f'The data disagree with {SCHEMA_FILE}: '
            + '; '.join(
                f'{words} {names_of(names)}'
                for words, names in (('they lack', missing), ('they also have', extra))
                if names
            )
            + '.'
        )
    if not 0 < table.num_rows <= MAX_ROWS:
        raise unusable(f'The dataset holds {table.num_rows} rows; 1 to {MAX_ROWS} can be used.')
    labels, classes = _labels(table.column(schema.target), schema.target)
    return Table(_features(table, schema), labels, schema.features, classes, digest)


def csv_file(folder: Path) -> Path:
    """The one CSV file in `folder`; raises `dataset_unusable` when there is none or more than one."""
    found = (
        sorted(path for path in folder.iterdir() if path.suffix.lower() == '.csv') if folder.is_dir() else []
    )
    if len(found) == 1:
        return found[0]
    raise unusable(f'The dataset has {len(found)} CSV files; it needs one, with {SCHEMA_FILE} beside it.')


def write_table(
    folder: Path,
    columns: tuple[tuple[str, str], ...],
    target: str,
    rows: NDArray[np.float64],
    labels: list[str],
) -> None:
    """Write `dataset.csv` and `schema.json`; `columns` are names and units. Equal rows give equal bytes."""
    lines = [','.join([*(name for name, _ in columns), target])]
    lines += [
        ','.join([*(repr(value) for value in row), label])
        for row, label in zip(rows.tolist(), labels, strict=True)
    ]
    (folder / CSV_FILE).write_bytes(('\r\n'.join(lines) + '\r\n').encode())
    described: list[dict[str, str]] = [
        {'name': name, 'type': 'float64', 'unit': unit} for name, unit in columns
    ]
    schema = {'columns': [*described, {'name': target, 'type': 'string'}], 'target': target}
    (folder / SCHEMA_FILE).write_text(json.dumps(schema, indent=2) + '\n', 'utf-8')
