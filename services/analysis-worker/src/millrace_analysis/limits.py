"""The bounds of an ingestion; what is over one is refused with its name and value."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from .errors import IngestError

MIB = 1 << 20
GIB = 1 << 30


class Limits(BaseModel):
    """Bounds that the operator may set in MILLRACE_SOURCES_FILE under `limits`."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    filesMax: int = Field(default=10_000, ge=1)
    """Files of one source."""
    sourceBytesMax: int = Field(default=64 * GIB, ge=1)
    """Bytes of all files as they are fetched; they lie on disk while the job runs."""
    expandedBytesMax: int = Field(default=256 * GIB, ge=1)
    """Bytes of all files after decompression, and of the rows that are made of them."""
    expansionRatioMax: int = Field(default=200, ge=1)
    """A compressed file over 1 MiB expanded may not grow by more than this factor."""
    rowsMax: int = Field(default=100_000_000, ge=1)
    columnsMax: int = Field(default=8_192, ge=1)
    """Columns of a table as it is read, before vectors are made of some."""
    nestingMax: int = Field(default=8, ge=1)
    """Objects inside objects of a record."""
    vectorSizeMax: int = Field(default=1_048_576, ge=1)
    """Elements of one vector."""
    recordBytesMax: int = Field(default=8 * MIB, ge=1)
    """Bytes of one JSON record or CSV line."""
    documentBytesMax: int = Field(default=64 * MIB, ge=1)
    """Bytes of a JSON document that has no list of records at its root: it is read whole."""
    memoryBytesMax: int = Field(default=2 * GIB, ge=256 * MIB)
    """Private memory of the child, enforced by the kernel (RLIMIT_DATA)."""
    requestSecondsMax: float = Field(default=60.0, gt=0)
    """Silence of a source before its request is given up."""
    redirectsMax: int = Field(default=5, ge=0)

    def check(self, name: str, value: int, what: str) -> None:
        """Raises `ingest_limit_exceeded` when `value` is over the bound `name`."""
        bound = int(getattr(self, name))
        if value > bound:
            raise IngestError('ingest_limit_exceeded', f'{what}: {value} is over {name} = {bound}.')
