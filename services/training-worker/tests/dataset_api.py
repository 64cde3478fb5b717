"""A dataset API over real HTTP for tests of the factory: the endpoints that it expects, and faults on
demand.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = 'secret-of-tests'  # noqa: S105
DATASET = 'crowd'


@dataclass
class Peer:
    """What the API holds and did. `faults` are taken by path, first to last: a status, or `cut` to end
    mid-way.
    """

    rows: bytes
    schema: bytes
    etag: str | None = '"version-1"'
    faults: dict[str, list[int | str]] = field(default_factory=dict[str, list[int | str]])
    asked: list[str] = field(default_factory=list[str])
    uploads: list[dict[str, bytes]] = field(default_factory=list[dict[str, bytes]])
    origin: str = ''

    def change(self, rows: bytes) -> None:
        """A new version of the dataset."""
        self.rows = rows
        self.etag = self.etag and '"version-2"'


class Handler(BaseHTTPRequestHandler):
    """Answers as the dataset API does."""

    protocol_version = 'HTTP/1.1'
    peer: Peer

    def log_message(self, *_args: Any) -> None:
        """Nothing is printed."""

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _problem(self, status: int, code: str) -> None:
        problem = {'status': status, 'code': code, 'detail': f'A test asked for {status}.'}
        headers = {'retry_after': '0'} if status == 503 else {}
        self._send(status, json.dumps(problem).encode(), **headers)

    def _refused(self, body: bytes) -> bool:
        what = self.path.rsplit('/', 1)[-1]
        self.peer.asked.append(what)
        if what != 'health' and self.headers['authorization'] != f'Bearer {TOKEN}':
            self._problem(401, 'auth_required')
            return True
        faults = self.peer.faults.get(what, [])
        fault = faults.pop(0) if faults else None
        if fault == 'cut':
            self.send_response(200)
            self.send_header('content-length', str(len(body) + 1))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return True
        if isinstance(fault, int):
            self._problem(fault, f'code_{fault}')
            return True
        if what != 'health' and not self.path.startswith(f'/datasets/{DATASET}/'):
            self._problem(404, 'dataset_not_found')
            return True
        return False

    def do_GET(self) -> None:
        """Health, rows or schema."""
        bodies = {'health': b'{"status":"ok"}', 'download': self.peer.rows, 'schema': self.peer.schema}
        body = bodies[self.path.rsplit('/', 1)[-1]]
        if not self._refused(body):
            self._send(200, body, **({'etag': self.peer.etag} if self.peer.etag else {}))

    def do_POST(self) -> None:
        """A model."""
        body = self.rfile.read(int(self.headers['content-length']))
        if self._refused(body):
            return
        head = f'content-type: {self.headers["content-type"]}\r\n\r\n'.encode()
        message = BytesParser(policy=HTTP).parsebytes(head + body)
        parts = {
            str(part.get_filename()): bytes(part.get_payload(decode=True) or b'')
            for part in message.iter_parts()
        }
        self.peer.uploads.append(parts)
        self._send(201, json.dumps({'success': True, 'modelId': DATASET, 'version': 'v1'}).encode())


def serve(peer: Peer) -> ThreadingHTTPServer:
    """Starts the API on a free port of loopback; the caller shuts it down."""
    handler = type('BoundHandler', (Handler,), {'peer': peer})
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    peer.origin = f'http://127.0.0.1:{server.server_address[1]}'
    return server
