"""The steps of a run: download, train, check that the dataset is still the same, upload.

What is done is never done again: a run that was killed goes on from its last checkpoint, or with the upload
alone.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from millrace_training.digests import sha256_file
from millrace_training.errors import RecipeError
from millrace_training.events import Reporter
from millrace_training.recipes import get_recipe
from millrace_training.recipes.base import Job
from millrace_training.recipes.crowdmind import NAME

from .api import DatasetApi
from .errors import EXIT_OF_CODE, ExitCode, FactoryError
from .run_folder import RunFolder

ROWS, SCHEMA = 'dataset.csv', 'schema.json'
MODEL, META = 'model.tflite', 'meta.json'
BEST_MODEL = 'best_model.keras'
_WORK = 'out'
log = logging.getLogger('millrace_factory')


def download(run: RunFolder, api: DatasetApi) -> None:
    """Fetch rows and schema of one version of the dataset.

    Raises FactoryError with DATASET_CHANGED when a new version came between the two.
    """
    api.check_health()
    rows = api.download_rows(run.data / ROWS)
    schema = api.download_schema(run.data / SCHEMA)
    if rows.etag != schema.etag:
        raise FactoryError(
            ExitCode.DATASET_CHANGED,
            'The dataset got a new version while it was downloaded; run the command again.',
        )
    log.info('%d bytes of rows, sha256 %s', (run.data / ROWS).stat().st_size, rows.sha256)
    run.save(state='downloaded', rows_sha256=rows.sha256, etag=rows.etag)


def train(run: RunFolder, report: Reporter) -> dict[str, Any]:
    """Train on the downloaded rows with the recipe that the platform runs too; returns what the training
    says.

    Raises FactoryError by EXIT_OF_CODE, Stopped when asked to stop.
    """
    if sha256_file(run.data / ROWS) != run.progress.rows_sha256:
        run.save(state='ended')
        raise FactoryError(
            ExitCode.UNUSABLE_DATA,
            f'{run.data / ROWS} was changed after its download; run the command again.',
        )
    try:
        from millrace_training.jobs import load_framework, run_training

        load_framework(get_recipe(NAME)).configure()
        job = Job(NAME, run.data, run.root, run.last_checkpoint(), run.root.name, run.progress.dataset_id)
        results, _, meta = run_training(job, run.progress.params, report)
    except RecipeError as error:
        # Neither data nor parameters of this run will change, so going on with it is of no use.
        run.save(state='ended')
        code = EXIT_OF_CODE.get(error.code, ExitCode.TRAINING_FAILED)
        raise FactoryError(code, f'{error.code}: {error.message}') from error
    _publish(results, run)
    run.save(state='trained')
    return meta


def _publish(results: Path, run: RunFolder) -> None:
    """What devices get into output/, the best model into checkpoints/; the rest of the export goes."""
    for item in sorted((results / 'edge').iterdir()):
        shutil.copyfile(item, run.output / item.name)
    shutil.copyfile(results / 'model.keras', run.checkpoints / BEST_MODEL)
    shutil.rmtree(results)


def upload(run: RunFolder, api: DatasetApi) -> dict[str, Any]:
    """Hand the model back, unless the dataset has other rows by now; returns the answer of the API.

    Raises FactoryError with DATASET_CHANGED.
    """
    _assert_unchanged(run, api)
    answer = api.upload_model(run.output / MODEL, run.output / META)
    run.save(state='uploaded', uploaded=answer)
    return answer


def _assert_unchanged(run: RunFolder, api: DatasetApi) -> None:
    """By the ETag where the API gives one, else by the rows themselves."""
    again = run.data / 'again'
    try:
        now = api.download_schema(again)
        if run.progress.etag is not None and now.etag is not None:
            is_same = now.etag == run.progress.etag
        else:
            is_same = api.download_rows(again).sha256 == run.progress.rows_sha256
    finally:
        again.unlink(missing_ok=True)
    if is_same:
        return
    run.save(state='ended')
    raise FactoryError(
        ExitCode.DATASET_CHANGED,
        f'The dataset is no longer the one that was trained on ({run.progress.rows_sha256}); '
        f'the model was not uploaded and stays in {run.output}. Run the command again for the new rows.',
    )


def run_all(run: RunFolder, api: DatasetApi, report: Reporter) -> dict[str, Any]:
    """The steps that are left; returns the answer to the upload."""
    if run.progress.state == 'created':
        download(run, api)
    if run.progress.state == 'downloaded':
        meta = train(run, report)
        edge = meta['edge']
        log.info(
            'test accuracy %.2f %% in float32, %.2f %% in int8; %d bytes, arena %d, %.1f us an inference',
            100 * edge['accuracy']['float32'],
            100 * edge['accuracy']['int8'],
            edge['modelBytes'],
            edge['arenaBytes'],
            edge['latencyMicros']['p50'],
        )
    return upload(run, api)
