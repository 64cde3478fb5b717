"""The recipe without the platform: `python -m millrace_training.cli train|generate|status`.

`train` writes model.keras, saved_model/, frozen_graph.pb, meta.json and the rest into `--out`
(ml/train/models), from a dataset that it makes there when none is named. `--platform` submits the same job to
a running Millrace instead.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from . import runtime
from .errors import RecipeError, Stopped
from .events import Reporter
from .progress import Console
from .recipes import get_recipe, recipe_names
from .recipes.base import Job, json_params, parse_params
from .status import print_status
from .submit import submit_pipeline

EXIT_FAILED = 1
EXIT_USAGE = 64
EXIT_STOPPED = 75
DEFAULT_OUT = Path(__file__).parents[4] / 'ml' / 'train' / 'models'
_WORK = 'work'
_DATASETS = 'datasets'
_FRAMEWORKS = {'tensorflow': 'TensorFlow', 'torch': 'PyTorch'}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='millrace_training', description='A recipe without the platform.')
    commands = parser.add_subparsers(dest='command', required=True)
    train = commands.add_parser('train', help='train, measure on held-out images and export')
    train.add_argument('--epochs', type=int, help='passes over the training images (default 5)')
    train.add_argument('--samples', type=int, help='train and validation images (default 500)')
    train.add_argument('--seed', type=int, help='weights, order and augmentation follow from it (default 1)')
    train.add_argument('--batch-size', type=int, dest='batchSize')
    train.add_argument('--learning-rate', type=float, dest='learningRate')
    train.add_argument(
        '--dataset', type=Path, help='a dataset, or a folder with real/ and ai/ (default: make one)'
    )
    train.add_argument('--export-onnx', action='store_true', help='also try tf2onnx here; goes on without it')
    train.add_argument('--resume', action='store_true', help='go on from the last checkpoint in --out')
    train.add_argument('--platform', action='store_true', help='submit to the running platform instead')
    generate = commands.add_parser('generate', help='make a dataset version')
    generate.add_argument('--samples', type=int, help='train and validation images (default 1000)')
    generate.add_argument('--heldout-samples', type=int, dest='heldoutSamples')
    generate.add_argument('--seed', type=int)
    status = commands.add_parser('status', help='what has been made')
    for command in (train, generate, status):
        command.add_argument('--out', type=Path, default=DEFAULT_OUT, help='folder of results')
        command.add_argument('--recipe', default='verichain', choices=recipe_names())
    return parser


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _dataset_for(options: argparse.Namespace, samples: int | None, report: Reporter) -> Path:
    """The dataset to train on: the named one, one made before with the same parameters, or a new one."""
    if options.dataset is not None:
        return options.dataset
    from .digests import sha256_json
    from .jobs import run_generate

    recipe = get_recipe(options.recipe)
    params = parse_params(recipe.DatasetParams, {} if samples is None else {'samples': samples})
    key = sha256_json([recipe.GENERATOR, recipe.GENERATOR_VERSION, json_params(params)])[:16]
    folder = options.out / _DATASETS / key
    if not (folder / 'schema.json').exists():
        run_generate(recipe.NAME, json_params(params), folder, report)
    return folder


def _last_checkpoint(work_dir: Path) -> Path | None:
    found = sorted((work_dir / 'checkpoints').glob('epoch-*'))
    return found[-1] if found else None


def _publish(results: Path, out: Path) -> None:
    """Move the finished files into `out`, replacing those of an earlier training."""
    for item in sorted(results.iterdir()):
        target = out / item.name
        if target.is_dir():
            shutil.rmtree(target)
        item.replace(target)
    # An ONNX file of an earlier model must not pass for this one's.
    for stale in ('model.onnx', 'conversion.json'):
        (out / stale).unlink(missing_ok=True)


def _train(options: argparse.Namespace, report: Reporter, console: Console) -> None:
    kind = get_recipe(options.recipe).Params
    names = ('epochs', 'samples', 'seed', 'batchSize', 'learningRate')
    if 'samples' not in kind.model_fields:
        names = tuple(name for name in names if name != 'samples')
    params: Any = parse_params(kind, _given(options, names))
    if options.platform:
        console.line(submit_pipeline(options.recipe, json_params(params)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    dataset = _dataset_for(options, options.samples or getattr(params, 'samples', None), report)
    recipe = get_recipe(options.recipe)
    console.line(f'loading {_FRAMEWORKS[recipe.FRAMEWORK]}')
    from .jobs import load_framework, run_training

    load_framework(recipe).configure()
    report.step = report.total_steps = 0
    work = options.out / _WORK
    resume = _last_checkpoint(work) if options.resume else None
    job = Job(options.recipe, dataset, work, resume, 'local')
    results, _, meta = run_training(job, json_params(params), report)
    _publish(results, options.out)
    low, high = meta['accuracyInterval95']
    model = 'saved_model' if recipe.FRAMEWORK == 'tensorflow' else 'model.safetensors'
    title = 'SavedModel' if recipe.FRAMEWORK == 'tensorflow' else 'Weights'
    console.line(f'{title} exported to {options.out / model}')
    console.line(f'Metadata saved to {options.out / "meta.json"}')
    console.line(
        f'held-out accuracy {meta["accuracy"]:.1%} (95 % interval {low:.1%} to {high:.1%}, '
        f'{meta["dataset"]["heldout"]} samples), weights {meta["weightsDigest"][:16]}'
    )
    if options.export_onnx and recipe.FRAMEWORK == 'tensorflow':
        from .export import export_onnx

        export_onnx(options.out, report)


def _generate(options: argparse.Namespace, report: Reporter, console: Console) -> None:
    from .jobs import run_generate

    params = _given(options, ('samples', 'heldoutSamples', 'seed'))
    files, manifest = run_generate(options.recipe, params, options.out, report)
    size = sum(entry['sizeBytes'] for entry in files)
    console.line(
        f'{len(files)} files, {size / 1e6:.1f} MB in {options.out}, content {manifest["contentDigest"]}'
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code (0, 1 after a failure, 64 for a wrong parameter, 75 when
    stopped).
    """
    options = _parser().parse_args(arguments)
    if options.command == 'status':
        print_status(options.out, sys.stdout)
        return 0
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    console = Console()
    report = Reporter(console.emit, stop.is_set)
    try:
        if options.command == 'train':
            _train(options, report, console)
        else:
            _generate(options, report, console)
    except Stopped:
        console.line('stopped; go on from the last checkpoint with --resume')
        return EXIT_STOPPED
    except RecipeError as error:
        console.line(f'{error.code}: {error.message}')
        return EXIT_USAGE if error.code == 'invalid_params' else EXIT_FAILED
    return 0


if __name__ == '__main__':
    runtime.reexec_if_needed()
    sys.exit(main())
