"""JSON lines on stdout, one record a line, in the form of the services' logs."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn", logging.ERROR: "error"}
_URL_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@\"\\]+@", re.IGNORECASE)

LEVEL_BY_NAME = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object; the fields given as `extra={"fields": {...}}` are added to it."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": _LEVELS.get(record.levelno, "fatal"),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": self._service,
            "msg": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= fields
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _URL_CREDENTIALS.sub(r"\1[redacted]@", json.dumps(line, default=str))


class Logger:
    """A logger with fields that every line of it carries, such as the job."""

    def __init__(self, logger: logging.Logger, fields: dict[str, Any] | None = None) -> None:
        self._logger = logger
        self._fields = fields or {}

    def bind(self, **fields: Any) -> "Logger":
        return Logger(self._logger, self._fields | fields)

    def debug(self, message: str, **fields: Any) -> None:
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, *, exception: BaseException | None = None, **fields: Any) -> None:
        self._logger.error(message, exc_info=exception, extra={"fields": self._fields | fields})

    def _write(self, level: int, message: str, fields: dict[str, Any]) -> None:
        self._logger.log(level, message, extra={"fields": self._fields | fields})


def create_logger(service: str, level: str) -> Logger:
    """The logger of this process; lines of libraries come out in the same form, from warnings up."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger = logging.getLogger("millrace")
    logger.setLevel(LEVEL_BY_NAME[level])
    return Logger(logger)
