"""The small JSON files beside the shards: `manifest.json` says what is there, `schema.json` what it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from millrace_training.digests import canonical_json, list_files, sha256_file, sha256_json
from millrace_training.errors import RecipeError

from .images import CLASSES, IMAGE_SIZE

FORMAT = 'millrace-images-v1'
MANIFEST = 'manifest.json'
SCHEMA = 'schema.json'


def schema() -> dict[str, Any]:
    """What one example of the dataset is, in the terms of a model's signature."""
    return {
        'format': FORMAT,
        'task': 'binary-classification',
        'classes': list(CLASSES),
        'features': [
            {'name': 'input', 'dtype': 'uint8', 'shape': [IMAGE_SIZE, IMAGE_SIZE, 3], 'encoding': 'jpeg'}
        ],
        'label': {'name': 'label', 'dtype': 'uint8', 'values': list(range(len(CLASSES)))},
        'columns': {
            'encoded': 'all JPEG files of the split, one after the other',
            'offsets': 'where file i starts; entry count is where the last one ends',
            'labels': '0 real, 1 ai',
            'groups': 'scene or photograph that the picture shows; a group is in one split only',
            'sources': 'scene, photograph or upload',
            'traces': 'kind of upsampling that left its traces, empty for real',
        },
    }


def write_manifest(
    folder: Path, generator: dict[str, Any], counts: dict[str, Any], version: str = FORMAT
) -> dict[str, Any]:
    """Write `manifest.json` over the files already in `folder`; returns it. Bytes repeat for equal
    content; `version` names the format of the files.
    """
    files = [entry for entry in list_files(folder) if entry['path'] != MANIFEST]
    manifest: dict[str, Any] = {
        'format': version,
        'generator': generator,
        'counts': counts,
        'files': files,
        'contentDigest': sha256_json(files),
    }
    (folder / MANIFEST).write_bytes(canonical_json(manifest) + b'\n')
    return manifest


def read_manifest(folder: Path, version: str = FORMAT) -> dict[str, Any]:
    """Read `manifest.json` and check each file's size and digest; raises `dataset_unusable` with the
    reason.
    """
    try:
        manifest = cast('dict[str, Any]', json.loads((folder / MANIFEST).read_text('utf-8')))
        files = cast('list[dict[str, Any]]', manifest['files'])
        known = manifest['format']
        for entry in files:
            path = folder / str(entry['path'])
            if path.resolve().parent != folder.resolve():
                raise RecipeError(
                    'dataset_unusable', f'{MANIFEST} names {entry["path"]}, which lies outside the dataset.'
                )
            if not path.is_file() or path.stat().st_size != entry['sizeBytes']:
                raise RecipeError(
                    'dataset_unusable', f'{entry["path"]} is missing or cut short; fetch the dataset again.'
                )
            if sha256_file(path) != entry['sha256']:
                raise RecipeError(
                    'dataset_unusable',
                    f'{entry["path"]} is corrupted (digest differs); fetch the dataset again.',
                )
        if sha256_json(files) != manifest['contentDigest']:
            raise RecipeError('dataset_unusable', f'{MANIFEST} has been changed; fetch the dataset again.')
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RecipeError(
            'dataset_unusable', f'{MANIFEST} is missing or unreadable; generate or upload the dataset again.'
        ) from error
    if known != version:
        raise RecipeError(
            'dataset_unusable', f'{MANIFEST} has the format {known}; this recipe reads {version}.'
        )
    return manifest
