"""Buckets: SeaweedFS for S3, and a server that speaks Google's protocol; keys only by name."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from conftest import Bench
from gcp_storage_emulator.server import create_server
from millrace_analysis.errors import IngestError
from servers import S3Server, free_port

PARTS = {f'spectra/part-{number}.csv': f'x,y\n{number},a\n{number + 10},b\n' for number in range(3)}
NO_SPLIT = {'seed': 0, 'validation': 0, 'test': 0}


@pytest.fixture(scope='module')
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp('s3'))
    try:
        server.start()
        client: Any = boto3.client(  # pyright: ignore
            's3',
            endpoint_url=server.endpoint,
            region_name='us-east-1',
            aws_access_key_id=server.key,
            aws_secret_access_key=server.secret,
        )
        for bucket in ('cherenkov-datasets', 'other'):
            client.create_bucket(Bucket=bucket)
        for key, text in PARTS.items():
            client.put_object(Bucket='cherenkov-datasets', Key=key, Body=text.encode())
        client.put_object(Bucket='other', Key='a.csv', Body=b'x\n1\n')
        yield server
    finally:
        server.stop()


def s3_operator(server: S3Server, **changes: Any) -> dict[str, Any]:
    entry = {
        'type': 's3',
        'endpoint': server.endpoint,
        'accessKeyId': server.key,
        'secretAccessKey': server.secret,
        'buckets': ['cherenkov-*'],
        **changes,
    }
    return {'credentials': {'default-s3': entry, 'lab': {**entry, 'tenants': ['lab']}}}


def bucket(uri: str, **more: str) -> dict[str, Any]:
    return {'type': 'bucket', 'uri': uri, **more}


def test_every_object_of_an_s3_prefix_is_read(bench: Bench, s3: S3Server) -> None:
    made = bench.run(bucket('s3://cherenkov-datasets/spectra'), s3_operator(s3), split=NO_SPLIT)
    assert made.table('train').column('x').to_pylist() == [0, 10, 1, 11, 2, 12]
    assert [one['name'] for one in made.json('dataset.json')['source']['files']] == [
        'spectra/part-0.csv', 'spectra/part-1.csv', 'spectra/part-2.csv',
    ]  # fmt: skip
    folder = bench.run(bucket('s3://cherenkov-datasets/spectra/'), s3_operator(s3))
    assert folder.json('dataset.json')['source']['files'][0]['name'] == 'part-0.csv'


@pytest.mark.parametrize(
    'uri, more, changes, code',
    [
        ('s3://cherenkov-datasets/nothing/', {}, {}, 'source_empty'),
        ('s3://cherenkov-none/x', {}, {}, 'source_not_found'),
        ('s3://other/', {}, {}, 'source_not_allowed'),
        ('s3://cherenkov-datasets/', {'credentials': 'lab'}, {}, 'source_not_allowed'),
        ('s3://cherenkov-datasets/', {'credentials': 'nobody'}, {}, 'source_not_allowed'),
        ('gs://cherenkov-datasets/', {}, {}, 'source_not_allowed'),
        ('s3://cherenkov-datasets/', {}, {'secretAccessKey': 'wrong'}, 'source_unavailable'),
        ('s3://cherenkov-datasets/', {}, {'endpoint': 'http://127.0.0.1:9'}, 'source_unavailable'),
    ],
)
def test_s3_sources_that_cannot_be_read(
    bench: Bench, s3: S3Server, uri: str, more: dict[str, str], changes: dict[str, str], code: str
) -> None:
    with pytest.raises(IngestError) as caught:
        bench.run(bucket(uri, **more), s3_operator(s3, **changes))
    assert caught.value.code == code
    assert 'worker-secret' not in caught.value.message


@pytest.fixture(scope='module')
def gcs() -> Iterator[str]:
    port = free_port()
    server: Any = create_server('127.0.0.1', port, in_memory=True, default_bucket='cherenkov-datasets')
    server.start()
    origin = f'http://127.0.0.1:{port}'
    try:
        for key, text in PARTS.items():
            url = f'{origin}/upload/storage/v1/b/cherenkov-datasets/o?uploadType=media&name={key}'
            request = urllib.request.Request(url, text.encode(), {'content-type': 'text/csv'})  # noqa: S310
            urllib.request.urlopen(request).close()  # noqa: S310
        yield origin
    finally:
        server.stop()


def gcs_operator(origin: str) -> dict[str, Any]:
    return {'credentials': {'default-gs': {'type': 'gs', 'endpoint': origin, 'token': 'anon'}}}


def test_every_object_of_a_google_prefix_is_read(bench: Bench, gcs: str) -> None:
    made = bench.run(bucket('gs://cherenkov-datasets/spectra/'), gcs_operator(gcs), split=NO_SPLIT)
    assert made.table('train').column('x').to_pylist() == [0, 10, 1, 11, 2, 12]


def test_google_sources_that_cannot_be_read(bench: Bench, gcs: str) -> None:
    with pytest.raises(IngestError) as empty:
        bench.run(bucket('gs://cherenkov-datasets/nothing/'), gcs_operator(gcs))
    assert empty.value.code in ('source_empty', 'source_not_found')
