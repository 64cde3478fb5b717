"""An HTTP server on this machine whose answers a test writes, down to the bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Callable[[BaseHTTPRequestHandler, dict[str, list[str]]], None]


class LocalHttp:
    """Serves the functions given by path; `seen` lists the requests."""

    def __init__(self, routes: dict[str, Answer]) -> None:
        seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self) -> None:
                seen.append(self.path)
                parts = urlsplit(self.path)
                route = next((routes[path] for path in routes if parts.path.startswith(path)), None)
                if route is None:
                    send(self, 404, b'')
                else:
                    route(self, parse_qs(parts.query))

            do_HEAD = do_GET
            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.seen = seen
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self._server.daemon_threads = True
        self.origin = f'http://127.0.0.1:{self._server.server_address[1]}'
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> LocalHttp:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """A whole answer; headers are named with _ for -."""
    handler.send_response(status)
    for name, value in {'content_length': str(len(body)), **headers}.items():
        handler.send_header(name.replace('_', '-'), value)
    handler.end_headers()
    if handler.command != 'HEAD':
        handler.wfile.write(body)


def body_of(data: bytes, **headers: str) -> Answer:
    """Always this answer."""
    return lambda handler, _query: send(handler, 200, data, **headers)


def redirect_to(url: str) -> Answer:
    """Always this redirect."""
    return lambda handler, _query: send(handler, 302, b'', location=url)
