"""The dataset API, as far as a factory needs it: health, rows, schema, and the way back for models."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import urllib3

from .errors import ExitCode, FactoryError

ATTEMPTS = 6
"""Of each request; the pauses between them double."""

FIRST_PAUSE_S = 0.5
PAUSE_MAX_S = 10.0
"""Longest pause, also when the API asks for a longer one by Retry-After."""

TIMEOUT = urllib3.Timeout(connect=10, read=60)
MAX_DATASET_BYTES = 4 << 30
MAX_SCHEMA_BYTES = 64 << 20
MAX_ANSWER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16

_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}

T = TypeVar('T')
log = logging.getLogger('millrace_factory')


@dataclass(frozen=True)
class Downloaded:
    """A file that came whole: its SHA-256, and the ETag by which the API names the version of the dataset."""

    sha256: str
    etag: str | None


class _Transient(Exception):
    """Worth another attempt, after `pause_s` if the API names one."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class DatasetApi:
    """One dataset behind `base`; every call is tried ATTEMPTS times.

    Raises FactoryError: UNAVAILABLE, NO_PERMISSION, NO_DATASET, UNUSABLE_DATA and REFUSED.
    """

    def __init__(
        self, base: str, token: str, dataset_id: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        parts = urlsplit(base)
        if parts.scheme not in {'http', 'https'} or not parts.hostname:
            raise FactoryError(ExitCode.USAGE, f'--api-base {base!r} is no address of the form https://host.')
        self._base = base.rstrip('/')
        self._path = f'/datasets/{quote(dataset_id, safe="")}'
        self._headers = {'authorization': f'Bearer {token}', 'user-agent': 'crowdmind-ml-factory/1'}
        # No redirect is followed, so that the token goes nowhere but to the address that was named.
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)
        self._sleep = sleep

    def check_health(self) -> None:
        """Ask `GET /health`."""
        self._attempt('GET /health', lambda: self._answer('GET', '/health'))

    def download_rows(self, target: Path) -> Downloaded:
        """`GET /datasets/{id}/download` into `target`, which appears only when all of it came."""
        return self._attempt(
            'download of the rows', lambda: self._download('/download', target, MAX_DATASET_BYTES)
        )

    def download_schema(self, target: Path) -> Downloaded:
        """`GET /datasets/{id}/schema` into `target`."""
        return self._attempt(
            'download of the schema', lambda: self._download('/schema', target, MAX_SCHEMA_BYTES)
        )

    def upload_model(self, model: Path, meta: Path) -> dict[str, Any]:
        """`POST /datasets/{id}/models`; sending the same bytes again gives the version that there is."""
        fields = {
            'model': (model.name, model.read_bytes(), 'application/octet-stream'),
            'meta': (meta.name, meta.read_bytes(), 'application/json'),
        }
        body, content_type = urllib3.encode_multipart_formdata(fields)

        def send() -> dict[str, Any]:
            return self._answer('POST', f'{self._path}/models', body, content_type)

        return self._attempt('upload of the model', send)

    def _attempt(self, what: str, call: Callable[[], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return call()
            except (_Transient, urllib3.exceptions.HTTPError, OSError) as error:
                reason = str(error).strip() or type(error).__name__
                if attempt == ATTEMPTS:
                    raise FactoryError(
                        ExitCode.UNAVAILABLE,
                        f'{what}: {self._base} did not do it in {ATTEMPTS} attempts ({reason}); '
                        'the same command goes on where this one stopped.',
                    ) from error
                asked = error.pause_s if isinstance(error, _Transient) else None
                pause = min(PAUSE_MAX_S, FIRST_PAUSE_S * 2 ** (attempt - 1) if asked is None else asked)
                log.warning('%s: attempt %d of %d failed (%s)', what, attempt, ATTEMPTS, reason)
                self._sleep(pause)
        raise AssertionError('a loop of at least one attempt ends inside')

    def _open(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> Any:
        headers = self._headers if kind is None else {**self._headers, 'content-type': kind}
        answer = self._pool.request(
            method, f'{self._base}{path}', body=body, headers=headers, preload_content=False, redirect=False
        )
        if answer.status in {200, 201}:
            return answer
        text = answer.read(MAX_ANSWER_BYTES, decode_content=True)
        answer.release_conn()
        self._refuse(method, path, answer.status, _problem(text), answer.headers.get('retry-after'))
        return None

    def _refuse(self, method: str, path: str, status: int, problem: str, retry_after: str | None) -> None:
        if status in _TRANSIENT:
            asked = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
            raise _Transient(f'{status} {problem}', asked)
        said = f'{method} {path} was answered with {status}: {problem}'
        if status in {401, 403}:
            raise FactoryError(ExitCode.NO_PERMISSION, f'{said} Check --token and its scopes.')
        if status == 404:
            raise FactoryError(ExitCode.NO_DATASET, f'{said} Check --dataset-id and --api-base.')
        if method == 'GET':
            raise FactoryError(ExitCode.UNUSABLE_DATA, said)
        raise FactoryError(ExitCode.REFUSED, said)

    def _answer(
        self, method: str, path: str, body: bytes | None = None, kind: str | None = None
    ) -> dict[str, Any]:
        answer = self._open(method, path, body, kind)
        try:
            found: Any = json.loads(answer.read(MAX_ANSWER_BYTES, decode_content=True))
        except ValueError as error:
            raise FactoryError(
                ExitCode.UNAVAILABLE, f'{method} {path} gave no JSON; check --api-base.'
            ) from error
        finally:
            answer.release_conn()
        return cast('dict[str, Any]', found) if isinstance(found, dict) else {}

    def _download(self, path: str, target: Path, bytes_max: int) -> Downloaded:
        answer = self._open('GET', f'{self._path}{path}')
        digest, size = hashlib.sha256(), 0
        draft = target.with_name(f'{target.name}.part')
        try:
            with draft.open('wb') as sink:
                # A connection that ends early raises: the length, or the end of the last chunk, is missing.
                for chunk in answer.stream(_CHUNK_BYTES, decode_content=True):
                    size += len(chunk)
                    if size > bytes_max:
                        raise FactoryError(
                            ExitCode.UNUSABLE_DATA, f'{path} is over {bytes_max} bytes; take fewer rows.'
                        )
                    digest.update(chunk)
                    sink.write(chunk)
                sink.flush()
                os.fsync(sink.fileno())
        finally:
            answer.release_conn()
        draft.replace(target)
        log.debug('%s: %d bytes', target.name, size)
        return Downloaded(digest.hexdigest(), answer.headers.get('etag'))


def _problem(text: bytes) -> str:
    """The sentence of a problem document, or what else came."""
    try:
        found: Any = json.loads(text)
        return f'{found["code"]}: {found["detail"]}'
    except (ValueError, KeyError, TypeError):
        return text[:200].decode('utf-8', 'replace').strip() or 'no reason given.'
