# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""One file over HTTP, or an API that gives its records in pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import httpcore
from millrace_worker.contracts.models import HttpPaging, HttpSource

from millrace_analysis.errors import IngestError
from millrace_analysis.guarded_http import GuardedHttp, content_length
from millrace_analysis.operator_file import OperatorFile
from millrace_analysis.staging import Staging

PAGES_DEFAULT = 1_000
"""Pages that are read when the request sets no bound."""


def fetch(source: HttpSource, staging: Staging, operator: OperatorFile) -> None:
    """Streams the answer, or each page, to disk; raises IngestError."""
    with GuardedHttp(staging.limits, operator.networks) as client:
        if source.paging is None:
            name = PurePosixPath(unquote(urlsplit(source.url).path)).name or 'data'
            _download(client, source.url, name, staging)
        else:
            _pages(client, source.url, source.paging, staging)


def _pages(client: GuardedHttp, url: str, paging: HttpPaging, staging: Staging) -> None:
    first = 1 if paging.first is None else paging.first
    for number in range(first, first + (paging.pages_max or PAGES_DEFAULT)):
        page = _download(
            client, with_parameter(url, paging.parameter, number), f'page-{number:06d}.json', staging
        )
        if page.stat().st_size > staging.limits.documentBytesMax:
            staging.limits.check('documentBytesMax', page.stat().st_size, f'Bytes of page {number}')
        if _is_empty(page.read_bytes(), number):
            # The page after the last one holds nothing that is to be read.
            staging.files.pop()
            return


def _download(client: GuardedHttp, url: str, name: str, staging: Staging):
    with client.get(url) as answer:
        expected = content_length(answer)
        if expected is not None:
            staging.limits.check('sourceBytesMax', expected, f'Bytes announced for {name}')
        return staging.take(name, _body(answer, name), expected).path


def _body(answer: httpcore.Response, name: str) -> Iterator[bytes]:
    try:
        yield from answer.iter_stream()  # pyright: ignore[reportUnknownMemberType]
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        raise IngestError(
            'source_incomplete', f'{name} was cut off: {type(error).__name__}.', retryable=True
        ) from error


def with_parameter(url: str, name: str, value: int) -> str:
    """The address with one parameter of its query set."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != name]
    return urlunsplit(parts._replace(query=urlencode([*query, (name, str(value))])))


def _is_empty(body: bytes, number: int) -> bool:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise IngestError('malformed_data', f'Page {number} is not JSON: {error}.') from error
    if isinstance(page, dict):
        lists = [value for value in page.values() if isinstance(value, list)]
        return not any(lists)
    return not page
