# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""JSON documents that are lists of records, and JSON lines; a record is an object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import pyarrow as pa

from millrace_analysis.errors import IngestError

from .reading import Reading

_BATCH_RECORDS = 8_192
_BATCH_ELEMENTS = 1 << 20
"""Numbers in lists that wait as Python objects."""
_READ_CHARACTERS = 1 << 20
_SPACE = ' \t\r\n'
_BIGGEST = 1 << 63


def read_json_lines(reading: Reading) -> Iterator[pa.RecordBatch]:
    """One record a line; blank lines are skipped."""
    limit = reading.limits.recordBytesMax

    def records() -> Iterator[tuple[int, Any]]:
        with reading.path.open('rb') as stream:
            row = 0
            while line := stream.readline(limit + 1):
                if len(line) > limit:
                    reading.limits.check(
                        'recordBytesMax', len(line), f'Bytes of row {row + 1} of {reading.name}'
                    )
                if row == 0:
                    line = line.removeprefix(b'\xef\xbb\xbf')
                if not line.strip():
                    continue
                row += 1
                yield row, _parse(line, reading, row)

    yield from _batches(records(), reading)


def read_json(reading: Reading) -> Iterator[pa.RecordBatch]:
    """A list of records, as it streams; or a document whose `records` names one."""
    with reading.path.open('r', encoding='utf-8-sig', errors='strict') as stream:
        try:
            start = stream.read(4096).lstrip(_SPACE)[:1]
        except UnicodeDecodeError as error:
            raise IngestError('malformed_data', f'{reading.name} is not UTF-8.') from error
    if start == '[' and reading.format.records is None:
        yield from _batches(_stream(reading), reading)
    else:
        yield from _batches(enumerate(_inner(reading), 1), reading)


def _inner(reading: Reading) -> list[Any]:
    reading.limits.check('documentBytesMax', reading.path.stat().st_size, f'Bytes of {reading.name}')
    document = _parse(reading.path.read_bytes().removeprefix(b'\xef\xbb\xbf'), reading, 0)
    path = reading.format.records
    if path is None:
        lists = (
            [value for value in document.values() if isinstance(value, list)]
            if isinstance(document, dict)
            else []
        )
        # A document with one list is a page of that list; one without any is one record.
        if len(lists) == 1 and all(isinstance(item, dict) for item in cast('list[Any]', lists[0])):
            return cast('list[Any]', lists[0])
        return [document]
    for key in path.split('.'):
        document = cast('dict[str, Any]', document).get(key) if isinstance(document, dict) else None
    if not isinstance(document, list):
        raise IngestError('malformed_data', f"{reading.name} has no list at '{path}'.")
    return cast('list[Any]', document)


