# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""CSV: UTF-8 with or without a byte order mark, any newlines, quotes by RFC 4180, one header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import csv as arrow_csv

from millrace_analysis.columns import MISSING_TEXT
from millrace_analysis.errors import IngestError

from .reading import Reading

_MARKS = {b'\xff\xfe': 'UTF-16', b'\xfe\xff': 'UTF-16'}
BLOCK_BYTES = 4 << 20
"""Text that is parsed at once; a line is at most `recordBytesMax` long, and a block at least that."""


def read_csv(reading: Reading) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file.

    Raises `malformed_data` with the row, `ingest_limit_exceeded` and `Misfit` when a value does not fit the
    kind of its column.
    """
    header = _header(reading)
    # The parser wants a zone in all times of a column or in none; `convert` takes both.
    texts = reading.as_text | {name for name, kind in reading.kinds.items() if kind.kind == 'timestamp'}
    kinds = {
        name: pa.string() if reading.all_text or name in texts else reading.kinds[name].arrow()
        for name in header
        if reading.all_text or name in texts or name in reading.kinds
    }

    ragged: list[str] = []

    def on_invalid(row: arrow_csv.InvalidRow) -> str:
        # Blank lines are no rows; the header is line 1.
        number = (row.number or 2) - 1
        reason = f'{row.actual_columns} values where the header has {row.expected_columns}'
        if reading.on_ragged is None:
            # An exception from here would be lost inside the parser.
            ragged.append(f'{reading.name}, row {number}: {reason}.')
            return 'error'
        reading.on_ragged(number, reason)
        return 'skip'

    block = max(BLOCK_BYTES, reading.limits.recordBytesMax)
    try:
        with arrow_csv.open_csv(
            str(reading.path),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=block, skip_rows=_lines_of_header(reading), column_names=header
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter_of(reading), newlines_in_values=True, invalid_row_handler=on_invalid
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=kinds,
                null_values=list(MISSING_TEXT),
                strings_can_be_null=True,
                timestamp_parsers=[arrow_csv.ISO8601],
            ),
        ) as reader:
            for batch in reader:
                if batch.num_rows:
                    yield batch
    except pa.ArrowInvalid as error:
        text = str(error)
        if ragged:
            raise IngestError('malformed_data', ragged[0]) from error
        if 'invalid UTF8' in text:
            raise IngestError('malformed_data', f'{reading.name} is not UTF-8; save it as UTF-8.') from error
        if 'conversion error' in text.lower():
            raise Misfit(text) from error
        if 'Empty CSV file' in text:
            return
        if 'straddling' in text:
            reading.limits.check('recordBytesMax', block, f'A line of {reading.name} (bytes, at least)')
            raise IngestError(
                'ingest_limit_exceeded', f'A line of {reading.name} is over recordBytesMax = {block}.'
            ) from error
        raise IngestError('malformed_data', f'{reading.name}: {text.splitlines()[0]}') from error


class Misfit(Exception):
    """A value does not fit the kind that its column was thought to have."""


def delimiter_of(reading: Reading) -> str:
    """What the request says, else by the name: tabs for `.tsv`, commas for the rest."""
    if reading.format.delimiter is not None:
        return reading.format.delimiter
    return '\t' if '.tsv' in reading.name.lower() else ','


def _first_record(reading: Reading) -> tuple[str, int]:
    """The text of the header and the lines that it takes."""
    limit = reading.limits.recordBytesMax
    with reading.path.open('rb') as stream:
        head = stream.read(limit + 1)
    if head[:2] in _MARKS:
        raise IngestError('malformed_data', f'{reading.name} is {_MARKS[head[:2]]}; save it as UTF-8.')
    head = head.removeprefix(b'\xef\xbb\xbf')
    if b'\x00' in head[:4096]:
        raise IngestError('malformed_data', f'{reading.name} is not text: it holds zero bytes.')
    quoted, lines, position = False, 0, 0
    while position < len(head):
        byte = head[position]
        if byte == 0x22:
            quoted = not quoted
        elif byte in (0x0A, 0x0D):
            if byte == 0x0D and head[position + 1 : position + 2] == b'\n':
                position += 1
            lines += 1
            if not quoted:
                break
        position += 1
    else:
        reading.limits.check('recordBytesMax', len(head), f'Bytes of the header of {reading.name}')
        lines += 1
    try:
        return head[: position + 1].decode(), lines
    except UnicodeDecodeError as error:
        raise IngestError('malformed_data', f'The header of {reading.name} is not UTF-8.') from error


def _lines_of_header(reading: Reading) -> int:
    return _first_record(reading)[1]


def _header(reading: Reading) -> list[str]:
    text, _ = _first_record(reading)
    delimiter = delimiter_of(reading)
    reading.limits.check('columnsMax', text.count(delimiter) + 1, f'Columns of {reading.name}')
    csv.field_size_limit(reading.limits.recordBytesMax)
    names = [name.strip() for row in csv.reader(io.StringIO(text), delimiter=delimiter) for name in row]
    if not names:
        raise IngestError('source_empty', f'{reading.name} has no header.')
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        if not name or len(name) > 255:
            raise IngestError('malformed_data', f'{reading.name}: column {place} has no usable name.')
        if name in seen:
            raise IngestError('malformed_data', f"{reading.name} has two columns '{name}'.")
        seen.add(name)
    return names
