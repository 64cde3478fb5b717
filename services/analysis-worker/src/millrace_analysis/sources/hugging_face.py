# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""A data set of a Hugging Face hub, by the hub's own clients: `datasets` finds the files of a split,
`huggingface_hub` brings them. Nothing of the repository is run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from millrace_worker.contracts.models import HuggingFaceSource

from millrace_analysis.errors import IngestError
from millrace_analysis.operator_file import HuggingFaceCredentials, OperatorFile
from millrace_analysis.staging import Staging

_SCHEME = 'hf://datasets/'
_DESCRIPTIONS = ('README.md', '.huggingface.yaml')
DESCRIPTION_BYTES_MAX = 4 << 20
"""Bytes of a file that describes a repository."""


def fetch(source: HuggingFaceSource, tenant: str, staging: Staging, operator: OperatorFile) -> None:
    """Downloads the data files of the split, of all splits without one; raises IngestError."""
    entry = operator.find('hugging_face', source.credentials, tenant)
    assert isinstance(entry, HuggingFaceCredentials)
    _configure(entry.endpoint, staging.folder)
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    what = f'{source.repository}{f"@{source.revision}" if source.revision else ""}'
    try:
        _download(source, entry, staging)
    except (DatasetNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise IngestError('source_not_found', f'The hub has no data set {what}.') from error
    except FileNotFoundError as error:
        raise IngestError('source_empty', f'{what} has no data files.') from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        is_passing = status == 429 or status >= 500
        raise IngestError(
            'source_unavailable', f'The hub answered {status}.', retryable=is_passing
        ) from error
    except (ConnectionError, TimeoutError) as error:
        raise IngestError(
            'source_unavailable', f'The hub does not answer: {type(error).__name__}.', retryable=True
        ) from error


def _configure(endpoint: str, folder: Path) -> None:
    """Both clients read these once, when they are imported; a child does one job, so that is soon enough."""
    os.environ.update(
        {
            'HF_ENDPOINT': endpoint,
            'HF_HOME': str(folder / 'hub'),
            'HF_HUB_DISABLE_XET': '1',
            'HF_HUB_DISABLE_TELEMETRY': '1',
            'HF_HUB_DISABLE_PROGRESS_BARS': '1',
            'HF_HUB_DISABLE_IMPLICIT_TOKEN': '1',
        }
    )


def _download(source: HuggingFaceSource, entry: HuggingFaceCredentials, staging: Staging) -> None:
    from datasets import load_dataset_builder
    from huggingface_hub import HfApi, hf_hub_download

    for description in _DESCRIPTIONS:
        _refuse_outward(source, entry, description, staging)
    builder: Any = load_dataset_builder(
        source.repository, revision=source.revision, token=entry.token, cache_dir=str(staging.folder / 'hub')
    )
    files: dict[str, list[str]] = {str(name): list(urls) for name, urls in builder.config.data_files.items()}
    if source.split is not None and source.split not in files:
        known = ', '.join(sorted(files))
        raise IngestError(
            'source_not_found', f'{source.repository} has no split {source.split}; it has {known}.'
        )
    wanted = [url for name, urls in sorted(files.items()) if source.split in (None, name) for url in urls]
    located = [_locate(url) for url in wanted]
    api = HfApi(endpoint=entry.endpoint, token=entry.token or False)
    for path, revision in located:
        infos: list[Any] = api.get_paths_info(source.repository, path, revision=revision, repo_type='dataset')
        size = int(infos[0].size) if infos else 0
        staging.limits.check('sourceBytesMax', staging.total_bytes + size, f'Bytes up to {path}')
        local = hf_hub_download(
            source.repository,
            path,
            repo_type='dataset',
            revision=revision,
            endpoint=entry.endpoint,
            token=entry.token or False,
            local_dir=staging.folder / 'files',
        )
        staging.link(path, Path(local).resolve())


def _refuse_outward(
    source: HuggingFaceSource, entry: HuggingFaceCredentials, description: str, staging: Staging
) -> None:
    """Looks at what a repository says of its files before the client does: it would ask any address named."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        local = hf_hub_download(
            source.repository,
            description,
            repo_type='dataset',
            revision=source.revision,
            endpoint=entry.endpoint,
            token=entry.token or False,
            local_dir=staging.folder / 'description',
        )
    except EntryNotFoundError:
        return
    if Path(local).stat().st_size > DESCRIPTION_BYTES_MAX:
        raise IngestError(
            'ingest_limit_exceeded', f'{description} of the repository is over {DESCRIPTION_BYTES_MAX} bytes.'
        )
    text = Path(local).read_text(errors='replace')
    if description.endswith('.md'):
        parts = text.split('---', 2)
        text = parts[1] if len(parts) == 3 and not parts[0].strip() else ''
    try:
        told: Any = yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise IngestError('malformed_data', f'{description} of the repository is no YAML.') from error
    configs = told.get('configs') if isinstance(told, dict) else None
    if any(_is_outward(path, source.repository) for path in _texts(configs)):
        raise IngestError(
            'source_not_allowed', 'A data set of the hub may only name files of its repository.'
        )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _is_outward(path: str, repository: str) -> bool:
    own = (f'{_SCHEME}{repository}/', f'{_SCHEME}{repository}@')
    is_address = '://' in path or '::' in path
    return (is_address and not path.startswith(own)) or path.startswith(('/', '~')) or '..' in path.split('/')


def _locate(url: str) -> tuple[str, str]:
    """`hf://datasets/<repository>@<revision>/<path>` as path and revision."""
    if not url.startswith(_SCHEME):
        raise IngestError(
            'source_not_allowed', 'A data set of the hub may only name files of its repository.'
        )
    _, _, rest = url.removeprefix(_SCHEME).partition('@')
    revision, _, path = rest.partition('/')
    return path, revision
