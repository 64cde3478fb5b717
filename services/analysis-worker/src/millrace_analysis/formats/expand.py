# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""Compressed files, expanded to disk within bounds."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from millrace_analysis.errors import IngestError
from millrace_analysis.limits import Limits
from millrace_analysis.staging import CHUNK_BYTES

RATIO_FROM_BYTES = 1 << 20
"""The ratio is not looked at before so many bytes have come out: short files may be all one letter."""


def expand(path: Path, compression: str, target: Path, limits: Limits, name: str) -> Path:
    """Writes what is inside to `target`; raises `ingest_limit_exceeded` for a bomb, `malformed_data`."""
    compressed = max(1, path.stat().st_size)
    written = 0
    try:
        with pa.CompressedInputStream(pa.OSFile(str(path)), compression) as stream, target.open('xb') as out:
            while chunk := stream.read(CHUNK_BYTES):
                written += len(chunk)
                limits.check('expandedBytesMax', written, f'Bytes of {name} after decompression')
                if written > RATIO_FROM_BYTES:
                    limits.check('expansionRatioMax', written // compressed, f'Growth of {name}')
                out.write(chunk)
    except (OSError, pa.ArrowInvalid) as error:
        raise IngestError('malformed_data', f'{name} is not whole as {compression}: {error}.') from error
    return target
