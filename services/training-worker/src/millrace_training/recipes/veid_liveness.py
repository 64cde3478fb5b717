# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# TensorFlow and Keras ship no complete types.
"""VEID liveness: does a picture show a living face (1) or one that was printed, shown or worn (0)?

Input [n, 64, 64, 3] float32 pixel values 0..255, output [n, 1] float32, the probability of "live". Devices of
the held-out split are in no other split. Generator and limits: docs/veid-liveness.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from millrace_training.veid.params import VeidParams

from . import base
from .base import Job, json_params, place_of

if TYPE_CHECKING:
    from millrace_training.events import Reporter
    from millrace_training.export import Exported
    from millrace_training.veid.dataset import VeidDataset
    from millrace_training.veid.network import Network

NAME = 'veid-liveness'
VERSION = '1.0.0'
TITLE = 'Living face or presentation attack (print, screen, mask): a small CNN over 64 x 64 pictures'
FRAMEWORK: base.Framework = 'tensorflow'
POOL = 'cpu'
GENERATOR = 'veid-liveness-pictures'
GENERATOR_VERSION = '1'
GENERATED = 'pictures'
PARITY_SAMPLES = 64
EXAMPLES = 16


class LivenessParams(VeidParams):
    """Parameters of a training."""

    epochs: int = Field(12, ge=1, le=500, description='Passes over the training pictures')
    batch_size: int = Field(32, ge=2, le=512, description='Pictures in a step')


class LivenessDatasetParams(base.Params):
    """Parameters of the dataset generator."""

    samples: int = Field(6_000, ge=40, le=200_000, description='Train and validation pictures, 85 to 15')
    heldout_samples: int = Field(1_200, ge=24, le=50_000, description='Pictures by devices held out')
    seed: int = Field(7, ge=0, le=2**32 - 1, description='Faces, devices in use and noise follow from it')


Params = LivenessParams
DatasetParams = LivenessDatasetParams


def generate(params: LivenessDatasetParams, out_dir: Path, report: Reporter) -> dict[str, Any]:
    """Write a dataset version into `out_dir` and return its manifest; equal parameters give equal bytes."""
    from millrace_training.veid import dataset, presentations

    validation = round(params.samples * 0.15)
    counts = {
        'train': params.samples - validation,
        'validation': validation,
        'heldout': params.heldout_samples,
    }
    sources = ('presentations', 'attacks', 'faces', 'canvas', 'cameras')
    generator = dataset.Generator(
        GENERATOR, GENERATOR_VERSION, json_params(params), sources, presentations.SCHEMA, presentations.FORMAT
    )
    return dataset.generate(
        out_dir, counts, lambda split: presentations.sampler(split, params.seed), generator, report
    )


def load(folder: Path, _params: LivenessParams) -> VeidDataset:
    """The dataset version in `folder`, checked; raises `dataset_unusable`."""
    from millrace_training.veid import presentations
    from millrace_training.veid.dataset import read_dataset

    return read_dataset(folder, presentations.FORMAT, presentations.SHAPE, presentations.read_folder)


def batches_per_epoch(data: VeidDataset, params: LivenessParams) -> int:
    """Full batches in an epoch."""
    from millrace_training.training import batches_per_epoch as batches

    return batches(len(data.train), params.batch_size)


def build(_data: VeidDataset, params: LivenessParams) -> Network:
    """The network with weights drawn from the seed: detail beside content, five convolutions, one unit."""
    import keras

    from millrace_training.veid.network import Network, convolution, dense, mirrored

    layers = keras.layers
    pixels = keras.Input((64, 64, 3), name='input')
    image = layers.Rescaling(1 / 127.5, -1.0, name='rescaling')(pixels)
    mean = layers.AveragePooling2D(3, 1, 'same', name='local_mean')(image)
    detail = layers.Rescaling(6.0, name='detail')(layers.Subtract(name='residual')([image, mean]))
    x = layers.Concatenate(name='both')([image, detail])
    plan = ((1, 5, 2), (1, 3, 1), (2, 3, 2), (2, 3, 1), (3, 3, 2))
    for number, (width, kernel, stride) in enumerate(plan, start=1):
        x = convolution(x, params.filters * width, kernel, stride, params.seed, number)
    x = layers.GlobalAveragePooling2D(name='pool')(x)
    output = dense(x, 1, 'sigmoid', params.seed, 'output_0')
    return Network(keras.Model(pixels, output, name='veid_liveness'), mirrored(params.seed))


def train(
    model: Network, data: VeidDataset, params: LivenessParams, job: Job, report: Reporter
) -> list[dict[str, float]]:
    """Train `model` in place, from the checkpoint of `job` if it names one; returns the metrics by epoch."""
    from millrace_training.training import Examples, FitOptions, fit

    sets = [
        Examples(split.images, split.labels.astype('float32')[:, None])
        for split in (data.train, data.validation)
    ]
    options = FitOptions(params.epochs, params.batch_size, params.learning_rate, params.seed)
    place = place_of(job, f'{NAME}@{VERSION}', params, data.digest)
    return fit(model.model, model.augmentation, sets[0], sets[1], options, place, report)


def evaluate(model: Network, data: VeidDataset, report: Reporter) -> dict[str, Any]:
    """Accuracy, precision, recall, F1 and ROC AUC on devices never seen; errors by kind as ISO 30107-3 names
    them: APCER (attacks of a kind taken for live) and BPCER (living faces refused).
    """
    from millrace_training.rounding import rounded
    from millrace_training.training import predict
    from millrace_training.veid.measures import CORRUPTION_LEVELS, binary_report, corrupt

    heldout = data.heldout
    scores = predict(model.model, heldout.images, report.check_stop)[:, 0]
    attacks = sorted({str(kind) for kind in heldout.kinds[heldout.labels == 0]})
    said = scores > 0.5
    curve: list[dict[str, float]] = []
    for level in CORRUPTION_LEVELS:
        changed = predict(model.model, corrupt(heldout.images, level), report.check_stop)[:, 0]
        curve.append({'level': level, 'accuracy': rounded(float(((changed > 0.5) == heldout.labels).mean()))})
    return {
        **binary_report(scores, heldout.labels),
        'apcer': {kind: rounded(float(said[heldout.kinds == kind].mean())) for kind in attacks},
        'bpcer': rounded(float((~said[heldout.labels == 1]).mean())),
        'devices': len(set(heldout.groups.tolist())),
        'corruption': curve,
    }


def export(model: Network, data: VeidDataset, out_dir: Path) -> Exported:
    """Write the model and held-out pictures of every kind in turn into `out_dir`."""
    from millrace_training.export import Samples, export_model
    from millrace_training.training import predict
    from millrace_training.veid.network import in_turn

    split = data.heldout.take(in_turn(data.heldout.kinds, PARITY_SAMPLES))
    outputs = predict(model.model, split.images)
    samples = Samples(split.images, split.labels.astype('uint8'), split.groups, split.kinds, outputs)
    return export_model(model.model, out_dir, samples, EXAMPLES)


def write_report(
    model: Network, data: VeidDataset, params: LivenessParams, result: dict[str, Any], out_dir: Path
) -> None:
    """Write `metrics.json` and `report.json`, the baselines among them unless `baselines` is off."""
    from millrace_training.veid.baselines import picture_baselines
    from millrace_training.veid.network import write_results

    found: dict[str, float] = {}
    if params.baselines:
        found = picture_baselines(
            data.train.images, data.train.labels, data.heldout.images, data.heldout.labels
        )
    about = {'name': 'liveness_detection', 'version': VERSION}
    write_results(model.model, data.heldout.images, data, json_params(params), result, found, about, out_dir)
