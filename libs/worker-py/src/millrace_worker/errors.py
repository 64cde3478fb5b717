"""Operating errors with the codes that all services share."""

from typing import Any, cast

from millrace_worker.contracts.errors import ERROR_CATALOG
from millrace_worker.contracts.models import WireError

MAX_MESSAGE_CHARACTERS = 4_000


class MillraceError(Exception):
    """An operating error; `retryable` comes from the catalogue unless the raiser knows better.

    An unknown code becomes `internal`, so that a code of a newer side cannot break an older one.
    """

    def __init__(self, code: str, message: str, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.code = code if code in ERROR_CATALOG else "internal"
        self.message = message
        self.retryable = ERROR_CATALOG[self.code].retryable if retryable is None else retryable

    def to_wire(self) -> WireError:
        return WireError(
            code=self.code, message=self.message[:MAX_MESSAGE_CHARACTERS], retryable=self.retryable
        )


def error_from_wire(wire: Any) -> MillraceError:
    """The error that another side sent as `{code, message}`."""
    if not isinstance(wire, dict):
        return MillraceError("internal", "The other side sent an error without a code.")
    wire = cast(dict[str, Any], wire)
    return MillraceError(str(wire.get("code", "internal")), str(wire.get("message", "No message was given.")))
