# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Isotope: which of fifteen sources dominates a gamma spectrum?

Input [n, 1024] float32 raw counts of a NaI(Tl) detector, output [n, classes] float32 probabilities;
preprocessing is part of the model. An MLP by default; a 1-D CNN and a Transformer over slices of the spectrum
are there too. The spectra come from the generator in `spectra/`, or from any ingested dataset of the same
columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from millrace_training.spectra import architectures
from millrace_training.spectra.options import IsotopeDatasetParams, IsotopeParams
from millrace_training.spectra.schedule import RateKeeper

from . import base
from .base import Job, json_params, place_of

if TYPE_CHECKING:
    from millrace_training.events import Reporter
    from millrace_training.exported import Exported
    from millrace_training.pytorch.export import Model
    from millrace_training.spectra.files import SpectraDataset

NAME = 'isotope'
VERSION = '1.0.0'
TITLE = 'Which of fifteen isotopes dominates a gamma spectrum: MLP, 1-D CNN or Transformer'
FRAMEWORK: base.Framework = 'torch'
POOL = 'torch'
GENERATOR = 'isotope-spectra'
GENERATOR_VERSION = '1'
GENERATED = 'spectra'

PARITY_SAMPLES = 32
"""Held-out spectra that travel with the model for the check after conversion."""

EXAMPLES = 15
"""Of them, those that are also written as JSON, for showing."""

Params = IsotopeParams
DatasetParams = IsotopeDatasetParams


def generate(params: IsotopeDatasetParams, out_dir: Path, report: Reporter) -> dict[str, Any]:
    """Write a dataset version into `out_dir` and describe it; equal parameters give equal bytes.

    Training and validation spectra come from steady detectors, half of them of one source and half mixed. The
    test split is harder: a quarter each is clean, mixed, drifted, and mixed and drifted.
    """
    from millrace_training.digests import list_files, sha256_json
    from millrace_training.spectra import files
    from millrace_training.spectra.generator import CONDITIONS, Ranges, Templates, draw_split

    train = round(params.samples * 0.8)
    counts = {
        'train': train,
        'validation': params.samples - train,
        'test': params.heldout_samples,
    }
    report.total_steps = sum(counts.values())
    out_dir.mkdir(parents=True, exist_ok=True)
    ranges = Ranges(gain_drift=params.drift)

    def tick() -> None:
        report.check_stop()
        report.step += 1
        report.progress('generate', {})

    templates = Templates()
    for split, count in counts.items():
        conditions = CONDITIONS if split == 'test' else CONDITIONS[:2]
        samples = draw_split(templates, split, count, params.seed, conditions, ranges, tick)
        files.write_split(out_dir / f'{split}.arrow', samples)
    source = {
        'type': 'generator',
        'name': GENERATOR,
        'version': GENERATOR_VERSION,
        'params': json_params(params),
    }
    files.write_description(out_dir, source, counts, params.seed)
    report.progress('generate', {}, force=True)
    return {'source': source, 'counts': counts, 'contentDigest': sha256_json(list_files(out_dir))}


def load(folder: Path, _params: IsotopeParams) -> SpectraDataset:
    """The dataset version in `folder`, checked; raises `dataset_unusable`."""
    from millrace_training.spectra.files import read_dataset

    return read_dataset(folder)


def batches_per_epoch(data: SpectraDataset, params: IsotopeParams) -> int:
    """Full batches in an epoch."""
    from millrace_training.pytorch.loop import batches_per_epoch as batches
    from millrace_training.pytorch.loop import epoch_samples

    return batches(epoch_samples(data.train, params.sampling), params.batch_size)


def build(data: SpectraDataset, params: IsotopeParams) -> Model:
    """The net with weights drawn from the seed; its preprocessing is fitted to the training split."""
    from millrace_training.pytorch.export import Model
    from millrace_training.pytorch.net import Net
    from millrace_training.pytorch.preprocessing import Preprocessing
    from millrace_training.spectra import preprocessing

    channels, classes = data.train.spectra.shape[1], len(data.classes)
    match params.architecture:
        case 'mlp':
            layers = architectures.mlp(channels, classes, tuple(params.hidden))
        case 'cnn1d':
            layers = architectures.cnn1d(channels, classes)
        case 'transformer':
            layers = architectures.transformer(channels, classes)
    fitted = preprocessing.fit(params.preprocessing, data.train.spectra)
    net = Net(Preprocessing(fitted, channels), layers, params.dropout)
    return Model(net, params.architecture, layers, fitted, data.classes, channels)


def train(
    model: Model, data: SpectraDataset, params: IsotopeParams, job: Job, report: Reporter
) -> list[dict[str, float]]:
    """Train `model` in place, from the checkpoint of `job` if it names one; returns the metrics of each
    epoch.
    """
    from millrace_training.pytorch.augmentation import AugmentationOptions
    from millrace_training.pytorch.loop import fit
    from millrace_training.pytorch.run import FitOptions

    changes = params.augmentation
    options = FitOptions(
        epochs=params.epochs,
        batch_size=params.batch_size,
        weight_decay=params.weight_decay,
        clip_norm=params.clip_norm,
        patience=params.patience,
        seed=params.seed,
        sampling=params.sampling,
        augmentation=changes and AugmentationOptions(**changes.model_dump()),
        checkpoint_steps=params.checkpoint_steps,
    )
    steps = batches_per_epoch(data, params)
    rates = RateKeeper(
        params.learning_rate,
        params.schedule,
        round(params.warmup_epochs * steps),
        steps,
        params.epochs * steps,
    )
    place = place_of(job, f'{NAME}@{VERSION}', params, data.digest)
    return fit(model.net, data.train, data.validation, rates, options, place, report)


def evaluate(model: Model, data: SpectraDataset, report: Reporter) -> dict[str, Any]:
    """Accuracy on the test split in all, by class and by condition, calibration, ROC and confusion."""
    from millrace_training.pytorch.evaluation import predict
    from millrace_training.spectra.measures import measure

    heldout = data.heldout
    probabilities = predict(model.net, heldout.spectra, report.check_stop)
    return measure(probabilities, heldout.labels, heldout.conditions, data.classes)


def export(model: Model, data: SpectraDataset, out_dir: Path) -> Exported:
    """Write the model and held-out samples, the classes in turn and the hardest first, into `out_dir`."""
    import numpy as np

    from millrace_training.pytorch.evaluation import predict
    from millrace_training.pytorch.export import export_model

    labels, conditions = data.heldout.labels, data.heldout.conditions
    ranks = np.empty(len(labels), np.int64)
    # The longest name is that of the hardest condition: mixed and drifted.
    hardest = np.argsort([-len(name) for name in conditions], kind='stable')
    for label in range(len(data.classes)):
        mine = hardest[labels[hardest] == label]
        ranks[mine] = np.arange(len(mine))
    samples = data.heldout.take(np.lexsort((labels, ranks))[:PARITY_SAMPLES])
    return export_model(model, out_dir, samples, predict(model.net, samples.spectra), EXAMPLES)


def write_report(
    model: Model, data: SpectraDataset, params: IsotopeParams, result: dict[str, Any], out_dir: Path
) -> None:
    """Write `report.json` and `report.html` from `result` (history and evaluation)."""
    from millrace_training.pytorch.explanation import explain
    from millrace_training.spectra.report import write

    explained: dict[str, Any] = {}
    if params.explain:
        explained = explain(model.net, data.train, data.heldout, data.classes, params.seed)
    write(out_dir, TITLE, json_params(params), result, explained)
