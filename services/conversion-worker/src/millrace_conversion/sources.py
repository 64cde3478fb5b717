"""What a conversion starts from: a SavedModel, a Keras file or a TF.js graph, each with its own answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import keras_model, parity, tfjs_graph
from .convert import Converted, Progress, convert_saved_model, convert_tfjs
from .errors import ConversionError
from .runtime import load

SourceFormat = Literal['saved_model', 'keras', 'tfjs_graph']
SAVED_MODEL_FOLDER = 'saved_model'
TFJS_FOLDER = 'tfjs'


@dataclass(frozen=True)
class Choice:
    """What to convert to, and which part of a SavedModel."""

    opset: int
    tag: str
    signature: str


@dataclass(frozen=True)
class Source:
    """A model that is read: how to convert it, and its framework's answers for parity."""

    convert: Callable[[Progress], Converted]
    reference: Callable[[Converted], parity.Reference]
    path: Path


@contextmanager
def open_source(folder: Path, form: SourceFormat, choice: Choice) -> Generator[Source, None, None]:
    """Opens the source of a job. Raises `conversion_failed`, `unsafe_model`."""
    if form == 'saved_model':
        yield _saved_model(folder, choice)
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
