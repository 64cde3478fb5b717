"""Job messages, pulled from the durable consumers of this worker's kinds, one at a time."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from millrace_worker.connection import subscribe
from millrace_worker.errors import MillraceError
from millrace_worker.log import Logger

STREAM = "MILLRACE_JOBS"
# A pull ends by itself after this long; one that the server forgot costs at most this and the slack.
PULL_EXPIRES_S = 20.0
QUICK_PULL_TIMEOUT_S = 2.0
PULL_SLACK_S = 2.0
# Between pulls that end at once, because the consumer does not exist yet or the server is away.
RETRY_S = 0.5
# No message, and the end of the wait; any other says that there is no consumer or no server for it.
QUIET_STATUS = ("404", "408")


@dataclass(frozen=True)
class Delivery:
    kind: str
    message: Msg


class JobSource:
    """Hands out one message at a time.

    Each wait is a fresh pull that ends by itself: neither a restarted server nor a consumer made again
    leaves the worker waiting for ever. A message that comes when none is wanted goes back at once.
    """

    def __init__(self, nats: Client, kinds: list[str], pool: str, log: Logger) -> None:
        self._nats = nats
        self._durables = {kind: f"{kind}-{pool}" for kind in kinds}
        self._order = deque(kinds)
        self._log = log
        self._inboxes: dict[str, str] = {}
        self._open: dict[str, str] = {}
        self._refused: set[str] = set()
        self._ready: deque[Delivery] = deque()
        self._changed = asyncio.Event()
        self._is_wanted = False
        self._pulls = 0

    async def start(self) -> None:
        for kind in self._durables:
            inbox = self._nats.new_inbox()
            self._inboxes[kind] = inbox
            await subscribe(self._nats, f"{inbox}.*", self._receiver(kind))

    def wake(self) -> None:
        """Pulls again at once; called after the connection came back, because the server lost the pulls."""
        self._open.clear()
        self._changed.set()

    async def next(self) -> Delivery:
        """The next message; kinds take turns when several have some.

        Raises:
            MillraceError: `dependency_unavailable` when the server closed the connection for good.
        """
        self._is_wanted = True
        try:
            while True:
                if self._nats.is_closed:
                    raise MillraceError("dependency_unavailable", "NATS closed the connection for good.")
                self._order.rotate(-1)
                started = time.monotonic()
                if await self._wait_any():
                    return self._ready.popleft()
                if time.monotonic() - started < RETRY_S:
                    await asyncio.sleep(RETRY_S)
        finally:
            self._is_wanted = False
            self._open.clear()
            while self._ready:
                await self._give_back(self._ready.popleft().message)

    async def _wait_any(self) -> bool:
        # One kind after the other first: with messages waiting in both queues, two open pulls would take two.
        if len(self._order) > 1:
            for kind in list(self._order):
                request = {"batch": 1, "no_wait": True}
                if await self._pull([kind], request, QUICK_PULL_TIMEOUT_S):
                    return True
        request = {"batch": 1, "expires": int(PULL_EXPIRES_S * 1e9)}
        return await self._pull(list(self._order), request, PULL_EXPIRES_S + PULL_SLACK_S)

    async def _pull(self, kinds: list[str], request: dict[str, Any], timeout_s: float) -> bool:
        """Asks for a message of any of the kinds; False when every pull ended without one."""
        self._open.clear()
        self._refused.clear()
        try:
            async with asyncio.timeout(timeout_s):
                for kind in kinds:
                    await self._ask(kind, request)
                while self._open and not self._ready:
                    await self._wait_change()
                    while self._refused and not self._ready and "expires" in request:
                        await self._ask(self._refused.pop(), request)
        except (NatsError, OSError, TimeoutError):
            pass
        return bool(self._ready)

    async def _ask(self, kind: str, request: dict[str, Any]) -> None:
        self._pulls += 1
        reply = f"{self._inboxes[kind]}.{self._pulls}"
        self._open[kind] = reply
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._durables[kind]}"
        await self._nats.publish(subject, json.dumps(request).encode(), reply=reply)

    async def _wait_change(self) -> None:
        """Until something arrived; only a moment while a consumer is missing that others do not wait for."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S if self._refused else None):
                await self._changed.wait()

    def _receiver(self, kind: str) -> Callable[[Msg], Awaitable[None]]:
        async def receive(message: Msg) -> None:
            if not message.reply.startswith("$JS.ACK."):
                self._on_status(kind, message)
            elif self._is_wanted:
                self._ready.append(Delivery(kind, message))
                self._changed.set()
            else:
                await self._give_back(message)

        return receive

    def _on_status(self, kind: str, message: Msg) -> None:
        """The server ended a pull: nothing there, expired, or no such consumer."""
        status = (message.headers or {}).get("Status", "")
        if self._open.get(kind) != message.subject:
            return
        del self._open[kind]
        if status not in QUIET_STATUS:
            self._log.debug("pull refused", durable=self._durables[kind], status=status)
            self._refused.add(kind)
        self._changed.set()

    async def _give_back(self, message: Msg) -> None:
        try:
            await message.nak()
        except NatsError as error:
            self._log.warning("a message could not be given back; it comes again later", error=str(error))
