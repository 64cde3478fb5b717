"""A hub that speaks what Hugging Face's clients ask of it, from files in memory."""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local_http import Answer, send

COMMIT = '0123456789abcdef0123456789abcdef01234567'


def hub_routes(repository: str, files: dict[str, bytes]) -> dict[str, Answer]:
    """The routes of one public data set; any other is not there."""
    api = f'/api/datasets/{repository}'

    def info(handler: BaseHTTPRequestHandler, _query: dict[str, list[str]]) -> None:
        siblings = [{'rfilename': path, 'size': len(data)} for path, data in files.items()]
        json_answer(
            handler, {'id': repository, 'sha': COMMIT, 'private': False, 'siblings': siblings, 'tags': []}
        )

    def entry(path: str) -> dict[str, Any]:
        data = files[path]
        return {'type': 'file', 'path': path, 'size': len(data), 'oid': hashlib.sha256(data).hexdigest()[:40]}

    def tree(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        root = unquote(urlsplit(handler.path).path).removeprefix(f'{api}/tree/').partition('/')[2]
        below = [path for path in files if path.startswith(f'{root}/' if root else '')]
        if root and not below:
            send(handler, 404, b'{}', x_error_code='EntryNotFound')
            return
        names = {path.removeprefix(f'{root}/' if root else '').split('/')[0] for path in below}
        is_deep = query.get('recursive', ['false'])[0].lower() == 'true'
        prefix = f'{root}/' if root else ''
        found = (
            [entry(path) for path in below]
            if is_deep
            else [
                entry(prefix + name)
                if prefix + name in files
                else {'type': 'directory', 'path': prefix + name, 'oid': '0' * 40, 'size': 0}
                for name in sorted(names)
            ]
        )
        json_answer(handler, found)

    def paths(handler: BaseHTTPRequestHandler, _query: dict[str, list[str]]) -> None:
        form = handler.rfile.read(int(handler.headers.get('content-length', 0))).decode()
        wanted = parse_qs(form).get('paths') or __import__('json').loads(form or '{}').get('paths', [])
        json_answer(handler, [entry(path) for path in wanted if path in files])

    def resolve(handler: BaseHTTPRequestHandler, _query: dict[str, list[str]]) -> None:
        path = unquote(urlsplit(handler.path).path).split('/resolve/', 1)[1].partition('/')[2]
        if path not in files:
            send(handler, 404, b'', x_error_code='EntryNotFound', x_repo_commit=COMMIT)
            return
        etag = f'"{hashlib.sha256(files[path]).hexdigest()}"'
        send(handler, 200, files[path], etag=etag, x_repo_commit=COMMIT)

    def missing(handler: BaseHTTPRequestHandler, _query: dict[str, list[str]]) -> None:
        send(handler, 404, b'{}', x_error_code='RepoNotFound')

    return {
        f'{api}/tree/': tree,
        f'{api}/paths-info/': paths,
        f'{api}/revision/none': lambda handler, _query: send(
            handler, 404, b'{}', x_error_code='RevisionNotFound'
        ),
        api: info,
        f'/datasets/{repository}/resolve/': resolve,
        '/': missing,
    }


def json_answer(handler: BaseHTTPRequestHandler, value: Any) -> None:
    import json

    send(handler, 200, json.dumps(value).encode(), content_type='application/json')
