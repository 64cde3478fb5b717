# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# TensorFlow and Keras ship no complete types.
"""VEID OCR: what does one printed line of a document say?

Input [n, 24, 192, 1] float32 grey values 0..255, output [n, 96, 42] float32: for each of 96 frames the
probabilities of the blank (class 0) and of the 41 characters of CHARSET. The text is the best path of CTC;
decoding is part of every figure. Generator, charset and limits: docs/veid-ocr.md.
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

NAME = 'veid-ocr'
VERSION = '1.0.0'
TITLE = 'Text of a document line: a convolutional network with CTC over 24 x 192 grey pictures'
FRAMEWORK: base.Framework = 'tensorflow'
POOL = 'cpu'
GENERATOR = 'veid-ocr-lines'
GENERATOR_VERSION = '1'
GENERATED = 'lines'
PARITY_SAMPLES = 32
EXAMPLES = 16


class OcrParams(VeidParams):
    """Parameters of a training."""

    epochs: int = Field(12, ge=1, le=500, description='Passes over the training lines')
    batch_size: int = Field(16, ge=2, le=512, description='Lines in a step')


class OcrDatasetParams(base.Params):
    """Parameters of the dataset generator."""

    samples: int = Field(5_500, ge=40, le=500_000, description='Train and validation lines, 90 to 10')
    heldout_samples: int = Field(1_200, ge=16, le=50_000, description='Lines in fonts held out')
    seed: int = Field(7, ge=0, le=2**32 - 1, description='Texts, layout and noise follow from it')


Params = OcrParams
DatasetParams = OcrDatasetParams


def generate(params: OcrDatasetParams, out_dir: Path, report: Reporter) -> dict[str, Any]:
    """Write a dataset version into `out_dir` and return its manifest; equal parameters give equal bytes."""
    from millrace_training.veid import dataset, documents

    validation = round(params.samples * 0.1)
    counts = {
        'train': params.samples - validation,
        'validation': validation,
        'heldout': params.heldout_samples,
    }
    generator = dataset.Generator(
        GENERATOR, GENERATOR_VERSION, json_params(params), ('documents',), documents.SCHEMA, documents.FORMAT
    )
    # One thread: the glyphs of a font are cached, and FreeType's faces are not to be shared between threads.
    return dataset.generate(
        out_dir, counts, lambda split: documents.sampler(split, params.seed), generator, report, workers=1
    )


def load(folder: Path, _params: OcrParams) -> VeidDataset:
    """The dataset version in `folder`, checked; raises `dataset_unusable`."""
    from millrace_training.veid import documents
    from millrace_training.veid.dataset import read_dataset

    return read_dataset(folder, documents.FORMAT, documents.SHAPE, documents.read_folder)


def batches_per_epoch(data: VeidDataset, params: OcrParams) -> int:
    """Full batches in an epoch."""
    from millrace_training.training import batches_per_epoch as batches

    return batches(len(data.train), params.batch_size)


def build(_data: VeidDataset, params: OcrParams) -> Network:
    """The network with weights drawn from the seed: columns of two pixels become frames."""
    import keras

    from millrace_training.veid.documents import CHARSET, SHAPE
    from millrace_training.veid.network import Augmentation, Network, convolution, dense

    layers = keras.layers
    pixels = keras.Input(SHAPE, name='input')
    x = layers.Rescaling(1 / 64, -2.0, name='rescaling')(pixels)
    plan = ((1, 5, (2, 2)), (2, 3, (2, 1)), (3, 3, (2, 1)))
    for number, (width, kernel, stride) in enumerate(plan, start=1):
        x = convolution(x, params.filters * width, kernel, stride, params.seed, number)
    # Height folds into the channels: a frame then sees its whole column.
    x = layers.Permute((2, 1, 3), name='columns')(x)
    frames, rows, channels = x.shape[1:]
    x = layers.Reshape((frames, 1, rows * channels), name='frames')(x)
    x = convolution(x, params.filters * 5, (5, 1), 1, params.seed, 4)
    x = convolution(x, params.filters * 5, (5, 1), 1, params.seed, 5)
    x = layers.Reshape((frames, params.filters * 5), name='sequence')(x)
    output = dense(x, len(CHARSET) + 1, 'softmax', params.seed, 'output_0')
    return Network(keras.Model(pixels, output, name='veid_ocr'), Augmentation([]))


def _ctc_loss(model: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    """Mean CTC loss of a batch, and the share of frames' best paths with as many characters as the text."""
    import tensorflow as tf

    from millrace_training.veid.reading import BLANK

    frames = model(images, training=True)
    logits = tf.math.log(tf.maximum(frames, 1e-8))
    lengths = tf.fill([tf.shape(frames)[0]], tf.shape(frames)[1])
    losses = tf.nn.ctc_loss(
        tf.sparse.from_dense(labels), logits, None, lengths, logits_time_major=False, blank_index=BLANK
    )
    best = tf.argmax(frames, axis=2, output_type=tf.int32)
    before = tf.concat([tf.zeros_like(best[:, :1]), best[:, :-1]], axis=1)
    starts = tf.reduce_sum(tf.cast((best != BLANK) & (best != before), tf.int32), axis=1)
    wanted = tf.reduce_sum(tf.cast(labels != BLANK, tf.int32), axis=1)
    return tf.reduce_mean(losses), tf.reduce_mean(tf.cast(tf.equal(starts, wanted), tf.float32))


