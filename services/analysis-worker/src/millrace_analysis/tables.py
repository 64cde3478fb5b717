# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""The files of a source as one table: which columns there are, of which kinds, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from millrace_worker.contracts.models import ColumnRule, DataFormat, IngestOptions

from .columns import MOSTLY_NUMBERS, ColumnKind, kind_of, kind_of_texts, size_of_vectors, wider
from .errors import IngestError
from .formats import READERS, format_of
from .formats.csv_text import Misfit
from .formats.expand import expand
from .formats.reading import Reading
from .limits import Limits
from .staging import StagedFile

_OPEN_FORMATS = ('json', 'jsonl')
"""Formats whose records need not all have the same columns."""


@dataclass(frozen=True)
class Piece:
    """Rows of one file, as its reader gave them; `first_row` counts from 1."""

    file: int
    first_row: int
    batch: pa.RecordBatch


@dataclass
class _Seen:
    """What a look at a column found."""

    kind: ColumnKind = field(default_factory=lambda: ColumnKind('null'))
    numbers: int = 0
    texts: int = 0

    def final(self) -> ColumnKind:
        """The kind of the column: numbers with a few mistakes in them are numbers."""
        if self.kind.kind == 'string' and self.texts and self.numbers >= MOSTLY_NUMBERS * self.texts:
            return ColumnKind('float64')
        return self.kind


class SourceTable:
    """All files of a source, expanded; it can be read more than once."""

    def __init__(
        self, files: list[StagedFile], options: IngestOptions, limits: Limits, scratch: Path
    ) -> None:
        self.names = [file.name for file in files]
        self._limits = limits
        self._scratch = scratch
        self._format = options.format or DataFormat()
        self._rules = {rule.name: rule for rule in options.columns or []}
        self._files: list[tuple[StagedFile, str]] = []
        for number, file in enumerate(files):
            found, compression = format_of(file.name, self._format.type)
            if compression is not None:
                target = scratch / f'expanded-{number}'
                file = StagedFile(file.name, expand(file.path, compression, target, limits, file.name))
            self._files.append((file, found))
        self._columns: tuple[str, frozenset[str]] | None = None
        self.is_open = any(found in _OPEN_FORMATS for _, found in self._files)

    def guess(self) -> dict[str, ColumnKind]:
        """Kinds by a look at the beginning of each text file and of the first of the others."""
        seen: dict[str, _Seen] = {}
        for number in range(len(self._files)):
            for piece in self._read(
                number, {}, frozenset(), all_text=False, on_ragged=lambda _row, _why: None
            ):
                self._note(piece.batch, seen)
                break
            if self._files[number][1] != 'csv':
                break
        return self._kinds(seen)

    def scan(self, on_rows: Callable[[int], None]) -> tuple[dict[str, ColumnKind], frozenset[str]]:
        """Kinds by a look at every value, and the columns of text files that hold values of another kind."""
        seen: dict[str, _Seen] = {}
        rows = 0
        for number in range(len(self._files)):
            for piece in self._read(
                number, {}, frozenset(), all_text=True, on_ragged=lambda _row, _why: None
            ):
                self._note(piece.batch, seen)
                rows += piece.batch.num_rows
                on_rows(rows)
        kinds = self._kinds(seen)
        mixed = {name for name, one in seen.items() if wider(one.kind, kinds[name]) != kinds[name]}
        return kinds, frozenset(mixed)

    def pieces(
        self,
        kinds: dict[str, ColumnKind],
        as_text: frozenset[str],
        on_ragged: Callable[[int, int, str], None] | None,
    ) -> Iterator[Piece]:
        """All rows in the order of the files; raises Misfit when a value of a text file has another kind."""
        for number in range(len(self._files)):
            told = None if on_ragged is None else _with_file(on_ragged, number)
            yield from self._read(number, kinds, as_text, all_text=False, on_ragged=told)

    def _read(
        self,
        number: int,
        kinds: dict[str, ColumnKind],
        as_text: frozenset[str],
        *,
        all_text: bool,
        on_ragged: Callable[[int, str], None] | None,
    ) -> Iterator[Piece]:
        file, found = self._files[number]
        reading = Reading(
            file.name,
            file.path,
            self._format,
            self._limits,
            self._scratch,
            kinds,
            as_text,
            all_text,
            on_ragged,
        )
        row = 1
        for batch in READERS[found](reading):
            if not self.is_open:
                self._assert_same_columns(file.name, batch.schema.names)
            yield Piece(number, row, batch)
            row += batch.num_rows

    def _assert_same_columns(self, file: str, names: list[str]) -> None:
        if not self._columns:
            self._columns = (file, frozenset(names))
        first, known = self._columns
        odd = sorted(known.symmetric_difference(names))
        if odd:
            lacking, having = (file, first) if odd[0] in known else (first, file)
            raise IngestError(
                'schema_mismatch', f"{lacking} lacks the column '{odd[0]}', which {having} has."
            )

    def _note(self, batch: pa.RecordBatch, seen: dict[str, _Seen]) -> None:
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            one = seen.setdefault(name, _Seen())
            if pa.types.is_string(values.type):
                kind, numbers, texts = kind_of_texts(values)
                one.numbers += numbers
                one.texts += texts
            else:
                kind = kind_of(values.type) or ColumnKind('string')
                if kind.kind == 'vector' and kind.size is None:
                    kind = ColumnKind('vector', size_of_vectors(values))
            one.kind = wider(one.kind, kind)

    def _kinds(self, seen: dict[str, _Seen]) -> dict[str, ColumnKind]:
        missing = [name for name in self._rules if name not in seen and not self._is_vector_rule(name)]
        required = [name for name in missing if self._rules[name].is_required]
        if required:
            raise IngestError('schema_mismatch', f"No file has the declared column '{required[0]}'.")
        return {name: self._declared(self._rules.get(name), one) for name, one in seen.items()}

    def _is_vector_rule(self, name: str) -> bool:
        return self._rules[name].type == 'vector'

    def _declared(self, rule: ColumnRule | None, seen: _Seen) -> ColumnKind:
        if rule is None or rule.type is None:
            return seen.final()
        if rule.type == 'vector':
            return ColumnKind('vector', rule.size or seen.kind.size)
        return ColumnKind(rule.type)


def _with_file(tell: Callable[[int, int, str], None], number: int) -> Callable[[int, str], None]:
    return lambda row, why: tell(number, row, why)


__all__ = ['Misfit', 'Piece', 'SourceTable']
