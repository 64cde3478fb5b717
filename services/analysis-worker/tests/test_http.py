# ruff: noqa: S104
"""HTTP sources: pages, lies about lengths, and addresses that nobody may reach through us."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

import pytest
from conftest import Bench
from local_http import LocalHttp, body_of, redirect_to, send
from millrace_analysis.errors import IngestError
from millrace_analysis.guarded_http import is_public

LOCAL = {'networks': ['127.0.0.1/32']}
PER_PAGE, COUNT = 25, 60


def measurement(number: int) -> dict[str, object]:
    """A measurement as Safecast's API gives it."""
    return {
        'id': number,
        'user_id': 9,
        'value': 30 + number % 9,
        'unit': 'cpm',
        'latitude': 37.4 + number / 1_000,
        'longitude': 140.9,
        'location_name': '',
        'device_id': None,
        'captured_at': f'2024-05-01T00:{number % 60:02d}:00.000Z',
        'original_id': number,
        'md5sum': f'{number:032x}',
        'height': None,
        'measurement_import_id': None,
    }


def safecast(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
    page = int(query.get('page', ['1'])[0])
    first = (page - 1) * PER_PAGE
    rows = [measurement(number) for number in range(first, min(first + PER_PAGE, COUNT))]
    send(handler, 200, json.dumps(rows).encode(), content_type='application/json')


def test_every_page_of_a_safecast_like_api_is_read(bench: Bench) -> None:
    with LocalHttp({'/measurements.json': safecast}) as server:
        url = f'{server.origin}/measurements.json?latitude=37.4'
        source = {'type': 'http', 'url': url, 'paging': {'parameter': 'page', 'first': 1}}
        made = bench.run(source, LOCAL, columns=[{'name': 'captured_at', 'type': 'timestamp'}])
        found = made.all()
    assert sorted(found.column('id').to_pylist()) == list(range(COUNT))
    assert str(found.schema.field('captured_at').type) == 'timestamp[us]'
    assert [path.split('page=')[1] for path in server.seen] == ['1', '2', '3', '4']
    assert all('latitude=37.4' in path for path in server.seen)


def test_pages_end_at_the_bound_of_the_request(bench: Bench) -> None:
    with LocalHttp({'/m': safecast}) as server:
        source = {'type': 'http', 'url': f'{server.origin}/m', 'paging': {'parameter': 'page', 'pagesMax': 2}}
        assert bench.run(source, LOCAL).all().num_rows == 2 * PER_PAGE


def test_a_file_is_followed_through_redirects(bench: Bench) -> None:
    with LocalHttp({'/data.csv': redirect_to('/real'), '/real': body_of(b'x,y\n1,a\n2,b\n')}) as server:
        assert bench.run({'type': 'http', 'url': f'{server.origin}/data.csv'}, LOCAL).all().num_rows == 2


def short(handler: BaseHTTPRequestHandler, _query: dict[str, list[str]]) -> None:
    send(handler, 200, b'x\n1\n', content_length='4000')
    handler.close_connection = True


def cut_chunks(handler: BaseHTTPRequestHandler, _query: dict[str, list[str]]) -> None:
    handler.send_response(200)
    handler.send_header('transfer-encoding', 'chunked')
    handler.end_headers()
    handler.wfile.write(b'4\r\nx\n1\n\r\nff\r\nabc')
    handler.close_connection = True


def endless(handler: BaseHTTPRequestHandler, _query: dict[str, list[str]]) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b'1\n' * 4_096)
    except OSError:
        handler.close_connection = True


ROUTES = {
    '/short.csv': short,
    '/chunks.csv': cut_chunks,
    '/endless.csv': endless,
    '/huge.csv': lambda handler, _query: send(handler, 200, b'x', content_length=str(1 << 40)),
    '/loop.csv': redirect_to('/loop.csv'),
    '/file.csv': redirect_to('file:///etc/passwd'),
    '/error.csv': lambda handler, _query: send(handler, 503, b''),
    '/page': body_of(b'<html>'),
}
LIES = {
    '/short.csv': ('source_incomplete', True),
    '/chunks.csv': ('source_incomplete', True),
    '/endless.csv': ('ingest_limit_exceeded', False),
    '/huge.csv': ('ingest_limit_exceeded', False),
    '/loop.csv': ('source_unavailable', False),
    '/file.csv': ('url_not_allowed', False),
    '/error.csv': ('source_unavailable', True),
    '/none.csv': ('source_not_found', False),
}


@pytest.mark.parametrize('path', LIES)
def test_servers_that_lie_or_fail(bench: Bench, path: str) -> None:
    limits = {'limits': {'sourceBytesMax': 1 << 20, 'requestSecondsMax': 20}}
    with LocalHttp(ROUTES) as server, pytest.raises(IngestError) as caught:
        bench.run({'type': 'http', 'url': f'{server.origin}{path}'}, {**LOCAL, **limits})
    assert (caught.value.code, caught.value.retryable) == LIES[path]


def test_a_page_that_is_not_json_is_named(bench: Bench) -> None:
    with LocalHttp(ROUTES) as server, pytest.raises(IngestError, match='Page 1') as caught:
        bench.run({'type': 'http', 'url': f'{server.origin}/page', 'paging': {'parameter': 'p'}}, LOCAL)
    assert caught.value.code == 'malformed_data'


PRIVATE = (
    '127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0',
    '224.0.0.1', '::1', '::ffff:127.0.0.1', '::ffff:169.254.169.254', 'fe80::1', 'fd00::1', '::',
    '64:ff9b::7f00:1', '2002:7f00:1::',
)  # fmt: skip


@pytest.mark.parametrize('address', PRIVATE)
def test_private_addresses_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize('address', ['93.184.215.14', '2606:4700::1111', '64:ff9b::5db8:d70e'])
def test_public_addresses_are_too(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    'host', ['127.0.0.1', 'localhost', '2130706433', '0x7f.1', '[::1]', '[::ffff:127.0.0.1]']
)
def test_this_machine_is_refused_however_it_is_written(bench: Bench, host: str) -> None:
    with LocalHttp(ROUTES) as server:
        port = server.origin.rpartition(':')[2]
        with pytest.raises(IngestError) as caught:
            bench.run({'type': 'http', 'url': f'http://{host}:{port}/short.csv'})
        assert caught.value.code == 'url_not_allowed'
    assert server.seen == []


def test_a_redirect_to_a_private_address_is_refused(bench: Bench) -> None:
    # The first server is allowed, the second is not, as a public address that redirects inwards would be.
    with LocalHttp({'/in.csv': redirect_to('http://127.0.0.2:1/secret.csv')}) as server:
        with pytest.raises(IngestError) as caught:
            bench.run({'type': 'http', 'url': f'{server.origin}/in.csv'}, LOCAL)
        assert caught.value.code == 'url_not_allowed'


@pytest.mark.parametrize(
    'url', ['http://user:pw@example.org/a.csv', 'http://example.org:99999/', 'http:///a.csv']
)
def test_odd_addresses_are_refused(bench: Bench, url: str) -> None:
    with pytest.raises(IngestError) as caught:
        bench.run({'type': 'http', 'url': url})
    assert caught.value.code == 'url_not_allowed'
