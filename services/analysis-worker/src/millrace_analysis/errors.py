"""The one exception that this package raises for data or sources that cannot be taken in."""

from __future__ import annotations


class IngestError(Exception):
    """A failure with a stable `code` of the catalogue; the message says what to do about it."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class Stopped(Exception):
    """The ingestion was asked to stop; nothing of it is kept."""
