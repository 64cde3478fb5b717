# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""What every reader is given and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from millrace_worker.contracts.models import DataFormat

from millrace_analysis.columns import ColumnKind
from millrace_analysis.limits import Limits

BATCH_ROWS = 65_536
"""Rows of one record batch of a dataset, and the most that a reader gives at once."""

BATCH_BYTES = 32 << 20
"""A reader that knows how wide its rows are gives fewer at once than this many bytes."""


@dataclass
class Reading:
    """One file to read: where it is, how, and what is known of its columns from an earlier look."""

    name: str
    path: Path
    format: DataFormat
    limits: Limits
    scratch: Path
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict[str, ColumnKind])
    """Kinds that columns are known to have; a reader of texts turns them into these if all of them fit."""
    as_text: frozenset[str] = frozenset()
    """Columns of a text file that are to be given as texts."""
    all_text: bool = False
    """Whether a text file is to be given as texts throughout."""
    on_ragged: Callable[[int, str], None] | None = None
    """Told the row and the reason of a line that is left out; without it such a line is an error."""

    @property
    def rows_per_batch(self) -> int:
        """Rows that are read before the width is known."""
        return 8_192


Reader = Callable[[Reading], Iterator[pa.RecordBatch]]
"""Reads a file as record batches, in its order; raises IngestError."""


def rows_within(width_bytes: int) -> int:
    """Rows of a batch whose rows are so wide."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, width_bytes)))
