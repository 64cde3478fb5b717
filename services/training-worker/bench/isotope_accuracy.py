"""The isotope net beside tuned classical models of scikit-learn: same spectra, same preprocessing, same run.

Run in the environment `torch` with libs/worker-py/src and services/training-worker/src on the path:
`python bench/isotope_accuracy.py [--samples N] [--heldout N] [--epochs N] [--candidates N]`. With
`--bare DATASET` it only trains on the dataset version in that folder, which is the bare script that
tests/load/isotope.ts holds the platform against. The last line of stdout is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from millrace_training import runtime


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--samples', type=int, default=9_000, help='train and validation spectra')
    parser.add_argument('--heldout', type=int, default=3_000, help='spectra of the test split')
    parser.add_argument('--epochs', type=int, default=30)
    parser.add_argument('--candidates', type=int, help='only the first N classical models')
    parser.add_argument('--bare', type=Path, help='only train, on this dataset version')
    parser.add_argument('--params', type=json.loads, default={}, help='parameters of the training, as JSON')
    return parser.parse_args()


def train(dataset: Path, params: dict[str, Any], work: Path) -> dict[str, Any]:
    """One training without the platform; its `meta.json`."""
    from millrace_training.events import Reporter
    from millrace_training.jobs import run_training
    from millrace_training.pytorch import framework
    from millrace_training.recipes.base import Job

    framework.configure()
    job = Job('isotope', dataset, work, None, 'bench')
    _, _, meta = run_training(job, params, Reporter(lambda _event: None, lambda: False))
    return meta


def _line(name: str, test: float, hardest: float, seconds: float) -> str:
    return f'{name:<58} {100 * test:6.2f} % {100 * hardest:6.2f} % {seconds:8.1f} s'


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Makes the dataset, trains the net, fits every classical model; prints a line for each."""
    from millrace_training.events import Reporter
    from millrace_training.jobs import run_generate
    from millrace_training.spectra.baseline import measure_baselines
    from millrace_training.spectra.files import read_dataset

    dataset = folder / 'dataset'
    sizes = {'samples': options.samples, 'heldoutSamples': options.heldout}
    run_generate('isotope', sizes, dataset, Reporter(lambda _event: None, lambda: False))
    started = time.monotonic()
    params = {'epochs': options.epochs, 'explain': False, **options.params}
    evaluation = train(dataset, params, folder / 'work')['evaluation']
    seconds = time.monotonic() - started
    found = measure_baselines(read_dataset(dataset), options.candidates)
    conditions = evaluation['byCondition']
    # The longest name is that of the hardest condition: mixed and drifted.
    hard = max(conditions, key=len)
    net = {'test': evaluation['accuracy'], 'hardest': conditions[hard]['accuracy']}
    print(f'{"":<58} {"test":>8} {hard:>8}')
    print(_line(f'net, {options.epochs} epochs', net['test'], net['hardest'], seconds))
    for one in found['candidates']:
        name = f'{one["model"]}{", augmented" if one["augmented"] else ""}'
        print(_line(name, one['test']['accuracy'], one['byCondition'][hard], one['seconds']))
    ratios: dict[str, float] = {}
    for which in ('chosen', 'bestInHindsight'):
        other = found[which]
        wrong = max(1 - net['test'], 1 / options.heldout)
        ratios[f'{which}.errorRatio'] = round((1 - other['test']['accuracy']) / wrong, 2)
        ratios[f'{which}.accuracyGain'] = round(net['test'] - other['test']['accuracy'], 4)
        ratios[f'{which}.hardestGain'] = round(net['hardest'] - other['byCondition'][hard], 4)
    return {'net': net, **ratios}


def main() -> None:
    """Starts itself again with the settings that a repeatable training needs, unless they are set."""
    runtime.reexec_if_needed()
    options = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        if options.bare is not None:
            meta = train(options.bare, options.params, Path(scratch))
            result = {'accuracy': meta['accuracy'], 'weightsDigest': meta['weightsDigest']}
        else:
            result = compare(options, Path(scratch))
    print(json.dumps(result))


if __name__ == '__main__':
    main()
    sys.stdout.flush()
