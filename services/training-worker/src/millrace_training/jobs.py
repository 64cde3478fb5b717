"""The two kinds of job, from parameters to files, without any wire: the child and the commands share them."""

from __future__ import annotations

import importlib
import shutil
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .digests import FileEntry, list_files
from .errors import RecipeError
from .events import Reporter
from .exported import write_meta
from .recipes import get_recipe
from .recipes.base import Job, Recipe, json_params, parse_params
from .runtime import (
    code_digest,
    determinism,
    environment_digest,
    installed_framework,
    lock_file,
    machine_class,
    missing_settings,
    peak_memory_bytes,
    threads_from_env,
)

_OTHER_STEPS = 3
"""Load, evaluate and export count one step each, beside the batches."""


def run_generate(
    recipe_name: str, values: dict[str, Any], out_dir: Path, report: Reporter
) -> tuple[list[FileEntry], dict[str, Any]]:
    """Make a dataset version in `out_dir` (emptied first); returns its files and its manifest."""
    recipe = get_recipe(recipe_name)
    params = parse_params(recipe.DatasetParams, values)
    shutil.rmtree(out_dir, ignore_errors=True)
    started = time.monotonic()
    manifest = recipe.generate(params, out_dir, report)
    report.log(f'generated {report.total_steps} {recipe.GENERATED} in {time.monotonic() - started:.1f} s')
    return list_files(out_dir), manifest


def framework_module(framework: str) -> Any:
    """The module that imports, sets up and describes `tensorflow` or `torch`."""
    name = 'pytorch.framework' if framework == 'torch' else 'framework'
    return importlib.import_module(f'{__package__}.{name}')


def load_framework(recipe: Recipe) -> Any:
    """The framework of `recipe`, imported.

    Raises `environment_unusable` when this environment is that of another framework.
    """
    if installed_framework() != recipe.FRAMEWORK:
        raise RecipeError(
            'environment_unusable',
            f'The recipe {recipe.NAME} trains with {recipe.FRAMEWORK}; send it to the pool {recipe.POOL!r}.',
        )
    return framework_module(recipe.FRAMEWORK)


def run_training(
    job: Job, values: dict[str, Any], report: Reporter
) -> tuple[Path, list[FileEntry], dict[str, Any]]:
    """Train, measure and export; returns the folder, its files and the content of `meta.json`.

    Raises RecipeError for what the caller can mend, Stopped when asked to stop; a checkpoint per finished
    epoch stays.
    """
    wall, cpu = time.monotonic(), time.process_time()
    started_at = datetime.now(UTC).isoformat(timespec='seconds')
    recipe = get_recipe(job.recipe)
    framework = load_framework(recipe)
    params: Any = parse_params(recipe.Params, values)
    if params.deterministic and missing_settings():
        names = ', '.join(sorted(missing_settings()))
        raise RecipeError(
            'environment_unusable', f'A deterministic training needs {names} set before Python starts.'
        )
    report.epochs = params.epochs
    report.progress('load', {}, force=True)
    data = recipe.load(job.dataset_dir, params)

    batches = recipe.batches_per_epoch(data, params)
    report.total_steps, report.step = params.epochs * batches + _OTHER_STEPS, 1
    report.log(
        f'{len(data.train)} samples to train, {len(data.validation)} to validate, '
        f'{len(data.heldout)} held out'
    )
    framework.set_determinism(params.seed, params.deterministic)
    model = recipe.build(data, params)
    history = recipe.train(model, data, params, job, report)
    report.progress('evaluate', {}, force=True)
    evaluation = recipe.evaluate(model, data, report)
    report.step += 1
    report.progress('export', {'heldoutAccuracy': evaluation['accuracy']}, force=True)
    report.check_stop()
    out_dir = job.work_dir / 'out'
    shutil.rmtree(out_dir, ignore_errors=True)
    exported = recipe.export(model, data, out_dir)
    result = {'history': history, 'evaluation': evaluation, 'datasetId': job.dataset_id}
    recipe.write_report(model, data, params, result, out_dir)
    threads = threads_from_env()
    meta: dict[str, Any] = {
        'recipe': {'name': recipe.NAME, 'version': recipe.VERSION, 'sha256': code_digest()},
        'jobId': job.job_id,
        'params': json_params(params),
        'weightsDigest': exported.weights_digest,
        **exported.graph_digests,
        **exported.details,
        'accuracy': evaluation['accuracy'],
        'accuracyInterval95': evaluation['interval95'],
        'evaluation': evaluation,
        'history': history,
        'dataset': {
            'contentDigest': data.digest,
            'generator': data.generator,
            'train': len(data.train),
            'validation': len(data.validation),
            'heldout': len(data.heldout),
        },
        'sizes': exported.sizes,
        'framework': framework.framework_versions(),
        'environment': {'lock': lock_file().name, 'sha256': environment_digest()},
        'machine': {**machine_class(framework.accelerators()), 'threads': asdict(threads)},
        'determinism': determinism(params.seed, params.deterministic, framework.accelerators()),
        'usage': {
            'wallSeconds': round(time.monotonic() - wall, 3),
            'cpuSeconds': round(time.process_time() - cpu, 3),
            'peakMemoryBytes': peak_memory_bytes(),
        },
        'startedAt': started_at,
        'createdAt': datetime.now(UTC).isoformat(timespec='seconds'),
    }
    write_meta(out_dir, meta)
    report.step += 1
    report.progress('export', {'heldoutAccuracy': evaluation['accuracy']}, force=True)
    return out_dir, list_files(out_dir), meta
