"""Reading a `.keras` file: its configuration checked before Keras builds anything of it, then exported."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import ConversionError
from .runtime import load

KERAS_FILE = 'model.keras'
CONFIG_BYTES_MAX = 32 << 20
# `module` of a layer or setting that Keras itself brings; anything else would be imported from somewhere.
_MODULES = frozenset(
    {
        'keras', 'keras.layers', 'keras.initializers', 'keras.regularizers', 'keras.constraints',
        'keras.activations', 'keras.models', 'keras.src.models.functional', 'keras.src.models.sequential',
        'keras.dtype_policies', 'keras.random', 'builtins',
    }
)  # fmt: skip
# They hold code, load files or call another framework.
_CLASSES = frozenset(
    {
        'Lambda', 'TFSMLayer', 'TorchModuleWrapper', 'JaxLayer', 'FlaxLayer', '__lambda__', 'StringLookup',
        'IntegerLookup', 'TextVectorization', 'IndexLookup',
    }
)  # fmt: skip


def _unsafe(message: str) -> ConversionError:
    return ConversionError('unsafe_model', message)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found = cast('dict[str, Any]', one)
            yield found
            waiting.extend(found.values())
        elif isinstance(one, list):
            waiting.extend(cast('list[Any]', one))


def check_config(config: Any) -> None:
    """`unsafe_model` for Lambda and custom objects, by what the configuration says alone."""
    for one in _objects(config):
        name = one.get('class_name')
        if name is None:
            continue
        module = one.get('module')
        if not isinstance(name, str) or name in _CLASSES:
            raise _unsafe(f'The model has a {name}, which holds code, reads files or runs another framework.')
        # what has no module is a part of an older file, which Keras finds among its own
        if module is not None and module not in _MODULES:
            raise _unsafe(f'The model has a {name} of {module}, which is not a part of Keras.')
        registered = one.get('registered_name')
        if registered is not None and registered != name and not _is_own(registered, one):
            raise _unsafe(f'The model has a custom object, {registered}.')


def _is_own(registered: Any, one: dict[str, Any]) -> bool:
    """Functions of Keras, such as activations, are registered by their names."""
    return one.get('class_name') == 'function' and registered in ('function', one.get('config'))


def _check_weights(path: Path) -> None:
    """`unsafe_model` when the weights lie in other files, which HDF5 can express."""
    h5py = load('h5py')
    with (
        zipfile.ZipFile(path) as archive,
        archive.open('model.weights.h5') as stream,
        h5py.File(stream) as file,
    ):
        groups: list[Any] = [file]
        while groups:
            group = groups.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise _unsafe(f'The weights have a link, {name}; save the model again.')
                item = group[name]
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif item.external or item.is_virtual:
                    raise _unsafe(f'The weights {name} lie in another file; save the model again.')


def load_keras(path: Path) -> Any:
    """The model, without its training state.

    Raises `unsafe_model` before anything of it is built, `conversion_failed` when Keras cannot read it.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open('config.json') as stream:
            text = stream.read(CONFIG_BYTES_MAX + 1)
        if len(text) > CONFIG_BYTES_MAX:
            raise ConversionError('conversion_failed', f'config.json is over {CONFIG_BYTES_MAX} bytes.')
        config = json.loads(text)
        # how it was trained is left out of loading and need not be known here
        check_config({name: value for name, value in config.items() if name != 'compile_config'})
        _check_weights(path)
        return load('keras').saving.load_model(str(path), compile=False, safe_mode=True)
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(
            'conversion_failed',
            f'Keras {load("keras").__version__} cannot read the model: {_first_line(error)}',
        ) from error


def export_saved_model(model: Any, folder: Path) -> None:
    """Writes the model at inference as a SavedModel."""
    try:
        model.export(str(folder), verbose=False)
    except Exception as error:
        raise ConversionError(
            'conversion_failed', f'Keras could not export the model: {_first_line(error)}'
        ) from error


def ask_keras(model: Any, inputs: NDArray[Any]) -> NDArray[Any]:
    """The model's own answers at inference; for models of one input and one output."""
    return np.asarray(model(inputs, training=False))


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
