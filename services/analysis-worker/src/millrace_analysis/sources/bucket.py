# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""The objects below a prefix of S3, Google Cloud Storage or Azure Blob Storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from millrace_worker.contracts.models import BucketSource

from millrace_analysis.errors import IngestError
from millrace_analysis.limits import Limits
from millrace_analysis.operator_file import AzureCredentials, GcsCredentials, OperatorFile, S3Credentials
from millrace_analysis.staging import CHUNK_BYTES, Staging

S3_TIMEOUT_S = 30


def fetch(source: BucketSource, tenant: str, staging: Staging, operator: OperatorFile) -> None:
    """Streams every object of the prefix to disk; raises IngestError."""
    parts = urlsplit(source.uri, allow_fragments=False)
    bucket, prefix = parts.netloc, parts.path.lstrip('/')
    entry = operator.find(parts.scheme, source.credentials, tenant, bucket)
    if isinstance(entry, S3Credentials):
        _fetch_s3(entry, bucket, prefix, staging)
    elif isinstance(entry, GcsCredentials | AzureCredentials):
        _fetch_filesystem(_filesystem(entry, staging.limits), bucket, prefix, staging)


def _fetch_s3(entry: S3Credentials, bucket: str, prefix: str, staging: Staging) -> None:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    is_signed = entry.accessKeyId is not None
    client: Any = boto3.client(  # pyright: ignore[reportUnknownMemberType]
        's3',
        endpoint_url=entry.endpoint,
        region_name=entry.region,
        aws_access_key_id=entry.accessKeyId,
        aws_secret_access_key=entry.secretAccessKey,
        config=Config(
            connect_timeout=S3_TIMEOUT_S,
            read_timeout=staging.limits.requestSecondsMax,
            retries={'mode': 'standard', 'max_attempts': 3},
            s3={'addressing_style': 'path' if entry.endpoint else 'auto'},
            **({} if is_signed else {'signature_version': UNSIGNED}),
        ),
    )
    try:
        for page in client.get_paginator('list_objects_v2').paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get('Contents', []):
                key, size = str(item['Key']), int(item['Size'])
                if key.endswith('/') or not size:
                    continue
                staging.limits.check('sourceBytesMax', staging.total_bytes + size, f'Bytes up to {key}')
                body = client.get_object(Bucket=bucket, Key=key)['Body']
                staging.take(_name(key, prefix), _chunks(body), size)
    except ClientError as error:
        code = str(error.response.get('Error', {}).get('Code', ''))
        raise _refusal(bucket, code) from error
    except (BotoCoreError, NoCredentialsError) as error:
        raise _unavailable(bucket, error) from error


def _filesystem(entry: GcsCredentials | AzureCredentials, limits: Limits) -> Any:
    if isinstance(entry, GcsCredentials):
        # The plain class: the extended one asks a gRPC service that other stores do not have.
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem(
            project=entry.project,  # pyright: ignore[reportArgumentType]
            token=entry.token,
            endpoint_url=entry.endpoint,
            requests_timeout=limits.requestSecondsMax,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(
        connection_string=entry.connectionString, use_listings_cache=False, skip_instance_cache=True
    )


def _fetch_filesystem(filesystem: Any, bucket: str, prefix: str, staging: Staging) -> None:
    try:
        found: dict[str, Any] = filesystem.find(f'{bucket}/{prefix}', detail=True, withdirs=False)
        if not found and not filesystem.exists(bucket):
            raise IngestError('source_not_found', f'There is no bucket {bucket}.')
        for path in sorted(found):
            size = int(found[path].get('size') or 0)
            if not size:
                continue
            staging.limits.check('sourceBytesMax', staging.total_bytes + size, f'Bytes up to {path}')
            with filesystem.open(path, 'rb', block_size=CHUNK_BYTES * 4, cache_type='readahead') as stream:
                staging.take(_name(path.removeprefix(f'{bucket}/'), prefix), _chunks(stream), size)
    except FileNotFoundError as error:
        raise IngestError(
            'source_not_found', f'There is no bucket {bucket}, or nothing below {prefix}.'
        ) from error
    except PermissionError as error:
        raise IngestError('source_unavailable', f'The credentials may not read {bucket}.') from error
    except IngestError:
        raise
    except Exception as error:
        if type(error).__module__.startswith(('gcsfs', 'azure', 'aiohttp', 'google', 'fsspec')) or isinstance(
            error, OSError | ValueError
        ):
            raise _unavailable(bucket, error) from error
        raise


def _chunks(body: Any) -> Iterator[bytes]:
    while chunk := body.read(CHUNK_BYTES):
        yield chunk


def _name(key: str, prefix: str) -> str:
    """The key without the folder of the prefix."""
    folder = prefix if prefix.endswith('/') else prefix.rpartition('/')[0]
    return key.removeprefix(folder).lstrip('/') or PurePosixPath(key).name


def _refusal(bucket: str, code: str) -> IngestError:
    if code in ('NoSuchBucket', 'NoSuchKey', '404'):
        return IngestError('source_not_found', f'There is no bucket {bucket} ({code}).')
    if code in ('AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', '403'):
        return IngestError('source_unavailable', f'The credentials may not read {bucket} ({code}).')
    return IngestError('source_unavailable', f'The store of {bucket} answered {code}.', retryable=True)


def _unavailable(bucket: str, error: Exception) -> IngestError:
    return IngestError(
        'source_unavailable',
        f'The store of {bucket} does not answer: {type(error).__name__}.',
        retryable=True,
    )
