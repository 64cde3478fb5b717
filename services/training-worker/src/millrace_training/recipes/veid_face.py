# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# TensorFlow and Keras ship no complete types.
"""VEID face: do two pictures show the same person?

Input [n, 2, 64, 64, 1] float32 grey values 0..255, output [n, 1] float32, the probability of "same". One
network embeds both pictures, a head weighs the squared differences. Measured on pairs of identities that are
in no other split. Generator and limits: docs/veid-face.md.
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

NAME = 'veid-face'
VERSION = '1.0.0'
TITLE = 'Same person or not: an embedding network with a pair head over 64 x 64 grey pictures'
FRAMEWORK: base.Framework = 'tensorflow'
POOL = 'cpu'
GENERATOR = 'veid-face-portraits'
GENERATOR_VERSION = '1'
GENERATED = 'portraits'
PARITY_SAMPLES = 64
EXAMPLES = 16
HELDOUT_PAIRS = 3_000
"""Pairs that the accuracy is measured on, half of them genuine; at most as many as pictures times two."""

_EMBEDDING, _HEAD = 'embedding', 'output_0'


class FaceParams(VeidParams):
    """Parameters of a training."""

    epochs: int = Field(14, ge=1, le=500, description='Passes over the training pictures')
    batch_size: int = Field(64, ge=8, le=512, description='Pictures in a step; all their pairs are compared')
    embedding: int = Field(64, ge=4, le=1_024, description='Length of the embedding')


class FaceDatasetParams(base.Params):
    """Parameters of the dataset generator."""

    identities: int = Field(1_100, ge=10, le=20_000, description='Identities to train and validate, 90 to 10')
    heldout_identities: int = Field(150, ge=4, le=5_000, description='Identities held out')
    views: int = Field(6, ge=2, le=100, description='Pictures of each identity')
    seed: int = Field(7, ge=0, le=2**32 - 1, description='Identities, views and cameras follow from it')


Params = FaceParams
DatasetParams = FaceDatasetParams


def generate(params: FaceDatasetParams, out_dir: Path, report: Reporter) -> dict[str, Any]:
    """Write a dataset version into `out_dir` and return its manifest; equal parameters give equal bytes."""
    from millrace_training.veid import dataset, portraits

    validation = max(2, round(params.identities * 0.1))
    identities = {
        'train': params.identities - validation,
        'validation': validation,
        'heldout': params.heldout_identities,
    }
    counts = {split: count * params.views for split, count in identities.items()}
    sources = ('portraits', 'faces', 'canvas', 'cameras')
    generator = dataset.Generator(
        GENERATOR, GENERATOR_VERSION, json_params(params), sources, portraits.SCHEMA, portraits.FORMAT
    )
    return dataset.generate(
        out_dir,
        counts,
        lambda split: portraits.sampler(split, params.seed, params.views),
        generator,
        report,
    )


def load(folder: Path, _params: FaceParams) -> VeidDataset:
    """The dataset version in `folder`, checked; raises `dataset_unusable`."""
    from millrace_training.veid import portraits
    from millrace_training.veid.dataset import read_dataset

    return read_dataset(folder, portraits.FORMAT, portraits.SHAPE, portraits.read_folder)


def batches_per_epoch(data: VeidDataset, params: FaceParams) -> int:
    """Full batches in an epoch."""
    from millrace_training.training import batches_per_epoch as batches

    return batches(len(data.train), params.batch_size)


def build(_data: VeidDataset, params: FaceParams) -> Network:
    """The pair network with weights drawn from the seed; the embedding is a model of its own inside it."""
    import keras

    from millrace_training.veid.network import Augmentation, Network, convolution, dense

    layers = keras.layers
    one = keras.Input((64, 64, 1), name='picture')
    x = layers.Rescaling(1 / 64, -2.0, name='rescaling')(one)
    plan = ((1, 5, 2), (2, 3, 1), (2, 3, 2), (3, 3, 1), (3, 3, 2))
    for number, (width, kernel, stride) in enumerate(plan, start=1):
        x = convolution(x, params.filters * width, kernel, stride, params.seed, number)
    x = layers.Flatten(name='places')(x)
    x = dense(x, params.embedding, None, params.seed, 'project')
    x = layers.BatchNormalization(momentum=0.9, name='scale')(x)
    embedding = keras.Model(one, x, name=_EMBEDDING)

    pair = keras.Input((2, 64, 64, 1), name='input')
    gap = layers.Subtract(name='gap')([embedding(pair[:, 0]), embedding(pair[:, 1])])
    squares = layers.Multiply(name='squares')([gap, gap])
    # Far apart at first means another person: about 6 below an even answer for two random faces.
    head = layers.Dense(
        1,
        activation='sigmoid',
        kernel_initializer=keras.initializers.Constant(-4.0 / params.embedding),
        bias_initializer=keras.initializers.Constant(3.0),
        name=_HEAD,
    )
    return Network(keras.Model(pair, head(squares), name='veid_face'), Augmentation([]))


def _pair_loss(model: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    """Cross entropy and accuracy over all pairs of a batch, genuine and impostor pairs weighed alike."""
    import keras
    import tensorflow as tf

    vectors = model.get_layer(_EMBEDDING)(images, training=True)
    gaps = vectors[:, None, :] - vectors[None, :, :]
    said = model.get_layer(_HEAD)(gaps * gaps)[..., 0]
    same = tf.cast(tf.equal(labels[:, 0][:, None], labels[:, 0][None, :]), tf.float32)
    others = 1.0 - tf.eye(tf.shape(labels)[0])
    weights = [same * others, 1.0 - same]
    errors = keras.losses.binary_crossentropy(same[..., None], said[..., None])
    right = tf.cast(tf.equal(said > 0.5, same > 0.5), tf.float32)
    loss, accuracy = (
        0.5 * sum(tf.reduce_sum(part * weight) / (tf.reduce_sum(weight) + 1e-6) for weight in weights)
        for part in (errors, right)
    )
    return loss, accuracy


def _measured_pairs(data: VeidDataset, split: str) -> tuple[Any, Any]:
    """Pictures [n, 2, 64, 64, 1] of the pairs of a split and their labels."""
    from millrace_training.veid.portraits import pairs

    chosen = data.validation if split == 'validation' else data.heldout
    indices, labels = pairs(chosen, min(HELDOUT_PAIRS, 2 * len(chosen)), 0)
    return chosen.images[indices], labels


def train(
    model: Network, data: VeidDataset, params: FaceParams, job: Job, report: Reporter
) -> list[dict[str, float]]:
    """Train `model` in place, from the checkpoint of `job` if it names one; returns the metrics by epoch."""
    from millrace_training.training import Examples, FitOptions, Task, binary_metrics, fit, predict
    from millrace_training.veid.portraits import chunked_order

    pictures, same = _measured_pairs(data, 'validation')
    validation = Examples(pictures, same.astype('float32')[:, None])
    task = Task(
        _pair_loss,
        lambda net, examples: binary_metrics(predict(net, examples.images), examples.labels),
        lambda seed, epoch, examples: chunked_order(seed, epoch, examples.labels[:, 0]),
    )
    options = FitOptions(params.epochs, params.batch_size, params.learning_rate, params.seed)
    place = place_of(job, f'{NAME}@{VERSION}', params, data.digest)
    examples = Examples(data.train.images, data.train.labels[:, None])
    return fit(model.model, model.augmentation, examples, validation, options, place, report, task)


def evaluate(model: Network, data: VeidDataset, report: Reporter) -> dict[str, Any]:
    """Accuracy, precision, recall, F1, ROC AUC and equal error rate on pairs of identities never seen."""
    from millrace_training.rounding import rounded
    from millrace_training.training import predict
    from millrace_training.veid.measures import CORRUPTION_LEVELS, binary_report, corrupt, equal_error_rate

    pictures, same = _measured_pairs(data, 'heldout')
    scores = predict(model.model, pictures, report.check_stop)[:, 0]
    curve: list[dict[str, float]] = []
    for level in CORRUPTION_LEVELS:
        changed = predict(model.model, corrupt(pictures, level), report.check_stop)[:, 0]
        curve.append({'level': level, 'accuracy': rounded(float(((changed > 0.5) == same).mean()))})
    return {
        **binary_report(scores, same),
        'equalErrorRate': rounded(equal_error_rate(scores, same)),
        'identities': len(set(data.heldout.groups.tolist())),
        'corruption': curve,
    }


def export(model: Network, data: VeidDataset, out_dir: Path) -> Exported:
    """Write the model and held-out pairs, genuine and not in turn, into `out_dir`."""
    import numpy as np

    from millrace_training.export import Samples, export_model
    from millrace_training.training import predict

    pictures, same = (part[:PARITY_SAMPLES] for part in _measured_pairs(data, 'heldout'))
    outputs = predict(model.model, pictures)
    kinds = np.where(same > 0, 'same', 'other')
    groups = np.array([f'pair-{number:04d}' for number in range(len(same))])
    samples = Samples(pictures, same.astype('uint8'), groups, kinds, outputs)
    return export_model(model.model, out_dir, samples, EXAMPLES)


def write_report(
    model: Network, data: VeidDataset, params: FaceParams, result: dict[str, Any], out_dir: Path
) -> None:
    """Write `metrics.json` and `report.json`, the baselines among them unless `baselines` is off."""
    from millrace_training.veid.network import write_results
    from millrace_training.veid.portraits import pair_baselines

    pictures, same = _measured_pairs(data, 'heldout')
    found = pair_baselines(data.train, pictures, same, 1) if params.baselines else {}
    about = {'name': 'facial_verification', 'version': VERSION}
    write_results(model.model, pictures, data, json_params(params), result, found, about, out_dir)
