"""What goes over HTTP, without the library that carries it."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

#: Seconds that a request may take, all attempts together, unless the call says otherwise.
TIMEOUT_S = 30.0
#: How often a request that a busy platform refused is sent again.
RETRIES = 3

_WAIT_MIN_S = 0.2
_WAIT_MAX_S = 8.0
_BUSY = {429, 503}


@dataclass(frozen=True)
class Request:
    """A request below the address of the platform; `is_repeatable` when it may arrive twice."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    is_repeatable: bool = True


@dataclass(frozen=True)
class Reply:
    """An answer; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Attempts:
    """Decides whether a request is sent again, and after how long."""

    def __init__(self, request: Request, retries: int, timeout_s: float) -> None:
        self._left = retries if request.is_repeatable else 0
        self._ends_at = time.monotonic() + timeout_s
        self._wait_s = _WAIT_MIN_S

    def time_left(self) -> float:
        """Seconds for the next attempt; a little is left, so that the library says that it is too late."""
        return max(0.001, self._ends_at - time.monotonic())

    def wait_after(self, reply: Reply) -> float | None:
        """Seconds to wait before the next attempt; None when this answer is the last word."""
        if reply.status not in _BUSY or self._left == 0:
            return None
        self._left -= 1
        # spread, so that many clients do not come back in one moment
        own = self._wait_s * random.uniform(0.5, 1.0)  # noqa: S311
        self._wait_s = min(_WAIT_MAX_S, self._wait_s * 2)
        asked = _asked_wait(reply.headers.get("retry-after"))
        wait = own if asked is None else asked
        return wait if time.monotonic() + wait < self._ends_at else None


def _asked_wait(header: str | None) -> float | None:
    """Seconds of `Retry-After`, which is a number or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
