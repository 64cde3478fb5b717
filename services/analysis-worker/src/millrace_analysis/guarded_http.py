"""HTTP to addresses that strangers name: private ones are refused where the connection is made.

The check is on the address that the socket connects to, not on the name, so that neither a name that
resolves differently the second time nor a redirect gets past it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore

from .errors import IngestError
from .limits import Limits

_REDIRECTS = (301, 302, 303, 307, 308)
_NETWORK_ERRORS = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
)


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet, also as an IPv4 address inside an IPv6 one."""
    ip = ipaddress.ip_address(address.split('%')[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return inner.is_global
        # NAT64 (RFC 6052) carries an IPv4 address in its last four bytes.
        if ip in ipaddress.ip_network('64:ff9b::/96'):
            return ipaddress.ip_address(int(ip) & 0xFFFFFFFF).is_global
    return ip.is_global and not ip.is_multicast


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves a name, refuses private addresses, and connects to one that it checked."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises `url_not_allowed`, or httpcore's own errors of a connection."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f'{host} has no address') from error
        addresses = [str(entry[4][0]) for entry in found]
        refused = [address for address in addresses if not self._is_allowed(address)]
        if refused or not addresses:
            raise IngestError(
                'url_not_allowed',
                f'{host} is a private address; the operator may allow its network in MILLRACE_SOURCES_FILE.',
            )
        return self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:  # noqa: ARG002
        """Never: a source is not a socket of this machine."""
        raise IngestError('url_not_allowed', f'A source cannot be the socket {path}.')

    def _is_allowed(self, address: str) -> bool:
        ip = ipaddress.ip_address(address.split('%')[0])
        return is_public(address) or any(
            ip.version == network.version and ip in network for network in self._networks
        )


class GuardedHttp:
    """Answers to GET requests, as streams; close it with `with`."""

    def __init__(self, limits: Limits, networks: Sequence[str]) -> None:
        self._limits = limits
        self._pool = httpcore.ConnectionPool(
            network_backend=GuardedBackend(networks), max_connections=4, retries=0
        )

    def __enter__(self) -> GuardedHttp:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    @contextmanager
    def get(self, url: str) -> Generator[httpcore.Response]:
        """The answer with status 200 after at most `redirectsMax` redirects.

        Raises IngestError `url_not_allowed`, `source_not_found`, `source_unavailable`.
        """
        seconds = self._limits.requestSecondsMax
        extensions = {'timeout': dict.fromkeys(('connect', 'read', 'write', 'pool'), seconds)}
        headers = [(b'accept-encoding', b'identity'), (b'user-agent', b'millrace-ingest')]
        for _ in range(self._limits.redirectsMax + 1):
            parts = split_url(url)
            headers_now = [(b'host', parts.netloc.rpartition('@')[2].encode()), *headers]
            try:
                with self._pool.stream('GET', url, headers=headers_now, extensions=extensions) as answer:
                    if answer.status not in _REDIRECTS:
                        _check_status(answer.status, parts.hostname or '')
                        yield answer
                        return
                    url = urljoin(url, _header(answer, b'location') or '')
            except _NETWORK_ERRORS as error:
                raise IngestError(
                    'source_unavailable',
                    f'{parts.hostname} does not answer: {type(error).__name__}.',
                    retryable=True,
                ) from error
        raise IngestError('source_unavailable', f'Over redirectsMax = {self._limits.redirectsMax} redirects.')


def split_url(url: str) -> Any:
    """The parts of an HTTP address without user and password; raises `url_not_allowed`."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise IngestError('url_not_allowed', f'The address is not valid: {error}.') from error
    if parts.scheme not in ('http', 'https') or not parts.hostname or parts.username is not None:
        raise IngestError(
            'url_not_allowed', 'A source is an http or https address with a host and without a password.'
        )
    return parts


def content_length(answer: httpcore.Response) -> int | None:
    """What the answer says that it will send."""
    text = _header(answer, b'content-length')
    return int(text) if text is not None and text.isdigit() else None


def _header(answer: httpcore.Response, wanted: bytes) -> str | None:
    for name, value in answer.headers:
        if name.lower() == wanted:
            return value.decode('latin-1')
    return None


def _check_status(status: int, host: str) -> None:
    if status == 200:
        return
    if status in (404, 410):
        raise IngestError('source_not_found', f'{host} answered {status}: there is no such file.')
    is_passing = status == 429 or status >= 500
    raise IngestError('source_unavailable', f'{host} answered {status}.', retryable=is_passing)
