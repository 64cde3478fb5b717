"""What a conversion starts from: a SavedModel, Keras file, TF.js graph or weights, with its own answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from . import export, keras_model, parity, tfjs_graph
from .convert import Converted, Progress, convert_saved_model, convert_tfjs
from .errors import ConversionError
from .graph.build import BuildOptions
from .runtime import load

SourceFormat = Literal['saved_model', 'keras', 'tfjs_graph', 'weights']
SAVED_MODEL_FOLDER = 'saved_model'
TFJS_FOLDER = 'tfjs'


@dataclass(frozen=True)
class Choice:
    """What to convert to, which part of a SavedModel, and how a graph is built of weights."""

    opset: int
    tag: str
    signature: str
    build: BuildOptions = field(default_factory=BuildOptions)
    hidden_layers: list[int] | None = None


@dataclass(frozen=True)
class Source:
    """A model that is read: how to convert it, its framework's answers for parity, and what else a conversion
    of it makes: entries of the report and files beside the model, complete once `convert` has returned.
    """

    convert: Callable[[Progress], Converted]
    reference: Callable[[Converted], parity.Reference]
    path: Path
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])


@contextmanager
def open_source(folder: Path, form: SourceFormat, choice: Choice) -> Generator[Source, None, None]:
    """Opens the source of a job. Raises `conversion_failed`, `unsafe_model`."""
    if form == 'saved_model':
        yield _saved_model(folder, choice)
        return
    if form == 'weights':
        yield _weights(folder, choice)
        return
    with tempfile.TemporaryDirectory(prefix='millrace-convert-') as work:
        yield (_keras if form == 'keras' else _tfjs)(folder, Path(work), choice)


def saved_model_reference(folder: Path, tag: str, signature: str, converted: Converted) -> parity.Reference:
    """The training export's samples where there are some, else the SavedModel's own answers."""
    samples = folder / parity.SAMPLES_FILE
    if samples.is_file():
        return parity.read_samples(samples, converted)
    return parity.ask_framework(folder / SAVED_MODEL_FOLDER, tag, signature, converted)


def _saved_model(folder: Path, choice: Choice) -> Source:
    source = folder / SAVED_MODEL_FOLDER

    def reference(converted: Converted) -> parity.Reference:
        return saved_model_reference(folder, choice.tag, choice.signature, converted)

    def convert(progress: Progress) -> Converted:
        return convert_saved_model(
            source, opset=choice.opset, tag=choice.tag, signature=choice.signature, progress=progress
        )

    return Source(convert, reference, source)


def _keras(folder: Path, work: Path, choice: Choice) -> Source:
    path = folder / keras_model.KERAS_FILE
    model = keras_model.load_keras(path)
    exported = work / SAVED_MODEL_FOLDER
    keras_model.export_saved_model(model, exported)

    def reference(converted: Converted) -> parity.Reference:
        if len(converted.inputs) != 1 or len(converted.outputs) != 1:
            return parity.ask_framework(exported, choice.tag, choice.signature, converted)
        feeds = parity.random_feeds(converted)
        answers = keras_model.ask_keras(model, feeds[converted.inputs[0].name])
        return parity.Reference(
            feeds, {converted.outputs[0].name: answers}, f'Keras {load("keras").__version__}'
        )

    def convert(progress: Progress) -> Converted:
        return convert_saved_model(
            exported, opset=choice.opset, tag=choice.tag, signature=choice.signature, progress=progress
        )

    return Source(convert, reference, path)


def _tfjs(folder: Path, work: Path, choice: Choice) -> Source:
    path = folder / TFJS_FOLDER
    model = tfjs_graph.read_tfjs(path)
    graph_def = tfjs_graph.to_graph_def(model)

    def reference(converted: Converted) -> parity.Reference:
        feeds = parity.random_feeds(converted)
        missing = [info.name for info in converted.inputs if info.name not in model.inputs]
        if missing:
            raise ConversionError('conversion_failed', f'The graph has no input {missing[0]!r}.')
        answers = tfjs_graph.ask_graph(graph_def, model, feeds)
        return parity.Reference(feeds, answers, f'TF.js graph in TensorFlow {load("tensorflow").__version__}')

    def convert(progress: Progress) -> Converted:
        return convert_tfjs(model.write(work / TFJS_FOLDER), opset=choice.opset, progress=progress)

    return Source(convert, reference, path)


def _weights(folder: Path, choice: Choice) -> Source:
    weights = export.read_weights(folder, choice.hidden_layers)
    details: dict[str, Any] = {}
    options = replace(choice.build, opset=choice.opset)

    def convert(progress: Progress) -> Converted:
        progress('convert')
        report = export.build(weights, options)
        progress('check')
        details['export'] = report.to_json()
        return report.converted

    def reference(converted: Converted) -> parity.Reference:
        samples = folder / parity.SAMPLES_FILE
        if samples.is_file() and options.batch_size is None:
            return parity.read_samples(samples, converted)
        return export.definitions(weights, converted, options.batch_size)

    labels = export.labels(weights.architecture)
    files = {} if labels is None else {export.LABELS_FILE: labels}
    return Source(convert, reference, folder / export.WEIGHTS_FILE, details, files)
