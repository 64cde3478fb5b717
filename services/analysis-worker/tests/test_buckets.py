"""Buckets: SeaweedFS for S3, Azurite for Azure, and a server of Google's protocol; keys only by name."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import Bench
from gcp_storage_emulator.server import create_server
from millrace_analysis.errors import IngestError
from servers import S3Server, free_port

PARTS = {f'spectra/part-{number}.csv': f'x,y\n{number},a\n{number + 10},b\n' for number in range(3)}
SMALL = {'sourceBytesMax': 1 << 20}
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


ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope='module')
def azure() -> Iterator[str]:
    """The connection string of a blob store with the parts in one container."""
    from azure.storage.blob import BlobServiceClient

    program = [str(ROOT / 'node_modules/.bin/node'), str(ROOT / 'libs/testing/src/azurite-main.ts')]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        connection: str = json.loads(process.stdout.readline())['connectionString']
        with BlobServiceClient.from_connection_string(connection) as service:
            for name in ('cherenkov-datasets', 'other'):
                service.create_container(name)
            container: Any = service.get_container_client('cherenkov-datasets')
            for key, text in PARTS.items():
                container.upload_blob(key, text.encode())
            container.upload_blob('spectra/empty.csv', b'')
            container.upload_blob('large/a.csv', b'x,y\n' + b'123456,abcdef\n' * 400_000)
            service.get_container_client('other').upload_blob('a.csv', b'x\n1\n')
        yield connection
    finally:
        process.stdin.close()
        process.wait(30)


def azure_operator(connection: str, **changes: Any) -> dict[str, Any]:
    entry = {'type': 'az', 'connectionString': connection, 'buckets': ['cherenkov-*'], **changes}
    return {'credentials': {'default-az': entry, 'lab': {**entry, 'tenants': ['lab']}}}


def test_every_blob_of_an_azure_prefix_is_read(bench: Bench, azure: str) -> None:
    made = bench.run(bucket('az://cherenkov-datasets/spectra/'), azure_operator(azure), split=NO_SPLIT)
    assert made.table('train').column('x').to_pylist() == [0, 10, 1, 11, 2, 12]
    assert [one['name'] for one in made.json('dataset.json')['source']['files']] == [
        'part-0.csv', 'part-1.csv', 'part-2.csv',
    ]  # fmt: skip
    same = bench.run(bucket('az://cherenkov-datasets/spectra'), azure_operator(azure), split=NO_SPLIT)
    assert same.json('dataset.json')['source']['files'][0]['name'] == 'spectra/part-0.csv'


def test_a_blob_larger_than_a_request_comes_whole(bench: Bench, azure: str) -> None:
    made = bench.run(bucket('az://cherenkov-datasets/large/'), azure_operator(azure), split=NO_SPLIT)
    assert made.table('train').num_rows == 400_000


@pytest.mark.parametrize(
    'uri, more, changes, codes',
    [
        ('az://cherenkov-datasets/nothing/', {}, {}, ('source_empty', 'source_not_found')),
        ('az://cherenkov-none/x', {}, {}, ('source_not_found',)),
        ('az://other/', {}, {}, ('source_not_allowed',)),
        ('az://cherenkov-datasets/', {'credentials': 'lab'}, {}, ('source_not_allowed',)),
        ('az://cherenkov-datasets/', {'credentials': 'nobody'}, {}, ('source_not_allowed',)),
        ('az://cherenkov-datasets/large/', {}, {'limits': SMALL}, ('ingest_limit_exceeded',)),
    ],
)  # fmt: skip
def test_azure_sources_that_cannot_be_read(
    bench: Bench, azure: str, uri: str, more: dict[str, str], changes: dict[str, Any], codes: tuple[str, ...]
) -> None:
    with pytest.raises(IngestError) as caught:
        bench.run(bucket(uri, **more), {**azure_operator(azure), **changes})
    assert caught.value.code in codes
    assert azure.split('AccountKey=')[1][:20] not in caught.value.message


def test_an_azure_key_that_is_wrong_reads_nothing(bench: Bench, azure: str) -> None:
    head, _, rest = azure.partition('AccountKey=')
    wrong = f'{head}AccountKey={"A" * 86}==;{rest.partition(";")[2]}'
    with pytest.raises(IngestError) as caught:
        bench.run(bucket('az://cherenkov-datasets/spectra/'), azure_operator(wrong))
    assert caught.value.code == 'source_unavailable'