def train(
    model: Network, data: VeidDataset, params: OcrParams, job: Job, report: Reporter
) -> list[dict[str, float]]:
    """Train `model` in place, from the checkpoint of `job` if it names one; returns the metrics by epoch, the
    validation loss as the error rate of characters.
    """
    from millrace_training.training import BINARY, Examples, FitOptions, Task, fit, predict
    from millrace_training.veid.reading import character_accuracy, decode, encode

    truth = data.validation.texts.tolist()

    def measure(net: Any, examples: Examples) -> tuple[float, float]:
        accuracy = character_accuracy(decode(predict(net, examples.images))[0], truth)
        return 1 - accuracy, accuracy

    sets = [Examples(split.images, encode(split.texts.tolist())) for split in (data.train, data.validation)]
    options = FitOptions(params.epochs, params.batch_size, params.learning_rate, params.seed)
    place = place_of(job, f'{NAME}@{VERSION}', params, data.digest)
    task = Task(_ctc_loss, measure, BINARY.order)
    return fit(model.model, model.augmentation, sets[0], sets[1], options, place, report, task)


def evaluate(model: Network, data: VeidDataset, report: Reporter) -> dict[str, Any]:
    """Character accuracy after decoding, in fonts never seen, in all and by font and kind of text."""
    from millrace_training.training import predict
    from millrace_training.veid.measures import CORRUPTION_LEVELS, corrupt
    from millrace_training.veid.reading import character_accuracy, decode, reading_report

    heldout = data.heldout
    truth = heldout.texts.tolist()
    said, confidence = decode(predict(model.model, heldout.images, report.check_stop))

    def parts(names: Any) -> dict[str, float]:
        found = {str(name): (names == name).nonzero()[0].tolist() for name in sorted(set(names.tolist()))}
        return {
            name: character_accuracy([said[i] for i in rows], [truth[i] for i in rows])
            for name, rows in found.items()
        }

    curve: list[dict[str, float]] = []
    for level in CORRUPTION_LEVELS:
        changed = predict(model.model, corrupt(heldout.images, level), report.check_stop)
        curve.append({'level': level, 'accuracy': character_accuracy(decode(changed)[0], truth)})
    return {
        **reading_report(said, truth, confidence),
        'byFont': parts(heldout.groups),
        'byKind': parts(heldout.kinds),
        'corruption': curve,
    }


def export(model: Network, data: VeidDataset, out_dir: Path) -> Exported:
    """Write the model and held-out lines, kinds in turn, into `out_dir`; the samples' groups are texts."""
    from millrace_training.export import Samples, export_model
    from millrace_training.training import predict
    from millrace_training.veid.network import in_turn

    split = data.heldout.take(in_turn(data.heldout.kinds, PARITY_SAMPLES))
    outputs = predict(model.model, split.images)
    samples = Samples(split.images, split.labels.astype('uint8'), split.texts, split.kinds, outputs)
    return export_model(model.model, out_dir, samples, EXAMPLES)


def write_report(
    model: Network, data: VeidDataset, params: OcrParams, result: dict[str, Any], out_dir: Path
) -> None:
    """Write `metrics.json` and `report.json`, the baselines among them unless `baselines` is off."""
    from millrace_training.veid.network import write_results
    from millrace_training.veid.reading import character_accuracy, template_texts

    found: dict[str, float] = {}
    if params.baselines:
        truth = data.heldout.texts.tolist()
        commonest = max(sorted(set(''.join(truth))), key=''.join(truth).count)
        found = {
            'chance': character_accuracy([commonest * len(text) for text in truth], truth),
            'templateMatch': character_accuracy(template_texts(data.heldout.images), truth),
        }
    about = {'name': 'ocr_extraction', 'version': VERSION}
    write_results(model.model, data.heldout.images, data, json_params(params), result, found, about, out_dir)
