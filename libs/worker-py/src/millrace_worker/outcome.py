"""Tells the owner how a job ended."""

import asyncio

from millrace_worker.contracts.models import FenceReply
from millrace_worker.errors import MillraceError
from millrace_worker.lease import Lease
from millrace_worker.log import Logger
from millrace_worker.model import Model
from millrace_worker.owner import Owner

REPEAT_FIRST_S = 0.25
REPEAT_MAX_S = 2.0


async def tell(owner: Owner, lease: Lease, method: str, request: Model, log: Logger) -> str:
    """Asks until the owner answers; its outcome, or `unknown` when the lease ended before.

    Raises:
        MillraceError: the owner refused for a reason that does not pass.
    """
    lease.is_finishing = True
    delay = REPEAT_FIRST_S
    while True:
        try:
            async with lease.calls:
                return (await owner.call(method, request, FenceReply)).outcome
        except MillraceError as error:
            if not error.retryable and error.code != "internal":
                raise
            log.warning("the owner did not take the end of the job", method=method, error=error.message)
        if lease.remaining_s < delay:
            return "unknown"
        await asyncio.sleep(delay)
        delay = min(delay * 2, REPEAT_MAX_S)
