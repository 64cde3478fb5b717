"""Errors with the stable codes of the platform."""

import json
from typing import Any, cast

from .wire import Reply

_AUTH = {401, 403, 421}
_BUSY = {429, 503, 504}
_NOT_FOUND = 404
_SERVER = 500


class MillraceError(Exception):
    """What went wrong: `code` is one of the catalogue, `status` that of HTTP or None without an answer."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class RequestError(MillraceError):
    """The request is wrong; sent again it fails again."""


class NotFoundError(RequestError):
    """There is no such model, version or other thing."""


class AuthError(RequestError):
    """The key is missing, not valid, or lacks a scope."""


class UnavailableError(MillraceError):
    """The platform is busy, late or away; the same request may work later."""


class ServerError(MillraceError):
    """The platform or the model failed."""


def error_of(reply: Reply) -> MillraceError:
    """The error that an answer tells of."""
    problem: dict[str, Any] = {}
    try:
        parsed: object = json.loads(reply.body)
        if isinstance(parsed, dict):
            problem = cast("dict[str, Any]", parsed)
    except ValueError:
        pass
    code = str(problem.get("code", "internal"))
    text = problem.get("detail") or problem.get("error") or f"The platform answered {reply.status}."
    request_id = problem.get("instance") or reply.headers.get("x-request-id")
    return _class_of(reply.status)(code, str(text), status=reply.status, request_id=request_id)


def _class_of(status: int) -> type[MillraceError]:
    if status in _AUTH:
        return AuthError
    if status == _NOT_FOUND:
        return NotFoundError
    if status in _BUSY:
        return UnavailableError
    return ServerError if status >= _SERVER else RequestError
