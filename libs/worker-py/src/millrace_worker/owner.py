"""Requests to the service that owns a job."""

import json
from typing import Any, TypeVar, cast

from nats.aio.client import Client
from nats.errors import Error as NatsError

from millrace_worker.errors import MillraceError, error_from_wire
from millrace_worker.model import Model

R = TypeVar("R", bound=Model)

RPC_TIMEOUT_S = 5.0
HEARTBEAT_TIMEOUT_S = 2.0


class Owner:
    """Calls `millrace.rpc.<service>.<method>`.

    Each call raises MillraceError: the other side's own, or `dependency_unavailable` when nobody answers.
    """

    def __init__(self, nats: Client, service: str) -> None:
        self._nats = nats
        self.service = service

    async def call(self, method: str, request: Model, reply: type[R], timeout_s: float = RPC_TIMEOUT_S) -> R:
        payload = request.model_dump_json(exclude_none=True).encode()
        try:
            message = await self._nats.request(
                f"millrace.rpc.{self.service}.{method}", payload, timeout=timeout_s
            )
        except (NatsError, TimeoutError, OSError) as error:
            raise MillraceError(
                "dependency_unavailable", f"The {self.service} service does not answer ({method})."
            ) from error
        return self._parse(method, message.data, reply)

    def _parse(self, method: str, data: bytes, reply: type[R]) -> R:
        try:
            answer: Any = json.loads(data)
        except ValueError as error:
            raise self._unreadable(method) from error
        if isinstance(answer, dict) and "error" in answer:
            raise error_from_wire(cast(dict[str, Any], answer)["error"])
        try:
            return reply.model_validate(answer)
        except ValueError as error:
            raise self._unreadable(method) from error

    def _unreadable(self, method: str) -> MillraceError:
        return MillraceError("internal", f"The answer of {self.service} to {method} is not what was agreed.")