def _stream(reading: Reading) -> Iterator[tuple[int, Any]]:
    """The elements of a list, one after the other; no more than one of them is held."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    limit = reading.limits.recordBytesMax
    with reading.path.open('r', encoding='utf-8-sig') as stream:
        text, place, row, is_end = stream.read(_READ_CHARACTERS), 0, 0, False
        place = _skip(text, 0) + 1
        while True:
            place = _skip(text, place)
            if place < len(text) and text[place] == ',' and row:
                place = _skip(text, place + 1)
            if place < len(text) and text[place] == ']':
                return
            try:
                value, after = decoder.raw_decode(text, place)
                # A number at the end of what is read may go on.
                if after == len(text) and not is_end:
                    raise json.JSONDecodeError('goes on', text, place)
            except RecursionError as error:
                raise _too_deep(reading, row + 1) from error
            except (ValueError, IndexError, StopIteration) as error:
                text, place = text[place:], 0
                more = _read(stream, reading)
                if not more:
                    if is_end:
                        raise _malformed(reading, row + 1, error) from error
                    is_end = True
                    continue
                text += more
                waiting = len(text) - _READ_CHARACTERS
                reading.limits.check('recordBytesMax', waiting, f'Bytes of row {row + 1} of {reading.name}')
                continue
            row += 1
            if after - place > limit:
                reading.limits.check('recordBytesMax', after - place, f'Bytes of row {row} of {reading.name}')
            yield row, value
            place = after


def _read(stream: Any, reading: Reading) -> str:
    try:
        return stream.read(_READ_CHARACTERS)
    except UnicodeDecodeError as error:
        raise IngestError('malformed_data', f'{reading.name} is not UTF-8.') from error


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _parse(text: bytes, reading: Reading, row: int) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise _too_deep(reading, row) from error
    except ValueError as error:
        raise _malformed(reading, row, error) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON')


def _malformed(reading: Reading, row: int, error: Exception) -> IngestError:
    where = f', row {row}' if row else ''
    return IngestError('malformed_data', f'{reading.name}{where}: {str(error)[:200]}.')


def _too_deep(reading: Reading, row: int) -> IngestError:
    bound = reading.limits.nestingMax
    return IngestError(
        'ingest_limit_exceeded', f'Row {row} of {reading.name} is nested over nestingMax = {bound}.'
    )


def _batches(records: Iterator[tuple[int, Any]], reading: Reading) -> Iterator[pa.RecordBatch]:
    names: dict[str, None] = {}
    waiting: list[dict[str, Any]] = []
    elements = 0
    for row, record in records:
        if not isinstance(record, dict):
            raise IngestError('malformed_data', f'{reading.name}, row {row}: a record is an object.')
        flat: dict[str, Any] = {}
        _flatten(cast('dict[str, Any]', record), '', 1, flat, reading, row)
        if len(flat) > len(names) or not names.keys() >= flat.keys():
            names.update(dict.fromkeys(flat))
            reading.limits.check('columnsMax', len(names), f'Columns of {reading.name}')
        waiting.append(flat)
        elements += sum(len(value) for value in flat.values() if isinstance(value, list))
        if len(waiting) >= _BATCH_RECORDS or elements >= _BATCH_ELEMENTS:
            yield _to_batch(waiting, list(names))
            waiting, elements = [], 0
    if waiting:
        yield _to_batch(waiting, list(names))


def _flatten(
    record: dict[str, Any], prefix: str, depth: int, flat: dict[str, Any], reading: Reading, row: int
) -> None:
    if depth > reading.limits.nestingMax:
        raise _too_deep(reading, row)
    for key, value in record.items():
        name = prefix + key
        if not key or len(name) > 255:
            raise IngestError(
                'malformed_data', f'{reading.name}, row {row}: a key is empty or over 255 characters.'
            )
        if isinstance(value, dict):
            _flatten(cast('dict[str, Any]', value), f'{name}.', depth + 1, flat, reading, row)
        elif name in flat:
            raise IngestError('malformed_data', f"{reading.name}, row {row}: '{name}' is there twice.")
        elif isinstance(value, list):
            flat[name] = _checked_list(cast('list[Any]', value), reading, row)
        elif isinstance(value, int) and not -_BIGGEST <= value < _BIGGEST:
            flat[name] = float(value) if abs(value) < 1 << 1000 else str(value)
        else:
            flat[name] = value


def _checked_list(values: list[Any], reading: Reading, row: int) -> list[float | None] | str:
    reading.limits.check('vectorSizeMax', len(values), f'Elements of a list in row {row} of {reading.name}')
    if all(
        (isinstance(value, int | float) and not isinstance(value, bool)) or value is None for value in values
    ):
        return [None if value is None else float(value) for value in values]
    return json.dumps(values, ensure_ascii=False)


def _to_batch(records: list[dict[str, Any]], names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [_column([record.get(name) for record in records]) for name in names], names
    )


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        if all(
            value is None or (isinstance(value, int | float) and not isinstance(value, bool))
            for value in values
        ):
            return pa.array([None if value is None else float(value) for value in values])
        return pa.array(
            [value if value is None or isinstance(value, str) else json.dumps(value) for value in values],
            pa.string(),
        )
