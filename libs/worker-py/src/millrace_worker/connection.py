"""The connection to NATS: made with patience, kept for ever."""

from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from millrace_worker.log import Logger
from millrace_worker.settings import Settings

RECONNECT_WAIT_S = 0.5
PING_INTERVAL_S = 10
CONNECT_TIMEOUT_S = 5


async def connect(
    nats: Client, settings: Settings, name: str, on_reconnect: Callable[[], None], log: Logger
) -> None:
    """Connects, as often as it takes; afterwards the client comes back by itself."""

    async def on_error(error: Exception) -> None:
        log.warning("NATS", error=str(error) or type(error).__name__)

    async def reconnected() -> None:
        log.info("NATS is back")
        on_reconnect()

    await nats.connect(
        settings.nats_url,
        name=name,
        inbox_prefix=settings.nats_inbox_prefix,
        connect_timeout=CONNECT_TIMEOUT_S,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,  # pyright: ignore[reportArgumentType]
        ping_interval=PING_INTERVAL_S,
        error_cb=on_error,
        reconnected_cb=reconnected,
    )


async def subscribe(nats: Client, subject: str, handle: Callable[[Msg], Awaitable[None]]) -> Subscription:
    """Hands every message of a subject to `handle`, one after the other."""
    return await nats.subscribe(subject, cb=handle)  # pyright: ignore[reportUnknownMemberType]
