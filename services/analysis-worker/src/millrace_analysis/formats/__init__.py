# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""How files are read; the name of a file tells its format where the request does not."""

from __future__ import annotations

from pathlib import PurePosixPath

from millrace_analysis.errors import IngestError

from .csv_text import read_csv
from .custom import read_custom
from .hdf5 import read_hdf5
from .json_records import read_json, read_json_lines
from .numpy_arrays import read_npy, read_npz
from .parquet import read_parquet
from .reading import Reader

READERS: dict[str, Reader] = {
    'csv': read_csv,
    'json': read_json,
    'jsonl': read_json_lines,
    'hdf5': read_hdf5,
    'npy': read_npy,
    'npz': read_npz,
    'parquet': read_parquet,
    'custom': read_custom,
}
SUFFIXES = {
    '.csv': 'csv',
    '.tsv': 'csv',
    '.json': 'json',
    '.jsonl': 'jsonl',
    '.ndjson': 'jsonl',
    '.h5': 'hdf5',
    '.hdf5': 'hdf5',
    '.npy': 'npy',
    '.npz': 'npz',
    '.parquet': 'parquet',
}
COMPRESSIONS = {'.gz': 'gzip', '.bz2': 'bz2', '.zst': 'zstd'}


def format_of(name: str, wanted: str | None) -> tuple[str, str | None]:
    """Format and compression of a file; raises `unknown_format`."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression is not None:
        suffixes.pop()
    found = wanted or (SUFFIXES.get(suffixes[-1]) if suffixes else None)
    if found is None:
        known = ', '.join(SUFFIXES)
        raise IngestError('unknown_format', f'The name {name} tells no format ({known}); set format.type.')
    return found, compression
