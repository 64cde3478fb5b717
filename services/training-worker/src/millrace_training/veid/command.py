# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Keras and OpenCV ship no complete types.
"""The commands of `ml/`: train one VEID model into its `weights/` tree, and measure what lies there again.

`weights/<short>_model/` is the SavedModel, `<short>_model_frozen.pb` the graph to hash, `metrics.json` the
measures, `SHA256SUMS` what `sha256sum -c` checks; `work/out/` has everything else that a training leaves.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace_training.data.manifest import MANIFEST
from millrace_training.digests import sha256_file, sha256_json
from millrace_training.errors import RecipeError, Stopped
from millrace_training.events import Reporter
from millrace_training.progress import Console
from millrace_training.recipes import get_recipe
from millrace_training.recipes.base import Job, json_params, parse_params

EXIT_FAILED = 1
EXIT_USAGE = 64
EXIT_STOPPED = 75
SUMS_FILE = 'SHA256SUMS'
_ROOT = Path(__file__).parents[5] / 'ml'


@dataclass(frozen=True)
class Place:
    """A model of VEID: the folder under `ml/`, its recipe, what its files start with, and its quick sizes."""

    recipe: str
    short: str
    quick: dict[str, int]
    quick_dataset: dict[str, int]


PLACES = {
    'facial_verification': Place(
        'veid-face', 'facial', {'epochs': 6}, {'identities': 120, 'heldoutIdentities': 40, 'views': 8}
    ),
    'liveness_detection': Place(
        'veid-liveness', 'liveness', {'epochs': 5}, {'samples': 900, 'heldoutSamples': 300}
    ),
    'ocr_extraction': Place('veid-ocr', 'ocr', {'epochs': 5}, {'samples': 1_400, 'heldoutSamples': 200}),
}
"""By the names of the folders; the quick sizes show that everything works, and reach no figure to quote."""


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f'ml/{name}/train.py', description=f'Train {name} from one seed.')
    parser.add_argument('--seed', type=int, default=42, help='weights and order follow from it (42)')
    parser.add_argument(
        '--export-format', choices=['savedmodel'], default='savedmodel', help='the frozen graph comes with it'
    )
    parser.add_argument(
        '--epochs', type=int, help='passes over the training data (default: that of the recipe)'
    )
    parser.add_argument('--quick', action='store_true', help='small data and few epochs')
    parser.add_argument(
        '--dataset', type=Path, help='own pictures, or a dataset made before (default: make one)'
    )
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint')
    parser.add_argument('--out', type=Path, default=_ROOT / name / 'weights', help='folder of the results')
    return parser


def _reporter(console: Console) -> Reporter:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return Reporter(console.emit, stop.is_set)


def _guarded(action: Any, console: Console) -> int:
    try:
        action()
    except Stopped:
        console.line('stopped; go on from the last checkpoint with --resume')
        return EXIT_STOPPED
    except RecipeError as error:
        console.line(f'{error.code}: {error.message}')
        return EXIT_USAGE if error.code == 'invalid_params' else EXIT_FAILED
    return 0


def dataset_of(place: Place, out: Path, named: Path | None, quick: bool, report: Reporter) -> Path:
    """The named dataset, one made before with the same parameters, or a new one."""
    from millrace_training.jobs import run_generate

    if named is not None:
        return named
    recipe = get_recipe(place.recipe)
    params = parse_params(recipe.DatasetParams, dict(place.quick_dataset) if quick else {})
    key = sha256_json([recipe.GENERATOR, recipe.GENERATOR_VERSION, json_params(params)])[:16]
    folder = out / 'datasets' / key
    # written last: without it the folder was left half way
    if not (folder / MANIFEST).exists():
        run_generate(recipe.NAME, json_params(params), folder, report)
    return folder


def train_main(name: str, arguments: list[str] | None = None) -> int:
    """Train the model `name` and fill its `weights/`; returns the exit code (0, 1, 64, 75 when stopped)."""
    options = _parser(name).parse_args(arguments)
    place, console = PLACES[name], Console()
    report = _reporter(console)

    def action() -> None:
        from millrace_training.jobs import load_framework, run_training

        values: dict[str, Any] = {'seed': options.seed, **(place.quick if options.quick else {})}
        if options.epochs is not None:
            values['epochs'] = options.epochs
        parse_params(get_recipe(place.recipe).Params, values)
        dataset = dataset_of(place, options.out, options.dataset, options.quick, report)
        console.line('loading TensorFlow')
        load_framework(get_recipe(place.recipe)).configure()
        report.step = report.total_steps = 0
        work = options.out / 'work'
        checkpoints = sorted((work / 'checkpoints').glob('epoch-*')) if options.resume else []
        job = Job(place.recipe, dataset, work, checkpoints[-1] if checkpoints else None, 'local')
        results, _, meta = run_training(job, values, report)
        publish(results, options.out, place.short)
        low, high = meta['accuracyInterval95']
        console.line(
            f'held-out accuracy {meta["accuracy"]:.2%} (95 % interval {low:.2%} to {high:.2%}), '
            f'weights {meta["weightsDigest"]}'
        )
        console.line(f'SavedModel exported to {options.out / f"{place.short}_model"}')

    return _guarded(action, console)


def publish(results: Path, out: Path, short: str) -> None:
    """Copy the files that have names in `weights/` there, and write SUMS_FILE over those that repeat."""
    target = out / f'{short}_model'
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(results / 'saved_model', target)
    shutil.copyfile(results / 'frozen_graph.pb', out / f'{short}_model_frozen.pb')
    shutil.copyfile(results / 'model.weights.h5', out / f'{short}_model.weights.h5')
    for file in ('metrics.json', 'report.json', 'meta.json'):
        shutil.copyfile(results / file, out / file)
    # An ONNX file of an earlier model must not pass for this one's.
    (out / f'{short}_model.onnx').unlink(missing_ok=True)
    write_sums(out, short)


def write_sums(out: Path, short: str) -> None:
    """Write SUMS_FILE: the digests of the files in `out` that a training repeats byte for byte."""
    names = [f'{short}_model_frozen.pb', f'{short}_model.weights.h5', f'{short}_model.onnx']
    lines = [f'{sha256_file(out / name)}  {name}\n' for name in names if (out / name).exists()]
    (out / SUMS_FILE).write_text(''.join(lines), 'utf-8')


def metrics_main(arguments: list[str] | None = None) -> int:
    """Measure a trained model again on its held-out split and write `metrics.json`; returns the exit code."""
    parser = argparse.ArgumentParser(prog='ml/generate_metrics.py', description=metrics_main.__doc__)
    parser.add_argument('--model', choices=sorted(PLACES), required=True)
    parser.add_argument('--dataset', type=Path, help='where the split lies (default: that of the training)')
    parser.add_argument('--weights', type=Path, help='folder of the results (default: ml/MODEL/weights)')
    options = parser.parse_args(arguments)
    console = Console()
    report = _reporter(console)

    def action() -> None:
        out = options.weights or _ROOT / options.model / 'weights'
        accuracy = measure_again(PLACES[options.model], out, options.dataset, report)
        console.line(f'{options.model}: held-out accuracy {accuracy:.2%}, written to {out / "metrics.json"}')

    return _guarded(action, console)


def measure_again(place: Place, out: Path, dataset: Path | None, report: Reporter) -> float:
    """Evaluate `work/out/model.keras` in `out` and rewrite its metrics; returns the held-out accuracy.

    Raises `dataset_unusable` when there is no model, or the dataset is not that of its training.
    """
    import json

    from millrace_training.jobs import load_framework

    recipe = get_recipe(place.recipe)
    results = out / 'work' / 'out'
    if not (results / 'meta.json').exists():
        raise RecipeError('dataset_unusable', f'{results} holds no trained model; run train.py first.')
    meta = json.loads((results / 'meta.json').read_text('utf-8'))
    params: Any = parse_params(recipe.Params, meta['params'])
    load_framework(recipe).configure()
    import keras

    from .network import Augmentation, Network

    made = sorted((out / 'datasets').glob('*'))
    for folder in [dataset] if dataset is not None else made:
        data = recipe.load(folder, params)
        if data.digest == meta['dataset']['contentDigest']:
            break
    else:
        raise RecipeError(
            'dataset_unusable', 'The dataset of the training is not there; name it by --dataset.'
        )
    model = Network(keras.models.load_model(results / 'model.keras'), Augmentation([]))
    evaluation = recipe.evaluate(model, data, report)
    recipe.write_report(model, data, params, {'history': meta['history'], 'evaluation': evaluation}, results)
    for file in ('metrics.json', 'report.json'):
        shutil.copyfile(results / file, out / file)
    return float(evaluation['accuracy'])
